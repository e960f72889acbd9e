"""The engine on Faust: for each thing that it overrides, what upstream does, and what ours does instead."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest
import structlog.testing
from faust.agents.agent import Agent
from faust.stores import rocksdb
from faust.streams import Stream
from faust.tables.manager import TableManager
from faust.tables.recovery import RebalanceAgain, Recovery, ServiceStopped
from faust.transport import consumer as upstream_consumer
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode import Service

from streams.engine.app import STOP_S
from streams.engine.fatal import EXIT_STATUS
from streams.engine.faust_tables import LogFirstRecovery
from streams.topics import CONTEXT_EVENTS, SESSION_EVENTS, VIEW, view_topics
from tests.support import engine_process
from tests.support.engine_checks import check_node
from tests.support.engine_faults import Trouble
from tests.support.engine_nodes import opened_log
from tests.support.engine_on_faust import PARTITIONS, OnFaust, on_faust
from tests.support.tables import context_id, session_id

CONTEXT, SESSION = context_id(1), session_id(1)
TOPICS = view_topics()


# What upstream does


class Mended(NamedTuple):
    """A function of upstream that is overridden or relied on, and the lines for which it is."""

    function: Callable[..., object]
    digest: str
    lines: str


def digest(function: Callable[..., object]) -> str:
    return hashlib.sha256(inspect.getsource(function).encode()).hexdigest()[:16]


def flat(lines: str) -> str:
    return " ".join(lines.split())


MENDED = [
    Mended(
        Recovery.on_recovery_completed,
        "6ef567acf072e46d",
        """
        consumer.resume_partitions(
            {tp for tp in assignment if not self._is_changelog_tp(tp)}
        )
        if assignment:
            self.log.info("Seek stream partitions to committed offsets.")
            await self._wait(
                consumer.perform_seek(), timeout=self.app.conf.broker_request_timeout
            )
        """,
    ),
    Mended(Recovery._wait, "ec7429b70176f8c6", "coro, signal, timeout=timeout"),
    Mended(Recovery._restart_recovery.fun, "6bd8a8558a2dffe4", "await self._wait(self.signal_recovery_end.wait())"),
    Mended(Recovery._slurp_changelogs.fun, "7825c7e50f766d5a", "buf.append(event)"),
    Mended(TableManager.on_start, "365dd25fbc0e0684", "await self.sleep(1.0)"),
    Mended(
        upstream_consumer.Consumer._drain_messages,
        "44a2500309e83c63",
        """
        if r_offset is None or offset >= r_offset:
            gap = offset - (r_offset or 0)
        """,
    ),
    Mended(upstream_consumer.Consumer._drain_messages, "44a2500309e83c63", "set_read_offset(tp, offset)"),
    Mended(
        upstream_consumer.Consumer._wait_next_records,
        "6218e1969a636b3f",
        """
        # We should still release to the event loop
        await self.sleep(1)
        """,
    ),
    Mended(
        upstream_consumer.Consumer.wait_empty,
        "e4662fe24f094819",
        "while not self.should_stop and self._unacked_messages:",
    ),
    Mended(upstream_consumer.Consumer.force_commit, "cc094614d22c70fb", "self._filter_tps_with_pending_acks(topics)"),
    Mended(
        upstream_consumer.ThreadDelegateConsumer.seek_to_committed,
        "f1d483b861b0328b",
        "self._thread.seek_to_committed()",
    ),
    Mended(driver.AIOKafkaConsumerThread._create_worker_consumer, "c2701bfc3e6f6cad", "fetch_max_wait_ms=1500"),
    Mended(driver.AIOKafkaConsumerThread._commit, "932852ce7a23f658", "await self.crash(exc)"),
    Mended(driver.AIOKafkaConsumerThread.on_start, "38b4e8bd1e10723a", "await self._consumer.start()"),
    Mended(rocksdb.Store.set_persisted_offset, "b4c811926678346e", "self._db_for_partition(tp.partition).put("),
    Mended(Agent._execute_actor, "c750b828d2bda93e", "self.supervisor.wakeup()"),
    Mended(Stream.ack, "32d7171a89b0931d", "last_stream_to_ack = event.ack()"),
]


@pytest.mark.parametrize("mended", MENDED, ids=lambda mended: f"{mended.function.__qualname__}")
def test_upstream_is_what_the_overrides_were_written_for(mended: Mended) -> None:
    """A newer Faust that does something else wants its override read again, and perhaps thrown away."""
    assert flat(mended.lines) in flat(inspect.getsource(mended.function))
    assert digest(mended.function) == mended.digest


# What ours does


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Render no log: of an error on Faust that would be half of the program."""
    with structlog.testing.capture_logs():
        yield


