"""What was fetched for a processor and is not folded yet."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from streams.log.port import Record

FULL_BYTES = 16 << 20
"""From here on nothing more is fetched, until half of it is folded."""


class Fetched(NamedTuple):
    """Records of one partition of one topic, in order."""

    topic: str
    partition: int
    records: Sequence[Record]


class Inbox:
    """A bounded queue of fetches, while it is open; closed it is empty, and takes nothing."""

    def __init__(self, full_bytes: int = FULL_BYTES) -> None:
        self._full_bytes = full_bytes
        self._fetches: deque[Fetched] = deque()
        self._size = 0
        self._arrived = asyncio.Event()
        self._nudged = False
        self._open = False
        self.full = False
        """Whether no more should be fetched for now."""

    @property
    def is_open(self) -> bool:
        """Whether it takes fetches."""
        return self._open

    def open(self) -> None:
        """Begin to take fetches."""
        self._open = True

    def close(self) -> None:
        """Forget what is there, and take nothing more."""
        self._open = False
        self._fetches.clear()
        self._size, self.full = 0, False

    def put(self, fetched: Fetched) -> None:
        """Take a fetch."""
        if not self._open or not fetched.records:
            return
        self._fetches.append(fetched)
        self._size += _size(fetched.records)
        self.full = self.full or self._size >= self._full_bytes
        self._arrived.set()

    def put_back(self, fetched: Fetched) -> None:
        """Take the rest of a fetch back, to the front."""
        if self._open and fetched.records:
            self._fetches.appendleft(fetched)
            self._size += _size(fetched.records)

    async def arrived(self) -> None:
        """Return once there is something, or something else is to be looked at."""
        while not self._fetches and not self._nudged:
            self._arrived.clear()
            await self._arrived.wait()
        self._nudged = False

    def nudge(self) -> None:
        """Have `arrived` return."""
        self._nudged = True
        self._arrived.set()

    def take(self, most: int) -> list[Fetched]:
        """Return the first *most* records, in order."""
        taken: list[Fetched] = []
        while self._fetches and most > 0:
            first = self._fetches.popleft()
            if len(first.records) > most:
                self._fetches.appendleft(first._replace(records=first.records[most:]))
                first = first._replace(records=first.records[:most])
            taken.append(first)
            most -= len(first.records)
            self._size -= _size(first.records)
        self._make_room()
        return taken

    def forget(self, topic: str, partition: int) -> None:
        """Drop what is there of one partition, which will be fetched again."""
        kept = deque(f for f in self._fetches if f.topic != topic or f.partition != partition)
        if len(kept) < len(self._fetches):
            self._fetches = kept
            self._size = sum(_size(fetched.records) for fetched in kept)
            self._make_room()

    def _make_room(self) -> None:
        if self._size < self._full_bytes // 2 or not self._fetches:
            self.full = False

    @property
    def oldest_ms(self) -> int | None:
        """The time of the oldest fetch's first record, None where there is nothing."""
        return self._fetches[0].records[0].time_ms if self._fetches else None


def _size(records: Sequence[Record]) -> int:
    return sum([len(record.value) + 100 if record.value else 100 for record in records])
