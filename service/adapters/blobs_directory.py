"""Blobs in a directory, which several nodes must share."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import structlog

from service.adapters.threads import OwnThreads
from service.ports import MediaUnavailableError
from streams.durable import make_directory, sync_directory

THREADS = 8
"""So many files are read and written at a time; so many threads, at most, a disk that hangs keeps for itself."""


class DirectoryBlobs:
    """
    `service.ports.BlobStore` in a directory: `<2 digits>/<64 digits>.png`. It is made when it is first needed.

    A disk behind a network may never answer. So the threads are its own.
    """

    def __init__(self, directory: Path) -> None:
        """Take the directory."""
        self._directory = directory
        self._threads = OwnThreads(THREADS, "media")

    async def put(self, digest: str, content: bytes) -> None:
        """Keep *content*: whole or not at all, and on the disk."""
        try:
            await self._threads.run(lambda: _write(self._path(digest), content))
        except OSError as error:
            raise self._unavailable(error) from error

    async def get(self, digest: str) -> bytes | None:
        """Return what was kept, None where there is no such file."""
        try:
            return await self._threads.run(self._path(digest).read_bytes)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unavailable(error) from error

    def _path(self, digest: str) -> Path:
        return self._directory / digest[:2] / f"{digest}.png"

    def _unavailable(self, error: OSError) -> MediaUnavailableError:
        structlog.get_logger(__name__).error("media_unavailable", store=str(self._directory), reason=str(error))
        return MediaUnavailableError()


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
