"""Lets the log's threads run while the event loop is busy."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, wait
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_PATIENCE_S = 0.001
_TURN_S = 0.001
_BUSY = 0.25


class Turns:
    """
    Hands work to threads, and gives them the interpreter's lock in turns where the loop would not let go of it.

    A thread that comes back from SQLite waits for that lock, and a busy loop drops it only for microseconds at a
    time, too short to be caught: a commit of 0.3 ms was seen to take 5 s. So while work is under way the loop looks
    every millisecond whether it was busy meanwhile, and then sleeps, for as long as the work takes, a millisecond at
    most. An idle loop does not sleep, however slow the disk.
    """

    def __init__(self) -> None:
        self._running: list[Future[Any]] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    def begin(self, thread: Executor, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
        """Begin a blocking function in *thread*."""
        work = thread.submit(function, *args, **kwargs)
        self._running.append(work)
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._look_later(self._loop)
        return asyncio.wrap_future(work)

    def _look_later(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.call_later(_PATIENCE_S, self._look, loop, time.perf_counter(), time.thread_time())

    def _look(self, loop: asyncio.AbstractEventLoop, since: float, used: float) -> None:
        self._running = [work for work in self._running if not work.done()]
        if not self._running:
            self._loop = None
            return
        if time.thread_time() - used > _BUSY * (time.perf_counter() - since):
            wait(self._running, timeout=_TURN_S)
        self._look_later(loop)
