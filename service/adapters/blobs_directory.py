"""Blobs in a directory, which several nodes must share."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import TypeVar

import structlog

from service.ports import MediaUnavailableError
from streams.durable import make_directory, sync_directory

THREADS = 8
"""So many files are read and written at a time; so many threads, at most, a disk that hangs keeps for itself."""

T = TypeVar("T")


class DirectoryBlobs:
    """
    `service.ports.BlobStore` in a directory: `<2 digits>/<64 digits>.png`. It is made when it is first needed.

    A disk behind a network may never answer, and what waits for it cannot be ended. So the threads are its own, and
    whoever gives up waiting for one does not get another in its place.
    """

    def __init__(self, directory: Path) -> None:
        """Take the directory."""
        self._directory = directory
        self._free = asyncio.Semaphore(THREADS)

    async def put(self, digest: str, content: bytes) -> None:
        """Keep *content*: whole or not at all, and on the disk."""
        try:
            await self._run(lambda: _write(self._path(digest), content))
        except OSError as error:
            raise self._unavailable(error) from error

    async def get(self, digest: str) -> bytes | None:
        """Return what was kept, None where there is no such file."""
        try:
            return await self._run(self._path(digest).read_bytes)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unavailable(error) from error

    async def _run(self, work: Callable[[], T]) -> T:
        """Return what *work* returns, in a thread; it counts as one until it has ended, whoever still waits for it."""
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
            Thread(target=_settle, args=(outcome, work), name="media", daemon=True).start()
        except RuntimeError as error:
            # The machine has none left.
            outcome.set_exception(OSError(str(error)))
        return await asyncio.wrap_future(outcome)

    def _path(self, digest: str) -> Path:
        return self._directory / digest[:2] / f"{digest}.png"

    def _unavailable(self, error: OSError) -> MediaUnavailableError:
        structlog.get_logger(__name__).error("media_unavailable", store=str(self._directory), reason=str(error))
        return MediaUnavailableError()


def _settle(outcome: Future[T], work: Callable[[], T]) -> None:
    try:
        outcome.set_result(work())
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is for whoever waits
        outcome.set_exception(error)


def _write(path: Path, content: bytes) -> None:
    """Write a file that is in its place once it is whole; one that is there already is replaced by what is the same."""
    make_directory(path.parent)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    # A name is on the disk once its directory is. Another thread may have made that one, and not synced where it is.
    for directory in (path.parent, path.parent.parent):
        sync_directory(directory)
