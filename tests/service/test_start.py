"""A node that must not start says in one sentence why, and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.service.conftest import Connect, OwnNode
from tests.support.nodes import NodeProcess


def refused(node: NodeProcess) -> str:
    """Run the node; return its last line once it has ended with exit status 1."""
    process = node.spawn()
    try:
        status = process.wait(30)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(10)
    lines = node.tail().strip().splitlines()
    assert status == 1, lines[-5:]
    return lines[-1]


@pytest.mark.timeout(120)
async def test_a_directory_in_use(own_node: OwnNode) -> None:
    """Two processes never share a data directory."""
    await own_node.node.start()
    second = NodeProcess(own_node.node.directory, kafka=own_node.node.kafka)
    second.output = own_node.directory / "second.log"
    assert "in use" in refused(second)


@pytest.mark.timeout(120)
async def test_another_number_of_partitions(own_node: OwnNode) -> None:
    """The number of partitions is fixed for the life of a deployment."""
    node = await own_node.node.start()
    assert node.terminate() == 0, node.tail()
    other = own_node.another("other", "--partitions", "5")
    other.output = own_node.directory / "other.log"
    assert "partitions" in refused(other)


@pytest.mark.timeout(120)
async def test_another_master_key(own_node: OwnNode) -> None:
    """Ids made with one key would be strangers under another."""
    node = await own_node.node.start()
    assert node.terminate() == 0, node.tail()
    other = own_node.another("other", UPNEXT_MASTER_KEY="ab" * 32)
    other.output = own_node.directory / "other.log"
    assert "key" in refused(other)


async def test_a_port_in_use(own_node: OwnNode, tmp_path: Path) -> None:
    """Somebody else listens there already."""
    node = await own_node.node.start()
    other = NodeProcess(tmp_path / "embedded")
    other.port = node.port
    assert str(node.port) in refused(other)


async def test_no_broker_there(tmp_path: Path) -> None:
    """A broker that cannot be reached is named."""
    node = NodeProcess(tmp_path / "node", kafka="127.0.0.1:9", env={"UPNEXT_KAFKA_START_LIMIT_S": "2"})
    assert "127.0.0.1:9" in refused(node)


async def test_a_second_start_on_the_same_data(own_node: OwnNode, connect: Connect) -> None:
    """What was configured before a stop is there after it."""
    node = await own_node.node.start()
    company = await connect(node).company("Still here")
    assert node.terminate() == 0, node.tail()
    await node.start()
    found = await connect(node).admin.ok("GET", f"/api/v1/companies/{company}")
    assert found.json["name"] == "Still here"
    assert node.terminate() == 0, node.tail()
