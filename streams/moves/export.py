"""Sources written to files."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec

from streams.domain.errors import RefusedStartError
from streams.domain.registry_state import Deployment
from streams.durable import make_directory
from streams.log.port import Chunk, Readable
from streams.moves.archive import (
    MANIFEST,
    File,
    Manifest,
    as_line,
    damaged,
    digest_of,
    file_name,
    read_manifest,
    write_durably,
)
from streams.moves.sources import MOVED, deployment_of, partitions_in

Tell = Callable[[int], object]
"""Is told of so many records more."""
_encode = msgspec.json.Encoder().encode


class Exported(NamedTuple):
    """What an export has written now, and how much is there in all."""

    new: int
    records: int


async def export(log: Readable, directory: Path, tell: Tell = lambda _records: None) -> Exported:
    """
    Write what the sources in *log* hold now and *directory* does not have yet.

    What was interrupted goes on where the manifest says; what is in a file beyond that is written again.

    Args:
        log: Nodes may go on writing to it.
        directory: Made where there is none. Of this log, or empty.
        tell: Is told of the records as they are written.

    Raises:
        RefusedStartError: The directory holds something else, a file of it is damaged, or it cannot be written.
        LogUnavailableError: The log did not answer.
    """
    deployment = await deployment_of(log)
    archive = await asyncio.to_thread(_begun, directory, log.id, deployment)
    new = 0
    for topic in MOVED:
        for partition in range(partitions_in(topic, deployment.partitions)):
            new += await archive.add(log, topic, partition, tell)
    return Exported(new, sum(file.records for file in archive.manifest.files.values()))


def _begun(directory: Path, log_id: str, deployment: Deployment) -> _Archive:
    try:
        make_directory(directory)
        if not (directory / MANIFEST).exists():
            if any(directory.iterdir()):
                raise RefusedStartError(f"{directory} holds something else: give an empty directory.")
            return _Archive(directory, Manifest(log_id, deployment, {}))
        manifest = read_manifest(directory)
    except OSError as error:
        raise RefusedStartError(f"{directory} cannot be used ({error.strerror}): give another directory.") from error
    if manifest.log != log_id:
        raise RefusedStartError(f"{directory} holds the sources of another log: give another directory.")
    return _Archive(directory, msgspec.structs.replace(manifest, deployment=deployment))


class _Archive:
    """A directory that is written to."""

    def __init__(self, directory: Path, manifest: Manifest) -> None:
        self._directory = directory
        self.manifest = manifest

    async def add(self, log: Readable, topic: str, partition: int, tell: Tell) -> int:
        """Write what a partition has more; return how many records that were."""
        name = file_name(topic, partition)
        first, end = await log.start_offset(topic, partition), await log.end_offset(topic, partition)
        before = self.manifest.files.get(name) or File(first, first, 0, 0, hashlib.sha256().hexdigest())
        if before.next_offset < first:
            raise RefusedStartError(f"{topic} has lost records that {self._directory} does not have either.")
        if before.next_offset >= end and name in self.manifest.files:
            return 0
        file = await asyncio.to_thread(_Appended, self._directory / name, before)
        try:
            async for chunk in log.read(topic, partition, before.next_offset, end):
                await asyncio.to_thread(file.append, chunk)
                tell(len(chunk.records))
        finally:
            written = await asyncio.to_thread(file.close)
            await asyncio.to_thread(self._note, name, written)
        return written.records - before.records

    def _note(self, name: str, file: File) -> None:
        """Have the manifest say what is in a file, which is on the disk."""
        self.manifest = msgspec.structs.replace(self.manifest, files={**self.manifest.files, name: file})
        write_durably(self._directory / MANIFEST, msgspec.json.format(msgspec.json.encode(self.manifest)))


class _Appended:
    """A file that grows by gzip members, each whole: together they are one gzip file."""

    def __init__(self, path: Path, before: File) -> None:
        self._path, self._so_far = path, before
        self._file = path.open("r+b" if path.exists() else "w+b")
        self._digest = digest_of(self._file.read, before.bytes)
        if self._digest.hexdigest() != before.sha256:
            self._file.close()
            raise damaged(path)
        self._file.truncate(before.bytes)
        self._file.seek(before.bytes)

    def append(self, chunk: Chunk) -> None:
        lines = b"".join([_encode(as_line(record)) + b"\n" for record in chunk.records])
        # Without a time, so that the same records make the same file.
        member = gzip.compress(lines, compresslevel=6, mtime=0) if lines else b""
        self._file.write(member)
        self._digest.update(member)
        before = self._so_far
        self._so_far = File(
            before.first_offset,
            chunk.next_offset,
            before.records + len(chunk.records),
            before.bytes + len(member),
            self._digest.hexdigest(),
        )

    def close(self) -> File:
        """Return what is in the file, on the disk."""
        with self._file:
            self._file.flush()
            os.fsync(self._file.fileno())
        return self._so_far
