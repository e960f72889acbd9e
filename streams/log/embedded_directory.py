"""The embedded log's directory: the lock on it, and its database opened, made and checked. Blocking."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO

from streams.domain.errors import RefusedStartError
from streams.durable import make_directory
from streams.log.embedded_store import OFFSET_BITS, CorruptedLogError, EmbeddedStore

DATABASE = "log.sqlite3"
LOCK = "log.lock"
FORMAT = 1
CHECKED_AT_OPEN_BYTES = 64 << 20
"""After an unclean end a database up to this size is checked whole: 50 ms from memory, 1.1 s from a cold disk. In a
larger one the checksum of each batch tells, when it is read."""
_CHECKPOINT_PAGES = 4_000
# On macOS, what was only synced may still be in the disk's own memory alone.
_SYNCED = ("synchronous = FULL", "fullfsync = ON", "checkpoint_fullfsync = ON")

_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS log (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS topics (
    name TEXT PRIMARY KEY, partitions INTEGER NOT NULL, kept TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS partitions (
    number INTEGER PRIMARY KEY,
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    start_offset INTEGER NOT NULL DEFAULT 0, -- the first offset that is still there
    end_offset INTEGER NOT NULL DEFAULT 0,   -- at least: what batches hold counts where it is more
    time_ms INTEGER NOT NULL DEFAULT 0,      -- likewise
    clean_offset INTEGER NOT NULL DEFAULT 0, -- below it each key occurs once
    clean_count INTEGER NOT NULL DEFAULT 0,  -- records below clean_offset
    UNIQUE (topic, partition)
);
CREATE TABLE IF NOT EXISTS forgotten (
    number INTEGER PRIMARY KEY,      -- a partition's
    tombstones_from INTEGER NOT NULL -- from here on each of its tombstones is still there
);
CREATE TABLE IF NOT EXISTS batches (
    id INTEGER PRIMARY KEY,      -- partition number << {OFFSET_BITS} | offset of the first record
    last_offset INTEGER NOT NULL,
    crc INTEGER NOT NULL,        -- CRC-32 of records
    records BLOB NOT NULL        -- msgpack: [[offset, time_ms, key, value], ...]
);
CREATE TABLE IF NOT EXISTS positions (
    owner TEXT NOT NULL, topic TEXT NOT NULL, partition INTEGER NOT NULL, offset INTEGER NOT NULL,
    PRIMARY KEY (owner, topic, partition)
) WITHOUT ROWID;
PRAGMA user_version = {FORMAT};
"""


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold *directory* for this process alone; raise `RefusedStartError` where that cannot be."""
    lock = _take_lock(directory)
    try:
        yield
    finally:
        lock.close()


def _take_lock(directory: Path) -> IO[str]:
    try:
        make_directory(directory)
        lock = (directory / LOCK).open("a+", encoding="ascii")
    except OSError as error:
        msg = (
            f"The log's directory {directory} cannot be used ({error.strerror}): give one that this user may write to."
        )
        raise RefusedStartError(msg) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.seek(0)
        owner = lock.read().strip() or "unknown"
        lock.close()
        msg = f"The log in {directory} is in use by another process ({owner}): stop it, or give another directory."
        raise RefusedStartError(msg) from error
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def open_store(directory: Path) -> EmbeddedStore:
    """Open the database of a locked *directory*, made where there is none; raise `RefusedStartError` otherwise."""
    path = directory / DATABASE
    writing = None
    try:
        writing = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        _prepare(writing, path)
        reading = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False)
        return EmbeddedStore(writing, reading)
    except (sqlite3.Error, CorruptedLogError) as error:
        if writing:
            writing.close()
        msg = f"The log's database {path} {_what_to_do(error)}"
        raise RefusedStartError(msg) from error


def mark_moved(directory: Path, to: str) -> None:
    """Have nobody start on the log in *directory* any more: its deployment goes on in the log with the id *to*."""
    with locked(directory), closing(sqlite3.connect(directory / DATABASE, isolation_level=None)) as database:
        database.execute("PRAGMA synchronous = FULL")
        database.execute("INSERT OR REPLACE INTO log VALUES ('moved', ?)", (to,))


def _what_to_do(error: Exception) -> str:
    reason = " ".join(str(error).split())
    if isinstance(error, sqlite3.OperationalError):
        return f"cannot be used ({reason}): see that its disk has room and that this user may write to it."
    return f"is damaged ({reason}): put the latest copy of the whole directory in its place."


def _prepare(database: sqlite3.Connection, path: Path) -> None:
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version not in (0, FORMAT):
        database.close()
        msg = f"The log's database {path} has format {version}, this version knows {FORMAT}: use the newer version."
        raise RefusedStartError(msg)
    # What is removed is overwritten, also where its page is not used again.
    for pragma in (*_SYNCED, "journal_mode = WAL", "secure_delete = ON", f"wal_autocheckpoint = {_CHECKPOINT_PAGES}"):
        database.execute(f"PRAGMA {pragma}")
    database.executescript(f"BEGIN; {_SCHEMA} COMMIT;")
    moved = database.execute("SELECT value FROM log WHERE name = 'moved'").fetchone()
    if moved is not None:
        database.close()
        msg = f"The log in {path.parent} was moved to Kafka, to the cluster {moved[0]}: start with --kafka."
        raise RefusedStartError(msg)
    closed = database.execute("SELECT value FROM log WHERE name = 'closed'").fetchone()
    if closed == (0,) and path.stat().st_size <= CHECKED_AT_OPEN_BYTES:
        (found,) = database.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise CorruptedLogError(found)
    database.execute("INSERT OR IGNORE INTO log VALUES ('id', ?)", (uuid.uuid4().hex,))
    database.execute("INSERT OR REPLACE INTO log VALUES ('closed', 0)")
