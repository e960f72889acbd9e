"""What happens to brokers, and to their disks."""

from __future__ import annotations

import asyncio

from tests.nemesis.deployment import Deployment
from tests.nemesis.schedule import BROKERS, Fault
from tests.support.kafka import Broker

_FENCED_S = 1.5
"""Longer than a broker's session with the controllers, 1 s here: it is not taken for in sync any more."""


def _chosen(deployment: Deployment, fault: Fault, count: int = 1) -> list[Broker]:
    brokers = deployment.cluster.brokers
    return [brokers[(fault.target + n) % BROKERS] for n in range(count)]


async def killed(deployment: Deployment, fault: Fault) -> None:
    await _kill(_chosen(deployment, fault), fault.lasting_s)


async def two_killed(deployment: Deployment, fault: Fault) -> None:
    await _kill(_chosen(deployment, fault, 2), fault.lasting_s)


async def _kill(brokers: list[Broker], lasting_s: float) -> None:
    for broker in brokers:
        broker.kill()
    await asyncio.sleep(lasting_s)
    await _start(brokers)


async def _start(brokers: list[Broker]) -> None:
    for broker in brokers:
        broker.spawn()
    for broker in brokers:
        await asyncio.to_thread(broker.wait_ready)


async def paused(deployment: Deployment, fault: Fault) -> None:
    await _pause(_chosen(deployment, fault), fault.lasting_s)


async def two_frozen(deployment: Deployment, fault: Fault) -> None:
    await _pause(_chosen(deployment, fault, 2), fault.lasting_s)


async def _pause(brokers: list[Broker], lasting_s: float) -> None:
    for broker in brokers:
        await asyncio.to_thread(broker.pause)
    await asyncio.sleep(lasting_s)
    for broker in brokers:
        broker.resume()


async def wiped(deployment: Deployment, fault: Fault) -> None:
    """
    Replace a broker's disk, as an operator may.

    That is, while the two others have everything, and never a second one before the first has it again: with two copies
    of three, what is acknowledged may be on one other disk only.
    """
    assert await deployment.in_sync(), "the brokers are not in sync: a disk must not be replaced now"
    (broker,) = _chosen(deployment, fault)
    broker.kill()
    await asyncio.sleep(max(_FENCED_S, fault.lasting_s))
    broker.wipe()
    await _start([broker])
    assert await deployment.in_sync(), "the brokers are not in sync again"


async def rolled(deployment: Deployment, fault: Fault) -> None:
    """Stop and start one broker after another, each once all are in sync."""
    for broker in _chosen(deployment, fault, BROKERS):
        assert await deployment.in_sync(), "the brokers are not in sync: none may be stopped now"
        await asyncio.to_thread(broker.stop)
        await asyncio.sleep(fault.lasting_s)
        await _start([broker])
