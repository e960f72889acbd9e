"""Fetches that do not follow on from what was folded: something was lost on the way, or the log has a hole there."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

import structlog

from streams.domain.errors import UnavailableError
from streams.log.port import Log, Record

MOST_GAPS = 10
"""Fetches in a row that may miss the same record, which the log has."""


class Gaps:
    """
    Knows what fetches have missed.

    Where records were erased there may be a hole beside each that is left, so the log is looked at once for all that a
    fetch has.

    Attributes:
        holes: How many offsets were passed that the log has no records of.
    """

    def __init__(self, log: Log) -> None:
        """Take the log, which knows what there is."""
        self._log = log
        self._missed: dict[tuple[str, int], tuple[int, int]] = {}
        """Topic and partition → the offset that a fetch did not have, and how often."""
        self._looks: dict[tuple[str, int], _Look] = {}
        """Topic and partition → what the last look has shown."""
        self.holes = 0

    def clear(self) -> None:
        """Know of nothing."""
        self._missed.clear()
        self._looks.clear()

    def closed(self, topic: str, partition: int) -> None:
        """Note that a partition's fetches follow on."""
        self._missed.pop((topic, partition), None)

    async def is_passed(self, topic: str, partition: int, expected: int, records: Sequence[Record]) -> bool:
        """
        Say whether there is nothing from *expected* to the first of *records*, a hole of the log.

        If not, it is to be read again: a fetch may be older than a seek.

        Raises:
            RuntimeError: Fetches keep missing what the log has.
        """
        try:
            is_hole = await self._is_hole(topic, partition, expected, records)
        except UnavailableError:
            return False  # it may be one: the log is asked again
        if is_hole:
            self.holes += records[0].offset - expected
            return True
        missed, times = self._missed.get((topic, partition), (-1, 0))
        times = times + 1 if missed == expected else 1
        if times > MOST_GAPS:
            msg = f"fetches of {topic}-{partition} keep missing {expected}, which the log has"
            raise RuntimeError(msg)
        self._missed[topic, partition] = expected, times
        return False

    async def _is_hole(self, topic: str, partition: int, expected: int, records: Sequence[Record]) -> bool:
        found = records[0].offset
        look = self._looks.get((topic, partition))
        # What was there then may have been erased since; what was not never will be.
        if look is None or not look.has_none(expected, found):
            look = self._looks[topic, partition] = await self._look(topic, partition, expected, records)
        return look.has_none(expected, found)

    async def _look(self, topic: str, partition: int, expected: int, records: Sequence[Record]) -> _Look:
        """Look at what the log has from *expected* to the last of *records*, unless it has what they miss first."""
        found, end = records[0].offset, records[-1].offset + 1
        first = await self._log.start_offset(topic, partition)
        offsets: list[int] = []
        async for chunk in self._log.scan(topic, partition, expected, end):
            offsets += [record.offset for record in chunk.records]
            if offsets and offsets[0] < found:
                return _Look(expected, chunk.next_offset, offsets)
        what = "holes" if first <= expected else "beginning_gone"
        structlog.get_logger(__name__).warning(
            what, topic=topic, partition=partition, offset=expected, until=end, missing=end - expected - len(offsets)
        )
        return _Look(expected, end, offsets)


class _Look(NamedTuple):
    """What the log had: of the offsets from *start* up to, not including, *end* only these, in their order."""

    start: int
    end: int
    offsets: Sequence[int]

    def has_none(self, start: int, end: int) -> bool:
        """Say whether it has shown that there is nothing from *start* up to, not including, *end*."""
        is_seen = self.start <= start and end <= self.end
        return is_seen and bisect_left(self.offsets, start) == bisect_left(self.offsets, end)
