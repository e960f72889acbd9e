"""The embedded log: topics in one directory, for one process, with no broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from streams.domain.errors import FencedError, LogUnavailableError, OverloadedError
from streams.log.embedded_cleaner import Cleaner
from streams.log.embedded_gathered import Gathered
from streams.log.embedded_partition import RECENT_BYTES, AnyRow, Partition, Recent
from streams.log.embedded_store import EmbeddedStore, now_ms
from streams.log.embedded_threads import Die, StoreThreads
from streams.log.port import (
    COMPACT_KEY,
    MAX_BATCH_BYTES,
    MAX_CLAIMED_BYTES,
    Appended,
    Chunk,
    Claim,
    Record,
    Row,
    row_bytes,
)
from streams.topics import Kept, TopicSpec

APPEND_TIMEOUT_S = 5.0
_SLOW = f"the disk took longer than {APPEND_TIMEOUT_S:g} s"
PING_TIMEOUT_S = 2.0
COMPACT_AFTER = 10_000
TOMBSTONES_KEPT_S = 10_800.0
MAX_WAITING_BYTES = 64 << 20
"""What may wait for the disk before more is refused."""
_READ_BYTES = 1 << 20
_SCAN_BYTES = 128 << 10
_ERASED_AT_ONCE = 200
"""Records that one transaction removes."""


class EmbeddedLog:
    """
    `streams.log.port.Log` over SQLite.

    What is appended while a commit is under way goes to disk in the next one: one sync for all, no timer. All state
    belongs to the event loop that called `start`; the disk has threads of its own. An error of the disk ends the
    process by *die*, for what it has done is unknown.
    """

    def __init__(
        self,
        directory: Path,
        die: Die,
        *,
        clock_ms: Callable[[], int] = now_ms,
        recent_bytes: int = RECENT_BYTES,
        compact_after: int = COMPACT_AFTER,
        tombstones_kept_s: float = TOMBSTONES_KEPT_S,
    ) -> None:
        self._threads = StoreThreads(directory, die)
        self._clock_ms = clock_ms
        self._compact_after, self._tombstones_kept_ms = compact_after, round(tombstones_kept_s * 1000)
        self._recent = Recent(recent_bytes)
        self._gathered: Gathered | None = None
        self._committing: Gathered | None = None
        self._partitions: dict[tuple[str, int], Partition] = {}
        self._numbers: dict[int, Partition] = {}
        self._store: EmbeddedStore
        self._cleaner: Cleaner
        self._cleaning: asyncio.Task[None]

    @property
    def id(self) -> str:
        """The log's own id, made with it."""
        return self._store.id

    async def start(self) -> None:
        """Lock and open the directory; raise `RefusedStartError` where that cannot be."""
        self._loop = asyncio.get_running_loop()
        self._store = await self._threads.open()
        for stored in self._store.partitions:
            self._add(Partition(stored))
        self._cleaner = Cleaner(
            self._threads,
            self._store,
            self._clock_ms,
            compact_after=self._compact_after,
            tombstones_kept_ms=self._tombstones_kept_ms,
        )
        self._clean()

    def _clean(self) -> None:
        self._cleaning = asyncio.create_task(self._cleaner.run(self._partitions.values()), name="log cleaner")

    def _add(self, partition: Partition) -> None:
        self._partitions[partition.topic, partition.partition] = self._numbers[partition.number] = partition

    async def stop(self) -> None:
        """Finish what was begun, and close; who follows a partition gets `LogUnavailableError`."""
        self._cleaning.cancel()
        with suppress(asyncio.CancelledError, LogUnavailableError):
            await self._cleaning
        with suppress(LogUnavailableError):
            await self.settled()
        await self._threads.close(self._store)
        for partition in self._partitions.values():
            partition.wake()

    def partition(self, topic: str, partition: int) -> Partition:
        """Return a partition; raise `KeyError` where there is none."""
        return self._partitions[topic, partition]

    def partition_count(self, topic: str) -> int | None:
        """Return how many partitions a topic has, None where there is no such topic."""
        return sum(name == topic for name, _ in self._partitions) or None

    async def append(self, topic: str, partition: int, key: bytes, value: bytes | None) -> Appended:
        """Append one record. What is called for while another append is under way goes out together."""
        return await self.submit(self._partitions[topic, partition], ((key, value),))

    async def append_many(self, topic: str, partition: int, rows: Sequence[Row]) -> None:
        """Append *rows* in order, all or none."""
        if rows:
            await self.submit(self._partitions[topic, partition], rows)

    def submit(self, partition: Partition, rows: Sequence[AnyRow]) -> asyncio.Future[Appended]:
        """Take *rows* for the next commit; the result is where the first of them stands."""
        self._threads.check()
        sizes = list(map(row_bytes, rows))
        if not rows or max(sizes) > MAX_BATCH_BYTES:
            msg = f"no rows, or one that is too large, for {partition.topic}"
            raise ValueError(msg)
        gathered = self._gathering()
        if gathered.size_bytes > MAX_WAITING_BYTES:
            msg = "more waits for the disk than may"
            raise OverloadedError(msg)
        return self._take(gathered, partition, partition.stamp(rows, self._clock_ms()), sum(sizes))

    async def restore(self, topic: str, partition: int, records: Sequence[Record]) -> None:
        """Append records of another log with the times that they bear, whatever was the last; offsets are given."""
        self._threads.check()
        to = self._partitions[topic, partition]
        size = sum(row_bytes((record.key, record.value)) for record in records)
        await self._take(self._gathering(), to, to.numbered(records), size)

    def _take(
        self, gathered: Gathered, partition: Partition, records: list[Record], size_bytes: int
    ) -> asyncio.Future[Appended]:
        gathered.add(partition.number, records, size_bytes)
        return self._wait_with(gathered, Appended(partition.partition, records[0].offset, records[0].time_ms))

    def _gathering(self) -> Gathered:
        if self._gathered is None:
            self._gathered = Gathered()
            self._gathered.expiry = self._loop.call_later(APPEND_TIMEOUT_S, self._gathered.give_up, _SLOW)
            if self._committing is None:
                self._loop.call_soon(self._commit)
        elif self._gathered.expired:
            raise LogUnavailableError(_SLOW)
        return self._gathered

    def _wait_with(self, gathered: Gathered, appended: Appended) -> asyncio.Future[Appended]:
        future: asyncio.Future[Appended] = self._loop.create_future()
        gathered.waiting.append((future, appended))
        return future

    async def settled(self) -> None:
        """Return when all that was appended until now is on disk."""
        if self._gathered or self._committing:
            await self._wait_with(self._gathering(), Appended(0, 0, 0))

    def _commit(self) -> None:
        if self._committing is None and self._gathered is not None:
            self._committing, self._gathered = self._gathered, None
            self._threads.begin_write(self._store.append, self._committing.records).add_done_callback(self._committed)

    def _committed(self, commit: asyncio.Future[None]) -> None:
        gathered, self._committing = self._committing, None
        if gathered is None or commit.cancelled():
            return
        error = commit.exception()
        if error is not None:
            self._fail(gathered, error)
        for number, records in gathered.records.items():
            partition = self._numbers[number]
            self._recent.publish(partition, records)
            self._cleaner.appended(partition)
        gathered.acknowledge()
        # Behind the callers that have just been woken, so that what they append next goes along.
        self._loop.call_soon(self._commit)

    def _fail(self, gathered: Gathered, error: BaseException) -> None:
        for lost in (gathered, self._gathered):
            if lost is not None:
                lost.give_up(str(error))
        self._gathered = None
        self._threads.fail(error)

    async def claim(self, topic: str, partition: int) -> Claim:
        """Fence every earlier claim of the partition off and return the right to append to it."""
        claimed = self._partitions[topic, partition]
        claimed.epoch += 1
        claim = EmbeddedClaim(claimed, self.submit)
        await self.settled()
        return claim

    async def start_offset(self, topic: str, partition: int) -> int:
        """Return the offset of the first record that is still there, or the next where holes follow."""
        self._threads.check()
        return self._partitions[topic, partition].start_offset

    async def end_offset(self, topic: str, partition: int) -> int:
        """Return the offset that the next record will get."""
        self._threads.check()
        return self._partitions[topic, partition].end_offset

    def mark(self, topic: str, partition: int) -> float:
        """Return from which offset on all tombstones are there."""
        return self._partitions[topic, partition].tombstones_from

    async def has_forgotten(self, topic: str, partition: int, since: int, mark: float | None) -> bool:
        """Say whether tombstones are gone from *since* on, and some of them since the mark. See `Log`."""
        tombstones_from = self._partitions[topic, partition].tombstones_from
        return since < tombstones_from and (mark is None or mark < tombstones_from)

    def read(self, topic: str, partition: int, start: int, end: int | None = None) -> AsyncIterator[Chunk]:
        """Yield the records from *start* up to, not including, *end*; without one, wait for more for ever."""
        return self._read(topic, partition, start, end, _READ_BYTES)

    async def _read(
        self, topic: str, partition: int, start: int, end: int | None, most_bytes: int
    ) -> AsyncIterator[Chunk]:
        source = self._partitions[topic, partition]
        with source.watched() as changed:
            while end is None or max(start, source.start_offset) < end:
                changed.clear()
                chunk = await self.fetch(source, start, end, most_bytes)
                if chunk is None:
                    await changed.wait()
                else:
                    start = chunk.next_offset
                    yield chunk

    def scan(self, topic: str, partition: int, start: int, end: int) -> AsyncIterator[Chunk]:
        """Yield the records from *start* up to, not including, *end*: so few at a time that nothing else waits."""
        return self._read(topic, partition, start, end, _SCAN_BYTES)

    async def read_at(self, topic: str, partition: int, offsets: Sequence[int]) -> AsyncIterator[Record]:
        """Yield the records at *offsets*, all below the end, in this order; what is not there any more is left out."""
        source = self._partitions[topic, partition]
        for offset in offsets:
            chunk = await self.fetch(source, offset, offset + 1)
            for record in () if chunk is None else chunk.records:
                yield record

    async def fetch(
        self, source: Partition, start: int, end: int | None = None, most_bytes: int = _READ_BYTES
    ) -> Chunk | None:
        """Return what follows from *start* up to *end*, about so many bytes of it; None where nothing is there yet."""
        self._threads.check()
        start = max(start, source.start_offset)
        end = source.end_offset if end is None else min(end, source.end_offset)
        if start >= end:
            return None
        span = source.read_recent(start, end)
        if span is None:
            span = await self._threads.read(self._store.read, source.number, start, end, most_bytes)
        return Chunk(span.records, span.end)

    async def delete_before(self, topic: str, partition: int, offset: int) -> None:
        """Delete the records below *offset*."""
        await self._cleaner.delete_before(self._partitions[topic, partition], offset)

    async def erase(self, topic: str, partition: int, records: Sequence[Record]) -> None:
        """Remove records for good."""
        erased = self._partitions[topic, partition]
        for at in range(0, len(records), _ERASED_AT_ONCE):
            await self._cleaner.erase(erased, {record.offset for record in records[at : at + _ERASED_AT_ONCE]})
        self._recent.forget(erased)
        if any(record.offset == erased.end_offset - 1 for record in records):
            # Who folds from the beginning would never come to the end.
            await self.append(topic, partition, COMPACT_KEY, None)

    async def compact(self, topic: str, partition: int) -> None:
        """Leave only the newest record of each key in a changelog, and overwrite what was removed, on the disk too."""
        compacted = self._partitions[topic, partition]
        if compacted.kept is Kept.COMPACTED:
            await self._cleaner.compact(compacted)
            self._recent.forget(compacted)
        await self._threads.write(self._store.scrub)

    async def create_topics(self, specs: Iterable[TopicSpec]) -> list[str]:
        """Create those that are missing; return their names."""
        made = await self._threads.write(self._store.create, list(specs))
        for stored in made:
            self._add(Partition(stored))
        return list(dict.fromkeys(stored.topic for stored in made))

    async def delete_topics(self, names: Iterable[str]) -> list[str]:
        """Delete those of *names* that are there, with all that they hold; return them. Nobody may be using them."""
        there = [name for name in names if self.partition_count(name) is not None]
        await self.settled()
        # What it does to them must not come after this.
        self._cleaning.cancel()
        await asyncio.wait({self._cleaning})
        try:
            await self._threads.write(self._store.delete, there)
            for partition in [partition for partition in self._numbers.values() if partition.topic in there]:
                del self._partitions[partition.topic, partition.partition], self._numbers[partition.number]
        finally:
            self._clean()
        return there

    async def members(self, group: str) -> list[str]:
        """Return nothing: whoever has the log open is alone with it."""
        del group
        return []

    async def delete_group(self, group: str) -> None:
        """Forget the committed positions of a consumer group."""
        await self._threads.write(self._store.forget_positions, group)

    async def check_topics(self, specs: Iterable[TopicSpec]) -> list[str]:
        """Return a sentence for each topic that is missing or not as it should be, saying what to do."""
        there = await self._threads.write(self._store.topics)
        sentences = (_complaint(spec, there.get(spec.name)) for spec in specs)
        return [sentence for sentence in sentences if sentence]

    async def ping(self) -> None:
        """Return when the disk has answered; raise `LogUnavailableError` where it does not within 2 s."""
        try:
            async with asyncio.timeout(PING_TIMEOUT_S):
                await self._threads.write(self._store.answer)
        except TimeoutError as error:
            msg = f"the disk did not answer within {PING_TIMEOUT_S:g} s"
            raise LogUnavailableError(msg) from error

    async def positions(self, owner: str) -> dict[tuple[str, int], int]:
        """Return the committed positions of a consumer group: topic and partition → next offset."""
        return await self._threads.write(self._store.positions, owner)

    async def set_positions(self, owner: str, positions: Mapping[tuple[str, int], int]) -> None:
        """Commit positions of a consumer group."""
        await self._threads.write(self._store.set_positions, owner, positions)


