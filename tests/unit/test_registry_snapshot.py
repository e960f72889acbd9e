"""The registry's snapshot: a start from it is a start from the log, and where it could not be, it is not used."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NoReturn

import msgspec
import pytest
import structlog

from streams.domain.registry import Applied, judge
from streams.domain.registry_events import ObjectState, ObjectWrite, Reference, Transaction, UniqueValue
from streams.domain.registry_state import RegistryState
from streams.log.embedded import EmbeddedLog
from streams.log.port import Chunk
from streams.registry import Registry
from streams.registry_codec import encode_registry_event, registry_key
from streams.topics import REGISTRY_EVENTS, Kept, TopicSpec

SPEC = TopicSpec(REGISTRY_EVENTS, 1, Kept.FOR_EVER, log_append_time=True)
STATES: tuple[ObjectState, ...] = ("ACTIVE", "INACTIVE", "HIDDEN")


def die(reason: str) -> NoReturn:
    raise AssertionError(reason)


class Watched(EmbeddedLog):
    """The embedded log, which says from where it was read."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, die)
        self.starts: list[int] = []

    def read(self, topic: str, partition: int, start: int, end: int | None = None) -> AsyncIterator[Chunk]:
        self.starts.append(start)
        return super().read(topic, partition, start, end)


@asynccontextmanager
async def opened(directory: Path) -> AsyncIterator[Watched]:
    log = Watched(directory)
    await log.start()
    try:
        await log.create_topics([SPEC])
        yield log
    finally:
        await log.stop()


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[Watched]:
    async with opened(tmp_path / "log") as log:
        yield log


@asynccontextmanager
async def following(log: EmbeddedLog, snapshot: Path | None, **more: Any) -> AsyncIterator[Registry]:
    registry = Registry(log, fingerprint="f", partitions=8, die=die, snapshot=snapshot, **more)
    await registry.start()
    try:
        yield registry
    finally:
        await registry.stop()


async def kept(log: EmbeddedLog, snapshot: Path) -> bytes:
    """Start and stop a node; return the snapshot that it leaves behind."""
    async with following(log, snapshot):
        pass
    return snapshot.read_bytes()  # noqa: ASYNC240 - a small file, and nobody waits


