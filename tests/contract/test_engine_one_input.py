"""The engine with a fold that has a source and nothing else to read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from streams.domain.errors import RefusedStartError
from streams.domain.rows import WritableRows
from streams.engine.contact import Contact
from streams.engine.engine import Engine
from streams.engine.fold import Emit
from streams.engine.inbox import Fetched
from streams.engine.processor import Processor
from streams.engine.storage import Identity, Storage
from streams.engine.table import OwnedTable
from streams.engine.table_files import TableFiles
from streams.engine.trimmer import Trimmer
from streams.log.embedded import EmbeddedLog
from streams.log.port import Record
from streams.topics import Kept, TopicSpec
from tests.support.engine_nodes import Clock, die

SOURCE, CHANGELOG = "words", "words-changelog"
SPECS = [
    TopicSpec(SOURCE, 1, Kept.FOR_EVER, log_append_time=True),
    TopicSpec(CHANGELOG, 1, Kept.COMPACTED, log_append_time=True),
]


class CountFold:
    """`streams.engine.fold.Fold` that counts words."""

    name = "words"
    source = SOURCE
    until_folded = None
    changelog = CHANGELOG
    dead_letters = "never"

    def fold(self, rows: WritableRows, topic: str, record: Record) -> Iterable[Emit]:
        assert topic == SOURCE
        assert record.key is not None
        rows.put(record.key, b"%d" % (int(rows.get(record.key) or b"0") + 1))
        return ()


class Life:
    """One life of the only processor of a node."""

    def __init__(self, log: EmbeddedLog, directory: Path) -> None:
        storage = Storage(directory, Identity(log.id, 1, "fingerprint"))
        contact = Contact(log, Clock())
        self.table = OwnedTable(CountFold(), TableFiles(storage, "words"), log, contact, stale_reads_max_s=60.0)
        self.processor = Processor(CountFold(), self.table, log, die, partitions=1, again_s=0.0)
        self.engine = Engine([self.processor], partitions=1, files_directory=directory, die=die, again_s=0.0)
        self._log = log

    async def recover(self) -> None:
        await self.engine.recover({(CHANGELOG, 0)})
        self.engine.resume()

    async def fold(self) -> None:
        """Fold all that the table lacks."""
        start, end = self.engine.next_offsets()[SOURCE, 0], await self._log.end_offset(SOURCE, 0)
        records = [record async for chunk in self._log.read(SOURCE, 0, start, end) for record in chunk.records]
        self.engine.take(*Fetched(SOURCE, 0, records))
        await self.processor._turn()

    def count(self, word: bytes) -> bytes | None:
        return self.table.rows(0).get(word)


@asynccontextmanager
async def opened(directory: Path) -> AsyncIterator[EmbeddedLog]:
    log = EmbeddedLog(directory, die)
    await log.start()
    try:
        yield log
    finally:
        await log.stop()


async def test_it_is_folded_recovered_and_not_trimmed(tmp_path: Path) -> None:
    """A table that is made anew has the same rows and goes on where they end; nothing of the source is deleted."""
    async with opened(tmp_path / "log") as log:
        await log.create_topics(SPECS)
        one = Life(log, tmp_path / "a")
        with closing(one.table):
            await one.recover()
            for word in (b"a", b"b", b"a"):
                await log.append(SOURCE, 0, word, b"")
            await one.fold()
            assert (one.count(b"a"), one.count(b"b")) == (b"2", b"1")
            await Trimmer(log, [one.processor], die=die).trim(at_least=1)
            assert await log.start_offset(SOURCE, 0) == 0
        another = Life(log, tmp_path / "b")
        with closing(another.table):
            await another.recover()
            assert another.count(b"a") == b"2"
            await log.append(SOURCE, 0, b"a", b"")
            await another.fold()
            assert another.count(b"a") == b"3"
            assert another.table.position(SOURCE, 0) == 3


async def test_a_source_that_was_lost(tmp_path: Path) -> None:
    """A table that has more than its source refuses to start, as every table does."""
    async with opened(tmp_path / "log") as log:
        await log.create_topics(SPECS)
        one = Life(log, tmp_path / "a")
        with closing(one.table):
            await one.recover()
            await log.append(SOURCE, 0, b"a", b"")
            await one.fold()
        changes = [r async for c in log.read(CHANGELOG, 0, 0, await log.end_offset(CHANGELOG, 0)) for r in c.records]
    async with opened(tmp_path / "another") as lost:
        await lost.create_topics(SPECS)
        claim = await lost.claim(CHANGELOG, 0)
        await claim.append([(change.key, change.value) for change in changes[1:] if change.key is not None])
        broken = Life(lost, tmp_path / "c")
        with closing(broken.table):
            (owned,) = await broken.table.assign([0])
            with pytest.raises(RefusedStartError, match="lost events"):
                await owned.recover()
