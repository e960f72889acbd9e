"""A node that is told to stop while it starts ends soon, whatever it has begun, and whether Kafka is there or not."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.support.kafka import Broker
from tests.support.nodes import NodeProcess

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

STARTED_FOR_S = (0.0, 0.2, 0.4, 0.6, 0.9)
"""Moments of a start of about a second, from when it has its ports."""
STOP_S = 20
SILENT_S = 10
"""For so long nothing can be heard of a process before its first line, on a busy machine."""


async def spawned(node: NodeProcess) -> None:
    """Start the process, and return when it listens to signals."""
    before = len(node.tail(1 << 30))
    node.spawn()
    end = time.monotonic() + SILENT_S
    while "node_starting" not in node.tail(1 << 30)[before:]:
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


def ends(node: NodeProcess, after_s: float) -> None:
    status = node.terminate(STOP_S)
    assert status == 0, (after_s, status, node.tail())


async def test_a_start_can_be_stopped_at_any_moment(tmp_path: Path) -> None:
    """No thread and no task that the start has begun keeps the process alive."""
    broker = Broker(tmp_path / "broker")
    broker.start()
    node = NodeProcess(tmp_path / "node", kafka=broker.bootstrap)
    try:
        for after_s in STARTED_FOR_S:
            await spawned(node)
            await asyncio.sleep(after_s)
            ends(node, after_s)
    finally:
        node.kill()
        broker.stop()


@pytest.mark.parametrize("how", ["killed", "frozen"])
async def test_a_start_can_be_stopped_while_kafka_is_away(tmp_path: Path, how: str) -> None:
    """Also where Kafka has gone in the middle of the start, and whatever is under way gets no answer."""
    broker = Broker(tmp_path / "broker")
    broker.start()
    node = NodeProcess(tmp_path / "node", kafka=broker.bootstrap)
    try:
        for after_s in STARTED_FOR_S:
            await spawned(node)
            await asyncio.sleep(after_s)
            broker.kill() if how == "killed" else broker.pause()
            await asyncio.sleep(0.5)
            status = node.terminate(STOP_S)
            # A node that has just found out by itself that it cannot start may say so instead.
            assert status == 0 or node.tail().splitlines()[-1].startswith("upnext: "), (after_s, status, node.tail())
            broker.start() if how == "killed" else broker.resume()
            broker.wait_ready()
    finally:
        node.kill()
        broker.resume()
        broker.stop()


@pytest.mark.parametrize("how", ["killed", "frozen"])
@pytest.mark.parametrize("away_s", [0.0, 7.0])
async def test_a_node_can_be_stopped_while_kafka_is_away(tmp_path: Path, how: str, away_s: float) -> None:
    """A node that serves ends in order, however long Kafka has been away."""
    broker = Broker(tmp_path / "broker")
    broker.start()
    node = NodeProcess(tmp_path / "node", kafka=broker.bootstrap)
    try:
        await node.start()
        broker.kill() if how == "killed" else broker.pause()
        await asyncio.sleep(away_s)
        ends(node, away_s)
    finally:
        node.kill()
        if how == "frozen":
            broker.resume()
        broker.stop()
