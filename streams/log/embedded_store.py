"""What the embedded log keeps in its SQLite database. Blocking: runs in threads of the log."""

from __future__ import annotations

import sqlite3
import time
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import NamedTuple

import msgspec

from streams.log.port import Record
from streams.topics import Kept, TopicSpec

OFFSET_BITS = 42
BATCH_BYTES = 256 << 10
"""A row holds about this much: an append of more is split over rows, all of one transaction."""
_ROWS_AT_ONCE = 32
_DELETED_AT_ONCE = 256
_HIGHEST_NUMBER = """
SELECT coalesce(max(number), 0) FROM (
    SELECT max(number) AS number FROM partitions
    UNION ALL SELECT value FROM log WHERE name = 'highest_number'
    UNION ALL SELECT max(id) >> ? FROM batches
)"""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Record]).decode


class CorruptedLogError(Exception):
    """The database holds something that was never written there."""


class StoredPartition(NamedTuple):
    """A partition as it stood when the log was opened."""

    number: int
    topic: str
    partition: int
    kept: Kept
    start_offset: int
    end_offset: int
    time_ms: int
    clean_offset: int
    clean_count: int
    tombstones_from: int


class Floor(NamedTuple):
    """What of a partition must outlive the records that say it: written with whatever removes records."""

    number: int
    end_offset: int
    time_ms: int


class Span(NamedTuple):
    """Some records as they are stored: offsets from *start* to, not including, *end*; holes are legal."""

    start: int
    end: int
    records: list[Record]
    batches: int = 1


