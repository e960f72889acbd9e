"""Idempotency keys on a real log: admitted by the owner, whatever became of the node before it, for 72 h."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from streams.domain.errors import ViewUnavailableError
from streams.domain.idempotency import KEY_LIMITS, Admission, Admitted, Executed, InProgress
from streams.domain.idempotency_events import KeyBegun, KeyFinished, KeyReleased
from streams.domain.idempotency_rows import Answered
from streams.engine.contact import Contact
from streams.engine.engine import Engine
from streams.engine.inbox import Fetched
from streams.engine.processor import Processor
from streams.engine.storage import Identity, Storage
from streams.engine.table import OwnedTable
from streams.engine.table_files import TableFiles
from streams.idempotency import KeyLog
from streams.keys import load_master_key
from streams.log.embedded import EmbeddedLog
from streams.node import Node, NodeConfig
from streams.processors.idempotency import IdempotencyFold
from streams.topics import KEY_EVENTS, Kept, TopicSpec, topic_specs, view_topics
from streams.writer import LogWriter
from tests.support.engine_nodes import Clock, die

CHANGELOG = view_topics().idempotency_changelog
SPECS = [
    TopicSpec(KEY_EVENTS, 1, Kept.DAYS_7, log_append_time=True),
    TopicSpec(CHANGELOG, 1, Kept.COMPACTED, log_append_time=True),
]
KEY = b"K" * 17
CLIENT, PUT = "0123456789abcdef", "0" * 32
HOUR_MS = 3_600_000


class LogClock:
    """What the log dates records by."""

    def __init__(self) -> None:
        self.now_ms = 1_700_000_000_000

    def __call__(self) -> int:
        return self.now_ms


class Life:
    """One life of the idempotency processor, with all that others ask of it."""

    def __init__(self, log: EmbeddedLog, directory: Path, *, generation: int = 0) -> None:
        storage = Storage(directory, Identity(log.id, 1, "fingerprint", generation))
        fold = IdempotencyFold()
        self.table = OwnedTable(
            fold, TableFiles(storage, fold.name), log, Contact(log, Clock()), stale_reads_max_s=60.0
        )
        self.processor = Processor(fold, self.table, log, die, partitions=1, again_s=0.0)
        self.engine = Engine([self.processor], partitions=1, files_directory=directory, die=die, again_s=0.0)
        self.keys = KeyLog(LogWriter(log, 1), self.processor, 1)
        self._log = log

    async def recover(self) -> None:
        await self.engine.recover({(CHANGELOG, 0)})
        self.engine.resume()

    async def fold(self) -> None:
        """Fold all that the table lacks."""
        start, end = self.engine.next_offsets()[KEY_EVENTS, 0], await self._log.end_offset(KEY_EVENTS, 0)
        records = [record async for chunk in self._log.read(KEY_EVENTS, 0, start, end) for record in chunk.records]
        self.engine.take(*Fetched(KEY_EVENTS, 0, records))
        await self.processor._turn()

    async def begin(self, lease: str) -> Admission:
        """Ask to be admitted, and fold until that is judged."""
        asking = asyncio.create_task(self.keys.begin(KEY, KeyBegun(id=lease * 32, client=CLIENT, fingerprint=PUT)))
        async with asyncio.timeout(10):
            while not asking.done():
                await asyncio.sleep(0.001)
                if self.engine.next_offsets()[KEY_EVENTS, 0] < await self._log.end_offset(KEY_EVENTS, 0):
                    await self.fold()
        return asking.result()

    async def finish(self, lease: str, body: bytes) -> None:
        finished = KeyFinished(id="f" * 32, client=CLIENT, lease=lease * 32, status=200, body=body, position="p")
        await self.keys.end(KEY, finished)


@asynccontextmanager
async def living(directory: Path, clock: LogClock) -> AsyncIterator[tuple[EmbeddedLog, Life]]:
    log = EmbeddedLog(directory / "log", die, clock_ms=clock)
    await log.start()
    try:
        await log.create_topics(SPECS)
        life = Life(log, directory / "a")
        await life.recover()
        try:
            yield log, life
        finally:
            life.table.close()
    finally:
        await log.stop()


async def test_for_72_hours_of_the_log(tmp_path: Path) -> None:
    """An answer is given again for so long by records' times, whatever any node's clock says; then the key is new."""
    clock = LogClock()
    async with living(tmp_path, clock) as (_, life):
        assert await life.begin("a") == Admitted(0)
        await life.finish("a", b"1")
        clock.now_ms += 72 * HOUR_MS
        assert await life.begin("b") == Executed(Answered(200, b"1", "p"))
        clock.now_ms += KEY_LIMITS.lease_ms + 1
        assert await life.begin("c") == Admitted(3)


@pytest.mark.parametrize("is_rebuilt", [False, True])
async def test_whoever_folds_next_knows_the_same(tmp_path: Path, *, is_rebuilt: bool) -> None:
    """From the changelog, or from the keys' own log: answers are there, and a lease is as old as its record."""
    clock = LogClock()
    async with living(tmp_path, clock) as (log, life):
        assert await life.begin("a") == Admitted(0)
        clock.now_ms += KEY_LIMITS.lease_ms - 1
        life.table.close()
        if is_rebuilt:
            await log.delete_topics([CHANGELOG])
            await log.create_topics(SPECS)
        other = Life(log, tmp_path / "b", generation=int(is_rebuilt))
        try:
            await other.recover()
            with pytest.raises(ViewUnavailableError):
                life.processor.owns(0)
            assert await other.begin("b") == InProgress()
            clock.now_ms += 1
            assert await other.begin("c") == Admitted(0)
            await other.keys.end(KEY, KeyReleased(id="e" * 32, client=CLIENT, lease="a" * 32, forgotten=True))
            await other.finish("c", b"1")
            assert await other.begin("d") == Executed(Answered(200, b"1", "p"))
        finally:
            other.table.close()


async def test_keys_that_have_all_gone_are_not_to_be_folded(tmp_path: Path) -> None:
    """A node without a table is at the end of a partition of which the log has nothing left, and says so."""
    log = EmbeddedLog(tmp_path / "log", die)
    await log.start()
    await log.create_topics(topic_specs(1))
    await log.append_many(KEY_EVENTS, 0, [(KEY, b"{}")] * 3)
    await log.delete_before(KEY_EVENTS, 0, 3)
    await log.stop()
    key = load_master_key(tmp_path, None)
    node = Node(NodeConfig(data=tmp_path, kafka=None, partitions=1, key=key, url="http://127.0.0.1:1"), die)
    try:
        await node.start()
        async with asyncio.timeout(30):
            while not node.status().ready:
                await asyncio.sleep(0.01)
        assert {one.name: one.lag_events for one in node.status().processors}["idempotency"] == 0
    finally:
        await node.stop()
