"""How often callers may ask: an address that asks more is slowed down, a token is told to wait."""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from hashlib import blake2b
from typing import NamedTuple

from aiohttp import web

from service.api.auth_throttle import site_of
from service.api.messages import MessagesError, error
from service.http.addresses import client_address
from service.networks import Network

BURST_S = 10.0
"""What was not used of so many seconds may be used at once."""
MOST_DELAY_S = 2.0
"""The longest that one request is held up."""
MOST_DELAYED = 1_000
"""So many requests at once; those beyond are refused, for each keeps a connection."""
MOST_BUCKETS = 20_000
"""Of each kind; the one that was not used for longest is forgotten, as if it had not been used at all."""


class Rates(NamedTuple):
    """Requests a second; 0: as many as they like."""

    per_address: int
    per_token: int


class Buckets:
    """
    Counts by key what is taken, against what comes in each second.

    Source:
        The generic cell rate algorithm (ITU-T I.371): a bucket is one number, the time at which it would be full again.
    """

    def __init__(self, per_s: int, clock_s: Callable[[], float], *, most_debt_s: float = 0.0) -> None:
        """
        Take the rate.

        Args:
            per_s: What comes in a second; 0 takes without counting.
            clock_s: Monotonic seconds.
            most_debt_s: So far beyond an empty bucket is counted.
        """
        self._per_s, self._clock_s, self._most_debt_s = per_s, clock_s, most_debt_s
        self._full_at_s: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        """Return how many are remembered."""
        return len(self._full_at_s)

    def take(self, key: str) -> float:
        """Take one where there is one, or debt is allowed; return the seconds until there would have been one."""
        if not self._per_s:
            return 0.0
        now_s = self._clock_s()
        full_at_s = max(self._full_at_s.get(key, now_s), now_s) + 1 / self._per_s
        # Rounded, for sums of fractions are a little more or less than they should be.
        wait_s = round(full_at_s - now_s - BURST_S, 6)
        if wait_s > self._most_debt_s:
            return wait_s
        self._full_at_s[key] = full_at_s
        self._full_at_s.move_to_end(key)
        if len(self._full_at_s) > MOST_BUCKETS:
            self._full_at_s.popitem(last=False)
        return max(wait_s, 0.0)


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
        self._addresses = Buckets(rates.per_address, clock_s, most_debt_s=MOST_DELAY_S)
        self._tokens = Buckets(rates.per_token, clock_s)
        self._delayed = 0

    async def slow_down(self, request: web.BaseRequest) -> None:
        """Wait where too many come from this request's address; raise `MessagesError` (429) where too many wait."""
        forwarded = request.headers.getall("X-Forwarded-For", [])
        wait_s = self._addresses.take(site_of(client_address(request.remote, forwarded, self._proxies)))
        if not wait_s:
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
        # Tokens themselves are not kept in memory for longer than their requests.
        wait_s = self._tokens.take(blake2b(token.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest())
        if wait_s:
            raise _refusal("Too many requests with this token: wait {{seconds}} seconds", wait_s)


def _refusal(text: str, wait_s: float) -> MessagesError:
    seconds = str(max(1, math.ceil(wait_s)))
    return MessagesError(429, [error("too.many.requests", text, seconds=seconds)], headers={"Retry-After": seconds})
