"""Who waits for a partition's rows to change."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from contextlib import suppress

from streams.domain.errors import ViewBehindError, ViewUnavailableError

Reached = Callable[[], bool]


class _Waiter:
    __slots__ = ("done", "key", "reached")

    def __init__(self, key: bytes, reached: Reached, done: asyncio.Future[None]) -> None:
        self.key, self.reached, self.done = key, reached, done


class Waiters:
    """Everybody who waits for one partition of one table."""

    def __init__(self) -> None:
        self._waiters: set[_Waiter] = set()

    async def until(self, key: bytes, reached: Reached, *, limit_s: float) -> None:
        """
        Return once *reached* says so: asked at once, and after commits that write *key* or move a source's position.

        Raises:
            ViewBehindError: It did not within *limit_s*.
            ViewUnavailableError: The partition went away.
        """
        if reached():
            return
        waiter = _Waiter(key, reached, asyncio.get_running_loop().create_future())
        self._waiters.add(waiter)
        try:
            async with asyncio.timeout(limit_s):
                await waiter.done
        except TimeoutError as error:
            raise ViewBehindError(f"not reached within {limit_s:g} s") from error
        finally:
            self._waiters.discard(waiter)

    def committed(self, keys: Collection[bytes], *, source_moved: bool) -> None:
        """Ask again those whose key was written, or everybody where a position moved that anyone may wait for."""
        for waiter in self._waiters:
            if (source_moved or waiter.key in keys) and not waiter.done.done():
                self._ask(waiter)

    @staticmethod
    def _ask(waiter: _Waiter) -> None:
        try:
            reached = waiter.reached()
        except ViewUnavailableError as error:
            waiter.done.set_exception(error)
        else:
            if reached:
                waiter.done.set_result(None)

    def gone(self) -> None:
        """Tell everybody that the partition is not here any more."""
        for waiter in self._waiters:
            with suppress(asyncio.InvalidStateError):
                waiter.done.set_exception(ViewUnavailableError("the partition has gone to another node"))
