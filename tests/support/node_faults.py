"""What happens to nodes at a place that no test hits from outside: planted as bugs are, and no bugs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Fault(NamedTuple):
    """What befalls a node."""

    name: str
    what: str
    module: str
    before: str
    """Text that stands in the module once …"""
    after: str
    """… and what stands there instead."""

    @property
    def changes(self) -> Mapping[str, str]:
        return {self.before: self.after}


FREEZES_BEFORE_ANSWERS, FREEZES_BEFORE_WRITES, SHORT_LEASES = "freezes-before-answers", "freezes-before-writes", "short"
FAULTS: Mapping[str, Fault] = {
    fault.name: fault
    for fault in (
        Fault(
            FREEZES_BEFORE_ANSWERS,
            "A request with a key has written, and is never answered.",
            "service.http.idempotency",
            "        await one.end(saved)\n",
            "        await asyncio.sleep(3_600)\n",
        ),
        Fault(
            FREEZES_BEFORE_WRITES,
            "A request with a key was admitted, and writes nothing.",
            "service.http.idempotency",
            "            answer = await handle(one.admitted(generation))\n",
            "            answer = await asyncio.sleep(3_600)\n",
        ),
        Fault(
            SHORT_LEASES,
            "Requests that were admitted are alone for a second.",
            "streams.domain.idempotency",
            "lease_ms: int = 20_000",
            "lease_ms: int = 1_000",
        ),
    )
}
