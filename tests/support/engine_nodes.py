"""Both processors of a node, with real tables on a real log, but without Faust: the test says who reads, and when."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import NamedTuple, NoReturn

import pytest

from streams.domain.feed import LIMITS, Limits
from streams.engine.contact import Contact
from streams.engine.engine import Engine
from streams.engine.fatal import Die
from streams.engine.fold import Fold
from streams.engine.inbox import Fetched
from streams.engine.processor import Positions, Processor
from streams.engine.storage import Identity, Storage
from streams.engine.store import PartitionStore
from streams.engine.table import OwnedTable
from streams.engine.table_files import TableFiles
from streams.engine.trimmer import Trimmer
from streams.log.embedded import EmbeddedLog
from streams.log.port import Record
from streams.processors.contexts import ContextsFold
from streams.processors.sessions import SessionsFold
from streams.topics import topic_specs
from tests.support.engine_faults import CrashError, FaultyLog
from tests.support.engine_writes import Writes
from tests.support.tables import HASH_KEY, START_MS

PARTITIONS = 2


class DiedError(BaseException):
    """The engine has ended its process. Nothing of it runs on."""


def die(reason: str) -> NoReturn:
    raise DiedError(reason)


class Parts(NamedTuple):
    """What a node is made of, so that a test can hand in one with a fault."""

    processor: type[Processor] = Processor
    table: type[OwnedTable] = OwnedTable
    trimmer: type[Trimmer] = Trimmer
    contexts: type[ContextsFold] = ContextsFold
    engine: type[Engine] = Engine


ENGINE = Parts()
"""The engine as it is."""


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Node:
    """One life of both processors in one directory."""

    def __init__(
        self,
        log: FaultyLog,
        directory: Path,
        *,
        parts: Parts = ENGINE,
        limits: Limits = LIMITS,
        partitions: int = PARTITIONS,
        die: Die = die,
    ) -> None:
        self.log, self.directory, self.partitions, self.limits = log, directory, partitions, limits
        self.clock = Clock()
        self.contact = Contact(log, self.clock)
        identity = Identity(log.id, partitions, "fingerprint")
        self.storage = Storage(directory, identity, cache_bytes=1 << 20, write_buffer_bytes=1 << 20)

        def processor(fold: Fold) -> Processor:
            files = TableFiles(self.storage, fold.name)
            table = parts.table(fold, files, log, self.contact, stale_reads_max_s=60.0)
            return parts.processor(fold, table, log, die, partitions=partitions, again_s=0.0)

        self.contexts = processor(parts.contexts(hash_key=HASH_KEY, limits=limits))
        self.sessions = processor(SessionsFold(hash_key=HASH_KEY, limits=limits))
        self.processors: tuple[Processor, ...] = (self.contexts, self.sessions)
        self.engine = parts.engine(
            self.processors, partitions=partitions, files_directory=directory, die=die, again_s=0.0
        )
        self.engine.use(self._seek)
        self.trimmer = parts.trimmer(log, self.processors)
        self.next: dict[tuple[str, int], int] = {}
        """Topic and partition → what the next fetch begins with."""
        self.seeks: list[dict[tuple[str, int], int]] = []

    async def _seek(self, positions: Positions) -> None:
        self.seeks.append(dict(positions))
        self.next.update(positions)

    async def recover(self, partitions: range | None = None) -> None:
        """Own *partitions*, all unless told otherwise, as Faust has it done after a rebalance."""
        numbers = range(self.partitions) if partitions is None else partitions
        try:
            await self.engine.recover({(p.fold.changelog, n) for p in self.processors for n in numbers})
        except BaseExceptionGroup as errors:
            rest = errors.split(CrashError)[1]
            if rest is not None:
                raise rest from errors
            raise CrashError from errors
        self.seek_to_positions()
        self.engine.resume()

    def seek_to_positions(self) -> None:
        """Read on from the tables' own positions."""
        self.next = dict(self.engine.next_offsets())

    async def read(self, topic: str, partition: int, most: int) -> Fetched:
        """Return the next fetch, up to *most* records; go on behind it."""
        real = getattr(self.log, "real", self.log)
        start = self.next[topic, partition]
        end = min(start + most, await real.end_offset(topic, partition))
        records: list[Record] = []
        if start < end:
            records = [record async for chunk in real.read(topic, partition, start, end) for record in chunk.records]
            self.next[topic, partition] = end
        return Fetched(topic, partition, records)

    async def fetch(self, topic: str, partition: int, most: int = 1_000) -> None:
        """Read, and hand over what was read."""
        self.engine.take(*await self.read(topic, partition, most))

    async def turn(self, processor: Processor) -> None:
        """Have *processor* take a turn over what it has."""
        await processor._turn()

    async def drain(self) -> None:
        """Fold all that is there, and what comes of it."""
        for _ in range(2_000):
            moved = False
            for processor in self.processors:
                for topic in processor.topics:
                    for partition in list(processor.table.partitions):
                        await self.fetch(topic, partition)
                moved |= bool(processor.inbox._fetches)
                await self.turn(processor)
            if not moved:
                return
        raise AssertionError("never drained")

    async def dies(self, processor: Processor) -> str:
        """Have *processor* fold what has arrived until it ends the process; return its last words."""
        running = asyncio.create_task(processor.run())
        async with asyncio.timeout(20):
            while not running.done() and (processor.inbox._fetches or not processor._idle.is_set()):
                await asyncio.sleep(0.001)
        if not running.done():
            running.cancel()
            await asyncio.wait([running])
            raise AssertionError("it lives on")
        with pytest.raises(DiedError) as died:
            await running
        return str(died.value)

    def stores(self) -> Iterator[tuple[Processor, int, PartitionStore]]:
        for processor in self.processors:
            for number, owned in processor.table.partitions.items():
                yield processor, number, owned.store

    def close(self) -> None:
        for processor in self.processors:
            processor.table.close()


