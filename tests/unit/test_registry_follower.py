"""The registry over a real log: what it declares, refuses, follows and waits for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest

from streams.domain.errors import LogUnavailableError, RefusedStartError, RegistryBehindError
from streams.domain.registry import Applied, Refused, Stale, TooLarge
from streams.domain.registry_events import DeploymentDeclared, ObjectWrite, Transaction
from streams.log.embedded import EmbeddedLog
from streams.log.port import Appended, Chunk
from streams.registry import LAG_LIMIT_S, MAX_TRANSACTION_BYTES, Registry
from streams.registry_codec import encode_registry_event
from streams.topics import REGISTRY_EVENTS, Kept, TopicSpec

SPEC = TopicSpec(REGISTRY_EVENTS, 1, Kept.FOR_EVER, log_append_time=True)


class Died(Exception):  # noqa: N818 - no error of the program: what a test's die does instead of ending the process
    pass


class Deaths:
    """Says why the process would have ended."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def __call__(self, reason: str) -> NoReturn:
        self.reasons.append(reason)
        raise Died(reason)


@asynccontextmanager
async def opened(directory: Path) -> AsyncIterator[EmbeddedLog]:
    log = EmbeddedLog(directory, Deaths())
    await log.start()
    try:
        await log.create_topics([SPEC])
        yield log
    finally:
        await log.stop()


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[EmbeddedLog]:
    async with opened(tmp_path) as log:
        yield log


class Stalled(EmbeddedLog):
    """The embedded log, of which a test can hold back what followers read, and appends."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, Deaths())
        self.flows = asyncio.Event()
        self.flows.set()
        self.broken: Exception | None = None
        self.failures = 0
        """Reads that ended with what is broken."""

    async def read(self, topic: str, partition: int, start: int, end: int | None = None) -> AsyncIterator[Chunk]:
        async for chunk in super().read(topic, partition, start, end):
            await self.flows.wait()
            if self.broken is not None:
                self.failures += 1
                raise self.broken
            yield chunk

    async def append(self, topic: str, partition: int, key: bytes, value: bytes | None) -> Appended:
        if self.broken is not None:
            raise self.broken
        return await super().append(topic, partition, key, value)


@pytest.fixture
async def stalled(tmp_path: Path) -> AsyncIterator[Stalled]:
    log = Stalled(tmp_path)
    await log.start()
    await log.create_topics([SPEC])
    yield log
    await log.stop()


class Clock:
    def __init__(self) -> None:
        self.s = 100.0

    def __call__(self) -> float:
        return self.s


@asynccontextmanager
async def following(
    log: EmbeddedLog, fingerprint: str = "f", partitions: int = 8, **more: Any
) -> AsyncIterator[Registry]:
    registry = made(log, fingerprint, partitions, **more)
    await registry.start()
    try:
        yield registry
    finally:
        died = bool(deaths_of(registry))
        try:
            await registry.stop()
        except Died:
            assert died


def made(log: EmbeddedLog, fingerprint: str = "f", partitions: int = 8, **more: Any) -> Registry:
    return Registry(log, fingerprint=fingerprint, partitions=partitions, die=Deaths(), **more)


def deaths_of(registry: Registry) -> list[str]:
    deaths = registry._die
    assert isinstance(deaths, Deaths)
    return deaths.reasons


def company(number: int, version: int = 0, name: str = "C", size: int = 0) -> Transaction:
    write = ObjectWrite(type="companies", id="c", version=version, name=name, fields={"text": "x" * size})
    return Transaction(id=f"{number:032x}", user="u", objects=(write,))


async def until(condition: Callable[[], bool]) -> None:
    """Return once *condition* holds; a bounded poll."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_new_deployment_is_declared_once(log: EmbeddedLog) -> None:
    """The first start declares the deployment; later ones find it."""
    for _ in range(2):
        async with following(log) as registry:
            assert registry.state.deployment is not None
            assert (registry.state.deployment.fingerprint, registry.state.deployment.partitions) == ("f", 8)
            assert await log.end_offset(REGISTRY_EVENTS, 0) == 1


async def test_another_master_key_is_refused(log: EmbeddedLog) -> None:
    """A node with another master key does not start, and writes nothing."""
    async with following(log):
        pass
    with pytest.raises(RefusedStartError, match="master key"):
        await made(log, fingerprint="other").start()
    assert await log.end_offset(REGISTRY_EVENTS, 0) == 1


async def test_another_number_of_partitions_is_refused(log: EmbeddedLog) -> None:
    """A node with another number of partitions does not start, and says which to start with."""
    async with following(log, partitions=8):
        pass
    with pytest.raises(RefusedStartError, match=r"8 partitions.*start with --partitions 8"):
        await made(log, partitions=5).start()


async def test_two_first_starts_at_once(log: EmbeddedLog) -> None:
    """Of two nodes that begin one deployment with different keys, exactly one starts."""
    one, other = made(log, "f"), made(log, "g")
    results = await asyncio.gather(one.start(), other.start(), return_exceptions=True)
    assert [type(result) for result in results if result is not None] == [RefusedStartError]
    await one.stop()
    await other.stop()


async def test_a_transaction_is_answered_by_the_own_fold(log: EmbeddedLog) -> None:
    """Once a transaction is answered, this node's state has it; another node gets it too."""
    async with following(log) as registry, following(log) as other:
        verdict = await registry.transact(company(1))
        assert isinstance(verdict, Applied)
        assert registry.state.find("companies", "c") == verdict.objects[0]
        assert await registry.transact(company(2)) == Refused((Stale("companies", "c"),))
        assert registry.objects == 1
        await other.catch_up()
        assert other.state.find("companies", "c") == verdict.objects[0]


