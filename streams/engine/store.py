"""A partition of a table on disk: a RocksDB, whose rows, input positions and changelog offset are written as one."""

from __future__ import annotations

import asyncio
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import rocksdict

from streams.domain.errors import RefusedStartError
from streams.engine.storage import (
    IDENTITY_KEY,
    OFFSET_KEY,
    SUSPECT,
    Identity,
    Storage,
    StoreError,
    StoreReadError,
    clear,
    is_held,
    load,
    open_store,
    set_aside,
)

POSITION = b"\x00p"
"""Position rows: this and the topic's name → the offset of the last folded record, 8 bytes. In the changelog too."""
_U64 = struct.Struct(">Q")
_SMALL_BYTES = 128
_SMALL_ROWS = 4_000
"""So many small rows of a partition are remembered, about 1 MB: what they are about is read before much else is."""
_OWNER_BYTES = 18
"""Of a key: the kind of row, and whose it is. What follows may say what somebody has watched, and with whom."""
_MOST_RENEWALS = 3
_BROKEN = "Corruption"
"""In RocksDB's words: what it has read is not what it wrote."""


class PartitionStore:
    """One partition of a table on disk. Implements `streams.domain.rows.Rows` over what is committed."""

    def __init__(self, storage: Storage, path: Path) -> None:
        self.path = path
        self._storage = storage
        # No write-ahead log: the changelog is one. RocksDB does not miss an older file of several of its own, and the
        # rows would be as of one batch and the offset as of another; its tables alone are always as of one.
        self._unlogged = rocksdict.WriteOptions()
        self._unlogged.disable_wal = True
        self._database, made_for, offset = open_store(storage, path)
        if self._is_lost(storage.identity, made_for):
            self._database.close()
            set_aside(storage, path, "lost")
            self._database, made_for, offset = load(storage, path)
        self._check_identity(storage.identity, made_for)
        self._small: dict[bytes, bytes] = {}
        """Small rows as they are committed: asking RocksDB for one costs 20 µs, and nobody else writes to it."""
        self.offset = -1 if offset is None else int(_U64.unpack(offset)[0])
        """Of the last changelog record that the rows have."""
        self.on_failed: Callable[[], None] = lambda: None
        """Called when it cannot be read: not to be read, nor asked for anything, until it is renewed."""
        self.has_failed = False
        self._compacting = threading.Lock()
        """Held while files are written in a thread: the store cannot be closed then."""
        self._renewals = 0
        self._is_outdated = False
        self.mark: float | None = None
        """The changelog's when nothing of it was here, in this process."""

    def _is_lost(self, identity: Identity, stored: bytes | None) -> bool:
        """Say whether a store is of tables that were thrown away since."""
        if stored is None:
            return False
        found = msgspec.json.decode(stored, type=Identity)
        return found != identity and msgspec.structs.replace(found, generation=identity.generation) == identity

    def _check_identity(self, identity: Identity, stored: bytes | None) -> None:
        if stored is None:
            self._database.put(IDENTITY_KEY, msgspec.json.encode(identity))
            self._database.flush()
            return
        found = msgspec.json.decode(stored, type=Identity)
        if found == identity:
            return
        self._database.close()
        if found.partitions != identity.partitions:
            what = f"{found.partitions} partitions, and this node is started with {identity.partitions}"
        elif found.fingerprint != identity.fingerprint:
            what = "another master key"
        else:
            what = "another log"
        raise RefusedStartError(f"The tables in {self.path.parent} were made with {what}: use another data directory.")

    def get(self, key: bytes) -> bytes | None:
        """Return the row's value, None where there is no such row."""
        value: bytes | None = self._small.get(key)
        if value is not None:
            return value
        try:
            value = self._database.get(key)
        except Exception as error:
            raise self._unreadable(error) from error
        if value is not None and len(value) <= _SMALL_BYTES:
            if len(self._small) >= _SMALL_ROWS:
                self._small.clear()
            self._small[key] = value
        return value

    def range(
        self, prefix: bytes, *, start: bytes | None = None, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield the rows whose keys begin with *prefix*; see `streams.domain.rows.Rows`."""
        if self._database is None:
            raise StoreReadError(f"the table in {self.path} has failed, and is not renewed yet")
        rows = self._database.iter()
        if reverse:
            # Every key of the prefix sorts before this one, for none has so many bytes.
            rows.seek_for_prev(prefix + b"\xff" * 300 if start is None else start)
        else:
            rows.seek(prefix if start is None else start)
        step = rows.prev if reverse else rows.next
        is_valid, read_key, read_value = rows.valid, rows.key, rows.value
        while is_valid():
            key: bytes = read_key()
            if not key.startswith(prefix):
                return
            yield key, read_value()
            step()
        try:
            rows.status()  # an iterator that has met a broken block is merely not valid any more
        except Exception as error:  # noqa: BLE001 - rocksdict raises nothing more exact
            failed = self._unreadable(error)
            # Not in the traceback: as long as anybody holds the database, it cannot be opened anew.
            del rows, step, is_valid, read_key, read_value
            raise failed from error.with_traceback(None)

    def position(self, topic: str) -> int:
        """Return the offset of the last folded record of an input topic, -1 before the first and after a failure."""
        if self.has_failed:
            return -1
        stored = self.get(POSITION + topic.encode())
        return -1 if stored is None else decode_position(stored)

    def write(self, rows: Mapping[bytes, bytes | None], offset: int) -> None:
        """
        Write *rows* (None deletes) and the changelog's offset, together or not at all.

        Raises:
            StoreReadError: RocksDB has met what it cannot read before: the store is to be renewed.
            StoreError: The store cannot be written.
        """
        batch = rocksdict.WriteBatch(raw_mode=True)
        put, delete, forget = batch.put, batch.delete, self._small.pop
        for key, value in rows.items():
            forget(key, None)
            if value is None:
                delete(key)
            else:
                put(key, value)
        put(OFFSET_KEY, _U64.pack(offset))
        try:
            self._database.write(batch, self._unlogged)
        except Exception as error:
            # After RocksDB has met a broken block in a compaction, it writes nothing any more.
            raise (self._unreadable(error) if _BROKEN in str(error) else self.failed(error)) from error
        self.offset = offset

    def _unreadable(self, error: BaseException) -> StoreError:
        self._has_broken()
        return StoreReadError(str(self.failed(error)))

    def _has_broken(self) -> None:
        self.has_failed = True
        self.on_failed()

    async def beside(self, step: Callable[[], bool]) -> bool:
        """
        Run `flush` or `compact` in a thread.

        Returns:
            False where it was broken off, or has met what cannot be read: then the store is to be renewed.

        Raises:
            StoreError: The store cannot be written.
        """
        try:
            return await asyncio.to_thread(step)
        except StoreReadError:
            self._has_broken()
            return False

    def flush(self) -> bool:
        """Have all that was written be on the disk; see `beside`. Raises `StoreError`."""
        with self._compacting:
            return self._compacted(lambda database: database.flush())

    def compact(self) -> bool:
        """
        Rewrite the files, so that the disk has no more what was overwritten or deleted; see `beside`.

        Returns:
            False where who closes the store, or is to renew it, broke it off.

        Raises:
            StoreReadError: The store cannot be read.
            StoreError: The store cannot be written.
        """
        for step in self._compaction():
            with self._compacting:
                if not self._compacted(step):
                    return False
        return True

    def _compacted(self, step: Callable[[Any], None]) -> bool:
        """Take a step of a compaction; return whether there is a next one. Nothing holds the database afterwards."""
        database = self._database
        if database is None:
            return False
        try:
            step(database)
        except Exception as error:
            if self._database is None:
                return False  # it was broken off
            failed = self.failed(error)
            raise (StoreReadError(str(failed)) if _BROKEN in str(error) else failed) from error
        return True

    def _compaction(self) -> Iterator[Callable[[Any], None]]:
        files: list[dict[str, Any]] = []
        # Without it a file below which there is nothing is only moved, with the keys of what was deleted.
        whole = rocksdict.CompactOptions()
        whole.set_bottommost_level_compaction(rocksdict.BottommostLevelCompaction.force_optimized())
        yield lambda database: database.flush()
        yield lambda database: files.extend(database.live_files())
        for file in files:
            # RocksDB logs the ends of a range, and passes by a file that has no key in it.
            first = file["end_key"][:_OWNER_BYTES]
            last = first + b"\xff" * _OWNER_BYTES
            yield lambda database, first=first, last=last: database.compact_range(first, last, whole)  # type: ignore[misc]
        # What comes before the last change is still in the list of files.
        yield lambda database: database.put(IDENTITY_KEY, msgspec.json.encode(self._storage.identity))
        yield lambda database: database.flush()

    def outdated(self) -> None:
        """Have it be renewed: its changelog may have forgotten what was deleted since it was written."""
        self.has_failed = self._is_outdated = True

    def renew(self) -> None:
        """
        Set aside what cannot be read, or remove what is outdated, and begin anew: the changelog has it whole.

        Raises:
            StoreReadError: Somebody who was reading holds the old one still, and it writes what it likes: try again.
            RefusedStartError: What was written anew is broken again, or nothing can be.
        """
        if self._database is not None:
            self._renewals += not self._is_outdated
            if self._renewals > _MOST_RENEWALS:
                raise RefusedStartError(f"The table in {self.path} cannot be read again and again: look at the disk.")
            with suppress(StoreError):
                self.close()
        if is_held(self._storage, self.path):
            raise StoreReadError(f"the table in {self.path} is still being read")
        if self._is_outdated:
            clear(self._storage, self.path)
        else:
            set_aside(self._storage, self.path, "failed")
        try:
            self._database, made_for, _ = load(self._storage, self.path)
        except Exception as error:
            raise RefusedStartError(f"The table in {self.path} cannot be made anew: {error}.") from error
        self._check_identity(self._storage.identity, made_for)
        self._small.clear()
        self.offset, self.has_failed, self._is_outdated, self.mark = -1, False, False, None

    def failed(self, error: BaseException) -> StoreError:
        """Mark the store so that the next start sets it aside; return the error to raise."""
        # On a full disk what is there is sound, only not complete, and the changelog has the rest.
        with suppress(OSError):
            (self.path / SUSPECT).touch()
        return StoreError(f"the table in {self.path} failed: {error}")

    def close(self) -> None:
        """Flush and close; raise `StoreError` where either fails: a compaction may have met a broken block."""
        database, self._database = self._database, None
        if database is None:
            return  # it had failed, and could not be opened anew yet
        failures = [_failure(database.flush)]
        if self._compacting.locked():
            # To rewrite a file takes as long as all are large. One that was told to break off what it does refuses
            # to be closed, with all that it has on the disk, and is closed when nobody holds it: behind the lock.
            database.cancel_all_background(wait=False)
            with self._compacting:
                pass
        else:
            failures.append(_failure(database.close))
        errors = [error for error in failures if error is not None]
        if errors:
            # Without its traceback, which holds the database: what could not be closed is closed when nobody holds it.
            raise self.failed(errors[0]) from errors[0].with_traceback(None)


def _failure(step: Callable[[], None]) -> Exception | None:
    try:
        step()
    except Exception as error:  # noqa: BLE001 - rocksdict raises nothing more exact
        return error
    return None


def encode_position(offset: int) -> bytes:
    """Return a position row's value."""
    return _U64.pack(offset)


def decode_position(value: bytes) -> int:
    """Return the offset in a position row."""
    return int(_U64.unpack(value)[0])
