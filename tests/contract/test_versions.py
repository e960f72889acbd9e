"""Versions of the views on a real log with a real registry: begun, switched to where that is right, dropped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from streams.domain.rebuilds import latest, rebuild_write
from streams.domain.registry_events import Transaction
from streams.domain.view_versions import Stage, ViewChangeError, live, versions
from streams.engine.store import POSITION, encode_position
from streams.log.embedded import EmbeddedLog
from streams.registry import Registry
from streams.topics import CONTEXT_EVENTS, KEY_EVENTS, VIEW, topic_specs, view_specs, view_topics
from streams.versions import MOST_BEHIND, Versions
from tests.support.engine_nodes import die

PARTITIONS = 2
V2 = "upnext-v2"


class Log(EmbeddedLog):
    """A log whose groups have members that a test says."""

    folding: tuple[str, ...] = ()

    async def members(self, group: str) -> list[str]:
        return [name for name in self.folding if name == group]


class World:
    """What serves and folds is said by the test."""

    def __init__(self, log: Log, registry: Registry) -> None:
        self.log, self.registry = log, registry
        self.missing, self.let_go_of = 0, list[str]()
        self.versions = Versions(log, registry, PARTITIONS, self, self.let_go)

    def unserved(self, view: str) -> int:
        assert view.startswith("upnext-")
        return self.missing

    def waits_for(self, view: str) -> tuple[str, ...]:
        return (f"of {view}",)

    async def let_go(self, view: str) -> None:
        self.let_go_of.append(view)

    async def whole(self, view: str) -> None:
        """Have the registry say that all is folded that there was when a version was begun."""
        state = self.registry.state
        done = msgspec.structs.replace(latest(state, view), done=True)
        write = rebuild_write(state, view, done)
        await self.registry.transact(Transaction(id="0" * 32, user="superuser", objects=(write,)))

    async def folded(self, view: str, records: int, topic: str = CONTEXT_EVENTS) -> None:
        """Have a changelog say how much of the first partition is folded."""
        names = view_topics(view)
        changelog = {CONTEXT_EVENTS: names.contexts_changelog, KEY_EVENTS: names.idempotency_changelog}[topic]
        await self.log.append_many(changelog, 0, [(POSITION + topic.encode(), encode_position(records - 1))])

    @property
    def stages(self) -> dict[str, Stage]:
        return {name: known.version.stage for name, known in versions(self.registry.state).items()}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    log = Log(tmp_path / "log", die)
    await log.start()
    await log.create_topics(topic_specs(PARTITIONS))
    registry = Registry(log, fingerprint="fingerprint", partitions=PARTITIONS, die=die)
    await registry.start()
    yield World(log, registry)
    await registry.stop()
    await log.stop()


async def test_a_version_is_begun_with_topics_of_its_own(world: World) -> None:
    """Its lists count from where the sources ended then; again, it is the same one, and may be folded slower."""
    await world.log.append_many(CONTEXT_EVENTS, 1, [(b"key", b"value")] * 3)
    await world.log.append_many(KEY_EVENTS, 0, [(b"key", b"value")] * 2)
    assert await world.versions.begin() == V2
    assert await world.log.check_topics(view_specs(PARTITIONS, V2)) == []
    ends = latest(world.registry.state, V2).ends
    assert (ends[CONTEXT_EVENTS], ends[KEY_EVENTS], live(world.registry.state)) == ([0, 3], [2, 0], VIEW)
    assert await world.versions.begin(700) == V2
    said = {status.known.name: status for status in await world.versions.status()}
    assert said[V2].known.version.max_events_per_s == 700
    assert (said[V2].progress.done, said[V2].progress.total, said[V2].is_whole) == (0, 3, False)
    assert said[V2].waits_for == (f"of {V2}",)


async def test_all_that_build_a_version_may_begin_it_at_once(world: World) -> None:
    """As where its nodes are started together: it is begun once, and none of them hears that another was faster."""
    assert await asyncio.gather(*(world.versions.begin(20) for _ in range(3))) == [V2] * 3
    assert world.stages == {VIEW: Stage.LIVE, V2: Stage.BUILDING}
    assert latest(world.registry.state, V2).generation == 1


async def test_what_is_not_ready_is_not_switched_to(world: World) -> None:
    """Whole, served everywhere, and hardly behind: the message says which of these it is not."""
    await world.log.append_many(CONTEXT_EVENTS, 0, [(b"key", b"value")] * (MOST_BEHIND + 5))
    await world.versions.begin()
    with pytest.raises(ViewChangeError, match="has not folded yet"):
        await world.versions.switch()
    await world.whole(V2)
    world.missing = 3
    with pytest.raises(ViewChangeError, match="3 partitions"):
        await world.versions.switch()
    world.missing = 0
    await world.folded(V2, 4)
    with pytest.raises(ViewChangeError, match="1,001 records behind"):
        await world.versions.switch()
    assert world.stages == {VIEW: Stage.LIVE, V2: Stage.BUILDING}
    await world.folded(V2, 5)
    assert await world.versions.switch() == V2
    assert world.stages == {VIEW: Stage.OLD, V2: Stage.LIVE}
    with pytest.raises(ViewChangeError, match="behind"):
        await world.versions.roll_back()


async def test_keys_are_folded_before_a_switch(world: World) -> None:
    """Else writes with a key would be refused after it. What is not there any more need not be folded."""
    await world.versions.begin()
    await world.whole(V2)
    await world.log.append_many(KEY_EVENTS, 0, [(b"key", b"value")] * (MOST_BEHIND + 5))
    await world.log.delete_before(KEY_EVENTS, 0, 4)
    with pytest.raises(ViewChangeError, match="1,001 records behind"):
        await world.versions.switch()
    await world.folded(V2, 5, KEY_EVENTS)
    assert await world.versions.switch() == V2


async def test_keys_that_have_all_gone_hold_back_no_switch(world: World) -> None:
    """No table says how far it is in a partition of which the log has nothing left."""
    await world.log.append_many(KEY_EVENTS, 0, [(b"key", b"value")] * (MOST_BEHIND + 1))
    await world.versions.begin()
    await world.whole(V2)
    await world.log.delete_before(KEY_EVENTS, 0, MOST_BEHIND + 1)
    said = {status.known.name: status for status in await world.versions.status()}
    assert (said[V2].progress.lag, said[V2].progress.total) == (0, 0)
    assert await world.versions.switch() == V2


async def test_of_two_switches_at_once_one_is_refused(world: World) -> None:
    """Two operators do the same: one hears that the other was faster, and one version is live."""
    await world.versions.begin()
    await world.whole(V2)
    done = await asyncio.gather(world.versions.switch(), world.versions.switch(), return_exceptions=True)
    assert sorted(isinstance(one, ViewChangeError) for one in done) == [False, True]
    assert list(world.stages.values()).count(Stage.LIVE) == 1


async def test_a_version_is_dropped_when_nobody_folds_it(world: World) -> None:
    """Its topics are gone and those of the live one are there; again it does what is left; the live one never."""
    await world.versions.begin()
    with pytest.raises(ViewChangeError, match="never dropped"):
        await world.versions.drop(VIEW)
    world.log.folding = (V2,)
    with pytest.raises(ViewChangeError, match="a node folds"):
        await world.versions.drop(V2)
    assert (world.stages[V2], world.let_go_of) == (Stage.BUILDING, [])
    world.log.folding = ()
    for _ in range(2):
        await world.versions.drop(V2)
        assert len(await world.log.check_topics(view_specs(PARTITIONS, V2))) == len(view_topics(V2))
    assert await world.log.check_topics(topic_specs(PARTITIONS)) == []
    assert (world.stages[V2], world.let_go_of) == (Stage.DROPPED, [V2, V2])
    assert await world.versions.begin() == "upnext-v3"
