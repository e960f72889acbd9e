"""The log as the rest of the program knows it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import NamedTuple, Protocol

from streams.topics import TopicSpec

Row = tuple[bytes, bytes | None]
"""Key and value; None is a tombstone."""

MAX_BATCH_BYTES = (1 << 20) + (4 << 10)
"""What one record batch may hold by `row_bytes`, and so the largest row, which is an event of 1 MiB and its key: topics
on Kafka take it and little more."""
MAX_CLAIMED_BYTES = 6 << 20
"""What one record batch of a changelog may hold: all that one turn writes is one."""
_ROW_BYTES = 70
"""What a row takes beside key and value, at most."""


def row_bytes(row: tuple[bytes | None, bytes | None]) -> int:
    """Return what a row counts for in a batch."""
    key, value = row
    return len(key or b"") + len(value or b"") + _ROW_BYTES


CLAIM_KEY = b"\x00claim"
"""The key of the record that a claim may leave in the partition: no row."""
COMPACT_KEY = b"\x00compact"
"""The key of records without a value that stand for nothing. They have Kafka begin a new segment, for what is in the
last one is not compacted, and give a partition an end whose last records were erased."""


class Record(NamedTuple):
    """One record as it stands in the log."""

    offset: int
    time_ms: int
    key: bytes | None
    value: bytes | None


class Appended(NamedTuple):
    """Where an acknowledged record stands."""

    partition: int
    offset: int
    time_ms: int


class Chunk(NamedTuple):
    """Records that follow on, none where there are holes only, and the offset to read from next (beyond the holes)."""

    records: Sequence[Record]
    next_offset: int


class Claim(Protocol):
    """The right to append to one partition of a changelog, until another node claims it."""

    async def append(self, rows: Sequence[Row]) -> int:
        """
        Append *rows* as one record batch, whole or not at all; return the offset of the first.

        Raises:
            FencedError: Another node has claimed the partition since.
            LogUnavailableError: The outcome is unknown.
            ValueError: There are no rows, more than `MAX_CLAIMED_BYTES` of them, or one of more than `MAX_BATCH_BYTES`.
        """


class Readable(Protocol):
    """A log, as far as it is read: a running one, or what was kept of one."""

    @property
    def id(self) -> str:
        """The log's own id: another log never has the same."""

    async def start_offset(self, topic: str, partition: int) -> int:
        """Return the offset of the first record that is still there."""

    async def end_offset(self, topic: str, partition: int) -> int:
        """Return the offset that the next record will get."""

    def read(self, topic: str, partition: int, start: int, end: int) -> AsyncIterator[Chunk]:
        """Yield the records from *start* up to, not including, *end*."""


class Log(Protocol):
    """
    Topics of partitions of records. Appends return when every in-sync replica has acknowledged.

    Appends to one partition are in the order of their calls. All raise `LogUnavailableError` where the outcome is
    unknown, after at most the log's configured time limit, and `ValueError` for a row of more than `MAX_BATCH_BYTES`.
    What was given up as unknown either stands before whatever is appended later, or never will.
    """

    @property
    def id(self) -> str:
        """The log's own id: another log never has the same."""

    async def start(self) -> None:
        """Connect, or open; raise `RefusedStartError` where that can never work."""

    async def stop(self) -> None:
        """Finish what was begun, and close."""

    async def append(self, topic: str, partition: int, key: bytes, value: bytes | None) -> Appended:
        """Append one record. What is called for while another append is under way goes out together."""

    async def append_many(self, topic: str, partition: int, rows: Sequence[Row]) -> None:
        """Append *rows* in order, in as few record batches as hold them."""

    async def claim(self, topic: str, partition: int) -> Claim:
        """Fence every earlier owner of the partition off and return the right to append to it."""

    async def start_offset(self, topic: str, partition: int) -> int:
        """Return the offset of the first record that is still there."""

    async def end_offset(self, topic: str, partition: int) -> int:
        """Return the offset that the next record will get."""

    def mark(self, topic: str, partition: int) -> float:
        """Return what `has_forgotten` is asked with by who begins to read a changelog now, with nothing of it."""

    async def has_forgotten(self, topic: str, partition: int, since: int, mark: float | None) -> bool:
        """
        Say whether who has read a changelog so far may have missed that a row is to be deleted.

        Args:
            topic: The changelog.
            partition: Its partition.
            since: What it has in its table is from before this offset.
            mark: What there was when the table was empty, None where that is not known.
        """

    def read(self, topic: str, partition: int, start: int, end: int | None = None) -> AsyncIterator[Chunk]:
        """Yield the records from *start* up to, not including, *end*; without one, wait for more for ever."""

    def scan(self, topic: str, partition: int, start: int, end: int) -> AsyncIterator[Chunk]:
        """Yield the records from *start* up to, not including, *end*, in pieces so small that nothing else waits."""

    def read_at(self, topic: str, partition: int, offsets: Sequence[int]) -> AsyncIterator[Record]:
        """Yield the records at *offsets*, all below the end, in this order; what is not there any more is left out."""

    async def delete_before(self, topic: str, partition: int, offset: int) -> None:
        """Delete the records below *offset*."""

    async def create_topics(self, specs: Iterable[TopicSpec]) -> list[str]:
        """Create those that are missing, with their settings; return their names."""

    async def check_topics(self, specs: Iterable[TopicSpec]) -> list[str]:
        """Return a sentence for each topic that is missing or not as it should be, saying what to do."""

    async def ping(self) -> None:
        """Return when the log has answered; raise `LogUnavailableError` where it does not within 2 s."""


class ErasableLog(Readable, Protocol):
    """A log, as far as it is needed to erase records."""

    def scan(self, topic: str, partition: int, start: int, end: int) -> AsyncIterator[Chunk]:
        """Yield the records from *start* up to, not including, *end*, in pieces so small that nothing else waits."""

    def read_at(self, topic: str, partition: int, offsets: Sequence[int]) -> AsyncIterator[Record]:
        """Yield the records at *offsets*; what is not there any more is left out."""

    async def append(self, topic: str, partition: int, key: bytes, value: bytes | None) -> Appended:
        """Append one record."""

    async def erase(self, topic: str, partition: int, records: Sequence[Record]) -> None:
        """
        Have records of an erasable topic be removed for good.

        On Kafka their keys, which no other record has, get tombstones, and brokers remove them in their own time;
        until then they are read as before.
        """

    async def compact(self, topic: str, partition: int) -> None:
        """Have what was erased or overwritten be removed from the disk: at once, or once brokers come to it."""
