"""Sources in files: one a partition, gzip of JSON lines, and a manifest that says what is in them."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import msgspec

from streams.domain.errors import RefusedStartError
from streams.domain.registry_state import Deployment
from streams.durable import put_in_place
from streams.log.port import Chunk, Record
from streams.moves.sources import MOVED, partitions_in

MANIFEST = "manifest.json"
FORMAT = 1
_PIECE_BYTES = 1 << 20
_AT_ONCE = 1_000
"""Records that are read from a file at once."""


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """A record as a line of JSON. What is not UTF-8 is in base64."""

    offset: int
    time_ms: int
    key: str | None = None
    value: str | None = None
    key_base64: str | None = None
    value_base64: str | None = None


class File(msgspec.Struct, frozen=True):
    """How much of a partition is in its file."""

    first_offset: int
    next_offset: int
    records: int
    bytes: int
    """What follows them in the file does not count."""
    sha256: str
    """Of that many bytes."""


class Manifest(msgspec.Struct, frozen=True):
    """What an archive holds."""

    log: str
    """The id of the log that it was made from."""
    deployment: Deployment
    files: dict[str, File]
    """By name: `<topic>-<partition, 5 digits>.jsonl.gz`."""
    format: int = FORMAT


_decode = msgspec.json.Decoder(Line).decode


def file_name(topic: str, partition: int) -> str:
    """Return the name of a partition's file."""
    return f"{topic}-{partition:05}.jsonl.gz"


def as_line(record: Record) -> Line:
    """Return a record as it stands in a file."""
    key, key_base64 = _as_text(record.key)
    value, value_base64 = _as_text(record.value)
    return Line(record.offset, record.time_ms, key, value, key_base64, value_base64)


def as_record(line: Line) -> Record:
    """Return the record that a line is of."""
    key, value = _as_bytes(line.key, line.key_base64), _as_bytes(line.value, line.value_base64)
    return Record(line.offset, line.time_ms, key, value)


def _as_text(content: bytes | None) -> tuple[str | None, str | None]:
    if content is None:
        return None, None
    try:
        return content.decode(), None
    except UnicodeDecodeError:
        return None, base64.b64encode(content).decode()


def _as_bytes(text: str | None, in_base64: str | None) -> bytes | None:
    if in_base64 is not None:
        return base64.b64decode(in_base64, validate=True)
    return None if text is None else text.encode()


def digest_of(read: Callable[[int], bytes], size: int) -> hashlib._Hash:
    """Return the digest of the first *size* bytes that *read* gives, or of all where there are fewer."""
    digest = hashlib.sha256()
    while size > 0 and (piece := read(min(size, _PIECE_BYTES))):
        digest.update(piece)
        size -= len(piece)
    return digest


def damaged(path: Path) -> RefusedStartError:
    """Return what is said of a file that is not what the manifest says."""
    return RefusedStartError(f"{path} is damaged: its checksum is not the one in {MANIFEST}. Take another copy.")


def write_durably(path: Path, content: bytes) -> None:
    """Have a file hold *content*, as a whole or not at all, whatever happens."""
    new = path.with_name(f"{path.name}.new")
    with new.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    put_in_place(new, path)


def read_manifest(directory: Path) -> Manifest:
    """Return what an archive says of itself; raise `RefusedStartError` where it is none that this version reads."""
    path = directory / MANIFEST
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except OSError as error:
        raise RefusedStartError(
            f"{path} cannot be read ({error.strerror}): give the directory of an export."
        ) from error
    except msgspec.DecodeError as error:
        raise RefusedStartError(f"{path} is not one of `upnext log export`: {error}.") from error
    if manifest.format != FORMAT:
        raise RefusedStartError(f"{path} has format {manifest.format}, this version knows {FORMAT}.")
    return manifest


class Archive:
    """Implements `streams.log.port.Readable` over the files of an export."""

    def __init__(self, directory: Path, manifest: Manifest) -> None:
        """Take what `opened_archive` has verified."""
        self._directory, self.manifest = directory, manifest

    @property
    def id(self) -> str:
        """The id of the log that it was made from."""
        return self.manifest.log

    def _file(self, topic: str, partition: int) -> File:
        return self.manifest.files[file_name(topic, partition)]

    async def start_offset(self, topic: str, partition: int) -> int:
        """Return the offset of a partition's first record."""
        return self._file(topic, partition).first_offset

    async def end_offset(self, topic: str, partition: int) -> int:
        """Return the offset after a partition's last record."""
        return self._file(topic, partition).next_offset

    async def read(self, topic: str, partition: int, start: int, end: int) -> AsyncIterator[Chunk]:
        """Yield the records from *start* up to, not including, *end*."""
        lines = _lines(self._directory / file_name(topic, partition), self._file(topic, partition).bytes)
        while start < end:
            records = await asyncio.to_thread(_some, lines)
            wanted = [record for record in records if start <= record.offset < end]
            # Where there are none left, there are holes at most.
            start = max(start, records[-1].offset + 1) if records else end
            if wanted or not records:
                yield Chunk(wanted, min(start, end))


async def opened_archive(directory: Path) -> Archive:
    """Return the archive in *directory*; raise `RefusedStartError` where there is none, or a file of it is damaged."""
    manifest = await asyncio.to_thread(read_manifest, directory)
    for topic in MOVED:
        for partition in range(partitions_in(topic, manifest.deployment.partitions)):
            name = file_name(topic, partition)
            file = manifest.files.get(name)
            if file is None:
                raise RefusedStartError(f"{directory} has no {name}: the export was not finished, so run it again.")
            await asyncio.to_thread(_verify, directory / name, file)
    return Archive(directory, manifest)


def _verify(path: Path, file: File) -> None:
    try:
        with path.open("rb") as opened:
            if digest_of(opened.read, file.bytes).hexdigest() != file.sha256:
                raise damaged(path)
    except OSError as error:
        raise RefusedStartError(f"{path} cannot be read ({error.strerror}): take another copy.") from error


class _Limited:
    """The first bytes of a file, as a file."""

    def __init__(self, path: Path, size: int) -> None:
        self._file, self._left = path.open("rb"), size

    def read(self, size: int = -1) -> bytes:
        piece = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(piece)
        return piece

    def close(self) -> None:
        self._file.close()


def _lines(path: Path, size: int) -> Iterator[Record]:
    if size == 0:
        return
    limited = _Limited(path, size)
    try:
        with gzip.GzipFile(fileobj=limited, mode="rb") as lines:  # type: ignore[call-overload]  # it needs to be read only
            yield from (as_record(_decode(line)) for line in lines)
    finally:
        limited.close()


def _some(lines: Iterator[Record]) -> Sequence[Record]:
    return list(islice(lines, _AT_ONCE))
