"""The ways in: `/api/authenticate`, and what users do to their own credentials."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from time import perf_counter
from typing import NamedTuple

import msgspec
from aiohttp import web

from service.api.answers import failed
from service.api.auth_callers import Callers
from service.api.auth_forms import MAX_BODY_BYTES, read_fields
from service.api.kinds import API
from service.api.people_factors import FactorCalls
from service.api.rate_limits import RateLimits
from service.api.resource import Entropy
from service.api.tokens_grants import Asked, Grants
from service.api.tokens_revoked import Revoker
from service.http.addresses import client_address
from service.http.bodies import read_body
from service.http.calls import Answer
from service.http.gate import new_request_id
from service.http.json_body import JsonReader
from service.http.metrics import HttpMetrics
from service.http.problems import MethodNotAllowedError
from service.networks import Network

TOKENS = "/api/authenticate"
SECOND_FACTOR = f"{TOKENS}/2fa"
REVOKE = f"{TOKENS}/revoke"
ENROL = f"{API}/users/{{id}}/twofactor"
CONFIRM = f"{ENROL}/confirm"
ALLOW = "OPTIONS, POST"
_NO_STORE = {"Cache-Control": "no-store"}
"""Source: RFC 6749, 5.1."""


class Way(NamedTuple):
    """A path, and what a POST to it does."""

    path: str
    """As aiohttp's router takes it."""
    handle: Callable[[web.Request, Asked], Awaitable[object]]
    """Return what is answered, as JSON; None: nothing."""


class Ways:
    """Answers requests to its paths once, in shape, and counts them."""

    def __init__(
        self,
        grants: Grants,
        callers: Callers,
        factors: FactorCalls,
        revoker: Revoker,
        limits: RateLimits,
        entropy: Entropy,
        proxies: Sequence[Network],
        body_limit_s: float,
    ) -> None:
        """Take what handles and limits them, randomness for ids, whose word on addresses counts, and a body's time."""
        self._grants, self._callers, self._factors, self._revoker = grants, callers, factors, revoker
        self._limits = limits
        self._entropy, self._proxies, self._body_limit_s = entropy, proxies, body_limit_s
        self._json = JsonReader()

    def add_to(self, app: web.Application, metrics: HttpMetrics) -> None:
        """Add the routes."""
        for way in self._ways():
            app.router.add_route("*", way.path, self._answerer(way, metrics), expect_handler=_bodies_see_to_it)

    def _ways(self) -> Iterator[Way]:
        yield Way(TOKENS, lambda _, asked: self._grants.grant(asked))
        yield Way(SECOND_FACTOR, lambda _, asked: self._grants.second_factor(asked))
        yield Way(REVOKE, self._revoke)
        yield Way(ENROL, self._enrol)
        yield Way(CONFIRM, self._confirm)

    async def _revoke(self, _request: web.Request, asked: Asked) -> object:
        if "token" in asked.fields:
            # Whoever holds it may end it: nothing else needs to be shown.
            await self._revoker.revoke(asked.fields["token"], asked.request_id)
            return {}
        await self._factors.revoke(await self._callers.surely(asked.authorization), asked)
        return None

    async def _enrol(self, request: web.Request, asked: Asked) -> object:
        caller = await self._callers.surely(asked.authorization)
        return await self._factors.enrol(caller, request.match_info["id"], asked)

    async def _confirm(self, request: web.Request, asked: Asked) -> object:
        caller = await self._callers.surely(asked.authorization)
        return await self._factors.confirm(caller, request.match_info["id"], asked)

    def _answerer(self, way: Way, metrics: HttpMetrics) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def answer(request: web.Request) -> web.StreamResponse:
            began = perf_counter()
            request_id = new_request_id(self._entropy)
            try:
                status, headers, body = await self._judge(way, request, request_id)
            except Exception as failure:  # noqa: BLE001 - whatever it is, the client gets an answer in the one shape
                status, headers, body = failed(failure, request, request_id)
            headers |= {"Paket-Request-Id": request_id, **_NO_STORE}
            if body is not None:
                headers["Content-Type"] = "application/json"
            metrics.count(request.method, way.path, status, perf_counter() - began)
            return web.Response(status=status, body=body, headers=headers)

        return answer

    async def _judge(self, way: Way, request: web.Request, request_id: str) -> Answer:
        await self._limits.slow_down(request)
        if request.method == "OPTIONS":
            return Answer(204, {"Allow": ALLOW})
        self._callers.ensure_fresh()
        if request.method != "POST":
            raise MethodNotAllowedError(ALLOW)
        body = await read_body(request, most=MAX_BODY_BYTES, limit_s=self._body_limit_s)
        fields = read_fields(body, self._json)
        forwarded = request.headers.getall("X-Forwarded-For", [])
        address = client_address(request.remote, forwarded, self._proxies)
        asked = Asked(fields, request.headers.get("Authorization"), address, request_id)
        answer = await way.handle(request, asked)
        return Answer(204, {}) if answer is None else Answer(200, {}, msgspec.json.encode(answer))


async def _bodies_see_to_it(_request: web.Request) -> None:
    """Leave `Expect: 100-continue` to `service.http.bodies`, which knows whether the body is wanted."""
