"""The next version of the views is built beside the live one, switched to, left again, and dropped."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from streams.domain.ids import Kind, parse_id
from streams.topics import CONTEXT_EVENTS, partition_of, view_specs, view_topics
from tests.service.conftest import Connect, OwnNode
from tests.service.oracle import Household
from tests.service.test_bad_days import PARTITIONS, log_of, metric
from tests.service.test_rebuilt_tables import Lists, dead_letters, upnext
from tests.support.nodes import NodeProcess

V1, V2 = "upnext-v1", "upnext-v2"


class Builder(NodeProcess):
    """`upnext rebuild start`, which on Kafka is a node for the next version."""

    beside: NodeProcess

    def command(self) -> list[str]:
        program = str(Path(sys.executable).with_name("upnext"))
        where = ["--data", str(self.directory), "--internal", f"127.0.0.1:{self.internal_port}"]
        kafka = ["--kafka", self.kafka] if self.kafka else []
        return [program, "rebuild", "start", "--url", self.beside.internal_url, *where, *kafka, *self.flags]


async def rebuild(node: NodeProcess, *words: str, refused: str = "") -> str:
    """Run `upnext rebuild …` for a deployment; return what it says, which is that it is *refused* where given."""
    done = await upnext(node, "rebuild", *words, "--url", node.internal_url)
    assert done.returncode == int(bool(refused)), (done.stdout, done.stderr)
    assert refused in done.stderr
    return done.stdout


async def views(node: NodeProcess) -> dict[str, Any]:
    return {view["name"]: view for view in json.loads(await rebuild(node, "status", "--json"))["views"]}


async def until_stopped(node: NodeProcess, place: str) -> None:
    async with asyncio.timeout(30):
        while place not in (await views(node)).get(V2, {"waitsFor": []})["waitsFor"]:
            await asyncio.sleep(0.1)


async def until_caught_up(node: NodeProcess, most_behind: int) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while True:
            view: dict[str, Any] = (await views(node))[V2]
            if view["isWhole"] and not view["unserved"] and view["lag"] <= most_behind:
                return view
            await asyncio.sleep(0.1)


async def are_the_same(node: NodeProcess, names: tuple[str, str], *, is_quiet: bool) -> None:
    """
    Compare the live version with another one: each list of theirs is the same, byte for byte.

    Where nothing *is quiet*, some may not stand still for long enough on a machine that has much else to do.
    """
    compared = json.loads(await rebuild(node, "compare", "--json"))
    assert (tuple(compared["versions"]), compared["differences"]) == (names, [])
    assert all(len(set(part["digests"].values())) == 1 for part in compared["partitions"]), compared
    lists, moving = (
        sum(part["lists"] for part in compared["partitions"]),
        [part["moving"] for part in compared["partitions"]],
    )
    assert sum(map(len, moving)) <= (0 if is_quiet else lists), compared
    assert lists > 0


async def with_garbage(own: OwnNode, context: str) -> str:
    """Have a record that says nothing in a context's partition; return its place."""
    raw = parse_id(Kind.CONTEXT, context)
    assert raw is not None
    partition = partition_of(raw, PARTITIONS["kafka" if own.broker else "embedded"])
    assert own.node.terminate() == 0, own.node.tail()
    async with log_of(own) as log:
        offset = await log.end_offset(CONTEXT_EVENTS, partition)
        await log.append(CONTEXT_EVENTS, partition, f"{context}/{'0' * 32}".encode(), b"{}")
    await own.node.start()
    return f"{CONTEXT_EVENTS}-{partition}-{offset}"


@asynccontextmanager
async def read_all_the_while(lists: Lists) -> AsyncIterator[None]:
    """Have every list read again and again: none fails, and each is no older than the one before."""
    stop = asyncio.Event()

    async def read(one: int) -> int:
        caller, path = lists.of[one]
        after, reads = "", 0
        while not stop.is_set():
            answer = await caller.call("GET", path, after=after)
            assert answer.status == 200, (path, answer.status, answer.body)
            after, reads = answer.position, reads + 1
        return reads

    async with asyncio.TaskGroup() as group:
        readers = [group.create_task(read(n)) for n in range(len(lists.of))]
        try:
            yield
        finally:
            stop.set()
    assert all(reader.result() for reader in readers)


