"""Fetches that do not follow on from what was folded: something was lost on the way, or the log has a hole there."""

from __future__ import annotations

import structlog

from streams.domain.errors import UnavailableError
from streams.log.port import Log

MOST_GAPS = 10
"""Fetches in a row that may miss the same record, which the log has."""


class Gaps:
    """
    Knows what fetches have missed.

    Attributes:
        holes: How many offsets were passed that the log has no records of.
    """

    def __init__(self, log: Log) -> None:
        """Take the log, which knows what there is."""
        self._log = log
        self._missed: dict[tuple[str, int], tuple[int, int]] = {}
        """Topic and partition → the offset that a fetch did not have, and how often."""
        self.holes = 0

    def clear(self) -> None:
        """Know of nothing."""
        self._missed.clear()

    def closed(self, topic: str, partition: int) -> None:
        """Note that a partition's fetches follow on."""
        self._missed.pop((topic, partition), None)

    async def is_passed(self, topic: str, partition: int, expected: int, found: int) -> bool:
        """
        Say whether there is nothing from *expected* to *found*, a hole of the log; if not, it is to be read again.

        Only what is missed twice is asked of the log itself: a fetch may be older than a seek.

        Raises:
            RuntimeError: Fetches keep missing what the log has.
        """
        missed, times = self._missed.get((topic, partition), (-1, 0))
        times = times + 1 if missed == expected else 1
        if times > 1:
            try:
                hole = await self._is_hole(topic, partition, expected, found)
            except UnavailableError:
                hole, times = False, 1  # it may be one: the log is asked again
            if hole:
                structlog.get_logger(__name__).warning(
                    "hole", topic=topic, partition=partition, offset=expected, until=found
                )
                self.holes += found - expected
                return True
        if times > MOST_GAPS:
            msg = f"fetches of {topic}-{partition} keep missing {expected}, which the log has"
            raise RuntimeError(msg)
        self._missed[topic, partition] = expected, times
        return False

    async def _is_hole(self, topic: str, partition: int, start: int, end: int) -> bool:
        async for chunk in self._log.read(topic, partition, start, end):
            if chunk.records:
                return False
        return True
