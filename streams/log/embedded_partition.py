"""A partition of the embedded log as it is in memory: where it begins and ends, its newest records, who watches it."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from streams.log.embedded_store import Floor, Span, StoredPartition, size_of
from streams.log.port import Record

RECENT_BYTES = 32 << 20
"""How much of the newest records of all partitions together stays in memory, for those who follow them."""
_RECENT_AT_ONCE = 1_000

AnyRow = tuple[bytes | None, bytes | None]
"""A row whose key may be missing: Faust's own messages need none."""


class Partition:
    """
    One partition. Belongs to the event loop's thread.

    Offsets and times are given to records when they are appended; `end_offset` moves when they are on disk.
    """

    def __init__(self, stored: StoredPartition) -> None:
        self.number = stored.number
        self.topic = stored.topic
        self.partition = stored.partition
        self.kept = stored.kept
        self.start_offset = stored.start_offset
        self.end_offset = self.next_offset = stored.end_offset
        self.time_ms = stored.time_ms
        self.clean_offset = stored.clean_offset
        self.clean_count = stored.clean_count
        self.tombstones_from = stored.tombstones_from
        self.epoch = 0
        """How often it was claimed."""
        self.recent: deque[list[Record]] = deque()
        self._watchers: set[asyncio.Event] = set()

    @property
    def floor(self) -> Floor:
        """What must be written with whatever removes records."""
        return Floor(self.number, self.end_offset, self.time_ms)

    def stamp(self, rows: Sequence[AnyRow], now_ms: int) -> list[Record]:
        """Give *rows* the next offsets, and a time that never goes back."""
        self.time_ms = time_ms = max(self.time_ms, now_ms)
        first, self.next_offset = self.next_offset, self.next_offset + len(rows)
        return [Record(offset, time_ms, key, value) for offset, (key, value) in enumerate(rows, first)]

    def numbered(self, records: Sequence[Record]) -> list[Record]:
        """Give *records* the next offsets, and leave them the times that they have."""
        first, self.next_offset = self.next_offset, self.next_offset + len(records)
        self.time_ms = max(self.time_ms, *(record.time_ms for record in records), 0)
        return [record._replace(offset=offset) for offset, record in enumerate(records, first)]

    def publish(self, records: list[Record]) -> None:
        """Show readers what is on disk now."""
        self.end_offset = records[-1].offset + 1
        self.recent.append(records)
        self.wake()

    def wake(self) -> None:
        """Have all who watch look again."""
        for watcher in self._watchers:
            watcher.set()

    def watch(self, watcher: asyncio.Event) -> None:
        """Set *watcher* whenever there are new records, until `unwatch`."""
        self._watchers.add(watcher)

    def unwatch(self, watcher: asyncio.Event) -> None:
        """Let *watcher* be."""
        self._watchers.discard(watcher)

    @contextmanager
    def watched(self) -> Iterator[asyncio.Event]:
        """Give an event that is set whenever there are new records."""
        watcher = asyncio.Event()
        self.watch(watcher)
        try:
            yield watcher
        finally:
            self.unwatch(watcher)

    def read_recent(self, start: int, end: int) -> Span | None:
        """Return records from *start* up to *end*, a bounded number, where memory has them; else None."""
        recent = self.recent
        if not recent or start < recent[0][0].offset:
            return None
        records: list[Record] = []
        at = bisect_right(recent, start, key=_first_offset) - 1
        while at < len(recent) and len(records) < _RECENT_AT_ONCE:
            batch = recent[at]
            records += batch[start - batch[0].offset :] if batch[0].offset < start else batch
            at += 1
        if records[-1].offset >= end:
            del records[end - records[0].offset :]
        return Span(start, records[-1].offset + 1, records)


def _first_offset(batch: list[Record]) -> int:
    return batch[0].offset


class Recent:
    """Bounds the records that all partitions together keep in memory; the oldest go first."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._size_bytes = 0
        self._kept: deque[tuple[Partition, int]] = deque()

    def forget(self, partition: Partition) -> None:
        """Forget a partition's records."""
        self._size_bytes -= sum(size for kept, size in self._kept if kept is partition)
        self._kept = deque(one for one in self._kept if one[0] is not partition)
        partition.recent.clear()

    def publish(self, partition: Partition, records: list[Record]) -> None:
        """Publish *records*, and forget the oldest that are too many."""
        size = sum(map(size_of, records))
        partition.publish(records)
        self._kept.append((partition, size))
        self._size_bytes += size
        while self._size_bytes > self._limit_bytes:
            oldest, size = self._kept.popleft()
            oldest.recent.popleft()
            self._size_bytes -= size