async def test_competing_transactions_of_two_nodes(log: EmbeddedLog) -> None:
    """Of many transactions made from one version on two nodes, one is applied; both nodes agree which."""
    async with following(log) as one, following(log) as other:
        calls = [(one, other)[n % 2].transact(company(n, name=str(n))) for n in range(20)]
        verdicts = await asyncio.gather(*calls)
        (applied,) = [verdict for verdict in verdicts if isinstance(verdict, Applied)]
        await one.catch_up()
        await other.catch_up()
        assert one.state.find("companies", "c") == other.state.find("companies", "c") == applied.objects[0]


async def test_a_restart_gives_the_same_state(tmp_path: Path) -> None:
    """What was applied is there after a restart, with its times."""
    async with opened(tmp_path) as log, following(log) as registry:
        for version in range(5):
            await registry.transact(company(version, version, name=str(version)))
        before = registry.state.find("companies", "c")
        assert before is not None
    async with opened(tmp_path) as log, following(log) as registry:
        assert registry.state.find("companies", "c") == before
        assert before.version == 5


async def test_a_transaction_that_is_too_large(log: EmbeddedLog) -> None:
    """A transaction that fits into no record is refused before it comes to the log; the largest that fits is taken."""
    async with following(log) as registry:
        refused = await registry.transact(company(1, size=1 << 20))
        assert isinstance(refused, Refused)
        assert isinstance(refused.reasons[0], TooLarge)
        assert await log.end_offset(REGISTRY_EVENTS, 0) == 1
        rest = MAX_TRANSACTION_BYTES - len(encode_registry_event(company(2)))
        assert isinstance(await registry.transact(company(2, size=rest)), Applied)


async def test_poison_is_counted_and_passed(log: EmbeddedLog) -> None:
    """What is no event of the registry does not stop it, neither at the start nor later."""
    await log.append(REGISTRY_EVENTS, 0, b"k", b"no event")
    async with following(log) as registry:
        assert registry.poison == 1
        await log.append(REGISTRY_EVENTS, 0, b"k", None)
        assert isinstance(await registry.transact(company(1)), Applied)
        assert registry.poison == 2


async def test_a_newer_event_ends_the_node(log: EmbeddedLog) -> None:
    """An event of a type that this version does not know ends a node that runs, and refuses one that starts."""
    newer = b'{"type":"registry.transaction.v9","id":"1"}'
    async with following(log) as registry:
        await log.append(REGISTRY_EVENTS, 0, b"k", newer)
        await until(lambda: bool(deaths_of(registry)))
        assert "written by a newer version" in deaths_of(registry)[0]
    with pytest.raises(RefusedStartError, match="written by a newer version"):
        await made(log).start()


async def test_a_fold_that_is_not_seen(stalled: Stalled) -> None:
    """A transaction whose fold is not seen in time has an unknown outcome, and is applied when it is read."""
    async with following(stalled, limit_s=0.05) as registry:
        stalled.flows.clear()
        with pytest.raises(LogUnavailableError, match="not folded within"):
            await registry.transact(company(1))
        stalled.broken = LogUnavailableError("the disk is slow")
        with pytest.raises(LogUnavailableError, match="the disk is slow"):
            await registry.transact(company(2))
        stalled.broken = None
        stalled.flows.set()
        await until(lambda: registry.objects == 1)


async def test_lag(stalled: Stalled) -> None:
    """A registry that is behind a known end of its log for more than 5 s is not trusted, until it has caught up."""
    clock = Clock()
    async with following(stalled, clock_s=clock) as registry:
        assert registry.lag_s == 0
        stalled.flows.clear()
        event = encode_registry_event(company(1))
        await stalled.append(REGISTRY_EVENTS, 0, f"{1:032x}".encode(), event)
        await until(lambda: bool(registry._ends))
        clock.s += LAG_LIMIT_S
        registry.ensure_fresh()
        clock.s += 0.1
        assert registry.lag_s == pytest.approx(5.1)
        with pytest.raises(RegistryBehindError):
            registry.ensure_fresh()
        stalled.flows.set()
        await until(lambda: registry.lag_s == 0)
        registry.ensure_fresh()


async def test_a_log_that_goes_away_is_followed_again(stalled: Stalled) -> None:
    """A follower whose log fails takes up where it was."""
    async with following(stalled) as registry:
        stalled.broken = LogUnavailableError("away")
        await EmbeddedLog.append(stalled, REGISTRY_EVENTS, 0, f"{1:032x}".encode(), encode_registry_event(company(1)))
        await until(lambda: stalled.failures > 1)
        assert registry.objects == 0
        stalled.broken = None
        assert isinstance(await registry.transact(company(2, version=1)), Applied)


async def test_any_other_failure_ends_the_node(stalled: Stalled) -> None:
    """A registry that cannot be followed for a reason nobody thought of ends the process."""
    async with following(stalled) as registry:
        stalled.broken = RuntimeError("a bug")
        await EmbeddedLog.append(stalled, REGISTRY_EVENTS, 0, b"k", b"v")
        await until(lambda: bool(deaths_of(registry)))
        assert "a bug" in deaths_of(registry)[0]


async def test_the_first_declaration_counts_for_later_starts(log: EmbeddedLog) -> None:
    """A second declaration in the log changes nothing."""
    async with following(log, "f"):
        pass
    second = DeploymentDeclared(id="1" * 32, fingerprint="g", partitions=3)
    await log.append(REGISTRY_EVENTS, 0, second.id.encode(), encode_registry_event(second))
    async with following(log, "f") as registry:
        assert registry.state.deployment is not None
        assert registry.state.deployment.fingerprint == "f"
