"""Companies, apps, platforms, their clients and what is between them, straight into a registry's log."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from streams.domain.ids import Kind, Mode, id_text
from streams.domain.registry_events import ObjectWrite, Reference, Transaction, UniqueValue
from streams.keys import read_master_key
from streams.log.port import Log
from streams.registry_codec import encode_registry_event, registry_key
from streams.topics import REGISTRY_EVENTS
from tests.support.nodes import MASTER_KEY

COMPANIES = 100
BIG = "company0"
"""The company that every other object belongs to: its lists are long."""
_AT_ONCE = 10
"""Objects in one transaction."""


class Objects:
    """Makes objects as the API would: of each ten, three clients, two apps, a platform and four availabilities."""

    def __init__(self, seed: int = 7) -> None:
        self._source = random.Random(seed)
        self._ids = read_master_key(MASTER_KEY).id_keys
        self._made = 0

    def companies(self) -> Iterator[ObjectWrite]:
        """Yield the companies."""
        for n in range(COMPANIES):
            fields = {"country": "DE", "email": f"office{n}@company{n}.example"}
            yield ObjectWrite(type="companies", id=f"company{n}", version=0, name=f"Company {n}", fields=fields)

    def ten(self) -> Iterator[ObjectWrite]:
        """Yield ten objects of one company."""
        self._made += 1
        company = BIG if self._made % 2 else f"company{self._source.randrange(1, COMPANIES)}"
        apps = [self._tenant("apps", Kind.APP, company) for _ in range(2)]
        platform = self._tenant("platforms", Kind.PLATFORM, company)
        yield from (*apps, platform)
        for tenant in (*apps, platform):
            yield self._client(company, tenant)
        for n in range(4):
            yield self._availability(company, apps[n % 2].id, platform.id, n)

    def _hex(self, digits: int) -> str:
        return f"{self._source.getrandbits(4 * digits):0{digits}x}"

    def _name(self, what: str) -> str:
        return f"{what} {self._source.randrange(10**6)} of the north"

    def _tenant(self, kind_name: str, kind: Kind, company: str) -> ObjectWrite:
        entropy = self._source.randbytes(7)
        raw = self._ids.mint(kind, Mode.LIVE, company.encode(), now_s=int(time.time()), entropy=entropy)
        text = "What viewers of this see first, in a sentence or two that somebody has thought about for a while."
        return _write(kind_name, id_text(kind, raw), company, self._name(kind_name), {"description": text})

    def _client(self, company: str, tenant: ObjectWrite) -> ObjectWrite:
        keys = [
            {"kind": kind, "prefix": prefix + self._hex(4), "hash": self._hex(64)}
            for kind, prefix in (("LIVE", "sk_"), ("TEST", "test_sk_"))
        ]
        number = self._hex(16)
        fields = {"tenant": {"type": tenant.type, "id": tenant.id}, "clientId": number, "keys": keys}
        fields["rateLimit"] = {"read": 1_000, "write": 1_000}
        unique = (UniqueValue("clientId", number),)
        return _write("clients", self._hex(16), company, self._name("Client"), fields, unique)

    def _availability(self, company: str, app: str, platform: str, n: int) -> ObjectWrite:
        fields = {
            "app": {"type": "apps", "id": app},
            "platform": {"type": "platforms", "id": platform},
            "countries": ["AT", "CH", "DE", "FR", "IT"],
        }
        unique = (UniqueValue("app,platform,n", f"{app},{platform},{n}"),)
        return _write("availabilities", self._hex(16), company, "", fields, unique)

    async def append(self, log: Log, count: int) -> None:
        """Append what makes *count* more objects, the companies too where there are none yet."""
        objects = self._all(with_companies=self._made == 0)
        rows = []
        for start in range(0, count, _AT_ONCE):
            some = tuple(islice(objects, min(_AT_ONCE, count - start)))
            event = Transaction(id=self._hex(32), user="bench", request=f"req_{self._hex(16)}", objects=some)
            rows.append((registry_key(event), encode_registry_event(event)))
        for start in range(0, len(rows), 1_000):
            await log.append_many(REGISTRY_EVENTS, 0, rows[start : start + 1_000])

    def _all(self, *, with_companies: bool) -> Iterator[ObjectWrite]:
        if with_companies:
            yield from self.companies()
        while True:
            yield from self.ten()


def _write(
    kind: str, object_id: str, company: str, name: str, fields: dict[str, Any], unique: Sequence[UniqueValue] = ()
) -> ObjectWrite:
    references = (Reference("companies", company),)
    return ObjectWrite(
        type=kind,
        id=object_id,
        version=0,
        company=company,
        name=name,
        fields=fields,
        references=references,
        unique=tuple(unique),
    )
