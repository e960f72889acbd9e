"""Sources moved into another log: every record once, in order, with its time, whatever is interrupted."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from streams.codec import decode_webhook_event, event_key
from streams.domain.errors import LogUnavailableError, RefusedStartError
from streams.domain.ids import Kind
from streams.domain.notices import LAST_NUMBER
from streams.domain.rebuilds import latest
from streams.domain.registry_events import Transaction
from streams.domain.registry_state import Deployment
from streams.domain.view_versions import begun as begun_version
from streams.domain.view_versions import kept, switched
from streams.domain.webhook_events import DeliveriesPlanned
from streams.log.embedded import EmbeddedLog
from streams.log.embedded_directory import mark_moved
from streams.log.embedded_files import EmbeddedFiles
from streams.log.port import Readable, Record
from streams.moves import transfer as transfers
from streams.moves.sinks import Batches, EmbeddedSink
from streams.moves.transfer import Progress, Transfer
from streams.registry_codec import encode_registry_event, registry_key
from streams.registry_once import folded_once
from streams.topics import (
    CONTEXT_EVENTS,
    REGISTRY_EVENTS,
    SESSION_EVENTS,
    VIEW,
    WEBHOOK_EVENTS,
    TopicSpec,
    partition_of,
)
from tests.support.engine_nodes import die
from tests.support.moves import FINGERPRINT, begun, opened, records_of
from tests.support.tables import context_id, session_id

OLD, NEW = 4, 3
CONTEXTS = [context_id(number) for number in range(12)]
SESSIONS = [session_id(number) for number in range(5)]
POISON = b"no id of anything"

Seen = dict[bytes, list[tuple[bytes | None, bytes | None, int]]]
"""Id → key, value and time of its records, in order."""


class Clock:
    def __init__(self) -> None:
        self.ms = 1_700_000_000_000

    def __call__(self) -> int:
        return self.ms


class Cut(EmbeddedSink):
    """A sink that fails at its n-th append: before it, after it, or after a part of it."""

    at = -1
    how = ""

    async def put(self, batches: Batches) -> None:
        self.at -= 1
        if self.at == 0 and self.how == "half":
            batches = {place: records[: len(records) // 2 + 1] for place, records in list(batches.items())[::2]}
        if self.at != 0 or self.how != "before":
            await super().put(batches)
        if self.at == 0:
            raise LogUnavailableError("cut off")

    async def finish(self, specs: Iterable[TopicSpec]) -> None:
        """Leave the log open, to be looked at."""


@asynccontextmanager
async def sink_in(directory: Path) -> AsyncIterator[Cut]:
    log = EmbeddedLog(directory / "log.new", die)
    await log.start()
    sink = Cut(log, directory / "log.new", directory / "log")
    try:
        yield sink
    finally:
        await sink.close()


async def fill(log: EmbeddedLog, clock: Clock, count: int, rng: random.Random) -> None:
    """Append events of random contexts and sessions, and some of nobody, at times that sometimes stand still."""
    for _ in range(count):
        clock.ms += rng.choice((0, 0, 1, 20))
        event_id = f"{rng.getrandbits(128):032x}"
        if rng.random() < 0.1:
            await log.append(CONTEXT_EVENTS, rng.randrange(OLD), POISON, event_id.encode())
            continue
        topic, kind, raw = rng.choice(
            [(CONTEXT_EVENTS, Kind.CONTEXT, rng.choice(CONTEXTS)), (SESSION_EVENTS, Kind.SESSION, rng.choice(SESSIONS))]
        )
        value = None if rng.random() < 0.05 else b"{}" * rng.randrange(200)
        await log.append(topic, partition_of(raw, OLD), event_key(kind, raw, event_id), value)


async def seen_in(log: Readable, partitions: int) -> Seen:
    """Return all records of contexts and sessions by what they are of, and check that they stand where they should."""
    seen: Seen = defaultdict(list)
    for topic in (CONTEXT_EVENTS, SESSION_EVENTS):
        for partition in range(partitions):
            for record in await records_of(log, topic, partition):
                of = b"" if record.key is None else record.key.partition(b"/")[0]
                seen[of].append((record.key, record.value, record.time_ms))
    for of in (b"", POISON):
        seen[of].sort()  # whose order among partitions says nothing
    return seen


async def registry_of(log: Readable) -> list[tuple[bytes | None, bytes | None, int]]:
    return [(r.key, r.value, r.time_ms) for r in await records_of(log, REGISTRY_EVENTS, 0)]


async def moved(source: Readable, sink: Cut, progress: Path) -> int:
    transfer = Transfer(source, sink, NEW, progress)
    await transfer.begin(FINGERPRINT)
    return await transfer.run(lambda _records: None)


@pytest.mark.parametrize("how", ["before", "half", "after"])
@pytest.mark.parametrize("seed", range(4))
async def test_every_record_once_whatever_is_cut_off(
    tmp_path: Path, seed: int, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old log is written to meanwhile; the move fails at each append in turn, and is run again."""
    monkeypatch.setattr(transfers, "_ROUND_BYTES", 4_000)
    rng, clock = random.Random(seed), Clock()
    async with begun(tmp_path / "old", OLD, clock) as old, sink_in(tmp_path) as sink:
        sink.how = how
        for _ in range(6):
            await fill(old, clock, 40, rng)
            sink.at = rng.randrange(1, 9)
            try:
                await moved(old, sink, tmp_path / "progress.json")
            except LogUnavailableError:
                continue
        sink.at = -1
        await moved(old, sink, tmp_path / "progress.json")
        assert await moved(old, sink, tmp_path / "progress.json") == 0
        assert await seen_in(sink, NEW) == await seen_in(old, OLD)
        assert await registry_of(sink) == await registry_of(old)
        for raw in CONTEXTS:
            places = [
                partition
                for partition in range(NEW)
                for record in await records_of(sink, CONTEXT_EVENTS, partition)
                if record.key is not None and record.key.startswith(event_key(Kind.CONTEXT, raw, ""))
            ]
            assert set(places) <= {partition_of(raw, NEW)}


