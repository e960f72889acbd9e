"""When the log was last heard of."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from streams.domain.errors import LogUnavailableError
from streams.engine import fatal
from streams.engine.fatal import Die
from streams.log.port import Log

_EVERY_S = 0.5
_FRESH_S = 2.5
"""How long ago the log may have been heard of for lists to count as fresh: one failed ping and a pause."""


class Contact:
    """Asks the log whether it is there, and remembers when it last was."""

    def __init__(self, log: Log, clock_s: Callable[[], float], *, die: Die = fatal.die) -> None:
        self._log, self.clock_s, self._die = log, clock_s, die
        self._last_s = clock_s()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to ask."""
        self.made()
        self._task = fatal.begin(self._ask(), "log contact", self._die)

    async def stop(self) -> None:
        """Ask no more."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def made(self) -> None:
        """Note that the log has just answered something."""
        self._last_s = self.clock_s()

    @property
    def silent_s(self) -> float:
        """Seconds since the log was last heard of."""
        return self.clock_s() - self._last_s

    @property
    def age_s(self) -> int | None:
        """The same in whole seconds where that is too long for a list to count as fresh, else None."""
        silent_s = self.silent_s
        return None if silent_s < _FRESH_S else int(silent_s)

    async def _ask(self) -> None:
        while True:
            with suppress(LogUnavailableError):
                await self._log.ping()
                self.made()
            await asyncio.sleep(_EVERY_S)