class EmbeddedClaim:
    """The right to append to one partition, until the next claim."""

    def __init__(
        self, partition: Partition, submit: Callable[[Partition, Sequence[Row]], asyncio.Future[Appended]]
    ) -> None:
        self._partition = partition
        self._submit = submit
        self._epoch = partition.epoch

    async def append(self, rows: Sequence[Row]) -> int:
        """
        Append *rows*, whole or not at all; return the offset of the first.

        Raises:
            FencedError: The partition was claimed again since.
            LogUnavailableError: The outcome is unknown.
            ValueError: The rows are more than one batch holds.
        """
        if self._epoch != self._partition.epoch:
            msg = f"{self._partition.topic}-{self._partition.partition} was claimed by another owner"
            raise FencedError(msg)
        if sum(map(row_bytes, rows)) > MAX_CLAIMED_BYTES:
            msg = f"{len(rows)} rows are more than one batch of {self._partition.topic} holds"
            raise ValueError(msg)
        return (await self._submit(self._partition, rows)).offset


def _complaint(spec: TopicSpec, there: tuple[int, object] | None) -> str | None:
    if there is None:
        return f"The topic {spec.name} is missing: run `upnext topics create`."
    partitions, kept = there
    if partitions != spec.partitions:
        return (
            f"The topic {spec.name} has {partitions} partitions and should have {spec.partitions}: "
            f"start with --partitions {partitions}, or use another directory."
        )
    if kept is not spec.kept:
        return f"The topic {spec.name} is kept {kept} and should be kept {spec.kept}: use another directory."
    return None
