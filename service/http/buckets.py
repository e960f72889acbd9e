"""Token buckets: so much comes in a second, and what was not taken of some seconds may be taken at once."""

from __future__ import annotations

from collections.abc import Callable

MOST_BUCKETS = 20_000
"""Of each kind, at most; those that were not used for longest are forgotten, as if they had not been used at all."""

_ALMOST_S = 1e-9
"""So far sums of fractions are off."""


class Buckets:
    """
    Counts by key what is taken, against what comes in each second.

    Source:
        The generic cell rate algorithm (ITU-T I.371): a bucket is one number, the time at which it would be full again.
    """

    def __init__(self, clock_s: Callable[[], float], *, burst_s: float, most_debt_s: float = 0.0) -> None:
        """
        Take how much a bucket holds.

        Args:
            clock_s: Monotonic seconds.
            burst_s: What comes in so many seconds.
            most_debt_s: So far beyond an empty bucket is counted.
        """
        self._clock_s, self._burst_s = clock_s, burst_s
        self._least_s = -most_debt_s - _ALMOST_S
        # In two generations: to keep buckets in the order of their use would take longer than all the rest of it.
        self._full_at_s: dict[str, float] = {}
        self._older: dict[str, float] = {}

    def __len__(self) -> int:
        """Return how many are remembered."""
        return len(self._full_at_s) + len(self._older)

    def take(self, key: str, per_s: float) -> float:
        """
        Take one where there is one, or debt is allowed.

        Args:
            key: Whose bucket.
            per_s: What comes into it in a second. Where this changes, a bucket is as full as it was.

        Returns:
            What is left, in seconds in which as much comes; below 0, the seconds until there would have been one.
        """
        now_s = self._clock_s()
        full_at_s = self._full_at_s.get(key)
        if full_at_s is None:
            full_at_s = self._recalled(key)
        if full_at_s < now_s:  # noqa: PLR1730 - a call costs as much as all the rest
            full_at_s = now_s
        full_at_s += 1 / per_s
        left_s = self._burst_s - (full_at_s - now_s)
        if left_s < 0:
            if left_s < self._least_s:
                return left_s
            if left_s > -_ALMOST_S:
                left_s = 0.0
        self._full_at_s[key] = full_at_s
        return left_s

    def owe(self, key: str, per_s: float, count: int) -> float:
        """
        Take *count*, whatever is left: there is nothing until as many have come in.

        Returns:
            What is left, in seconds in which as much comes; below 0 where it is owed.
        """
        now_s = self._clock_s()
        full_at_s = self._full_at_s.get(key)
        if full_at_s is None:
            full_at_s = self._recalled(key)
        full_at_s = self._full_at_s[key] = max(full_at_s, now_s) + count / per_s
        return self._burst_s - (full_at_s - now_s)

    def _recalled(self, key: str) -> float:
        """Return when a bucket would be full that was not used lately, and make room for it."""
        full_at_s = self._older.pop(key, 0.0)
        if len(self._full_at_s) >= MOST_BUCKETS // 2:
            self._full_at_s, self._older = {}, self._full_at_s
        self._full_at_s[key] = full_at_s
        return full_at_s
