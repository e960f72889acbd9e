"""How often callers may ask: an address that asks more is slowed down, a token is told to wait."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from hashlib import blake2b
from typing import NamedTuple

from aiohttp import web

from service.api.messages import MessagesError, error
from service.http.addresses import client_address, site_of
from service.http.buckets import Buckets
from service.networks import Network

BURST_S = 10.0
"""What was not used of so many seconds may be used at once."""
MOST_DELAY_S = 2.0
"""The longest that one request is held up."""
MOST_DELAYED = 1_000
"""So many requests at once; those beyond are refused, for each keeps a connection."""


class Rates(NamedTuple):
    """Requests a second; 0: as many as they like."""

    per_address: int
    per_token: int


class RateLimits:
    """The limits of one node."""

    def __init__(
        self,
        rates: Rates,
        proxies: Sequence[Network],
        clock_s: Callable[[], float],
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """
        Take the rates.

        Args:
            rates: How often they may ask.
            proxies: Whose word on where requests come from is taken.
            clock_s: Monotonic seconds.
            sleep: Waits for so many seconds.
        """
        self._proxies, self._sleep = proxies, sleep
        self._rates = rates
        self._addresses = Buckets(clock_s, burst_s=BURST_S, most_debt_s=MOST_DELAY_S)
        self._tokens = Buckets(clock_s, burst_s=BURST_S)
        self._delayed = 0

    async def slow_down(self, request: web.BaseRequest) -> None:
        """Wait where too many come from this request's address; raise `MessagesError` (429) where too many wait."""
        if not self._rates.per_address:
            return
        forwarded = request.headers.getall("X-Forwarded-For", [])
        address = site_of(client_address(request.remote, forwarded, self._proxies))
        wait_s = -self._addresses.take(address, self._rates.per_address)
        if wait_s <= 0:
            return
        if self._delayed >= MOST_DELAYED:
            raise _refusal("Too many requests come from this address: wait {{seconds}} seconds", wait_s)
        self._delayed += 1
        try:
            await self._sleep(min(wait_s, MOST_DELAY_S))
        finally:
            self._delayed -= 1

    def count(self, token: str) -> None:
        """Count a request with *token*, which is good; raise `MessagesError` (429) where there were too many."""
        if not self._rates.per_token:
            return
        # Tokens themselves are not kept in memory for longer than their requests.
        digest = blake2b(token.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
        wait_s = -self._tokens.take(digest, self._rates.per_token)
        if wait_s > 0:
            raise _refusal("Too many requests with this token: wait {{seconds}} seconds", wait_s)


def _refusal(text: str, wait_s: float) -> MessagesError:
    seconds = str(max(1, math.ceil(wait_s)))
    return MessagesError(429, [error("too.many.requests", text, seconds=seconds)], headers={"Retry-After": seconds})
