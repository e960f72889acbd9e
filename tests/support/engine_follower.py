"""Follows changelogs of a real embedded log, as warm copies on Kafka are fed."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence

from streams.engine.copies import Partition
from streams.log.embedded import EmbeddedLog
from streams.log.port import Record


class EmbeddedFollower:
    """Implements `streams.engine.copies.Follower`; *most* records of a partition come at once."""

    def __init__(self, log: EmbeddedLog, most: int = 10_000) -> None:
        self._log, self.most = log, most
        self._offsets: dict[Partition, int] = {}
        self._ends: dict[Partition, int] = {}
        self.started = self.stopped = False

    def start(self) -> None:
        self.started = True

    async def stop(self) -> None:
        self.stopped = True

    def seek(self, offsets: Mapping[Partition, int]) -> None:
        self._offsets.update(offsets)
        for at in offsets:
            self._ends.pop(at, None)

    def end_offset(self, at: Partition) -> int | None:
        return self._ends.get(at)

    def silent_s(self, at: Partition) -> float:
        del at
        return 0.0

    def next_offset(self, at: Partition) -> int:
        return self._offsets[at]

    async def fetched(self, wanted: Collection[Partition], limit_s: float) -> Mapping[Partition, Sequence[Record]]:
        fetched: dict[Partition, list[Record]] = {}
        for at in list(wanted):
            start, end = self._offsets[at], await self._log.end_offset(*at)
            self._ends[at] = end
            end = min(end, start + self.most)
            if start < end:
                fetched[at] = [record async for chunk in self._log.read(*at, start, end) for record in chunk.records]
                self._offsets[at] = end
        if not fetched:
            await asyncio.sleep(min(limit_s, 0.01))
        return fetched
