"""Makes the faults of a schedule, and has everything whole again after each."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack

from tests.nemesis import faults_of_brokers as brokers
from tests.nemesis import faults_of_nodes as nodes
from tests.nemesis.deployment import GUEST, Deployment
from tests.nemesis.schedule import BROKER_FAULTS, Fault, Kind

MADE: dict[Kind, Callable[[Deployment, Fault], Awaitable[None]]] = {
    Kind.NODE_KILLED: nodes.killed,
    Kind.NODE_STOPPED: nodes.stopped,
    Kind.NODE_PAUSED: nodes.paused,
    Kind.NODE_FROZEN: nodes.paused,
    Kind.NODE_BOUNCED: nodes.bounced,
    Kind.NODE_CUT: nodes.cut,
    Kind.NODE_HELD: nodes.held,
    Kind.NODE_CUT_FROM_ONE: nodes.cut_from_one,
    Kind.NODE_LOST: nodes.cut,
    Kind.STORE_WIPED: nodes.store_wiped,
    Kind.STORE_CORRUPTED: nodes.store_corrupted,
    Kind.DISK_FULL: nodes.disk_full,
    Kind.CLOCK_STEPPED: nodes.clock_stepped,
    Kind.GUEST_JOINS: nodes.guest_joins,
    Kind.ALL_NODES_KILLED: nodes.all_killed,
    Kind.BROKER_KILLED: brokers.killed,
    Kind.BROKER_PAUSED: brokers.paused,
    Kind.BROKER_FROZEN: brokers.paused,
    Kind.BROKER_WIPED: brokers.wiped,
    Kind.BROKERS_ROLLED: brokers.rolled,
    Kind.TWO_BROKERS_KILLED: brokers.two_killed,
    Kind.TWO_BROKERS_FROZEN: brokers.two_frozen,
}


class Nemesis:
    """Makes faults, several at once where they have different targets: a node each, or the brokers."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._nodes = [asyncio.Lock() for _ in deployment.nodes]
        self._brokers = asyncio.Lock()
        self.made: Counter[Kind] = Counter()

    async def run(self, faults: Sequence[Fault]) -> None:
        """Make every fault at its time, or when its target is free, and return when all is whole again."""
        began_s = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for fault in faults:
                await asyncio.sleep(max(0.0, began_s + fault.at_s - time.monotonic()))
                group.create_task(self._make(fault))

    async def _make(self, fault: Fault) -> None:
        async with AsyncExitStack() as free:
            for lock in self._needed(fault):
                await free.enter_async_context(lock)
            target = f" ({fault.target})"
            print(f"{self._deployment.now_s():7.1f} s  {fault.kind.value}{target}, {fault.lasting_s:.1f} s", flush=True)
            await MADE[fault.kind](self._deployment, fault)
            self.made[fault.kind] += 1

    def _needed(self, fault: Fault) -> list[asyncio.Lock]:
        if fault.kind in BROKER_FAULTS:
            return [self._brokers]
        if fault.kind is Kind.ALL_NODES_KILLED:
            return self._nodes[:GUEST]
        return [self._nodes[GUEST if fault.kind is Kind.GUEST_JOINS else fault.target]]
