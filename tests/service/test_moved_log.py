"""A deployment moved from the embedded log to Kafka, then by files into another log: nobody sees a difference."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.conftest import Connect
from tests.service.oracle import Household
from tests.service.test_rebuilt_tables import Lists, upnext
from tests.support.kafka import Broker
from tests.support.nodes import NodeProcess

OLD, ON_KAFKA, NEW = "8", "5", "3"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(tmp_path / "broker") as broker:
        yield broker


async def log_command(node: NodeProcess, *words: str, status: int = 0) -> str:
    done = await upnext(node, "log", *words)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


async def same(household: Household, lists: Lists, node: NodeProcess) -> None:
    """Check that every list is what it was, and that tokens of the log that was left ask for nothing more."""
    await household.check()
    assert await lists.compare(node) == 0
    await lists.hold()


@pytest.mark.kafka
@pytest.mark.timeout(180)
async def test_a_running_deployment_is_moved(broker: Broker, tmp_path: Path, connect: Connect) -> None:
    """
    Copied to Kafka while it is written to, with one stop for the rest; then exported, and imported elsewhere.

    Each log has another number of partitions. Ids, credentials and lists stay what they are, byte for byte.
    """
    node = await NodeProcess(tmp_path / "node", "--partitions", OLD).start()
    to_kafka = ("copy", "--data", str(node.directory), "--kafka", broker.bootstrap, "--partitions", ON_KAFKA)
    try:
        household = await Household.make(connect(node), seed=71)
        await household.attach_all()
        stop = asyncio.Event()
        writing = asyncio.create_task(household.write_until(stop))
        await household.acknowledge(200)
        assert "The node goes on" in await log_command(node, *to_kafka)
        await household.acknowledge(200)
        stop.set()
        await writing
        await household.check()
        lists = Lists(household)
        await lists.read()
        assert node.terminate() == 0, node.tail()

        assert "start the node with --kafka" in await log_command(node, *to_kafka)
        assert "All was moved" in await log_command(node, *to_kafka, status=1)
        (progress,) = node.directory.glob("copy-*.json")
        noted = json.loads(progress.read_bytes())
        progress.write_text(json.dumps({**noted, "done": False}))  # as if it had been killed before it noted that
        assert "start the node with --kafka" in await log_command(node, *to_kafka)
        assert node.spawn().wait(30) == 1
        assert "was moved to Kafka" in node.tail()
        node.kafka, node.flags = broker.bootstrap, ("--partitions", ON_KAFKA)
        await node.start()
        await same(household, lists, node)
        for context in household.contexts:
            await household.write(context)
        await household.check()
        await lists.read()

        files = tmp_path / "files"
        on_kafka = ("--data", str(node.directory), "--kafka", broker.bootstrap)
        await log_command(node, "export", str(files), *on_kafka)
        assert node.terminate() == 0, node.tail()
        assert "\n0 records written" in await log_command(node, "export", str(files), *on_kafka)
        node.kafka, node.directory, node.flags = None, tmp_path / "elsewhere", ("--partitions", NEW)
        elsewhere = ("import", str(files), "--data", str(node.directory), "--partitions", NEW)
        assert "start the nodes" in await log_command(node, *elsewhere)
        assert "a log in" in await log_command(node, *elsewhere, status=1)
        await node.start()
        await same(household, lists, node)
        await household.write(household.contexts[0])
        await household.check()
        assert node.terminate() == 0, node.tail()
    finally:
        node.kill()