async def fill(one: OnFaust, count: int, *, first: int = 0) -> None:
    contexts = [context_id(n) for n in range(4)]
    for context in contexts:
        await one.writes.attach(SESSION, context)
    await asyncio.gather(*(one.writes.put(contexts[n % 4], f"{n}", title=f"T{n}") for n in range(first, first + count)))


async def test_every_record_is_given_once_and_in_order(tmp_path: Path) -> None:
    """What is there at the start and what comes later is given to the engine once; both tables are right."""
    async with on_faust(tmp_path) as one:
        await fill(one, 300)
        await one.folded()
        await fill(one, 300, first=300)
        await one.folded()
        for (topic, partition), end in one.node.engine.next_offsets().items():
            given = [offset for t, p, offset in one.engine.given if (t, p) == (topic, partition)]
            assert given == list(range(end))
        assert sum(one.node.contexts.folded.values()) + sum(one.node.sessions.folded.values()) == len(one.engine.given)
        await check_node(one.node, one.real)


@pytest.mark.parametrize("ahead", [False, True], ids=["behind", "ahead"])
async def test_a_start_is_from_the_tables_own_positions(tmp_path: Path, *, ahead: bool) -> None:
    """Whatever the group has committed, nothing is given twice after a restart and nothing is left out."""
    async with on_faust(tmp_path) as one:
        await fill(one, 40)
        await one.folded()
        positions = dict(one.node.engine.next_offsets())
    async with on_faust(tmp_path) as one:
        await one.faust.stop()
        await one.real.set_positions(VIEW, {tp: at + 2 if ahead else max(0, at - 5) for tp, at in positions.items()})
    async with on_faust(tmp_path) as one:
        await fill(one, 12, first=40)
        await one.folded()
        for (topic, partition), first in positions.items():
            given = [offset for t, p, offset in one.engine.given if (t, p) == (topic, partition)]
            assert given == list(range(first, one.real.partition(topic, partition).end_offset))
        await check_node(one.node, one.real)


async def test_the_group_is_told_the_tables_positions(tmp_path: Path) -> None:
    """Who looks at the group with other tools sees what is folded, not what is fetched or acknowledged."""
    async with on_faust(tmp_path) as one:
        await fill(one, 20)
        await one.folded()
        positions = dict(one.node.engine.next_offsets())
        assert await one.faust.app.consumer.force_commit() in {True, False}
        committed = await one.real.positions(VIEW)
        assert {tp: at for tp, at in committed.items() if tp in positions} == positions
        assert not await one.faust.app.consumer.force_commit()


async def test_nothing_is_taken_from_the_pause_until_all_is_recovered(tmp_path: Path) -> None:
    """Records flow only behind the seek: on each rebalance, pause, recovery and intake follow on."""
    async with on_faust(tmp_path) as one:
        await fill(one, 50)
        await one.folded()
        for n in range(5):
            rebalance = asyncio.create_task(rebalanced(one))
            await fill(one, 20, first=50 + 20 * n)
            await rebalance
        await one.folded()
        steps, open_ = one.engine.done, False
        assert steps.count("recovered") >= 6
        for step in steps:
            match step:
                case "pause" | "recover":
                    open_ = False
                case "resume":
                    open_ = True
                case "take":
                    # What comes while it is closed, the inbox refuses.
                    assert open_
        assert one.node.contexts.gaps.holes == one.node.sessions.gaps.holes == 0
        await check_node(one.node, one.real)


async def rebalanced(one: OnFaust) -> None:
    """Have the consumer give up and get again what it has, as a group does when a member comes or goes."""
    consumer = one.faust.app.consumer
    recoveries = one.engine.done.count("resume")
    await consumer._rebalance(consumer._subscribed)
    await one.until(lambda: one.engine.done.count("resume") > recoveries)


async def test_a_rebalance_during_a_recovery_begins_it_anew(tmp_path: Path) -> None:
    """The recovery under way is cancelled and over before the next begins; what comes of the next counts."""
    async with on_faust(tmp_path) as one:
        await fill(one, 20)
        await one.folded()
        one.engine.gate.clear()
        consumer = one.faust.app.consumer
        await consumer._rebalance(consumer._subscribed)
        await one.until(lambda: one.engine.done[-1] == "recover")
        await consumer._rebalance(consumer._subscribed)
        await one.until(lambda: one.engine.done[-2:] == ["cancelled", "recover"])
        one.engine.gate.set()
        await one.until(lambda: "resume" in one.engine.done[one.engine.done.index("cancelled") :])
        await one.folded()
        await check_node(one.node, one.real)


