"""Records that are not ours, a full disk, a corrupted store: never a wrong answer."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from streams.domain.ids import Kind, parse_id
from streams.engine.fatal import die
from streams.log.embedded import EmbeddedLog
from streams.log.kafka import KafkaConfig, KafkaLog
from streams.log.port import Log
from streams.topics import CONTEXT_EVENTS, SESSION_EVENTS, partition_of, view_topics
from tests.service.conftest import Connect, OwnNode, make_pair
from tests.service.oracle import Household
from tests.support.nodes import NodeProcess, item

PARTITIONS = {"embedded": 8, "kafka": 16}


@asynccontextmanager
async def log_of(own: OwnNode) -> AsyncIterator[Log]:
    """The log of a node that is not running."""
    log: Log
    if own.broker:
        log = KafkaLog(KafkaConfig(bootstrap=own.broker.bootstrap))
    else:
        log = EmbeddedLog(own.node.directory / "log", die)
    await log.start()
    try:
        yield log
    finally:
        await log.stop()


async def metric(node: NodeProcess, name: str) -> float:
    async with aiohttp.ClientSession() as http, http.get(f"{node.internal_url}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


@pytest.mark.timeout(180)
async def test_what_is_not_ours_is_a_dead_letter(own_node: OwnNode, connect: Connect) -> None:
    """Garbage in every topic is put aside with its reason, counted, and what comes after it is folded."""
    node = await own_node.node.start()
    pair = await make_pair(connect(node))
    attached = await pair.attach()
    await pair.app.ok("PUT", pair.context_path, item("before"))
    assert node.terminate() == 0, node.tail()
    raw = parse_id(Kind.CONTEXT, pair.context)
    assert raw is not None
    partition = partition_of(raw, PARTITIONS["kafka" if own_node.broker else "embedded"])
    names = view_topics()
    key = f"{pair.context}/{'0' * 32}".encode()
    broken = [
        (CONTEXT_EVENTS, b"nonsense", b"{}"),
        (CONTEXT_EVENTS, key, b"\xff\xfe"),
        (CONTEXT_EVENTS, key, b'{"type":"something.else","id":"' + b"0" * 32 + b'"}'),
        (CONTEXT_EVENTS, key, b'{"type":"context.item_put.v1","id":"' + b"0" * 32 + b'","client":"c","app":"x"}'),
        (
            CONTEXT_EVENTS,
            key,
            b'{"type":"context.item_removed.v1","id":"' + b"1" * 32 + b'","client":"c","content_id":"a"}',
        ),
        (SESSION_EVENTS, b"", b"[]"),
        (names.feed, b"short", b"\x00"),
        (names.feed, raw, b"\xc1"),
        (names.subscriptions, raw, b"not msgpack of ours"),
    ]
    async with log_of(own_node) as log:
        for topic, broken_key, value in broken:
            await log.append(topic, partition, broken_key, value)
    await node.start()
    written = await pair.app.ok("PUT", pair.context_path, item("after"))
    page = await pair.platform.ok("GET", pair.session_path, after=f"{attached},{written.position}")
    assert [entry["content_id"] for entry in page.json["items"]] == ["after", "before"]
    async with asyncio.timeout(20):
        while await metric(node, "upnext_dead_letters_total") < len(broken):
            await asyncio.sleep(0)
    assert await metric(node, "upnext_dead_letters_total") == len(broken)
    assert node.terminate() == 0, node.tail()


@pytest.mark.timeout(180)
async def test_an_event_of_a_newer_version_stops_the_node(own_node: OwnNode, connect: Connect) -> None:
    """Skipping it would lose it: the process ends and says so."""
    node = await own_node.node.start()
    pair = await make_pair(connect(node))
    assert node.terminate() == 0, node.tail()
    raw = parse_id(Kind.CONTEXT, pair.context)
    assert raw is not None
    partition = partition_of(raw, PARTITIONS["kafka" if own_node.broker else "embedded"])
    value = b'{"type":"context.item_rated.v7","id":"' + b"0" * 32 + b'","client":"c"}'
    async with log_of(own_node) as log:
        await log.append(CONTEXT_EVENTS, partition, f"{pair.context}/{'0' * 32}".encode(), value)
    process = node.spawn()
    assert process.wait(60) == 70, node.tail()
    assert "newer version" in node.tail().strip().splitlines()[-1]


@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", [1, 2])
async def test_a_corrupted_store_is_never_read_as_empty(own_node: OwnNode, connect: Connect, seed: int) -> None:
    """Bytes flipped anywhere in a table's files: the node rebuilds it or refuses, and never answers wrongly."""
    node = await own_node.node.start()
    household = await Household.make(connect(node), seed=seed)
    await household.attach_all()
    stop = asyncio.Event()
    writing = asyncio.create_task(household.write_until(stop))
    await household.acknowledge(300)
    stop.set()
    await writing
    assert node.terminate() == 0, node.tail()
    corrupt(node.directory / "tables", random.Random(seed))
    process = node.spawn()
    if await _ready_or_ended(node):
        await household.check()
        assert node.terminate() == 0, node.tail()
    else:
        assert process.wait(5) in (1, 70), node.tail()


def corrupt(tables: Path, source: random.Random) -> None:
    """Overwrite a few bytes in the middle of every table file that is large enough to matter."""
    files = [path for path in sorted(tables.rglob("*")) if path.is_file() and path.stat().st_size > 64]
    chosen = [path for path in files if path.suffix in (".sst", ".log") or path.name.startswith("MANIFEST")]
    assert chosen, files
    for path in chosen:
        content = bytearray(path.read_bytes())
        for _ in range(8):
            content[source.randrange(len(content) // 4, len(content))] ^= 0x5A
        path.write_bytes(bytes(content))


async def _ready_or_ended(node: NodeProcess) -> bool:
    assert node.process is not None
    async with asyncio.timeout(60), aiohttp.ClientSession() as http:
        while node.process.poll() is None:
            try:
                async with http.get(f"{node.internal_url}/health/ready") as answer:
                    if answer.status == 200:
                        return True
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.02)
    return False


@pytest.mark.timeout(180)
async def test_a_full_disk_loses_nothing(own_node: OwnNode, connect: Connect) -> None:
    """With no room to write, the node says so and ends; with room again, everything acknowledged is there."""
    node = await own_node.node.start()
    household = await Household.make(connect(node), seed=31)
    await household.attach_all()
    assert node.terminate() == 0, node.tail()
    largest = max(path.stat().st_size for path in node.directory.rglob("*") if path.is_file())
    node.file_limit = largest + 200_000
    await node.start()
    # Enough to fill a table's write buffer soon, and more than the limit when it is written out.
    household.items, household.description_bytes = 30, 4_000
    stop = asyncio.Event()
    writing = asyncio.create_task(household.write_until(stop))
    assert node.process is not None
    await asyncio.to_thread(node.process.wait, 120)
    stop.set()
    await writing
    last = node.tail().strip().splitlines()[-1]
    assert node.process.returncode == 70, last
    node.file_limit = None
    await node.start()
    await household.check()
    assert node.terminate() == 0, node.tail()