async def test_records_of_several_partitions_go_by_their_time(tmp_path: Path) -> None:
    """So the new log's times go back no more than the old one's did."""
    rng, clock = random.Random(1), Clock()
    async with begun(tmp_path / "old", OLD, clock) as old, sink_in(tmp_path) as sink:
        await fill(old, clock, 300, rng)
        await moved(old, sink, tmp_path / "progress.json")
        for partition in range(NEW):
            times = [record.time_ms for record in await records_of(sink, CONTEXT_EVENTS, partition)]
            assert times == sorted(times)


@pytest.mark.parametrize("cut_at", range(6))
async def test_the_deployment_goes_on_in_the_new_log(tmp_path: Path, cut_at: int) -> None:
    """The registry says so once, wherever it was cut off, and no list is served before all is folded."""
    rng, clock = random.Random(2), Clock()
    async with begun(tmp_path / "old", OLD, clock) as old, sink_in(tmp_path) as sink:
        await fill(old, clock, 50, rng)
        for at in (cut_at, -1) if cut_at else (-1,):
            sink.at, sink.how = -1, "after"
            transfer = Transfer(old, sink, NEW, tmp_path / "progress.json")
            await transfer.begin(FINGERPRINT)
            await transfer.run(lambda _records: None)
            sink.at = at
            try:
                await transfer.finish(clock)
            except LogUnavailableError:
                assert at > 0
        state = await folded_once(sink)
        assert state.deployment == Deployment(FINGERPRINT, NEW, (old.id,))
        rebuild = latest(state, VIEW)
        assert (rebuild.generation, rebuild.done) == (1, False)
        assert rebuild.ends == {
            topic: [await sink.end_offset(topic, partition) for partition in range(NEW)]
            for topic in (CONTEXT_EVENTS, SESSION_EVENTS)
        }
        assert len(await records_of(sink, REGISTRY_EVENTS, 0)) == len(await records_of(old, REGISTRY_EVENTS, 0)) + 2
        for partition in range(NEW):
            (decided,) = await records_of(sink, WEBHOOK_EVENTS, partition)
            event = decode_webhook_event(decided.key, decided.value)
            assert isinstance(event, DeliveriesPlanned)
            assert (event.events, event.until) == (
                [],
                {
                    f"{topic}-{number}": (end - 1, LAST_NUMBER)
                    for topic in (CONTEXT_EVENTS, SESSION_EVENTS)
                    for number, end in enumerate(rebuild.ends[topic])
                },
            )


