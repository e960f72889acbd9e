"""`upnext tables rebuild` on the embedded log: what it asks, refuses and makes anew."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from service.cli import main
from service.cli.tables import made
from service.data_directory import held
from streams.domain.errors import RefusedStartError
from streams.domain.rebuilds import latest
from streams.log.embedded import EmbeddedLog
from streams.registry import Registry
from streams.topics import CONTEXT_EVENTS, REGISTRY_EVENTS, VIEW, TopicSpec, topic_specs, view_topics
from tests.support.engine_nodes import die

TOPICS = view_topics()
PARTITIONS = 4


def upnext(data: Path, *words: str, typed: str = "") -> Result:
    return CliRunner().invoke(main, ["tables", "rebuild", "--data", str(data), *words], input=typed)


def on_log(data: Path, *, starts: bool) -> dict[str, int]:
    """Make the topics in *data*, and a deployment where it *starts*; return where each first partition ends."""

    async def run() -> dict[str, int]:
        log = EmbeddedLog(data / "log", die)
        await log.start()
        await log.create_topics(topic_specs(PARTITIONS))
        if starts:
            registry = Registry(log, fingerprint="fingerprint", partitions=PARTITIONS, die=die)
            await registry.start()
            await registry.stop()
            assert registry.state.deployment is not None
        ends = {spec.name: await log.end_offset(spec.name, 0) for spec in topic_specs(PARTITIONS)}
        await log.stop()
        return ends

    return asyncio.run(run())


def fill(data: Path) -> None:
    """Append to every topic but the registry's."""

    async def run() -> None:
        log = EmbeddedLog(data / "log", die)
        await log.start()
        for topic in (CONTEXT_EVENTS, *TOPICS):
            await log.append(topic, 0, b"key", b"value")
        await log.stop()

    asyncio.run(run())


def generation(data: Path) -> int:
    async def run() -> int:
        log = EmbeddedLog(data / "log", die)
        await log.start()
        registry = Registry(log, fingerprint="fingerprint", partitions=PARTITIONS, die=die)
        await registry.start()
        found = latest(registry.state, VIEW)
        await registry.stop()
        await log.stop()
        assert not found.done
        assert found.ends[CONTEXT_EVENTS] == [1, 0, 0, 0]
        return found.generation

    return asyncio.run(run())


def test_the_topics_of_the_views_are_made_anew(tmp_path: Path) -> None:
    """Sources and dead letters stay; the deployment's own number of partitions counts; again it does the same again."""
    on_log(tmp_path, starts=True)
    for times in (1, 2):
        if times == 1:
            fill(tmp_path)
        done = upnext(tmp_path, typed="y\n")
        assert done.exit_code == 0, done.output
        assert "start the nodes" in done.stdout
        ends = on_log(tmp_path, starts=False)
        assert (ends[CONTEXT_EVENTS], ends[TOPICS.dead_letters]) == (1, 1)
        assert {ends[topic] for topic in TOPICS if topic != TOPICS.dead_letters} == {0}
        assert generation(tmp_path) == times


@pytest.mark.parametrize("typed", ["n\n", ""])
def test_who_does_not_say_yes_changes_nothing(tmp_path: Path, typed: str) -> None:
    """The question is asked first."""
    on_log(tmp_path, starts=True)
    fill(tmp_path)
    before = on_log(tmp_path, starts=False)
    done = upnext(tmp_path, typed=typed)
    assert done.exit_code == 1
    assert "lists are 503" in done.output
    assert on_log(tmp_path, starts=False) == before


def test_a_node_that_is_started_before_the_answer_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who says yes after a while hears that somebody folds by now, and nothing has changed."""
    on_log(tmp_path, starts=True)
    fill(tmp_path)
    before = on_log(tmp_path, starts=False)
    asked = False

    def confirm(_question: str, *, abort: bool) -> bool:
        nonlocal asked
        asked = abort
        return True

    async def members(_log: EmbeddedLog, _group: str) -> list[str]:
        return ["somebody"] if asked else []

    monkeypatch.setattr("service.cli.tables.click.confirm", confirm)
    monkeypatch.setattr("service.cli.tables._LEFT_LIMIT_S", 0.0)
    monkeypatch.setattr(EmbeddedLog, "members", members)
    refused = upnext(tmp_path)
    assert (refused.exit_code, "stop every node first" in refused.stderr) == (1, True)
    assert on_log(tmp_path, starts=False) == before


class Behind:
    """Topics of which a broker that is asked first still sees those that are gone."""

    def __init__(self, looks: int) -> None:
        self.looks = looks
        self.there: set[str] = set()

    async def create_topics(self, specs: Iterable[TopicSpec]) -> list[str]:
        """Create what is missing, as far as this broker knows."""
        self.looks -= 1
        created = [] if self.looks >= 0 else [spec.name for spec in specs if spec.name not in self.there]
        self.there.update(created)
        return created

    async def check_topics(self, specs: Iterable[TopicSpec]) -> list[str]:
        """Say what is missing, as far as this broker knows."""
        return (
            []
            if self.looks > 0
            else [f"The topic {spec.name} is missing." for spec in specs if spec.name not in self.there]
        )


async def test_topics_are_made_though_a_broker_still_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked again until those that were deleted are made; where they stay away the command fails."""
    monkeypatch.setattr("service.cli.tables._AGAIN_S", 0.0)
    specs = [spec for spec in topic_specs(1) if spec.name in TOPICS]
    names = {spec.name for spec in specs}
    log = Behind(looks=2)
    await made(log, specs, names)
    assert log.there == names
    for looks, said in ((1, "is missing"), (10, "could not be made anew")):
        with pytest.raises(RefusedStartError, match=f"{said}.* Run this again"):
            await made(Behind(looks), specs, names, limit_s=-1.0)


def test_where_there_is_nothing_to_fold_it_says_so(tmp_path: Path) -> None:
    """No log, one on which no node was started, and one that is in use."""
    assert "There is no log in" in upnext(tmp_path, "--yes").stderr
    assert on_log(tmp_path, starts=False)[REGISTRY_EVENTS] == 0
    assert "nothing to fold again" in upnext(tmp_path, "--yes").stderr
    with held(tmp_path):
        refused = upnext(tmp_path, "--yes")
    assert (refused.exit_code, "stop it" in refused.stderr) == (1, True)
