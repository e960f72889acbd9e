"""What the listeners are built from."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from aiohttp import web
from prometheus_client import CollectorRegistry

from service.http.bodies import READ_LIMIT_S, BodyRoom
from service.http.calls import Answer, Call, Handler
from service.http.entropy import DrawnAhead
from service.http.idempotency import KeyedCalls
from service.http.rate_limits import RateLimits
from service.http.versions.known import VERSIONS
from service.http.versions.version import Versions
from service.networks import Network
from service.ports import (
    ContextViews,
    EventWriter,
    Explainer,
    Pairs,
    PastReader,
    SessionCommands,
    SessionViews,
    Tenants,
)
from streams.domain.ids import IdKeys, Kind

Entropy = Callable[[int], bytes]
"""Returns so many random bytes."""


def now_s() -> int:
    """Return Unix time in whole seconds."""
    return int(time.time())


def now_ms() -> int:
    """Return Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


class Elsewhere(Protocol):
    """Sees to calls that only the node can answer which has their partition."""

    async def answer(self, call: Call, place: Kind, handle: Handler) -> Answer | None:
        """
        Return another node's answer, or what *handle* reads from a copy; None where this node is to answer.

        *place* is the id that decides.
        """


@dataclass(frozen=True, kw_only=True)
class Deps:
    """What the public listener needs. `service.app` hands in the real things, tests hand in fakes."""

    log_id: str
    earlier_logs: Sequence[str] = ()
    """The ids of those that the deployment was moved from."""
    positions_key: bytes
    """The deployment's key for position tokens: `MasterKey.derive(b"positions")`."""
    ids: IdKeys
    tenants: Tenants
    pairs: Pairs
    events: EventWriter
    session_commands: SessionCommands
    keyed: KeyedCalls
    """Sees to requests with an idempotency key."""
    context_views: ContextViews
    session_views: SessionViews
    explainer: Explainer
    past: PastReader | None = None
    """None: clients may not have the past read."""
    metrics: CollectorRegistry
    """Where the listener's counters and histograms are registered; the internal listener exposes it."""
    now_s: Callable[[], int] = now_s
    """Unix time; dates the ids that are minted, nothing else."""
    now_ms: Callable[[], int] = now_ms
    """Unix time; what signatures are judged by."""
    entropy: Entropy = field(default_factory=DrawnAhead)
    body_limit_s: float = READ_LIMIT_S
    body_room: BodyRoom = field(default_factory=BodyRoom)
    proxies: Sequence[Network] = ()
    """Whose word on where requests come from is taken."""
    limits: RateLimits = field(default_factory=RateLimits)
    """How often callers may call."""
    versions: Versions = VERSIONS
    """What they may call."""
    elsewhere: Elsewhere | None = None
    """None: everything is here."""
    add_routes: Callable[[web.Application], None] | None = None
    """Adds the routes of `/api/`, which answer in a shape of their own."""
    more_openapi: Mapping[str, object] = field(default_factory=dict)
    """`paths` and `components` of those routes, as OpenAPI 3.1."""
