"""Fills a deployment with contexts, sessions, attachments and items: the API's own events, straight into its log."""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn

import aiohttp
import msgspec

from bench.items import encoded
from bench.nodes import Node
from streams.codec import encode_event, event_key
from streams.domain.events import ContextAttached, ContextCreated, ContextEvent, ItemPut, SessionCreated, SessionEvent
from streams.domain.ids import Kind, Mode, id_text, known_id
from streams.domain.items import Item
from streams.keys import read_master_key
from streams.log.embedded import EmbeddedLog
from streams.log.kafka import KafkaConfig, KafkaLog
from streams.log.port import Log, Row
from streams.topics import CONTEXT_EVENTS, SESSION_EVENTS, partition_of
from tests.support.nodes import MASTER_KEY, Caller, Deployment

KAFKA_PARTITIONS, EMBEDDED_PARTITIONS = 16, 8
_UNLIMITED = {"read": 1_000_000, "write": 1_000_000}
_ROWS_AT_ONCE = 2_000


@dataclass
class Tenants:
    """An app and a platform that may call as often as they like."""

    app: Caller
    platform: Caller
    company: str
    """That both belong to."""


@asynccontextmanager
async def tenants(of: Node) -> AsyncIterator[Tenants]:
    """Make an app and a platform in the node's registry."""
    connector = aiohttp.TCPConnector(limit=256)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(60)) as http:
        deployment = Deployment(of, http)
        company = await deployment.company("Bench")
        app, platform = [await deployment.tenant(kind, company) for kind in ("apps", "platforms")]
        clients = (await deployment.admin.ok("GET", f"/api/v1/clients?context={company}")).json["results"]
        for client in clients:
            path = f"/api/v1/clients/{client['id']}?context={company}"
            await deployment.admin.ok("PUT", path, {"rateLimit": _UNLIMITED})
        yield Tenants(app, platform, company)


@dataclass
class Household:
    """What there is in the log."""

    contexts: list[bytes] = field(default_factory=list)
    sessions: list[bytes] = field(default_factory=list)

    def context_path(self, n: int) -> str:
        """Return the path that items of the context are PUT to."""
        return f"/v1/contexts/upnext/{id_text(Kind.CONTEXT, self.contexts[n])}"

    def session_path(self, n: int) -> str:
        """Return the path of the session's list."""
        return f"/v1/sessions/upnext/{id_text(Kind.SESSION, self.sessions[n])}"


class Writer:
    """Makes events as the API would, and appends them to the log in large batches."""

    def __init__(self, log: Log, partitions: int, made_for: Tenants, seed: int = 3) -> None:
        self._log, self._partitions, self._tenants = log, partitions, made_for
        self._source = random.Random(seed)
        self._ids = read_master_key(MASTER_KEY).id_keys
        self._rows: dict[tuple[str, int], list[Row]] = defaultdict(list)
        self._count = 0

    async def create(self, contexts: int, sessions: int) -> Household:
        """Make *contexts* and *sessions*."""
        made = Household()
        app, platform = self._tenants.app.tenant, self._tenants.platform.tenant
        for _ in range(contexts):
            context = self._mint(Kind.CONTEXT, known_id(Kind.APP, app))
            made.contexts.append(context)
            await self._add(context, ContextCreated(**self._cause(), app=app))
        for _ in range(sessions):
            session = self._mint(Kind.SESSION, known_id(Kind.PLATFORM, platform))
            made.sessions.append(session)
            await self._add(session, SessionCreated(**self._cause(), platform=platform))
        await self.flush()
        return made

    async def attach(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        """Attach each (session, context)."""
        app = self._tenants.app.tenant
        for session, context in pairs:
            event = ContextAttached(**self._cause(), app=app, context=id_text(Kind.CONTEXT, context))
            await self._add(session, event)
        await self.flush()

    async def put(self, places: Iterable[tuple[bytes, str]]) -> int:
        """Put an item for each (context, content id); return how many bytes their bodies would have had."""
        app, size = self._tenants.app.tenant, 0
        for context, content_id in places:
            body = encoded(self._source, content_id)
            size += len(body)
            item = msgspec.json.decode(body, type=Item)
            await self._add(context, ItemPut(**self._cause(), app=app, item=item))
        await self.flush()
        return size

    def _mint(self, kind: Kind, owner: bytes) -> bytes:
        entropy = self._source.randbytes(7)
        return self._ids.mint(kind, Mode.LIVE, owner, now_s=int(time.time()), entropy=entropy)

    def _cause(self) -> dict[str, Any]:
        request = f"req_{self._source.getrandbits(64):016x}"
        event_id = f"{self._source.getrandbits(128):032x}"
        return {"id": event_id, "client": self._tenants.app.client_id, "request": request}

    async def _add(self, raw: bytes, event: ContextEvent | SessionEvent) -> None:
        is_session = isinstance(event, SessionEvent)
        topic, kind = (SESSION_EVENTS, Kind.SESSION) if is_session else (CONTEXT_EVENTS, Kind.CONTEXT)
        row = event_key(kind, raw, event.id), encode_event(event)
        self._rows[topic, partition_of(raw, self._partitions)].append(row)
        self._count += 1
        if self._count >= _ROWS_AT_ONCE * self._partitions:
            await self.flush()

    async def flush(self) -> None:
        """Return once all of it is acknowledged."""
        for (topic, partition), rows in self._rows.items():
            for start in range(0, len(rows), _ROWS_AT_ONCE):
                await self._log.append_many(topic, partition, rows[start : start + _ROWS_AT_ONCE])
        self._rows.clear()
        self._count = 0


@asynccontextmanager
async def writer_to(node: Node, made_for: Tenants) -> AsyncIterator[Writer]:
    """Open the node's log to write to. The embedded log has one user at a time: its node must be stopped."""
    log: Log
    if node.kafka is None:
        log, partitions = EmbeddedLog(node.directory / "log", _die), EMBEDDED_PARTITIONS
    else:
        log, partitions = KafkaLog(KafkaConfig(bootstrap=node.kafka)), KAFKA_PARTITIONS
    await log.start()
    try:
        yield Writer(log, partitions, made_for)
    finally:
        await log.stop()


def _die(reason: str) -> NoReturn:
    raise SystemExit(reason)


async def poll_total(platform: Caller, path: str, total: int, limit_s: float = 60.0) -> Any:
    """Return the session's list, with its headers, once it has *total* items."""
    async with asyncio.timeout(limit_s):
        while True:
            answer = await platform.ok("GET", path)
            if answer.json["total"] == total:
                return answer
            await asyncio.sleep(0.1)


def pairs_of(made: Household, contexts_each: int) -> Sequence[tuple[bytes, bytes]]:
    """Pair every session with as many contexts, so that each context is in as few sessions as can be."""
    contexts = made.contexts
    return [
        (session, contexts[(n * contexts_each + k) % len(contexts)])
        for n, session in enumerate(made.sessions)
        for k in range(contexts_each)
    ]