@asynccontextmanager
async def opened_log(directory: Path, *, partitions: int = PARTITIONS) -> AsyncIterator[EmbeddedLog]:
    """Give a real embedded log in *directory* with all topics, whose clock moves by one with each look."""
    now_ms = START_MS

    def clock_ms() -> int:
        nonlocal now_ms
        now_ms += 1
        return now_ms

    log = EmbeddedLog(directory, die, clock_ms=clock_ms)
    await log.start()
    try:
        await log.create_topics(topic_specs(partitions))
        yield log
    finally:
        await log.stop()


class Living(NamedTuple):
    """A node that has recovered, and what a test does to it."""

    node: Node
    log: FaultyLog
    """The node's."""
    real: EmbeddedLog
    writes: Writes
    directory: Path

    def another(self, name: str, parts: Parts = ENGINE) -> Node:
        """Return a node that has not begun yet, on the same log, with the tables of the directory *name*."""
        return Node(
            FaultyLog(self.real),
            self.directory / name,
            parts=parts,
            limits=self.node.limits,
            partitions=self.node.partitions,
        )


@asynccontextmanager
async def living(
    parts: Parts = ENGINE,
    *,
    limits: Limits = LIMITS,
    partitions: int = 1,
) -> AsyncIterator[Living]:
    """Give a node on a real log, with nothing in either, which owns all partitions."""
    with quick_directory() as directory:
        async with opened_log(directory / "log", partitions=partitions) as real:
            log = FaultyLog(real)
            node = Node(log, directory / "a", parts=parts, limits=limits, partitions=partitions)
            try:
                await node.recover()
                yield Living(node, log, real, Writes(real, partitions), directory)
            finally:
                node.close()


@contextmanager
def quick_directory() -> Iterator[Path]:
    """Give a directory in memory, where there is such a thing: hundreds of runs sync thousands of times."""
    memory = Path("/dev/shm")  # noqa: S108 - a directory of its own is made in it
    directory = tempfile.mkdtemp(prefix="upnext-engine-", dir=memory if memory.is_dir() else None)
    try:
        yield Path(directory)
    finally:
        shutil.rmtree(directory)
