"""Blobs in a directory, which several nodes must share."""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path

import structlog

from service.ports import MediaUnavailableError


class DirectoryBlobs:
    """`service.ports.BlobStore` in a directory: `<2 digits>/<64 digits>.png`. It is made when it is first needed."""

    def __init__(self, directory: Path) -> None:
        """Take the directory."""
        self._directory = directory

    async def put(self, digest: str, content: bytes) -> None:
        """Keep *content*: whole or not at all, and on the disk."""
        try:
            await asyncio.to_thread(_write, self._path(digest), content)
        except OSError as error:
            raise self._unavailable(error) from error

    async def get(self, digest: str) -> bytes | None:
        """Return what was kept, None where there is no such file."""
        try:
            return await asyncio.to_thread(self._path(digest).read_bytes)
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
    path.parent.mkdir(parents=True, exist_ok=True)
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
    # A name is on the disk once its directory is, and a new directory once its own is.
    for directory in (path.parent, path.parent.parent):
        _sync(directory)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
