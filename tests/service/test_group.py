"""The group of consumers that decides which node has which partitions."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import InconsistentGroupProtocolError

from streams.topics import CONTEXT_EVENTS, VIEW
from tests.service.test_bad_days import metric
from tests.support.kafka import Broker
from tests.support.nodes import NodeProcess

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

REFUSED_S = 40.0
FOLDS = "contexts", "sessions"
SHARED_S = 30.0
LEFT_S = 4.0
"""Shorter than what is left of a session of 6 s, with a heartbeat every second."""
HEARTBEATS_S = 4.0
"""In so long a member hears several times that it is none any more."""


async def test_a_node_that_its_group_refuses_asks_again(tmp_path: Path) -> None:
    """Whatever the coordinator has against it for a while: once it has not any more, the node gets its partitions."""
    broker = Broker(tmp_path / "broker")
    broker.start()
    node = NodeProcess(tmp_path / "node", kafka=broker.bootstrap)
    try:
        await node.start()
        assert node.terminate() == 0, node.tail()
        other = await joined(broker)
        try:
            node.spawn()
            end = time.monotonic() + REFUSED_S
            while "InconsistentGroupProtocol" not in node.tail(1 << 30):
                assert time.monotonic() < end, node.tail()
                await asyncio.sleep(0.1)
        finally:
            await other.stop()
        assert node.process is not None
        assert node.process.poll() is None, node.tail()
        await until_ready(node)
        assert node.terminate() == 0, node.tail()
    finally:
        node.kill()
        broker.stop()


async def test_nodes_that_are_told_no_url_share_the_partitions(tmp_path: Path) -> None:
    """Each on its own machine has the same one then: they are two members all the same, and leave each other be."""
    broker = Broker(tmp_path / "broker")
    broker.start()
    flags = "--internal-url", "http://127.0.0.1:6565", "--partitions", "4"
    nodes = [NodeProcess(tmp_path / name, *flags, kafka=broker.bootstrap) for name in "ab"]
    try:
        for node in nodes:
            await node.start()
        await asyncio.sleep(HEARTBEATS_S)
        recovered = [node.tail(1 << 30).count('"recovered"') for node in nodes]
        await asyncio.sleep(HEARTBEATS_S)
        assert [node.tail(1 << 30).count('"recovered"') for node in nodes] == recovered
        assert all('"event":"recovered"' in node.tail() and '"partitions":4' in node.tail() for node in nodes)
        for node in nodes:
            assert node.terminate() == 0, node.tail()
    finally:
        for node in nodes:
            node.kill()
        broker.stop()


async def test_a_node_that_is_stopped_has_left(tmp_path: Path) -> None:
    """Its partitions are others' at once, and not when its session with the group would have ended."""
    broker = Broker(tmp_path / "broker")
    broker.start()
    first, second = (NodeProcess(tmp_path / name, "--partitions", "2", kafka=broker.bootstrap) for name in "ab")
    try:
        await first.start()
        await second.start()
        await has_ready(first, 2, SHARED_S)
        assert await asyncio.to_thread(second.terminate) == 0, second.tail()
        await has_ready(first, 4, LEFT_S)
        assert first.terminate() == 0, first.tail()
    finally:
        for node in (first, second):
            node.kill()
        broker.stop()


async def has_ready(node: NodeProcess, count: int, limit_s: float) -> None:
    """Return once the node has exactly so many partitions of its two tables ready."""
    async with asyncio.timeout(limit_s):
        while sum([await metric(node, f'upnext_partitions{{processor="{p}",state="ready"}}') for p in FOLDS]) != count:
            await asyncio.sleep(0.02)


async def joined(broker: Broker) -> AIOKafkaConsumer:
    """Return a member of the group who divides partitions in another way: nobody may join who does not."""
    end = time.monotonic() + REFUSED_S
    while True:
        other = AIOKafkaConsumer(CONTEXT_EVENTS, bootstrap_servers=broker.bootstrap, group_id=VIEW)
        try:
            await other.start()
        except InconsistentGroupProtocolError:
            # The node is a member until its session is over.
            await other.stop()
            assert time.monotonic() < end
        else:
            return other


async def until_ready(node: NodeProcess) -> None:
    before = node.tail(1 << 30).count("node_ready")
    end = time.monotonic() + REFUSED_S
    while node.tail(1 << 30).count("node_ready") == before:
        assert time.monotonic() < end, node.tail()
        await asyncio.sleep(0.1)