async def switched(node: NodeProcess, by: NodeProcess, household: Household, how: str, to: str) -> None:
    """Switch by one node while lists are read and written at another, which hears of it at once."""
    lists, stop = Lists(household), asyncio.Event()
    writing = asyncio.create_task(household.write_until(stop))
    async with read_all_the_while(lists):
        await household.acknowledge(50)
        await rebuild(by, how)
        began = time.monotonic()
        while (await views(node))[to]["stage"] != "live":
            assert time.monotonic() - began < 5
        await household.acknowledge(50)
    stop.set()
    await writing


async def is_the_same(household: Household, node: NodeProcess, before: Lists) -> None:
    """Check that lists are, byte for byte, what they were, and that their tags tell the versions apart."""
    await household.check()
    assert await before.compare(node) == 0
    await before.hold()


@pytest.mark.timeout(300)
async def test_a_version_is_built_read_left_and_dropped(own_node: OwnNode, connect: Connect) -> None:
    """
    Beside the live one, which is read and written all the while, also where the building is killed in the middle.

    It stops at a record that nobody has decided about. What is read afterwards is the same, byte for byte. The way back
    is as short, and what is live is never dropped.
    """
    node = await own_node.node.start()
    household = await Household.make(connect(node), seed=91)
    await household.attach_all()
    stop = asyncio.Event()
    writing = asyncio.create_task(household.write_until(stop))
    await household.acknowledge(600)
    stop.set()
    await writing
    place = await with_garbage(own_node, household.contexts[0].id)
    await rebuild(node, "switch", refused="No version of the views is being built")
    await rebuild(node, "rollback", refused="There is no way back")
    builder = Builder(own_node.directory / "next", "--max-events-per-second", "400", kafka=node.kafka)
    builder.beside = node
    builder.spawn()
    try:
        await _built(own_node, builder, household, place)
        by = builder if own_node.broker else node
        await switched(node, by, household, "switch", V2)
        await household.check()
        await rebuild(node, "drop", V2, "--yes", refused="never dropped")
        await switched(node, by, household, "rollback", V1)
        # It waits until all that was written is read.
        await household.check()
        quiet = Lists(household)
        await quiet.read()
        # Who bears no position may be shown what the other version has by then.
        await until_caught_up(node, 0)
        await rebuild(node, "switch")
        await is_the_same(household, node, quiet)
        if own_node.broker:
            await rebuild(node, "drop", V1, "--yes", refused="folds upnext-v1")
            # Without --view it folds what is live by now.
            assert node.terminate() == 0, node.tail()
            await node.start()
        await rebuild(node, "drop", V1, "--yes")
        await is_the_same(household, node, quiet)
        assert list(await views(node)) == [V2]
    finally:
        if builder.process is not None and builder.process.poll() is None:
            builder.terminate()
    assert node.terminate() == 0, node.tail()
    await _nothing_left(own_node, household)


async def _built(own: OwnNode, builder: Builder, household: Household, place: str) -> None:
    """Have the next version built, over a kill and the record at *place*, while its lists are written to."""
    node = own.node
    stop = asyncio.Event()
    writing = asyncio.create_task(household.write_until(stop))
    folded = await metric(node, "upnext_dead_letters_total")
    await until_stopped(node, place)
    await rebuild(node, "switch", refused="has not folded yet")
    await household.acknowledge(100)
    assert await metric(node, "upnext_dead_letters_total") == folded
    killed = builder if own.broker else node
    if not own.broker:
        stop.set()
        await writing
    killed.kill()
    if own.broker:
        builder.spawn()
    else:
        await node.start()
        stop.clear()
        writing = asyncio.create_task(household.write_until(stop))
    await until_stopped(node, place)
    await dead_letters(node, "drop", place)
    # More is written in a second than it may fold: again without a limit, it goes on as fast as it can.
    assert f"{V2} is built" in await rebuild(node, "start")
    await until_caught_up(node, 500)
    audited = await upnext(node, "audit", "--view", V2, "--sample", "50", "--seed", "91", "--url", node.internal_url)
    assert audited.returncode == 0, (audited.stdout, audited.stderr)
    await are_the_same(node, (V1, V2), is_quiet=False)
    stop.set()
    await writing


async def _nothing_left(own: OwnNode, household: Household) -> None:
    """Check that the topics and stores of the first version are gone, and a node folds the second one alone."""
    async with log_of(own) as log:
        partitions = PARTITIONS["kafka" if own.broker else "embedded"]
        missing = await log.check_topics(view_specs(partitions, V1))
        assert len(missing) == len(view_topics(V1))
    tables = own.node.directory / "tables"
    assert {one.name for one in tables.iterdir()} == {V2}
    await own.node.start()
    await household.check()
    assert own.node.terminate() == 0, own.node.tail()
