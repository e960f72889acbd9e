"""What forwarding is built from: the way to other nodes, and what answers them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Protocol

from service.adapters.forward import HopPool
from service.http.app import resources
from service.http.deps import Deps
from service.http.forward import ForwardMetrics, Here, Places
from service.http.forward_client import Forwarding
from service.http.forward_keys import Keys, KeysAnywhere, KeysOfOthers
from service.http.forward_listener import ForwardedCalls, OnlyHere
from service.http.internal import OtherNodes
from streams.domain.nodes import KnownNode


class NodesMap(Places, Protocol):
    """Which nodes there are, and which partition is where."""

    @property
    def own(self) -> Here:
        """What this node has, whatever version of the views is live."""

    def known(self) -> Sequence[KnownNode]:
        """Return every node that has been heard of."""


@asynccontextmanager
async def forwarding(
    deps: Deps, nodes: NodesMap, keys: Keys, derive: Callable[[bytes], bytes], others: OtherNodes, *, is_alone: bool
) -> AsyncIterator[Deps]:
    """
    Give *deps* with which calls are answered by whatever node has their partition.

    Args:
        deps: Which know this node alone.
        nodes: Who has what.
        keys: What this node knows of idempotency keys.
        derive: Derives a key from the deployment's.
        others: Is told what answers other nodes' calls.
        is_alone: Whether there can be no other node.
    """
    key = derive(b"forward")
    here, copies = (resources(replace(deps, elsewhere=OnlyHere(nodes.own, copies=copies))) for copies in (False, True))
    metrics = ForwardMetrics(deps.metrics)
    of_others = KeysOfOthers(keys)
    calls = ForwardedCalls(here, copies, deps.tenants, key=key, name=nodes.name, metrics=metrics, keys=of_others)
    others.started(nodes.known, calls.answer)
    hops = HopPool(key)
    elsewhere = Forwarding(nodes, hops, deps.ids, metrics)
    try:
        keyed = deps.keyed.over(KeysAnywhere(keys, nodes, hops))
        yield deps if is_alone else replace(deps, elsewhere=elsewhere, keyed=keyed)
    finally:
        await hops.close()
