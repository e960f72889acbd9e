"""Nodes that tell each other through a real log which partitions they serve."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from streams.domain.nodes import NodeSaid, TableName
from streams.engine.fatal import die
from streams.log.embedded import EmbeddedLog
from streams.nodes import Nodes
from streams.topics import NODES, VIEW, Kept, TopicSpec, partition_of

PARTITIONS = 4
SPEC = TopicSpec(NODES, 1, Kept.LATEST, log_append_time=True)
IDS = {partition_of(bytes([n]), PARTITIONS): bytes([n]) for n in range(64)}
"""Partition → an id in it."""


@dataclass
class Served:
    served: bool


@dataclass
class Part:
    """What is here of a table."""

    partitions: dict[int, Served] = field(default_factory=dict)
    copies: dict[int, Served] = field(default_factory=dict)


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[EmbeddedLog]:
    log = EmbeddedLog(tmp_path / "log", die)
    await log.start()
    await log.create_topics([SPEC])
    yield log
    await log.stop()


class OneNode:
    """A node with partitions that a test gives and takes."""

    def __init__(self, log: EmbeddedLog | None, name: str, view: str = VIEW) -> None:
        self.live = VIEW
        contexts, sessions = Part(), Part()
        self.contexts, self.sessions, self.copies = contexts.partitions, sessions.partitions, contexts.copies
        me = NodeSaid(name=name, url=f"http://{name}", roles=("api", "streams"), view=view, started_ms=1)
        tables = {TableName.CONTEXTS: contexts, TableName.SESSIONS: sessions}
        self.nodes = Nodes(log, me, PARTITIONS, tables=tables, lag_events=lambda: 5, live=lambda: self.live, die=die)

    def owner(self, table: TableName, partition: int) -> str | None:
        found = self.nodes.owner(table, IDS[partition])
        return None if found is None else found.name


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def test_they_hear_of_each_other(log: EmbeddedLog) -> None:
    """Of what is served, not of what is being recovered; of each change; and who comes later hears of it at once."""
    a, b = OneNode(log, "a"), OneNode(log, "b")
    a.contexts[0], a.sessions[1] = Served(True), Served(False)
    await a.nodes.start()
    await b.nodes.start()
    await until(lambda: b.owner(TableName.CONTEXTS, 0) == "a")
    assert b.owner(TableName.SESSIONS, 1) is None
    assert a.nodes.is_here(TableName.SESSIONS, IDS[1])
    assert not a.nodes.is_here(TableName.SESSIONS, IDS[0])
    assert a.owner(TableName.CONTEXTS, 0) is None, "a node does not forward to itself"
    a.sessions[1].served = True
    await until(lambda: b.owner(TableName.SESSIONS, 1) == "a")
    del a.contexts[0]
    b.contexts[0] = Served(True)
    await until(lambda: a.owner(TableName.CONTEXTS, 0) == "b" and b.owner(TableName.CONTEXTS, 0) is None)
    late = OneNode(log, "late")
    await late.nodes.start()
    assert late.owner(TableName.CONTEXTS, 0) == "b"
    assert [(n.said.name, n.said.lag_events) for n in late.nodes.known()][:2] == [("a", 5), ("b", 5)]
    for node in (a, b, late):
        await node.nodes.stop()


async def test_who_stops_says_so(log: EmbeddedLog) -> None:
    """From then on nobody forwards to it."""
    a, b = OneNode(log, "a"), OneNode(log, "b")
    a.contexts[0] = Served(True)
    await a.nodes.start()
    await b.nodes.start()
    await until(lambda: b.owner(TableName.CONTEXTS, 0) == "a")
    await a.nodes.stop()
    await until(lambda: [n.said.name for n in b.nodes.known()] == ["b"])
    await b.nodes.stop()


async def test_what_cannot_be_read_is_passed_over(log: EmbeddedLog) -> None:
    """It is a hint, so nobody stops for it."""
    await log.append(NODES, 0, b"x", b"no JSON")
    await log.append(NODES, 0, b"\xff", None)
    a = OneNode(log, "a")
    await a.nodes.start()
    await until(lambda: [n.said.name for n in a.nodes.known()] == ["a"])
    await a.nodes.stop()


async def test_the_only_node_says_nothing() -> None:
    """It knows itself, and nobody else."""
    alone = OneNode(None, "alone")
    alone.contexts[2] = alone.copies[3] = Served(True)
    alone.copies[4] = Served(False)
    await alone.nodes.start()
    (known,) = alone.nodes.known()
    assert (known.said.name, known.said.contexts, known.silent_ms) == ("alone", (2,), 0)
    assert (known.said.context_copies, known.said.session_copies) == ((3,), ())
    assert alone.owner(TableName.CONTEXTS, 2) is None
    await alone.nodes.stop()


async def test_they_hear_what_is_asked_of_others(log: EmbeddedLog) -> None:
    """With the next sign of life, and of themselves nothing; who is not told of it says nothing of it."""
    a, b = OneNode(log, "a"), OneNode(log, "b")
    await a.nodes.start()
    await b.nodes.start()
    await until(lambda: a.nodes.asked_of_others() == b.nodes.asked_of_others() == [{}])
    a.nodes.tell_of(lambda: {"client": (12.5, 3.0)})
    a.contexts[0] = Served(True)
    await until(lambda: b.nodes.asked_of_others() == [{"client": (12.5, 3.0)}])
    assert a.nodes.asked_of_others() == [{}]
    for node in (a, b):
        await node.nodes.stop()


async def test_clients_are_answered_from_the_live_version_only(log: EmbeddedLog) -> None:
    """A node of another version hands its clients' calls on; what other nodes ask it for, it answers all the same."""
    a, b = OneNode(log, "a"), OneNode(log, "b", "upnext-v2")
    a.contexts[0], b.contexts[0] = Served(True), Served(True)
    await a.nodes.start()
    await b.nodes.start()
    await until(lambda: b.owner(TableName.CONTEXTS, 0) == "a")
    assert (a.nodes.serves(TableName.CONTEXTS, IDS[0]), b.nodes.serves(TableName.CONTEXTS, IDS[0])) == (True, False)
    assert b.nodes.own.serves(TableName.CONTEXTS, IDS[0])
    a.live = "upnext-v2"
    await until(lambda: a.owner(TableName.CONTEXTS, 0) == "b")
    assert not a.nodes.is_here(TableName.CONTEXTS, IDS[0])
    assert a.nodes.own.is_here(TableName.CONTEXTS, IDS[0])
    assert (a.nodes.unserved(VIEW), a.nodes.lag_events("upnext-v2")) == (len(TableName) * PARTITIONS - 1, 5)
    await a.nodes.stop()
    await b.nodes.stop()
