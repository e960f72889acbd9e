"""The folded registry in a file, so that a start need not fold its whole log."""

from __future__ import annotations

import asyncio
import hashlib
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path
from typing import IO, NamedTuple

import msgspec

from streams.domain.registry_order import Entry
from streams.domain.registry_state import Deployment, RegistryState, StoredObject
from streams.durable import put_in_place

_MAGIC = b"upnext registry snapshot 2\n"
"""Another number wherever the same log would be folded into another state, or the file is laid out otherwise."""
_SHAPE = ",".join(StoredObject.__struct_fields__)
"""A program whose objects have other fields reads no snapshot of this one."""
_SIZES = struct.Struct("<II")
_LENGTH = struct.Struct("<I")
_DIGEST_BYTES = 32
_AT_ONCE = 256
"""Objects that are packed or unpacked before others have their turn: well under a millisecond."""


class Mark(msgspec.Struct, frozen=True):
    """The last record that was folded, by which its log is known again."""

    offset: int
    time_ms: int
    key: bytes


class Header(msgspec.Struct, frozen=True):
    """What a snapshot is of."""

    log: str
    """The log's id."""
    next_offset: int
    """The first offset that was not folded yet."""
    last: Mark
    deployment: Deployment
    revision: int
    objects: int
    shape: str = _SHAPE


class Snapshot(NamedTuple):
    """A registry as it was at one place in its log."""

    header: Header
    entries: Sequence[Sequence[Entry]]


class Restored(NamedTuple):
    """What a file held."""

    header: Header
    state: RegistryState


class UnfitError(Exception):
    """The snapshot is damaged, or is not of this log or program: the log is to be folded from its start."""


class SnapshotFile:
    """One snapshot on disk. It is replaced as a whole, and says itself whether it is."""

    def __init__(self, path: Path) -> None:
        """Take where it is."""
        self._path = path
        self._new = path.with_name(f"{path.name}.new")

    async def write(self, snapshot: Snapshot) -> None:
        """Replace what is there; raise `OSError` where it cannot be, which leaves what was there."""
        try:
            with await asyncio.to_thread(_opened, self._new) as file:
                await _fill(file, snapshot)
            await asyncio.to_thread(put_in_place, self._new, self._path)
        except OSError:
            # Where the disk is full, it need not be fuller.
            with suppress(OSError):
                self._new.unlink()
            raise

    async def read(self, log_id: str) -> Restored | None:
        """
        Return what the file holds, None where there is none.

        Raises:
            UnfitError: It is damaged, or of another log than *log_id*.
        """
        content = await asyncio.to_thread(_verified, self._path)
        if content is None:
            return None
        try:
            header, start = _read_header(content)
            if (header.log, header.shape) != (log_id, _SHAPE):
                raise UnfitError("it is of another log or another version of the program")
            return Restored(header, await _restored(header, content, start))
        except (msgspec.DecodeError, struct.error) as error:
            raise UnfitError(f"it cannot be read: {error}") from error


async def _fill(file: IO[bytes], snapshot: Snapshot) -> None:
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)

    def add(piece: bytes) -> None:
        digest.update(piece)
        file.write(piece)

    for piece in _pieces(snapshot):
        # Threads, for the disk may be slow; one piece at a time, for packing one is this thread's work.
        await asyncio.to_thread(add, piece)
    await asyncio.to_thread(_finish, file, digest.digest())


def _pieces(snapshot: Snapshot) -> Iterator[bytes]:
    header = msgspec.json.encode(snapshot.header)
    yield _MAGIC + _LENGTH.pack(len(header)) + header
    entries = chain.from_iterable(snapshot.entries)
    while some := list(islice(entries, _AT_ONCE)):
        parts = ((_SIZES.pack(len(one.body), len(one.earlier)), one.body, one.earlier) for one in some)
        yield b"".join(chain.from_iterable(parts))


def _opened(path: Path) -> IO[bytes]:
    # As secret as the log is: it holds what keys and passwords are checked by.
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")


def _finish(file: IO[bytes], digest: bytes) -> None:
    file.write(digest)
    file.flush()
    os.fsync(file.fileno())


def _verified(path: Path) -> memoryview | None:
    """Return the content of a file without its digest, which it has."""
    try:
        content = memoryview(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UnfitError(f"it cannot be read: {error}") from error
    if content[: len(_MAGIC)] != _MAGIC:
        raise UnfitError("it is no snapshot of this version")
    inner, digest = content[:-_DIGEST_BYTES], content[-_DIGEST_BYTES:]
    if hashlib.blake2b(inner, digest_size=_DIGEST_BYTES).digest() != digest:
        raise UnfitError("it is damaged: its checksum is not that of its content")
    return inner


def _read_header(content: memoryview) -> tuple[Header, int]:
    start = len(_MAGIC) + _LENGTH.size
    (length,) = _LENGTH.unpack_from(content, len(_MAGIC))
    return msgspec.json.decode(content[start : start + length], type=Header), start + length


async def _restored(header: Header, content: memoryview, at: int) -> RegistryState:
    state = RegistryState()
    state.deployment, state.revision = header.deployment, header.revision
    for number in range(header.objects):
        body_bytes, earlier_bytes = _SIZES.unpack_from(content, at)
        middle = at + _SIZES.size + body_bytes
        state.restore(bytes(content[at + _SIZES.size : middle]), bytes(content[middle : middle + earlier_bytes]))
        at = middle + earlier_bytes
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0)
    if at != len(content):
        raise UnfitError("it holds more than it says")
    return state