async def test_only_the_live_version_of_the_views_goes_on(tmp_path: Path) -> None:
    """One that was kept as the way back has no topics in the new log: nothing of it is kept there."""
    clock = Clock()
    async with begun(tmp_path / "old", OLD, clock) as old, sink_in(tmp_path) as sink:
        for change in (lambda state: [begun_version(state)[1]], lambda state: switched(state, "upnext-v2")):
            writes = tuple(change(await folded_once(old)))
            transaction = Transaction(id=f"{len(writes):032x}", user="somebody", objects=writes)
            await old.append(REGISTRY_EVENTS, 0, registry_key(transaction), encode_registry_event(transaction))
        assert kept(await folded_once(old)) == ["upnext-v2", "upnext-v1"]
        transfer = Transfer(old, sink, NEW, tmp_path / "progress.json")
        await transfer.begin(FINGERPRINT)
        await transfer.run(lambda _records: None)
        await transfer.finish(clock)
        state = await folded_once(sink)
        assert kept(state) == ["upnext-v2"]
        assert not latest(state, "upnext-v2").done
        assert latest(state, VIEW).done


async def test_a_log_that_was_left_is_not_moved_again(tmp_path: Path) -> None:
    """What was written to it after that would be in the new log as well, in an order of its own."""
    rng, clock = random.Random(3), Clock()
    async with begun(tmp_path / "old", OLD, clock) as old, sink_in(tmp_path) as sink:
        transfer = Transfer(old, sink, NEW, tmp_path / "progress.json")
        await transfer.begin(FINGERPRINT)
        await transfer.run(lambda _records: None)
        sink.at, sink.how = 1, "before"
        with pytest.raises(LogUnavailableError):
            await transfer.finish(clock)
        await fill(old, clock, 5, rng)
        with pytest.raises(RefusedStartError, match="had left it"):
            await moved(old, sink, tmp_path / "progress.json")


async def test_other_logs(tmp_path: Path) -> None:
    """One with another key, one that somebody has written to, and one of another move are refused."""
    async with begun(tmp_path / "old", OLD) as old, sink_in(tmp_path) as sink:
        with pytest.raises(RefusedStartError, match="another master key"):
            await Transfer(old, sink, NEW, tmp_path / "progress.json").begin("other")
        await moved(old, sink, tmp_path / "progress.json")
        await sink.put({(SESSION_EVENTS, 0): [Record(0, 1, b"k", b"v")]})
        with pytest.raises(RefusedStartError, match="Somebody else"):
            await moved(old, sink, tmp_path / "progress.json")
        with pytest.raises(RefusedStartError, match="records already"):
            await moved(old, sink, tmp_path / "another.json")
        kept = msgspec.json.decode((tmp_path / "progress.json").read_bytes(), type=Progress)
        kept.source = "another"
        (tmp_path / "progress.json").write_bytes(msgspec.json.encode(kept))
        with pytest.raises(RefusedStartError, match="another move"):
            await moved(old, sink, tmp_path / "progress.json")


async def test_a_log_is_read_beside_whoever_has_it_open(tmp_path: Path) -> None:
    """Up to where it ended when it was opened."""
    rng, clock = random.Random(4), Clock()
    async with begun(tmp_path / "old", OLD, clock) as old:
        await fill(old, clock, 100, rng)
        files = EmbeddedFiles(tmp_path / "old")
        seen = await seen_in(old, OLD)
        await fill(old, clock, 5, rng)
        assert files.id == old.id
        assert await seen_in(files, OLD) == seen
        files.close()
    with pytest.raises(RefusedStartError, match="no log"):
        EmbeddedFiles(tmp_path / "none")


async def test_nobody_starts_on_a_log_that_was_left(tmp_path: Path) -> None:
    """It would have a second deployment with the same ids."""
    async with begun(tmp_path / "old", OLD):
        pass
    mark_moved(tmp_path / "old", "cluster")
    with pytest.raises(RefusedStartError, match=r"moved to Kafka, to the cluster cluster: start with --kafka"):
        async with opened(tmp_path / "old", OLD):
            pass
