"""Composition of the limits of `/v1`: what settings say, and how nodes share what a client may."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from service.http.rate_limits import RateLimits, Rates
from service.http.rate_shares import Shares
from service.settings import Settings
from streams.domain.nodes import Asked


class Nodes(Protocol):
    """How nodes hear of each other."""

    def tell_of(self, asked: Callable[[], Asked]) -> None:
        """Say from now on, with each sign of life, what clients ask of this node."""

    def asked_of_others(self) -> Sequence[Asked]:
        """Return what clients ask of each other node that answers them and is not silent."""


def limits_of(settings: Settings, nodes: Nodes) -> RateLimits:
    """Return the limits of a node, which from now on tells other nodes, if there can be any, what is asked of it."""
    rates = Rates(
        settings.reads_per_client,
        settings.writes_per_client,
        settings.failures_per_address,
        settings.past_reads_per_client,
    )
    if settings.kafka is None:
        shares = None
    else:
        shares = Shares(nodes.asked_of_others)
        nodes.tell_of(shares.say)
    return RateLimits(rates, settings.trusted_proxies or (), shares)
