"""The data directory: held by one process, and where the admin's token is kept."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from streams.domain.errors import RefusedStartError
from streams.durable import make_directory, sync_directory

LOCK = "upnext.lock"


@contextmanager
def held(directory: Path, sync: Callable[[Path], None] = sync_directory) -> Iterator[None]:
    """Hold *directory*, made where there is none, for this process alone; raise `RefusedStartError` otherwise."""
    lock = _opened(directory, sync)
    try:
        _take(lock, directory)
        yield
    finally:
        lock.close()


def _opened(directory: Path, sync: Callable[[Path], None]) -> IO[str]:
    try:
        make_directory(directory, sync)
        return (directory / LOCK).open("a+", encoding="ascii")
    except OSError as error:
        raise RefusedStartError(
            f"The data directory {directory} cannot be used ({error.strerror}): give one that this user may write to."
        ) from error


def _take(lock: IO[str], directory: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.seek(0)
        owner = lock.read().strip() or "unknown"
        raise RefusedStartError(
            f"The data directory {directory} is in use by another process ({owner}): "
            f"stop it, or give another directory."
        ) from error
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
