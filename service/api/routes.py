"""The routes of `/api/`: the rules that hold for every request, in the order in which they count."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from time import perf_counter
from typing import TypeVar
from urllib.parse import unquote

from aiohttp import web

from service.api.answers import failed
from service.api.assets_uploads import Uploads
from service.api.auth import Caller, check_role
from service.api.auth_callers import Callers
from service.api.auth_setup import Identity, build_doors
from service.api.auth_throttle import Throttle
from service.api.calls import Call, allowed_company
from service.api.dead_letters import DeadLetterCalls
from service.api.messages import MessagesError, error
from service.api.params import read_context
from service.api.planning import checked_id
from service.api.ports import DeadLetters, Registry
from service.api.rate_limits import RateLimits, Rates
from service.api.resource import Entropy
from service.api.resources import Resources
from service.api.targets import Target, targets
from service.api.transactions import TRANSACTIONS, Transactions
from service.api.webhook_deliveries_calls import AllDeliveries, DeliveryCalls
from service.api.writing import Making, Writes
from service.http.app import GATE
from service.http.bodies import READ_LIMIT_S
from service.http.calls import Answer
from service.http.deps import now_s
from service.http.gate import new_request_id
from service.http.metrics import HttpMetrics
from service.http.paths import Paths
from service.http.problems import MethodNotAllowedError
from service.ports import BlobStore
from streams.domain.ids import IdKeys

_PREFIX = "/api"
_GUESSED_USERS = 1_000
"""Somebody who administers users may give so many of them other passwords before having to wait."""

T = TypeVar("T")


def build_api_routes(
    registry: Registry,
    ids: IdKeys,
    identity: Identity,
    blobs: BlobStore,
    letters: DeadLetters,
    deliveries: AllDeliveries,
    *,
    now_s: Callable[[], int] = now_s,
    limits: RateLimits | None = None,
    entropy: Entropy = os.urandom,
    body_limit_s: float = READ_LIMIT_S,
    allows_loopback: bool = False,
) -> Callable[[web.Application], None]:
    """
    Return what adds the routes of `/api/` to the public listener's application (`service.http.deps.Deps.add_routes`).

    Args:
        registry: The node's.
        ids: What apps' and platforms' ids are minted with.
        identity: What people and clients are known by.
        blobs: Where what is uploaded goes.
        letters: The deployment's dead letters.
        deliveries: Its webhook deliveries.
        now_s: Unix time; dates the ids that are minted, and the keys that expire.
        limits: How often callers may ask; as often as they like where this is left out.
        entropy: Makes ids and secrets.
        body_limit_s: From the end of a request's headers to the end of its body.
        allows_loopback: Whether webhooks may go to this machine, in plain HTTP.
    """
    guesses = Throttle(identity.clock_s, site_free=_GUESSED_USERS)
    limits = limits or RateLimits(Rates(0, 0), identity.proxies, identity.clock_s)
    making = Making(ids, identity.vault, entropy, now_s, identity.passwords, guesses, allows_loopback)
    writes = Writes(registry, making)

    def add_routes(app: web.Application) -> None:
        doors = build_doors(registry, identity, limits, entropy, body_limit_s)
        # Before the rest, which takes every path.
        doors.ways.add_to(app, app[GATE].metrics)
        resources, uploads = Resources(registry, writes, body_limit_s), Uploads(registry, writes, blobs)
        transactions, of_webhooks = Transactions(registry, writes), DeliveryCalls(registry, deliveries)
        ends = targets(resources, uploads, transactions, DeadLetterCalls(letters), of_webhooks)
        api = Api(registry, ends, doors.callers, limits, entropy, app[GATE].metrics)
        for path in (_PREFIX, _PREFIX + "/{path:.*}"):
            app.router.add_route("*", path, api.answer, expect_handler=_bodies_see_to_it)

    return add_routes


async def _bodies_see_to_it(_request: web.Request) -> None:
    """Leave `Expect: 100-continue` to `service.http.bodies`, which knows whether the body is wanted."""


class Api:
    """Answers every request to `/api/` once, in shape, and counts it."""

    def __init__(
        self,
        registry: Registry,
        targets: Mapping[str, Target],
        callers: Callers,
        limits: RateLimits,
        entropy: Entropy,
        metrics: HttpMetrics,
    ) -> None:
        """Take what requests are checked with, what the paths lead to, and how many requests there may be."""
        self._registry = registry
        self._callers, self._limits, self._entropy, self._metrics = callers, limits, entropy, metrics
        self._paths = Paths(targets)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer *request*, whatever it is."""
        began = perf_counter()
        request_id = new_request_id(self._entropy)
        found = self._paths.find(request.rel_url.raw_path)
        try:
            status, headers, body = await self._judge(request, found, request_id)
        except Exception as failure:  # noqa: BLE001 - whatever it is, the client gets an answer in the one shape
            status, headers, body = failed(failure, request, request_id)
        headers["Paket-Request-Id"] = request_id
        if body is not None:
            headers["Content-Type"] = "application/json"
        route = "unknown" if found is None else found[0].template
        self._metrics.count(request.method, route, status, perf_counter() - began)
        return web.Response(status=status, body=body, headers=headers)

    async def _judge(
        self, request: web.BaseRequest, found: tuple[Target, Mapping[str, str]] | None, request_id: str
    ) -> Answer:
        """Check the rules in the order in which they count (the first broken one is raised), then handle."""
        await self._limits.slow_down(request)
        if found is not None and request.method == "OPTIONS":
            return Answer(204, {"Allow": found[0].allow})
        self._registry.ensure_fresh()
        caller = await self._callers.surely(request.headers.get("Authorization"))
        if found is None:
            raise MessagesError(404, [error("path.not.found", "There is no such path")])
        target, parameters = found
        if request.method not in target.allow.split(", "):
            raise MethodNotAllowedError(target.allow)
        call = await self._surely(partial(self._call, request, target, parameters, caller, request_id))
        if target.read is not None and request.method in ("GET", "HEAD"):
            return await self._surely(partial(target.read, call))
        if target.write is None:
            raise AssertionError(target.template)
        async with target.receive(call) as body:
            return await self._surely(partial(target.write, call, body))

    async def _call(
        self,
        request: web.BaseRequest,
        target: Target,
        parameters: Mapping[str, str],
        caller: Caller,
        request_id: str,
    ) -> Call:
        is_in_company = target.resource.in_company
        company = allowed_company(read_context(request.query), caller, self._registry.state) if is_in_company else None
        object_id = checked_id(unquote(parameters["id"])) if target.is_one else None
        writes = request.method not in ("GET", "HEAD")
        if target.resource is not TRANSACTIONS:
            check_role(caller, target.resource.name, company, writes=writes)
        file = unquote(parameters["file"]) if "file" in parameters else None
        return Call(request, target.resource, object_id, caller, company, request_id, file)

    async def _surely(self, step: Callable[[], Awaitable[T]]) -> T:
        """Return what *step* does; where it misses what another node may just have written, catch up and try again."""
        revision = self._registry.state.revision
        try:
            return await step()
        except MessagesError as failure:
            if not failure.may_be_news:
                raise
            await self._registry.catch_up()
            if self._registry.state.revision == revision:
                raise
        return await step()
