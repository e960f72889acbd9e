"""Token buckets: so much comes in a second, and what was not taken of some seconds may be taken at once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

MOST_BUCKETS = 20_000
"""Of each kind; the one that was not used for longest is forgotten, as if it had not been used at all."""


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
        self._clock_s, self._burst_s, self._most_debt_s = clock_s, burst_s, most_debt_s
        self._full_at_s: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        """Return how many are remembered."""
        return len(self._full_at_s)

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
        full_at_s = max(self._full_at_s.get(key, now_s), now_s) + 1 / per_s
        # Rounded, for sums of fractions are a little more or less than they should be.
        left_s = round(self._burst_s - (full_at_s - now_s), 6)
        if left_s < -self._most_debt_s:
            return left_s
        self._remember(key, full_at_s)
        return left_s

    def owe(self, key: str, per_s: float, count: int) -> None:
        """Take *count*, whatever is left: there is nothing until as many have come in."""
        now_s = self._clock_s()
        self._remember(key, max(self._full_at_s.get(key, now_s), now_s) + count / per_s)

    def _remember(self, key: str, full_at_s: float) -> None:
        self._full_at_s[key] = full_at_s
        self._full_at_s.move_to_end(key)
        if len(self._full_at_s) > MOST_BUCKETS:
            self._full_at_s.popitem(last=False)
