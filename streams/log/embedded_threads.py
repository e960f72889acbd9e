"""The threads of the embedded log: one writes, one reads, and neither goes on after an error."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn, ParamSpec, TypeVar

from streams.domain.errors import LogUnavailableError
from streams.log.embedded_directory import locked, open_store
from streams.log.embedded_store import CorruptedLogError, EmbeddedStore
from streams.log.embedded_turns import Turns

Die = Callable[[str], NoReturn]
P = ParamSpec("P")
T = TypeVar("T")


class StoreThreads:
    """
    Runs the store's blocking functions: writes in the order of their calls in one thread, reads in another.

    What a failed write did is unknown, and what a failed read hides too: the first error is the last thing that
    happens, the process is told to die.
    """

    def __init__(self, directory: Path, die: Die) -> None:
        self._directory = directory
        self._die = die
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="log-writer")
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="log-reader")
        self._turns = Turns()
        self._held = ExitStack()
        self.failure: str | None = "the log is not open"

    async def open(self) -> EmbeddedStore:
        """Lock the directory and open its database; raise `RefusedStartError` where that cannot be."""
        with ExitStack() as held:
            held.callback(self._shut_down)
            held.enter_context(locked(self._directory))
            store = await self._turns.begin(self._writer, open_store, self._directory)
            self._held = held.pop_all()
        self.failure = None
        return store

    async def close(self, store: EmbeddedStore) -> None:
        """Close the database after all that was called for, and release the directory."""
        failure, self.failure = self.failure, "the log is closed"
        await self._run(self._reader, store.stop_reading)
        await self._run(self._writer, store.close if failure is None else store.abandon)
        self._held.close()

    def _shut_down(self) -> None:
        self._writer.shutdown()
        self._reader.shutdown()

    def check(self) -> None:
        """Raise `LogUnavailableError` where the log is closed or has failed."""
        if self.failure is not None:
            raise LogUnavailableError(self.failure)

    async def write(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function of the store in the writer's thread."""
        self.check()
        return await self._run(self._writer, function, *args, **kwargs)

    async def read(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function of the store in the reader's thread."""
        self.check()
        return await self._run(self._reader, function, *args, **kwargs)

    async def _run(self, thread: Executor, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await self._turns.begin(thread, function, *args, **kwargs)
        except (sqlite3.Error, CorruptedLogError, OSError) as error:
            self.fail(error)

    def begin_write(self, function: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[None]:
        """Begin a function of the store in the writer's thread; who waits for it passes its error to `fail`."""
        return self._turns.begin(self._writer, function, *args, **kwargs)

    def fail(self, error: BaseException) -> NoReturn:
        """Let nothing go on, and the process end."""
        hint = (
            "See that its disk has room and works, then start again."
            if isinstance(error, sqlite3.OperationalError | OSError)
            else "It is damaged: put the latest copy of the whole directory in its place."
        )
        self.failure = f"The log in {self._directory} cannot be used any more ({error}). {hint}"
        self._die(self.failure)
