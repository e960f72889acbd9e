"""Idempotency keys for tests without a log: the real fold over rows in memory."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from service.commands.keyed import KeyIds
from service.http.forward_keys import KeysHere
from service.http.idempotency import KeyedCalls, KeyMetrics
from streams.domain.idempotency import KEY_LIMITS, Admission, KeyLimits, fold_key_event
from streams.domain.idempotency_events import AnyKeyEvent, KeyBegun, KeyFinished, KeyReleased
from streams.domain.memory_rows import MemoryRows

KEY_IDS = KeyIds(b"k" * 32, "log")
START_MS = 1_700_000_000_000


class KeyLogFake:
    """`service.http.forward_keys.Keys` whose log is folded as it is written."""

    def __init__(self, limits: KeyLimits = KEY_LIMITS) -> None:
        self.rows = MemoryRows()
        self.limits = limits
        self.now_ms = START_MS
        self.events: list[AnyKeyEvent] = []
        self.failure: Exception | None = None
        """Raised instead of whatever is called next, once."""

    def _fail(self) -> None:
        failure, self.failure = self.failure, None
        if failure is not None:
            raise failure

    def _fold(self, key: bytes, event: AnyKeyEvent) -> Admission | None:
        self.events.append(event)
        offset = len(self.events) - 1
        return fold_key_event(self.rows, event, key, offset=offset, time_ms=self.now_ms, limits=self.limits)

    async def begin(self, key: bytes, event: KeyBegun) -> Admission:
        self._fail()
        admission = self._fold(key, event)
        assert admission is not None
        return admission

    async def end(self, key: bytes, event: KeyFinished | KeyReleased) -> None:
        self._fail()
        self._fold(key, event)


def keyed_calls(keys: KeyLogFake, metrics: CollectorRegistry) -> KeyedCalls:
    """Return what sees to requests with keys, which *keys* knows."""
    return KeyedCalls(KeysHere(keys), KEY_IDS, KeyMetrics(metrics))


def remembered(metrics: CollectorRegistry) -> KeyedCalls:
    """Return what sees to requests with keys that nobody looks at."""
    return keyed_calls(KeyLogFake(), metrics)
