"""How fast a version of the views is folded that nobody reads yet: never at the cost of the one that is read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

SLICE_S = 0.1
"""At a limit, a turn takes what may be folded in this time; and so often it is looked whether there is a turn."""


class Pace:
    """Limits the events of the sources that both processors of a version fold in a second, and pauses them."""

    def __init__(
        self,
        most_per_s: Callable[[], int],
        is_paused: Callable[[], bool],
        clock_s: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """Take what returns how many events a second may be folded, 0 for any number, and whether none may be now."""
        self._most_per_s, self._is_paused, self._clock_s, self._sleep = most_per_s, is_paused, clock_s, sleep
        self._free_at_s = 0.0

    async def room(self, most: int) -> int:
        """Return how many records a turn may take, up to *most*; 0 after a while where it may take none."""
        per_s = self._most_per_s()
        wait_s = SLICE_S if self._is_paused() else min(SLICE_S, self._free_at_s - self._clock_s() if per_s else 0.0)
        if wait_s > 0:
            await self._sleep(wait_s)
            return 0
        return min(most, max(1, int(per_s * SLICE_S))) if per_s else most

    def folded(self, events: int) -> None:
        """Note that so many events of the sources were folded."""
        per_s = self._most_per_s()
        if per_s:
            # Time that was not used is not saved up.
            self._free_at_s = max(self._free_at_s, self._clock_s()) + events / per_s