async def until(condition: Callable[[], bool]) -> None:
    """Return once *condition* holds; a bounded poll."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


def writes(chance: random.Random, state: RegistryState) -> tuple[ObjectWrite, ...]:
    """Return some changes of a few objects: of companies, of what several see, of what is unique; also refused ones."""
    made: list[ObjectWrite] = []
    for _ in range(chance.randint(1, 3)):
        kind, number = chance.choice(("companies", "apps", "clients", "uses")), str(chance.randrange(12))
        before = state.find(kind, number)
        fields = {"n": chance.randrange(10**6), "text": chance.choice(("", "ü\u2028\0", '"\\', "x" * 300)), "f": 0.1}
        write = ObjectWrite(
            type=kind,
            id=number,
            version=(0 if before is None else before.version) + (chance.random() < 0.1),
            company=None if kind == "companies" else "0",
            partners=tuple(sorted(chance.sample("123", chance.randint(0, 2)))) if kind == "apps" else (),
            name=chance.choice("abc") * chance.randint(0, 2),
            state=chance.choice(STATES),
            fields=fields,
            references=(Reference("companies", "0"),) if chance.random() < 0.2 else (),
            unique=(UniqueValue("clientId", str(chance.randrange(15))),) if kind == "clients" else (),
            keeps_past=kind != "uses",
        )
        made.append(write)
    return tuple(made)


def transaction(chance: random.Random, *objects: ObjectWrite) -> Transaction:
    return Transaction(id=f"{chance.getrandbits(128):032x}", user="u", request="r", objects=objects)


async def change(registry: Registry, chance: random.Random, count: int) -> int:
    """Have *count* transactions judged; return how many were applied."""
    verdicts = [await registry.transact(transaction(chance, *writes(chance, registry.state))) for _ in range(count)]
    return sum(isinstance(verdict, Applied) for verdict in verdicts)


@pytest.mark.parametrize("seed", range(6))
async def test_snapshot_and_tail_are_the_whole_log(log: EmbeddedLog, tmp_path: Path, seed: int) -> None:
    """A node that began with a snapshot has, to the byte, what one has that folded every event, and judges alike."""
    print("seed", seed)
    chance = random.Random(seed)
    late, whole = tmp_path / "late", tmp_path / "whole"
    for _ in range(3):
        async with following(log, late) as registry:
            applied = await change(registry, chance, 40)
            assert 0 < applied < 40
    async with following(log, None) as registry:
        await change(registry, chance, 20)
    assert await kept(log, late) == await kept(log, whole)
    async with following(log, late) as one, following(log, None) as other:
        assert one.snapshots_discarded == 0
        assert (one.objects, one.state.revision) == (other.objects, other.state.revision)
        for _ in range(200):
            wanted = transaction(chance, *writes(chance, other.state))
            assert judge(one.state, wanted) == judge(other.state, wanted)
        for kind in ("companies", "apps", "clients", "uses"):
            for company in (None, "0", "1", "2", "3"):
                assert list(one.state.ordered(kind, company)) == list(other.state.ordered(kind, company))
            for stored in other.state.ordered(kind, None):
                assert one.state.offsets(stored, 1, 99) == other.state.offsets(stored, 1, 99)


async def test_the_log_is_read_from_the_snapshot_on(log: Watched, tmp_path: Path) -> None:
    """What the snapshot has is not read again, and a start that folds nothing leaves the file alone."""
    chance, snapshot = random.Random(1), tmp_path / "s"
    async with following(log, snapshot) as registry:
        await change(registry, chance, 30)
    before = snapshot.stat().st_mtime_ns
    log.starts.clear()
    async with following(log, snapshot) as registry:
        assert registry.objects > 0
    assert min(log.starts) == await log.end_offset(REGISTRY_EVENTS, 0)
    assert snapshot.stat().st_mtime_ns == before


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 0x40]) + content[at + 1 :]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _content: b"",
    "cut in the middle": lambda content: content[: len(content) // 2],
    "cut at the end": lambda content: content[:-1],
    "longer": lambda content: content + b"\0",
    "another number": lambda content: content.replace(b"snapshot 2\n", b"snapshot 1\n", 1),
    "the first byte": lambda content: flipped(content, 0),
    "a length": lambda content: flipped(content, 28),
    "the header": lambda content: flipped(content, 60),
    "a body": lambda content: flipped(content, len(content) // 2),
    "the checksum": lambda content: flipped(content, len(content) - 1),
}


@pytest.mark.parametrize("damage", DAMAGE)
async def test_a_damaged_snapshot_is_noticed(log: EmbeddedLog, tmp_path: Path, damage: str) -> None:
    """Whatever has become of the file, it is counted, the log is folded anew, and the file is replaced."""
    chance, snapshot = random.Random(2), tmp_path / "s"
    async with following(log, snapshot) as registry:
        await change(registry, chance, 30)
    good = snapshot.read_bytes()
    snapshot.write_bytes(DAMAGE[damage](good))
    async with following(log, snapshot) as registry:
        assert registry.snapshots_discarded == 1
    assert snapshot.read_bytes() == good


async def test_a_snapshot_of_another_log(log: EmbeddedLog, tmp_path: Path) -> None:
    """A snapshot of another log is not used, be that shorter or longer."""
    snapshot = tmp_path / "s"
    async with opened(tmp_path / "other") as other:
        for count in (5, 40):
            async with following(other, snapshot) as registry:
                await change(registry, random.Random(count), count)
            async with following(log, snapshot) as registry:
                assert registry.snapshots_discarded == 1
                await change(registry, random.Random(3), 10)
            assert await kept(log, snapshot) == await kept(log, tmp_path / f"whole{count}")


async def test_a_log_that_was_put_back(tmp_path: Path) -> None:
    """A snapshot that is ahead of a log of the same id, or of a past that this log never had, is not used."""
    chance, snapshot, log_path = random.Random(4), tmp_path / "s", tmp_path / "log"
    async with opened(log_path) as log, following(log, snapshot) as registry:
        await change(registry, chance, 10)
    backup = {path.name: path.read_bytes() for path in log_path.iterdir() if path.is_file()}
    async with opened(log_path) as log, following(log, snapshot) as registry:
        await change(registry, chance, 10)
    ahead = snapshot.read_bytes()
    for path in log_path.iterdir():
        path.unlink()
    for name, content in backup.items():
        (log_path / name).write_bytes(content)
    async with opened(log_path) as log:
        async with following(log, snapshot) as registry:
            assert registry.snapshots_discarded == 1
            await change(registry, chance, 20)
        snapshot.write_bytes(ahead)
        async with following(log, snapshot) as registry:
            assert registry.snapshots_discarded == 1
        assert snapshot.read_bytes() == await kept(log, tmp_path / "whole")


async def test_a_snapshot_is_written_meanwhile(log: EmbeddedLog, tmp_path: Path) -> None:
    """After enough events there is another, as of one place in the log, whatever is folded while it is written."""
    chance, snapshot = random.Random(5), tmp_path / "s"
    async with following(log, None) as registry:
        # Enough for several pieces.
        for start in range(0, 1_000, 500):
            objects = [
                ObjectWrite(type="apps", id=str(n), version=0, company="0", name=str(n), fields={})
                for n in range(start, start + 500)
            ]
            assert isinstance(await registry.transact(transaction(chance, *objects)), Applied)
    async with following(log, snapshot, snapshot_after_bytes=2_000) as registry:
        await until(snapshot.exists)
        for _ in range(20):
            await change(registry, chance, 5)
            copy = tmp_path / "copy"
            copy.write_bytes(snapshot.read_bytes())
            async with following(log, copy) as other:
                assert other.snapshots_discarded == 0
                assert list(other.state.ordered("apps", None)) == list(registry.state.ordered("apps", None))


async def test_a_node_that_is_killed_starts_from_the_one_before(log: EmbeddedLog, tmp_path: Path) -> None:
    """What a node that was killed has left half written is neither read nor in the way."""
    chance, snapshot = random.Random(6), tmp_path / "s"
    async with following(log, snapshot) as registry:
        await change(registry, chance, 10)
    (tmp_path / "s.new").write_bytes(snapshot.read_bytes()[:100])
    async with following(log, snapshot) as registry:
        assert registry.snapshots_discarded == 0
        await change(registry, chance, 10)
    assert not (tmp_path / "s.new").exists()
    assert snapshot.read_bytes() == await kept(log, tmp_path / "whole")


async def test_a_snapshot_that_cannot_be_written(log: EmbeddedLog, tmp_path: Path) -> None:
    """A disk that takes no snapshot costs the next start some time, and nothing else."""
    nowhere = tmp_path / "absent" / "s"
    for _ in range(2):
        async with following(log, nowhere, snapshot_after_bytes=1) as registry:
            assert await change(registry, random.Random(7), 10) > 0
    assert not nowhere.parent.exists()


async def test_a_snapshot_that_failed_is_written_at_the_stop(log: EmbeddedLog, tmp_path: Path) -> None:
    """What a snapshot that failed was to hold is in the next one, also where nothing was folded in between."""
    later, chance = tmp_path / "later" / "s", random.Random(8)
    async with following(log, later, snapshot_after_bytes=1) as registry:
        with structlog.testing.capture_logs() as said:
            await change(registry, chance, 1)
            await until(lambda: bool(said))
            await asyncio.sleep(0)
        assert {line["event"] for line in said} == {"registry_snapshot_not_written"}
        later.parent.mkdir()
    assert later.read_bytes() == await kept(log, tmp_path / "whole")


async def test_poison_and_what_follows_it(log: EmbeddedLog, tmp_path: Path) -> None:
    """A record that is no event is passed over once, and the snapshot goes on behind it."""
    snapshot = tmp_path / "s"
    async with following(log, snapshot):
        pass
    await log.append(REGISTRY_EVENTS, 0, b"k", b"no event")
    async with following(log, snapshot) as registry:
        assert registry.poison == 1
    async with following(log, snapshot) as registry:
        assert (registry.poison, registry.snapshots_discarded) == (0, 0)


async def test_what_keeps_no_past(log: EmbeddedLog) -> None:
    """Of an object that keeps no past, the last version's place alone is known."""
    async with following(log, None) as registry:
        for version in range(3):
            write = ObjectWrite(type="uses", id="k", version=version, fields={}, keeps_past=False)
            event = transaction(random.Random(version), write)
            assert isinstance(await registry.transact(event), Applied)
            assert msgspec.json.decode(encode_registry_event(event))["objects"][0]["keeps_past"] is False
            assert registry_key(event) == event.id.encode()
        stored = registry.state.find("uses", "k")
        assert stored is not None
        assert registry.state.offsets(stored, 1, 3) == [stored.offset]
