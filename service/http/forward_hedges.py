"""Nodes that do not answer reads in time: when a copy is asked as well, and when it is asked first."""

from __future__ import annotations

import time
from collections.abc import Callable

from service.http.buckets import Buckets

COPY_FIRST_S = 5.0
"""For so long copies are asked first in place of a node that was silent; one that stays so is not asked at all by then,
for it has not been heard of, or its partitions are others'."""
HEDGES_PER_S = 20.0
"""So many reads a second may be asked of two nodes, and twice as many at once: one that is slow with all that it is
asked does not double the work of the others."""


class Hedges:
    """Which nodes are silent, and how many reads may be asked of copies to find out."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        """Take a monotonic clock."""
        self._clock_s = clock_s
        self._silent_until_s: dict[str, float] = {}
        self._budget = Buckets(clock_s, burst_s=2.0)

    def is_silent(self, name: str) -> bool:
        """Say whether copies are to be asked in place of a node."""
        return name in self._silent_until_s and self._clock_s() < self._silent_until_s[name]

    def may_ask(self, name: str) -> bool:
        """Say whether a copy may be asked beside a node, which counts."""
        return self.is_silent(name) or self._budget.take("", HEDGES_PER_S) >= 0

    def won(self, name: str) -> None:
        """Note that a copy has answered while a node was silent."""
        self._silent_until_s[name] = self._clock_s() + COPY_FIRST_S
