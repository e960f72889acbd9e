"""A changelog that was lost: the tables are folded again from the sources by one command, to the same lists."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from streams.domain.ids import Kind, parse_id
from streams.topics import CONTEXT_EVENTS, partition_of, topic_specs, view_topics
from tests.service.conftest import Connect, OwnNode
from tests.service.oracle import Context, Household
from tests.service.test_bad_days import PARTITIONS, log_of, metric
from tests.support.nodes import ADMIN_TOKEN, Answer, Caller, NodeProcess, item

TOPICS = view_topics()


async def upnext(node: NodeProcess, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command beside the node, or without it."""
    program = str(Path(sys.executable).with_name("upnext"))
    return await asyncio.to_thread(
        subprocess.run,
        [program, *words],
        capture_output=True,
        text=True,
        timeout=180,
        env={**node.env, **more},
        check=False,
    )


async def dead_letters(node: NodeProcess, *words: str) -> str:
    done = await upnext(node, "dead-letters", *words, UPNEXT_TOKEN=ADMIN_TOKEN, UPNEXT_URL=node.url)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def rebuild(node: NodeProcess) -> subprocess.CompletedProcess[str]:
    where = ["--data", str(node.directory), *(["--kafka", node.kafka] if node.kafka else [])]
    return await upnext(node, "tables", "rebuild", "--yes", *where)


class Lists:
    """Every list of a household, and what each was when it was read whole."""

    def __init__(self, household: Household) -> None:
        contexts = [(context.app, f"{context.path}?limit=200") for context in household.contexts]
        sessions = [(household.platform, f"/v1/sessions/upnext/{session}?limit=200") for session in household.sessions]
        of_contexts = [
            (household.platform, f"/v1/sessions/upnext/{household.sessions[0]}/{context.id}?limit=200")
            for context in household.contexts
        ]
        members = [(household.platform, f"/v1/sessions/upnext/{session}/contexts") for session in household.sessions]
        self.of: list[tuple[Caller, str]] = [*contexts, *sessions, *of_contexts, *members]
        self.whole: dict[str, Answer] = {}

    async def read(self) -> None:
        """Read every list, for later comparison."""
        for caller, path in self.of:
            self.whole[path] = await caller.ok("GET", path)

    async def compare(self, node: NodeProcess) -> int:
        """Read every list once from *node*; return how many were 503. Each other one is what it was, byte for byte."""
        refused = 0
        for caller, path in self.of:
            answer = await replace(caller, url=node.url).call("GET", path)
            if answer.status == 503:
                refused += 1
                continue
            assert answer.status == 200, (path, answer.status, answer.body)
            assert answer.body == self.whole[path].body, path
            assert answer.headers.get("Paket-View") == self.whole[path].headers.get("Paket-View")
        return refused

    async def hold(self) -> None:
        """Check that positions of before are still good, and that no tag of before stands for what is read now."""
        for caller, path in self.of:
            before = self.whole[path]
            answer = await caller.ok("GET", path, after=before.position)
            assert answer.body == before.body
            # A context's list is known by its last event, a session's by how often its row was changed.
            if "/v1/sessions" in path:
                assert answer.headers["ETag"] != before.headers["ETag"]


async def mended_dead_letter(own: OwnNode, context: Context) -> None:
    """Have a record that says nothing in a context's partition, and an event that stands for it."""
    node = own.node
    raw = parse_id(Kind.CONTEXT, context.id)
    assert raw is not None
    partition = partition_of(raw, PARTITIONS["kafka" if own.broker else "embedded"])
    assert node.terminate() == 0, node.tail()
    async with log_of(own) as log:
        offset = await log.end_offset(CONTEXT_EVENTS, partition)
        await log.append(CONTEXT_EVENTS, partition, f"{context.id}/{'0' * 32}".encode(), b"{}")
    await node.start()
    place = f"{CONTEXT_EVENTS}-{partition}-{offset}"
    async with asyncio.timeout(20):
        while place not in await dead_letters(node, "list"):
            pass
    event = {"type": "context.item_put.v1", "client": "0" * 16, "app": context.app.tenant}
    file = node.directory / "event.json"
    file.write_text(json.dumps({**event, "item": item("mended", title="mended 1")}))
    await dead_letters(node, "replace", place, str(file))
    context.items["mended"] = "mended 1"