async def test_a_start_does_not_sleep(tmp_path: Path) -> None:
    """Upstream sleeps a second before the tables are looked at; a node that restarts has no second to lose."""
    async with on_faust(tmp_path) as one:
        await one.folded()
        manager = one.faust.app.tables
        assert "sleep" not in inspect.getsource(type(manager).on_start)
        assert type(manager).on_start is not TableManager.on_start


async def test_an_inbox_that_is_full_is_waited_for(tmp_path: Path) -> None:
    """What a processor has no room for is fetched later; nothing of it is lost."""
    async with on_faust(tmp_path) as one:
        for processor in one.node.processors:
            processor.inbox._full_bytes = 2_000
        await fill(one, 400)
        await one.folded()
        assert one.node.contexts.folded[CONTEXT_EVENTS] == 400
        await check_node(one.node, one.real)


async def test_faust_writes_no_row_and_no_offset(tmp_path: Path) -> None:
    """Whatever Faust would write or read in a table of its own accord is refused: only the engine does."""
    async with on_faust(tmp_path) as one:
        await fill(one, 5)
        await one.folded()
        for name, table in one.faust.app.tables.items():
            processor = {p.fold.name: p for p in one.node.processors}[name]
            store = table.data
            for number in range(PARTITIONS):
                tp = TP(processor.fold.changelog, number)
                offset = processor.table.partitions[number].store.offset
                assert store.persisted_offset(tp) == (offset if offset >= 0 else None)
                with pytest.raises(NotImplementedError):
                    store.set_persisted_offset(tp, 1)
            store.apply_changelog_batch([], None, None)
            store.reset_state()
            for refused in (
                lambda store=store: store.apply_changelog_batch([1], None, None),
                lambda store=store: store[b"k"],
                lambda store=store: store.__setitem__(b"k", b"v"),
                lambda store=store: store.__delitem__(b"k"),
                lambda store=store: iter(store),
                lambda store=store: len(store),
                lambda store=store: store.restore_backup(),
            ):
                with pytest.raises(NotImplementedError):
                    refused()
            with pytest.raises(NotImplementedError):
                await store.backup_partition()
        await check_node(one.node, one.real)


async def test_it_says_what_it_knows_of_the_log(tmp_path: Path) -> None:
    """It starts before its tables are there, is ready once all is recovered, and has the log's starts and ends."""
    async with on_faust(tmp_path, gate=False) as one:
        await one.until(lambda: "recover" in one.engine.done)
        assert not one.faust.is_ready
        one.engine.gate.set()
        await fill(one, 5)
        await one.folded()
        ends = one.faust.ends()
        topics = {CONTEXT_EVENTS, SESSION_EVENTS, TOPICS.feed, TOPICS.subscriptions}
        assert {topic for topic, _ in ends} >= topics
        assert all(one.real.partition(*tp).end_offset == end for tp, end in ends.items())
        await one.real.delete_before(CONTEXT_EVENTS, 1, ends[CONTEXT_EVENTS, 1])
        starts = one.faust.starts()
        assert starts.keys() == ends.keys()
        assert all(one.real.partition(*tp).start_offset == start for tp, start in starts.items())


# The end


def last_words(directory: Path, scenario: str, stdout: int = subprocess.DEVNULL) -> str:
    """Run a node in a process of its own until it ends itself; return the last line that it wrote."""
    command = [sys.executable, engine_process.__file__, str(directory), scenario]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    ended = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, env=environment, timeout=60, check=False)
    assert ended.returncode == EXIT_STATUS, ended.stderr.decode()
    return ended.stderr.decode().splitlines()[-1]


async def test_a_bug_in_a_fold_ends_the_process_and_commits_nothing(tmp_path: Path) -> None:
    """Upstream acknowledges the event, starts the agent again, and goes on behind it."""
    words = "upnext: fatal: the fold of context-events-0@0 failed: LookupError('no such thing')"
    assert last_words(tmp_path, "fold") == words
    async with opened_log(tmp_path / "log", partitions=PARTITIONS) as real:
        assert await real.end_offset(CONTEXT_EVENTS, 0) == 2
        assert await real.end_offset(TOPICS.contexts_changelog, 0) == 0


def test_a_crash_of_faust_ends_the_process(tmp_path: Path) -> None:
    """Upstream stands still then, and the API would answer from a table that nobody folds."""
    assert last_words(tmp_path, "crash") == "upnext: fatal: the stream processing crashed: RuntimeError('over')"


