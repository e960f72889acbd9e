"""Threads for what may never answer, and cannot be ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


class OwnThreads:
    """
    A bounded number of threads that nothing else uses, and that the process does not wait for at its end.

    Whoever gives up waiting for one does not get another in its place: it counts until it has ended.
    """

    def __init__(self, count: int, name: str) -> None:
        """Take how many there are at a time, and what they are called."""
        self._free, self._name = asyncio.Semaphore(count), name

    async def run(self, work: Callable[[], T]) -> T:
        """Return what *work* returns, in a thread; raise what it raises, `OSError` where there is no thread."""
        await self._free.acquire()
        loop, outcome = asyncio.get_running_loop(), Future[T]()
        # From now on it cannot be cancelled: what waits for it can.
        outcome.set_running_or_notify_cancel()

        def free(_: Future[T]) -> None:
            with suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(self._free.release)

        outcome.add_done_callback(free)
        # No pool, for at its end the process waits for a pool's threads, and for these it does not.
        try:
            Thread(target=_settle, args=(outcome, work), name=self._name, daemon=True).start()
        except RuntimeError as error:
            # The machine has none left.
            outcome.set_exception(OSError(str(error)))
        return await asyncio.wrap_future(outcome)


def _settle(outcome: Future[T], work: Callable[[], T]) -> None:
    try:
        outcome.set_result(work())
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is for whoever waits
        outcome.set_exception(error)