async def lose(own: OwnNode, *, rest: int) -> None:
    """Replace the changelog of contexts by one that has only its last records."""
    partitions = PARTITIONS["kafka" if own.broker else "embedded"]
    specs = [spec for spec in topic_specs(partitions) if spec.name == TOPICS.contexts_changelog]
    async with log_of(own) as log:
        kept: dict[int, list[tuple[bytes, bytes | None]]] = {}
        for number in range(partitions):
            end = await log.end_offset(TOPICS.contexts_changelog, number)
            chunks = log.read(TOPICS.contexts_changelog, number, max(0, end - rest), end)
            kept[number] = [(r.key or b"", r.value) async for chunk in chunks for r in chunk.records]
        await log.delete_topics([spec.name for spec in specs])  # type: ignore[attr-defined]
        await log.create_topics(specs)
        for number, rows in kept.items():
            await log.append_many(TOPICS.contexts_changelog, number, rows)


def stopped(*nodes: NodeProcess) -> None:
    for node in nodes:
        assert node.terminate() == 0, node.tail()


async def total(nodes: list[NodeProcess], name: str) -> float:
    return sum([await metric(node, name) for node in nodes])


@pytest.mark.timeout(240)
async def test_a_lost_changelog_is_made_again_from_the_sources(own_node: OwnNode, connect: Connect) -> None:
    """
    Lost or cut short, it keeps the node from starting; after the command all nodes fold all events again.

    Meanwhile lists are 503 or whole, never in part or older; then they are what they were, byte for byte, whatever was
    decided about dead letters, and positions hold.
    """
    node = await own_node.node.start()
    nodes = [node, own_node.another("second")] if own_node.broker else [node]
    household = await Household.make(connect(node), seed=61)
    await household.attach_all()
    stop = asyncio.Event()
    writing = asyncio.create_task(household.write_until(stop))
    refusing = asyncio.create_task(rebuild(node))
    await household.acknowledge(400)
    refused = await refusing
    stop.set()
    await writing
    assert refused.returncode == 1, refused.stdout
    assert "stop" in refused.stderr
    await mended_dead_letter(own_node, household.contexts[0])
    await household.check()
    lists = Lists(household)
    await lists.read()
    async with AsyncExitStack() as running:
        for other in nodes[1:]:
            await running.enter_async_context(other)
        await _lost_and_made_again(own_node, nodes, household, lists)


async def _lost_and_made_again(own: OwnNode, nodes: list[NodeProcess], household: Household, lists: Lists) -> None:
    node = nodes[0]
    for rest in (0, 3):
        stopped(*nodes)
        await lose(own, rest=rest)
        if rest:
            assert node.spawn().wait(60) == 70, node.tail()
            assert "upnext tables rebuild" in node.tail().strip().splitlines()[-1]
        done = await rebuild(node)
        assert done.returncode == 0, done.stderr
        for each in nodes:
            each.spawn()
        assert all(await asyncio.gather(*(_refused_until_whole(each, lists) for each in nodes)))
        await lists.hold()
        await household.check()
        assert await total(nodes, "upnext_stores_set_aside_total") > 0
        assert await total(nodes, "upnext_dead_letters_total") == 0
        assert await total(nodes, "upnext_dead_letters_decided_total") == 1
    await household.write(household.contexts[1])
    stopped(*nodes)
    await node.start()
    assert await metric(node, "upnext_stores_set_aside_total") == 0
    await household.check()
    assert node.terminate() == 0, node.tail()


async def _refused_until_whole(node: NodeProcess, lists: Lists) -> int:
    """Read every list again and again from the first moment on until none is 503; return how many were."""
    refused = 0
    async with asyncio.timeout(60):
        while True:
            assert node.process is not None
            assert node.process.poll() is None, node.tail()
            try:
                now = await lists.compare(node)
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.02)  # it does not listen yet
                continue
            refused += now
            if not now:
                return refused
