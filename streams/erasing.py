"""What is being erased: it was asked for, and something of it may still be in the log."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet

from streams.domain.erasure import Requested, Requests, decode_erasure
from streams.domain.idempotency import KEY_LIMITS
from streams.log.port import Log, Record
from streams.topics import ERASURES

RECENT_MS = KEY_LIMITS.kept_ms + 3600 * 1000


def now_ms() -> int:
    """Return Unix time."""
    return time.time_ns() // 1_000_000


class Erasing:
    """
    Says of which contexts and sessions nothing is to be shown any more, though it is not gone yet.

    In memory are those for which there is no receipt, as in that of the node that erases, and those that were asked for
    while saved answers may name them. The first question reads all that was ever erased, each of the others what has
    come since.
    """

    def __init__(self, log: Log, partitions: int, clock_ms: Callable[[], int] = now_ms) -> None:
        """Take what is read, and Unix time."""
        self._log, self._clock_ms = log, clock_ms
        self._requests = [Requests() for _ in range(partitions)]
        self._recent: dict[str, int] = {}
        """Id → when it was last asked for."""
        self._next = [0] * partitions
        self._one_at_a_time = asyncio.Lock()

    async def ids(self) -> AbstractSet[str]:
        """Return them, as text; raise `LogUnavailableError` where it is not known which they are."""
        await self._know()
        return frozenset().union(*(requests.open for requests in self._requests))

    async def recent(self) -> AbstractSet[str]:
        """Return all that a saved answer may name, also what is gone by now; raise as `ids` does."""
        await self._know()
        return self._recent.keys()

    async def _know(self) -> None:
        async with self._one_at_a_time:
            await asyncio.gather(*map(self._catch_up, range(len(self._next))))
            since_ms = self._clock_ms() - RECENT_MS
            for id_ in [id_ for id_, time_ms in self._recent.items() if time_ms < since_ms]:
                del self._recent[id_]

    async def _catch_up(self, partition: int) -> None:
        end = await self._log.end_offset(ERASURES, partition)
        if self._next[partition] < end:
            requests = self._requests[partition]
            async for chunk in self._log.read(ERASURES, partition, self._next[partition], end):
                for record in chunk.records:
                    requests.take(record.offset, record.time_ms, record.value)
                    self._take_recent(record)
                requests.receipts.clear()
                requests.rewritten.clear()
                self._next[partition] = chunk.next_offset

    def _take_recent(self, record: Record) -> None:
        if record.time_ms >= self._clock_ms() - RECENT_MS and isinstance(
            requested := decode_erasure(record.value), Requested
        ):
            self._recent[requested.id] = record.time_ms
