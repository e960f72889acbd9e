"""What is to be done to a partition's rows in a turn of its processor, beside what is folded."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from streams.domain.errors import UnavailableError
from streams.engine.batch import Batch

Change = Callable[[Batch], Awaitable[None]]
"""Changes the rows of an empty batch, which is written as any other then; an `UpNextError` that it raises drops it."""


class Errand(NamedTuple):
    """One change that somebody waits for."""

    partition: int
    change: Change
    done: asyncio.Future[None]

    def ended(self) -> None:
        """Tell who waits that it is written."""
        if not self.done.done():
            self.done.set_result(None)

    def failed(self, error: Exception) -> None:
        """Tell who waits that it is not, or may not be."""
        if not self.done.done():
            self.done.set_exception(error)


class Errands:
    """Those that wait for the next turn."""

    def __init__(self, nudge: Callable[[], None]) -> None:
        """Take what has the processor begin a turn."""
        self._nudge = nudge
        self._waiting: deque[Errand] = deque()

    async def run(self, partition: int, change: Change) -> None:
        """Have a partition's rows changed in a turn, and return once that is written; see `Processor.change`."""
        errand = Errand(partition, change, asyncio.get_running_loop().create_future())
        self._waiting.append(errand)
        self._nudge()
        await errand.done

    def next(self) -> Errand | None:
        """Return the one that has waited longest and is still waited for, None where there is none."""
        while self._waiting:
            errand = self._waiting.popleft()
            if not errand.done.done():
                return errand
        return None

    def give_up(self, error: UnavailableError) -> None:
        """Tell all who wait that it will not be done."""
        while (errand := self.next()) is not None:
            errand.failed(error)
