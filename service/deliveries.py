"""Composition of the deliveries of webhooks: what sends them, for as long as the node runs."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import NoReturn

from prometheus_client import CollectorRegistry

from service.adapters.vault import Vault
from service.adapters.webhook_endpoints import Registry, RegistryEndpoints
from service.adapters.webhook_metrics import WebhookCollector
from service.webhooks.deliverer import Deliverer, World
from service.webhooks.ports import Queues
from service.webhooks.sender import WebhookSender
from service.webhooks.signing import signed


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
