"""Idempotency keys of test keys, for which nothing is recorded: remembered by each node for itself."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from msgspec.structs import replace

from service.ports import Client
from streams.domain.idempotency import KEY_LIMITS, Admission, Admitted, KeyLimits, judge
from streams.domain.idempotency_events import KeyBegun, KeyFinished, KeyReleased
from streams.domain.idempotency_rows import Answered, Held

MOST_KEYS = 10_000
_GENERATION = 0
"""The same on every node, so that ids are."""


class RememberedKeys:
    """Implements `service.ports.IdempotencyKeys` in memory: as many keys as may be, the oldest go first."""

    def __init__(self, now_ms: Callable[[], int], *, most: int = MOST_KEYS, limits: KeyLimits = KEY_LIMITS) -> None:
        """Take Unix time, and how many keys are remembered, and for how long."""
        self._now_ms, self._most, self._limits = now_ms, most, limits
        self._held: OrderedDict[bytes, Held] = OrderedDict()

    async def begin(self, client: Client, request_id: str, key: bytes, event: KeyBegun) -> Admission:
        """Say whether the request is to be executed, as the fold does of live ones."""
        del client, request_id
        now_ms = self._now_ms()
        admission = judge(self._held.get(key), event, _GENERATION, now_ms, self._limits)
        if isinstance(admission, Admitted):
            self._held[key] = Held(admission.generation, b"", event.fingerprint, now_ms, event.id)
            self._held.move_to_end(key)
            if len(self._held) > self._most:
                self._held.popitem(last=False)
        return admission

    async def end(self, key: bytes, event: KeyFinished | KeyReleased) -> None:
        """Remember the answer, or that there is none."""
        held = self._held.get(key)
        if held is None or held.lease != event.lease:
            return
        if isinstance(event, KeyFinished):
            answer = Answered(event.status, event.body, event.position, event.sealed)
            self._held[key] = replace(held, lease="", answer=answer)
        elif event.forgotten:
            del self._held[key]
        else:
            self._held[key] = replace(held, lease="")
