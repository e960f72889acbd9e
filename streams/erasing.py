"""What is being erased: it was asked for, and something of it may still be in the log."""

from __future__ import annotations

import asyncio
from collections.abc import Set as AbstractSet

from streams.domain.erasure import Requests
from streams.log.port import Log
from streams.topics import ERASURES


class Erasing:
    """
    Says of which contexts and sessions nothing is to be shown any more, though it is not gone yet.

    Those alone are in memory for which there is no receipt, as in that of the node that erases. The first question
    reads all that was ever erased, each of the others what has come since.
    """

    def __init__(self, log: Log, partitions: int) -> None:
        """Take what is read."""
        self._log = log
        self._requests = [Requests() for _ in range(partitions)]
        self._next = [0] * partitions
        self._one_at_a_time = asyncio.Lock()

    async def ids(self) -> AbstractSet[str]:
        """Return them, as text; raise `LogUnavailableError` where it is not known which they are."""
        async with self._one_at_a_time:
            await asyncio.gather(*map(self._catch_up, range(len(self._next))))
        return frozenset().union(*(requests.open for requests in self._requests))

    async def _catch_up(self, partition: int) -> None:
        end = await self._log.end_offset(ERASURES, partition)
        if self._next[partition] < end:
            requests = self._requests[partition]
            async for chunk in self._log.read(ERASURES, partition, self._next[partition], end):
                for record in chunk.records:
                    requests.take(record.offset, record.time_ms, record.value)
                requests.receipts.clear()
                self._next[partition] = chunk.next_offset
