"""Removes what the embedded log need not keep: overwritten rows of changelogs, old dead letters and keys."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from contextlib import asynccontextmanager

from streams.log.embedded_partition import Partition
from streams.log.embedded_store import BATCH_BYTES, EmbeddedStore
from streams.log.embedded_threads import StoreThreads
from streams.log.port import Record
from streams.topics import Kept

DAY_MS = 24 * 3600 * 1000
KEPT_MS = {Kept.DAYS_7: 7 * DAY_MS, Kept.DAYS_30: 30 * DAY_MS}
_RETENTION_EVERY_S = 3600
_KEYS_AT_ONCE = 200_000
"""Keys that one pass holds in memory, about 40 MB; where there are more, another pass follows."""
_MERGED_FROM = 4
"""Batches within `BATCH_BYTES` from which on they are worth writing as one."""
_RESTS = 14
"""After each of its steps the cleaner rests for so many times as long, so that others hardly notice it …"""
_HURRIES_FROM = 200_000
"""… but not where so many records are to be cleaned, and four times as many as are clean: what is written faster than
it is cleaned would fill the disk."""


class Cleaner:
    """
    Compacts partitions and lets old records go, in steps of at most `BATCH_BYTES`, so that no append waits long.

    A partition is compacted when it has at least *compact_after* records, and as many as its compacted part holds,
    above that part: so a record is rewritten a bounded number of times.
    """

    def __init__(
        self,
        threads: StoreThreads,
        store: EmbeddedStore,
        clock_ms: Callable[[], int],
        *,
        compact_after: int,
        tombstones_kept_ms: int,
    ) -> None:
        self._threads = threads
        self._store = store
        self._clock_ms = clock_ms
        self._compact_after = compact_after
        self._tombstones_kept_ms = tombstones_kept_ms
        self._one_at_a_time: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._due: dict[int, Partition] = {}
        self._wake = asyncio.Event()

    def appended(self, partition: Partition) -> None:
        """Note that a partition has grown."""
        dirty = partition.end_offset - partition.clean_offset
        if partition.kept is Kept.COMPACTED and dirty >= max(self._compact_after, partition.clean_count):
            self._due[partition.number] = partition
            self._wake.set()

    async def run(self, partitions: Iterable[Partition]) -> None:
        """Clean what is due of *partitions*, for ever, and forget what was due before."""
        self._due.clear()
        for partition in partitions:
            self.appended(partition)
        while True:
            await self.let_go(partitions)
            try:
                async with asyncio.timeout(_RETENTION_EVERY_S):
                    while True:
                        await self._wake.wait()
                        self._wake.clear()
                        await self._compact_due()
            except TimeoutError:
                continue

    async def _compact_due(self) -> None:
        while self._due:
            _, partition = self._due.popitem()
            await self._compact(partition, rests=_RESTS)
            self.appended(partition)

    async def let_go(self, partitions: Iterable[Partition]) -> None:
        """Remove the records that are older than their topic keeps them."""
        for partition in list(partitions):
            kept_ms = KEPT_MS.get(partition.kept)
            if kept_ms is not None:
                first = await self._threads.read(self._store.first_since, partition.number, self._clock_ms() - kept_ms)
                await self.delete_before(partition, partition.end_offset if first is None else first)

    async def delete_before(self, partition: Partition, offset: int) -> None:
        """Remove the records below *offset*."""
        async with self._one_at_a_time[partition.number]:
            offset = min(offset, partition.end_offset)
            if offset <= partition.start_offset:
                return
            partition.start_offset = offset
            await self._threads.write(self._store.set_start, partition.floor, offset)
            while await self._threads.write(self._store.remove_some, partition.number, offset):
                pass

    async def erase(self, partition: Partition, offsets: Collection[int]) -> None:
        """Remove single records."""
        async with self._one_at_a_time[partition.number]:
            await self._threads.write(self._store.erase, partition.floor, offsets)

    async def compact(self, partition: Partition) -> None:
        """Leave the newest record of each key, its offset unchanged, and no tombstone that is old."""
        await self._compact(partition, rests=0)

    async def _compact(self, partition: Partition, *, rests: float) -> None:
        async with self._one_at_a_time[partition.number]:
            newest, end = await self._newest_offsets(partition, rests)
            oldest_ms = self._clock_ms() - self._tombstones_kept_ms
            at = count = 0
            while at < end:
                async with self._step(partition, rests):
                    span = await self._threads.read(self._store.read, partition.number, at, end, BATCH_BYTES)
                    latest = [r for r in span.records if r.offset >= newest.get(r.key, 0)]
                    forgotten = {r.offset for r in latest if _is_forgotten(r, partition.clean_offset, oldest_ms)}
                    kept = [r for r in latest if r.offset not in forgotten] if forgotten else latest
                    if len(kept) < len(span.records) or span.batches >= _MERGED_FROM:
                        # Said before they are gone: who reads meanwhile asks afterwards.
                        partition.tombstones_from = max(partition.tombstones_from, *(at + 1 for at in forgotten), 0)
                        span, said = span._replace(records=kept), partition.tombstones_from
                        await self._threads.write(self._store.replace, partition.floor, span, said)
                    count += len(kept)
                    at = span.end
            await self._threads.write(self._store.set_clean, partition.number, end, count)
            partition.clean_offset, partition.clean_count = end, count

    async def _newest_offsets(self, partition: Partition, rests: float) -> tuple[dict[bytes | None, int], int]:
        newest: dict[bytes | None, int] = {}
        at, end = partition.clean_offset, partition.end_offset
        while at < end and len(newest) < _KEYS_AT_ONCE:
            async with self._step(partition, rests):
                span = await self._threads.read(self._store.read, partition.number, at, end, BATCH_BYTES)
                newest.update((record.key, record.offset) for record in span.records)
                at = span.end
        return newest, at

    @asynccontextmanager
    async def _step(self, partition: Partition, rests: float) -> AsyncIterator[None]:
        """Take a step, and rest after it where there is time."""
        began = time.monotonic()
        yield
        dirty = partition.end_offset - partition.clean_offset
        if dirty < max(_HURRIES_FROM, 4 * partition.clean_count):
            await asyncio.sleep(rests * (time.monotonic() - began))


def _is_forgotten(record: Record, clean_offset: int, oldest_ms: int) -> bool:
    # Below the clean offset a tombstone has nothing left to hide: an earlier pass has removed it for good.
    return record.value is None and record.offset < clean_offset and record.time_ms < oldest_ms
