"""What happens to nodes, to their disks, and to their ways to the brokers."""

from __future__ import annotations

import asyncio
import random
import shutil
import signal

from tests.nemesis.deployment import GUEST, Deployment, Kept
from tests.nemesis.network import Way
from tests.nemesis.schedule import Fault

_STOP_LIMIT_S = 40.0
_MOST_AHEAD_S = 14.0
"""Of a node's clock, either way: two nodes' differ by less than the 30 s that they may."""
_FILE_LIMITS = (1 << 13, 1 << 15, 1 << 17)
"""Bytes of the largest file on a disk that is full; what is written here is in small files."""


def _node(deployment: Deployment, fault: Fault) -> Kept:
    return deployment.nodes[fault.target]


async def killed(deployment: Deployment, fault: Fault) -> None:
    node = _node(deployment, fault)
    _kill(node)
    await asyncio.sleep(fault.lasting_s)
    node.start()


def _kill(node: Kept) -> None:
    node.wanted = False
    if node.is_running:
        node.process.kill()


async def stopped(deployment: Deployment, fault: Fault) -> None:
    node = _node(deployment, fault)
    await _stop(node)
    await asyncio.sleep(fault.lasting_s)
    node.start()


async def _stop(node: Kept) -> None:
    node.wanted = False
    if node.is_running:
        status = await asyncio.to_thread(node.process.terminate, _STOP_LIMIT_S)
        # One that has only just been started does not listen yet.
        if status not in (0, -signal.SIGTERM):
            node.note_end(status)


async def paused(deployment: Deployment, fault: Fault) -> None:
    node = _node(deployment, fault)
    process = node.process.process
    if process is None or not node.is_running:
        return
    process.send_signal(signal.SIGSTOP)
    await asyncio.sleep(fault.lasting_s)
    process.send_signal(signal.SIGCONT)


async def bounced(deployment: Deployment, fault: Fault) -> None:
    """With an empty disk it has most to recover; it is killed in the middle of that."""
    node = _node(deployment, fault)
    _kill(node)
    _wipe(node)
    node.start()
    await asyncio.sleep(1 + fault.lasting_s)
    _kill(node)
    node.start()


async def cut(deployment: Deployment, fault: Fault) -> None:
    await _way(deployment, fault, Way.CLOSED)


async def held(deployment: Deployment, fault: Fault) -> None:
    await _way(deployment, fault, Way.HELD)


async def _way(deployment: Deployment, fault: Fault, way: Way) -> None:
    node = _node(deployment, fault)
    await node.set_way(way)
    await asyncio.sleep(fault.lasting_s)
    await node.set_way(Way.OPEN)


async def cut_from_one(deployment: Deployment, fault: Fault) -> None:
    link = random.Random(fault.seed).choice(_node(deployment, fault).links)
    await link.set_way(random.Random(fault.seed).choice([Way.CLOSED, Way.HELD]))
    await asyncio.sleep(fault.lasting_s)
    await link.set_way(Way.OPEN)


async def store_wiped(deployment: Deployment, fault: Fault) -> None:
    node = _node(deployment, fault)
    _kill(node)
    _wipe(node)
    await asyncio.sleep(fault.lasting_s)
    node.start()


def _wipe(node: Kept) -> None:
    shutil.rmtree(node.process.directory / "tables", ignore_errors=True)


async def store_corrupted(deployment: Deployment, fault: Fault) -> None:
    """Any bytes of any files of the tables are others now, or the file ends early."""
    node = _node(deployment, fault)
    await _stop(node)
    source = random.Random(fault.seed)
    files = [path for path in sorted((node.process.directory / "tables").rglob("*")) if path.is_file()]
    for path in source.sample(files, min(len(files), 1 + source.randrange(8))):
        content = bytearray(path.read_bytes())
        if content and source.random() < 0.3:
            content = content[: source.randrange(len(content))]
        for _ in range(8):
            if content:
                content[source.randrange(len(content))] ^= 0x5A
        path.write_bytes(bytes(content))
    await asyncio.sleep(fault.lasting_s)
    node.start()


async def disk_full(deployment: Deployment, fault: Fault) -> None:
    """No file may grow; the node ends by itself, or does not need to."""
    node = _node(deployment, fault)
    _kill(node)
    node.process.file_limit = random.Random(fault.seed).choice(_FILE_LIMITS)
    node.start()
    await asyncio.sleep(fault.lasting_s)
    await _stop(node)
    node.process.file_limit = None
    node.start()


async def clock_stepped(deployment: Deployment, fault: Fault) -> None:
    """Its wall clock goes forth or back at once, and back to what it was; clocks may differ by 30 s."""
    node = _node(deployment, fault)
    node.clock.step(random.Random(fault.seed).uniform(-_MOST_AHEAD_S, _MOST_AHEAD_S))
    await asyncio.sleep(fault.lasting_s)
    node.clock.step(0.0)


async def guest_joins(deployment: Deployment, fault: Fault) -> None:
    """A node more comes, and goes again, in order or not."""
    node = deployment.nodes[GUEST]
    node.start()
    await asyncio.sleep(fault.lasting_s)
    if fault.seed % 2:
        _kill(node)
    else:
        await _stop(node)


async def all_killed(deployment: Deployment, fault: Fault) -> None:
    nodes = deployment.nodes[:GUEST]
    for node in nodes:
        _kill(node)
    await asyncio.sleep(fault.lasting_s)
    for node in nodes:
        node.start()
