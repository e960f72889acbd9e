"""Composition of the deliveries of webhooks: what sends them while the node runs, and whoever is asked of them."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import NoReturn, Protocol

from prometheus_client import CollectorRegistry

from service.adapters.forward import HopPool
from service.adapters.vault import Vault
from service.adapters.webhook_endpoints import Registry, RegistryEndpoints
from service.adapters.webhook_metrics import WebhookCollector
from service.http.forward_deliveries import DeliveriesThere, DeliveryCallsOfNodes
from service.http.internal import OtherNodes
from service.webhooks.deliverer import Deliverer, World
from service.webhooks.deliveries import OwnDeliveries
from service.webhooks.deliveries_everywhere import AllDeliveries
from service.webhooks.ports import Queues
from service.webhooks.sender import WebhookSender
from service.webhooks.signing import signed
from streams.domain.nodes import NodeSaid, TableName


class NodesMap(Protocol):
    """Which partition of which table is whose."""

    @property
    def name(self) -> str:
        """This node's name."""

    @property
    def partitions(self) -> int:
        """How many partitions each of the tables has."""

    def serves_partition(self, table: TableName, partition: int) -> bool:
        """Say whether a partition is this node's, and can be read."""

    def owner_of_partition(self, table: TableName, partition: int) -> NodeSaid | None:
        """Return another node that answers for a partition, None where none is known."""

    def doubt(self, name: str) -> None:
        """Return that node no more until it says something: it could not be reached."""


class _Owners:
    """`service.webhooks.deliveries_everywhere.Owners`: of the webhooks table."""

    def __init__(self, nodes: NodesMap) -> None:
        self._nodes = nodes

    @property
    def partitions(self) -> int:
        return self._nodes.partitions

    def is_here(self, partition: int) -> bool:
        return self._nodes.serves_partition(TableName.WEBHOOKS, partition)

    def owner(self, partition: int) -> NodeSaid | None:
        return self._nodes.owner_of_partition(TableName.WEBHOOKS, partition)


@asynccontextmanager
async def deliveries_of_all(
    queues: Queues | None, nodes: NodesMap, derive: Callable[[bytes], bytes], others: OtherNodes
) -> AsyncIterator[AllDeliveries]:
    """
    Give the deliveries of the deployment, and answer other nodes that ask for this one's.

    Args:
        queues: This node's; None where it folds nothing.
        nodes: Who has what.
        derive: Derives a key from the deployment's.
        others: Is told what answers other nodes.
    """
    key = derive(b"forward")
    own = None if queues is None else OwnDeliveries(queues, os.urandom)
    if own is not None:
        others.deliver(DeliveryCallsOfNodes(own, key, nodes.name).answer)
    hops = HopPool(key)
    try:
        yield AllDeliveries(own, _Owners(nodes), lambda node: DeliveriesThere(hops, node, nodes.doubt))
    finally:
        await hops.close()


@asynccontextmanager
async def delivering(
    queues: Queues | None,
    registry: Registry,
    vault: Vault,
    metrics: CollectorRegistry,
    die: Callable[[str], NoReturn],
    *,
    allows_loopback: bool,
) -> AsyncIterator[None]:
    """
    Send what is due of this node's partitions.

    Args:
        queues: What is to be sent; None where the node folds nothing.
        registry: Who is sent it.
        vault: Opens the secrets that it is signed with.
        metrics: Where it is counted.
        die: Ends the process where sending has a bug.
        allows_loopback: Whether this machine may be called.
    """
    if queues is None:
        yield
        return
    sender = WebhookSender(allows_loopback=allows_loopback)
    deliverer = Deliverer(
        World(
            queues=queues,
            endpoints=RegistryEndpoints(registry, vault, _now_ms, os.urandom),
            sender=sender,
            sign=signed,
            entropy=os.urandom,
            chance=random.random,
            now_ms=_now_ms,
        )
    )
    metrics.register(WebhookCollector(deliverer.counts, deliverer.lanes))

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            die(f"the deliveries of webhooks failed: {error!r}")

    sending = asyncio.create_task(deliverer.run(), name="webhooks")
    sending.add_done_callback(ended)
    try:
        yield
    finally:
        sending.cancel()
        with suppress(asyncio.CancelledError):
            await sending
        await sender.close()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