class EmbeddedStore:
    """
    The database of an embedded log.

    `append` and all else that writes belong to one thread, `read` to another: each has its own connection.

    Raises:
        sqlite3.Error: The disk is full, unreadable or wrong: the outcome of a write is unknown.
        CorruptedLogError: A batch is not what was written.
    """

    def __init__(self, writing: sqlite3.Connection, reading: sqlite3.Connection) -> None:
        self._writing = writing
        self._reading = reading
        self.id = str(self._value("SELECT value FROM log WHERE name = 'id'"))
        self.partitions = list(self._load_partitions())

    def _value(self, statement: str) -> object:
        row = self._writing.execute(statement).fetchone()
        return row[0] if row else None

    def _load_partitions(self) -> Iterator[StoredPartition]:
        # Who only reads what a version before has written finds no such table.
        known = self._writing.execute("SELECT 1 FROM sqlite_master WHERE name = 'forgotten'").fetchone()
        rows = self._writing.execute(
            "SELECT number, topic, partition, kept, start_offset, end_offset, time_ms, clean_offset, clean_count, "
            + ("coalesce(tombstones_from, 0) " if known else "0 ")
            + "FROM partitions JOIN topics ON name = topic "
            + ("LEFT JOIN forgotten USING (number) " if known else "")
            + "ORDER BY number"
        ).fetchall()
        for number, topic, partition, kept, start, end_floor, time_floor, *cleaned in rows:
            end, time_ms = end_floor, time_floor
            newest = self._writing.execute(
                "SELECT id, last_offset, crc, records FROM batches WHERE id >= ? AND id < ? ORDER BY id DESC LIMIT 1",
                (_row_id(number, 0), _row_id(number + 1, 0)),
            ).fetchone()
            if newest:
                last = _span(newest).records[-1]
                end, time_ms = max(end, last.offset + 1), max(time_ms, last.time_ms)
            yield StoredPartition(number, topic, partition, Kept(kept), start, end, time_ms, *cleaned)

    def stop_reading(self) -> None:
        """Close the reader's connection."""
        self._reading.close()

    def close(self) -> None:
        """Close after a write that says that nothing was under way."""
        with closing(self._writing):
            self._writing.execute("INSERT OR REPLACE INTO log VALUES ('closed', 1)")

    def abandon(self) -> None:
        """Close without a word: what the last write did is unknown."""
        self._writing.close()

    def topics(self) -> dict[str, tuple[int, Kept]]:
        """Return the partitions and retention of each topic."""
        rows = self._writing.execute("SELECT name, partitions, kept FROM topics")
        return {name: (partitions, Kept(kept)) for name, partitions, kept in rows}

    def create(self, specs: Iterable[TopicSpec]) -> list[StoredPartition]:
        """Make topics that are missing; return their partitions."""
        made = []
        with self._transaction():
            number, there = self._highest_number(), self.topics()
            for spec in specs:
                if spec.name in there:
                    continue
                self._writing.execute(
                    "INSERT INTO topics VALUES (?, ?, ?)", (spec.name, spec.partitions, spec.kept.value)
                )
                for partition in range(spec.partitions):
                    number += 1
                    self._writing.execute(
                        "INSERT INTO partitions (number, topic, partition) VALUES (?, ?, ?)",
                        (number, spec.name, partition),
                    )
                    made.append(StoredPartition(number, spec.name, partition, spec.kept, 0, 0, 0, 0, 0, 0))
        return made

    def delete(self, topics: Iterable[str]) -> None:
        """Delete topics with all that they hold, and what was committed of them."""
        with self._transaction():
            self._writing.execute("INSERT OR REPLACE INTO log VALUES ('highest_number', ?)", (self._highest_number(),))
            for topic in topics:
                numbers = self._writing.execute("SELECT number FROM partitions WHERE topic = ?", (topic,)).fetchall()
                for (number,) in numbers:
                    ends = _row_id(number, 0), _row_id(number + 1, 0)
                    self._writing.execute("DELETE FROM batches WHERE id >= ? AND id < ?", ends)
                    self._writing.execute("DELETE FROM forgotten WHERE number = ?", (number,))
                for table, column in (("positions", "topic"), ("partitions", "topic"), ("topics", "name")):
                    self._writing.execute(f"DELETE FROM {table} WHERE {column} = ?", (topic,))  # noqa: S608 - as named here

    def _highest_number(self) -> int:
        """Return the highest number that a partition ever had: none is given twice, whatever is left of who had it."""
        return int(self._writing.execute(_HIGHEST_NUMBER, (OFFSET_BITS,)).fetchone()[0])

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._writing.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._writing.execute("ROLLBACK")
            raise
        self._writing.execute("COMMIT")

    def append(self, records: Mapping[int, Sequence[Record]]) -> None:
        """
        Store each partition's records, which follow on from those it has: all in one transaction, synced.

        One statement does it where it can: every return from SQLite waits for the interpreter's lock, which a busy
        event loop may hold for milliseconds.
        """
        rows = [_row(number, batch) for number, batch in _batches(records)]
        if len(rows) <= _ROWS_AT_ONCE:
            self._insert(rows)
            return
        with self._transaction():
            self._insert(rows)

    def _insert(self, rows: Sequence[tuple[int, int, int, bytes]]) -> None:
        for at in range(0, len(rows), _ROWS_AT_ONCE):
            some = rows[at : at + _ROWS_AT_ONCE]
            values = ", ".join(["(?, ?, ?, ?)"] * len(some))
            self._writing.execute(
                f"INSERT INTO batches VALUES {values}",  # noqa: S608 (only question marks)
                [field for row in some for field in row],
            )

    def read(self, number: int, start: int, end: int, limit_bytes: int) -> Span:
        """Return the records from *start* up to *end*, in whole batches until *limit_bytes* are exceeded."""
        low = _row_id(number, start)
        covering = self._reading.execute(
            "SELECT id, last_offset FROM batches WHERE id >= ? AND id <= ? ORDER BY id DESC LIMIT 1",
            (_row_id(number, 0), low),
        ).fetchone()
        if covering and covering[1] >= start:
            low = covering[0]
        rows = self._reading.execute(
            "SELECT id, last_offset, crc, records FROM batches WHERE id >= ? AND id < ? ORDER BY id",
            (low, _row_id(number, end)),
        )
        records: list[Record] = []
        size, batches, next_offset = 0, 0, end
        with closing(rows):
            for row in rows:
                records += _span(row).records
                batches += 1
                size += len(row[3])
                if size >= limit_bytes:
                    next_offset = min(end, row[1] + 1)
                    break
        if records and (records[0].offset < start or records[-1].offset >= end):
            records = [record for record in records if start <= record.offset < end]
        return Span(start, next_offset, records, batches)

    def answer(self) -> None:
        """Return where the database answers."""
        self._value("SELECT 1")

    def set_start(self, floor: Floor, start_offset: int) -> None:
        """Hide the records below *start_offset*."""
        with self._transaction():
            self._set_floor(floor)
            self._writing.execute(
                "UPDATE partitions SET start_offset = ? WHERE number = ?", (start_offset, floor.number)
            )

    def remove_some(self, number: int, below: int) -> bool:
        """Remove some batches that lie wholly below an offset; say whether there may be more."""
        removed = self._writing.execute(
            "DELETE FROM batches WHERE id IN "
            "(SELECT id FROM batches WHERE id >= ? AND id < ? AND last_offset < ? ORDER BY id LIMIT ?)",
            (_row_id(number, 0), _row_id(number, below), below, _DELETED_AT_ONCE),
        ).rowcount
        return removed == _DELETED_AT_ONCE

    def first_since(self, number: int, time_ms: int) -> int | None:
        """Return the offset of a partition's first record that is not older than *time_ms*, None where all are."""
        rows = self._reading.execute(
            "SELECT id, last_offset, crc, records FROM batches WHERE id >= ? AND id < ? ORDER BY id",
            (_row_id(number, 0), _row_id(number + 1, 0)),
        )
        with closing(rows):
            for row in rows:
                for record in _span(row).records:
                    if record.time_ms >= time_ms:
                        return record.offset
        return None

    def replace(self, floor: Floor, span: Span, tombstones_from: int) -> None:
        """
        Put a span's records in the place of all that its offsets held; its ends lie between batches.

        From *tombstones_from* on, all tombstones of the partition are still there.
        """
        with self._transaction():
            self._writing.execute(
                "DELETE FROM batches WHERE id >= ? AND id < ?",
                (_row_id(floor.number, span.start), _row_id(floor.number, span.end)),
            )
            self._insert([_row(number, batch) for number, batch in _batches({floor.number: span.records})])
            self._writing.execute("INSERT OR REPLACE INTO forgotten VALUES (?, ?)", (floor.number, tombstones_from))
            self._set_floor(floor)

    def erase(self, floor: Floor, offsets: Collection[int]) -> None:
        """Remove single records of a partition; `scrub` has their bytes be gone from the disk."""
        with self._transaction():
            for offset in sorted(offsets):
                row = self._writing.execute(
                    "SELECT id, last_offset, crc, records FROM batches "
                    "WHERE id >= ? AND id <= ? ORDER BY id DESC LIMIT 1",
                    (_row_id(floor.number, 0), _row_id(floor.number, offset)),
                ).fetchone()
                if row is None or row[1] < offset:
                    continue  # it went with the one before it, or long ago
                kept = [record for record in _span(row).records if record.offset not in offsets]
                self._writing.execute("DELETE FROM batches WHERE id = ?", (row[0],))
                self._insert([_row(number, batch) for number, batch in _batches({floor.number: kept})])
            self._set_floor(floor)

    def scrub(self) -> bool:
        """Have the disk hold no more what was removed; say whether it does, or a reader is in the way."""
        busy, _, _ = self._writing.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy

    def set_clean(self, number: int, offset: int, count: int) -> None:
        """Note that below *offset* there are *count* records, each key once."""
        self._writing.execute(
            "UPDATE partitions SET clean_offset = ?, clean_count = ? WHERE number = ?", (offset, count, number)
        )

    def _set_floor(self, floor: Floor) -> None:
        self._writing.execute(
            "UPDATE partitions SET end_offset = ?, time_ms = ? WHERE number = ?",
            (floor.end_offset, floor.time_ms, floor.number),
        )

    def positions(self, owner: str) -> dict[tuple[str, int], int]:
        """Return the committed positions of a consumer group."""
        rows = self._writing.execute("SELECT topic, partition, offset FROM positions WHERE owner = ?", (owner,))
        return {(topic, partition): offset for topic, partition, offset in rows}

    def forget_positions(self, owner: str) -> None:
        """Forget the committed positions of a consumer group."""
        with self._transaction():
            self._writing.execute("DELETE FROM positions WHERE owner = ?", (owner,))

    def set_positions(self, owner: str, positions: Mapping[tuple[str, int], int]) -> None:
        """Store committed positions of a consumer group."""
        with self._transaction():
            self._writing.executemany(
                "INSERT OR REPLACE INTO positions VALUES (?, ?, ?, ?)",
                [(owner, topic, partition, offset) for (topic, partition), offset in positions.items()],
            )