def test_a_bug_in_a_recovery_ends_the_process(tmp_path: Path) -> None:
    """It is not taken for a recovery that is over: upstream's `_wait` never looks at what it waited for."""
    words = f"upnext: fatal: the stream processing crashed: LookupError('{2 * PARTITIONS} changelogs')"
    assert last_words(tmp_path, "recovery") == words


def test_a_consumer_that_has_left_its_group_ends_the_process(tmp_path: Path) -> None:
    """Aiokafka's coordinator ends with a line in its log, and the node would wait for records for ever."""
    assert last_words(tmp_path, "left") == "upnext: fatal: the consumer has left its group"


def test_a_log_that_cannot_be_written_to_saves_nobody(tmp_path: Path) -> None:
    """Where not even the error can be logged, the process ends all the same."""
    words = "upnext: fatal: the fold of context-events-0@0 failed: LookupError('no such thing')"
    assert last_words(tmp_path, "fold unlogged") == words


def test_an_output_that_is_closed_saves_nobody(tmp_path: Path) -> None:
    """Where nobody reads what the process prints, it ends all the same."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        words = "upnext: fatal: the stream processing crashed: RuntimeError('over')"
        assert last_words(tmp_path, "crash", writing) == words
    finally:
        os.close(writing)


async def test_a_node_stops_while_the_log_is_away(tmp_path: Path) -> None:
    """What was begun is in the log, or will be folded again: an orderly stop waits for nobody for ever."""
    async with on_faust(tmp_path) as one:
        await one.folded()
        one.log.troubles = lambda call: Trouble.NONE if call.startswith("read") else Trouble.LOST
        await one.writes.put(CONTEXT, "one")
        claims = f"claim {TOPICS.contexts_changelog}-{one.writes.partition(CONTEXT)}"
        await one.until(lambda: one.log.calls.count(claims) > 3)
        async with asyncio.timeout(5 * STOP_S):
            await one.faust.stop()
        one.log.troubles = lambda _: Trouble.NONE


async def test_a_service_that_does_not_stop_is_left(tmp_path: Path) -> None:
    """Where a part of Faust's waits on in spite of its cancellation, the stop ends at its limit."""
    async with on_faust(tmp_path) as one:
        await one.folded()

        enough = asyncio.Event()

        class Stubborn(Service):  # type: ignore[misc]
            async def on_stop(self) -> None:
                while not enough.is_set():
                    with suppress(asyncio.CancelledError):
                        await enough.wait()

        await one.faust.app.add_runtime_dependency(Stubborn())
        parts = [part for agent in one.faust.app.agents.values() for part in (agent, agent.supervisor)]
        async with asyncio.timeout(5 * STOP_S):
            await one.faust.stop()
        # Or they may go on for ever where they are cancelled, and the process does not end.
        assert [part.should_stop for part in parts] == [True] * 4
        enough.set()


# The recovery's own wait


class Waiting:
    """What `_wait` asks of a recovery."""

    def __init__(self) -> None:
        self.signal_recovery_start = asyncio.Event()
        self._stopped = asyncio.Event()

    @property
    def should_stop(self) -> bool:
        return self._stopped.is_set()

    def wait(self, coroutine: Awaitable[object], timeout: float | None = None) -> Awaitable[None]:
        return LogFirstRecovery._wait(self, coroutine, timeout)  # type: ignore[arg-type]


async def test_a_wait_passes_on_what_it_waited_for() -> None:
    """It ends with what it waits for, and raises what that raises; upstream swallows it."""

    async def fail() -> None:
        raise LookupError

    waiting = Waiting()
    await waiting.wait(asyncio.sleep(0))
    with pytest.raises(LookupError):
        await waiting.wait(fail())
    with pytest.raises(TimeoutError):
        await waiting.wait(asyncio.Event().wait(), timeout=0.01)


@pytest.mark.parametrize("stop", [False, True], ids=["rebalance", "stop"])
async def test_a_wait_that_is_over_leaves_nothing_behind(*, stop: bool) -> None:
    """A rebalance or a stop ends what is waited for before anything else begins; upstream lets it run on."""
    waiting, ended = Waiting(), asyncio.Event()

    async def last() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    task = asyncio.ensure_future(waiting.wait(last()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    (waiting._stopped if stop else waiting.signal_recovery_start).set()
    with pytest.raises(ServiceStopped if stop else RebalanceAgain):
        await task
    assert ended.is_set()