def now_ms() -> int:
    """Return the clock of the log's writer."""
    return time.time_ns() // 1_000_000


def size_of(record: Record) -> int:
    """Return about how many bytes a record takes, stored or in memory."""
    return 64 + len(record.key or b"") + len(record.value or b"")


def _row_id(number: int, offset: int) -> int:
    return number << OFFSET_BITS | offset


def _batches(records: Mapping[int, Sequence[Record]]) -> Iterator[tuple[int, Sequence[Record]]]:
    for number, of_partition in records.items():
        size, first = 0, 0
        for at, record in enumerate(of_partition):
            size += size_of(record)
            if size >= BATCH_BYTES:
                yield number, of_partition[first : at + 1]
                size, first = 0, at + 1
        if first < len(of_partition):
            yield number, of_partition[first:]


def _row(number: int, records: Sequence[Record]) -> tuple[int, int, int, bytes]:
    encoded = _encode(records)
    return _row_id(number, records[0].offset), records[-1].offset, zlib.crc32(encoded), encoded


def _span(row: tuple[int, int, int, bytes]) -> Span:
    row_id, last_offset, crc, encoded = row
    if zlib.crc32(encoded) != crc:
        msg = f"batch {row_id} does not have the checksum that it was written with"
        raise CorruptedLogError(msg)
    return Span(row_id & (1 << OFFSET_BITS) - 1, last_offset + 1, _decode(encoded))
