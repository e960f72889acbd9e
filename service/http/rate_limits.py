"""How often each client may call, and how often an address may fail: beyond that the answer is 429."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from aiohttp import web
from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from service.http.addresses import client_address, site_of
from service.http.buckets import Buckets
from service.http.problems import TooManyFailuresError, TooManyRequestsError
from service.http.rate_shares import Shares
from service.networks import Network
from service.ports import Client

LIMIT, POLICY = "RateLimit", "RateLimit-Policy"
BURST_S = 2.0
"""What was not used of so many seconds may be used at once."""
WINDOW_S = 1.0
"""The quota that clients are told is that of one second. The rest of the burst is for those who do not look."""
FAILURES_BURST_S = 10.0
"""An address that has not failed for so long may fail as often at once."""

_READS = frozenset({"GET", "HEAD"})
_ALMOST = 1e-6
"""So little is missing where sums of fractions are not whole."""


class Rates(NamedTuple):
    """A second; 0: as often as they like."""

    reads: int = 1_000
    """Of each client that has no limit of its own."""
    writes: int = 1_000
    """Likewise."""
    failures: int = 10
    """Credentials and ids that are not good, each, from one address."""
    past: int = 2
    """Lists as they were, of each client, on each node."""


class _Kind:
    """Requests of one kind: reads, or writes."""

    def __init__(self, number: int, name: str, per_s: int, clock_s: Callable[[], float]) -> None:
        self.number, self.name, self.per_s = number, name, per_s
        self.buckets = Buckets(clock_s, burst_s=BURST_S)
        self.policies: dict[int, str] = {}
        self._told = f'"{name}";r='

    def policy(self, limit: int) -> str:
        """Return what clients with this limit are told of it."""
        known = self.policies.get(limit)
        if known is None:
            # As many as operators have thought of.
            known = self.policies[limit] = f'"{self.name}";q={limit};w={WINDOW_S:.0f}'
        return known

    def tell(self, limit: int, per_s: float, left_s: float, headers: dict[str, str]) -> None:
        """Put into *headers* what clients with this limit are told that have *left_s* of it, at *per_s*."""
        headers[POLICY] = self.policies.get(limit) or self.policy(limit)
        quota_s = left_s - (BURST_S - WINDOW_S)
        if quota_s >= 0:
            headers[LIMIT] = f"{self._told}{int(quota_s * per_s + _ALMOST)};t=1"
        else:
            headers[LIMIT] = f"{self._told}0;t={math.ceil(WINDOW_S - quota_s - _ALMOST)}"


class RateLimits(Collector):
    """
    The limits of one node.

    Source:
        draft-ietf-httpapi-ratelimit-headers, for what clients are told.
    """

    def __init__(
        self,
        rates: Rates = Rates(),  # noqa: B008 - it cannot be changed
        proxies: Sequence[Network] = (),
        shares: Shares | None = None,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Take the rates.

        Args:
            rates: How often they may call.
            proxies: Whose word on where requests come from is taken.
            shares: What other nodes leave of a client's limit; None: there can be no others.
            clock_s: Monotonic seconds.
        """
        self._reads = _Kind(0, "reads", rates.reads, clock_s)
        self._writes = _Kind(1, "writes", rates.writes, clock_s)
        self._past, self._past_s = Buckets(clock_s, burst_s=BURST_S), rates.past
        self._failures = rates.failures
        self._failed = {of: Buckets(clock_s, burst_s=FAILURES_BURST_S) for of in ("credentials", "ids")}
        self._proxies, self._shares = proxies, shares
        self._refused: Counter[str] = Counter()

    def count(self, client: Client, method: str, headers: dict[str, str]) -> float:
        """
        Count a request of *client*, and put into *headers* what the answer says of the client's limit.

        Returns:
            The seconds after which the request could be made; 0 where it may be made now.
        """
        if method in _READS:
            kind, limit = self._reads, client.reads_per_s or self._reads.per_s
        else:
            kind, limit = self._writes, client.writes_per_s or self._writes.per_s
        if not limit:
            return 0.0
        name = client.client_id
        per_s = limit if self._shares is None else self._shares.part(name, kind.number, limit)
        left_s = kind.buckets.take(name, per_s)
        if left_s >= 0:
            kind.tell(limit, per_s, left_s, headers)
            return 0.0
        kind.tell(limit, per_s, left_s + 1 / per_s, headers)  # what is refused was not taken
        return -left_s

    def count_more(self, client: Client, writes: int, headers: dict[str, str]) -> None:
        """
        Count what a request writes beside the one that it was counted as; whatever comes later waits for it.

        What *headers* say of the client's limit is put right.
        """
        limit = client.writes_per_s or self._writes.per_s
        if limit and writes > 0:
            name, kind = client.client_id, self._writes
            per_s = limit if self._shares is None else self._shares.part(name, kind.number, limit, writes)
            kind.tell(limit, per_s, kind.buckets.owe(name, per_s, writes), headers)

    def count_past(self, client: Client) -> None:
        """
        Count a list as it was, for which the log is about to be read; it was counted as a read too.

        Raises:
            TooManyRequestsError: The client has had too many read.
        """
        if not self._past_s:
            return
        left_s = self._past.take(client.client_id, self._past_s)
        if left_s < 0:
            self._refused["past"] += 1
            raise TooManyRequestsError(math.ceil(-left_s))

    def refuse(self, method: str, wait_s: float) -> TooManyRequestsError:
        """Return the error of a request that is one too many, counted."""
        self._refused["reads" if method in _READS else "writes"] += 1
        return TooManyRequestsError(math.ceil(wait_s))

    def failed(self, of: str, request: web.BaseRequest) -> None:
        """
        Count a request that has shown what is not good: its `credentials`, or `ids` in it.

        Only what has failed is refused: whoever else is behind that address is let through.

        Raises:
            TooManyFailuresError: Too many from its address have.
        """
        if not self._failures:
            return
        forwarded = request.headers.getall("X-Forwarded-For", ())
        address = site_of(client_address(request.remote, forwarded, self._proxies))
        left_s = self._failed[of].take(address, self._failures)
        if left_s < 0:
            self._refused[of] += 1
            raise TooManyFailuresError(math.ceil(-left_s))

    def collect(self) -> Iterator[Metric]:
        """Yield what was refused."""
        refused = CounterMetricFamily(
            "upnext_rate_limited_requests", "Requests that were one too many, by kind.", labels=["kind"]
        )
        for kind in ("reads", "writes", "past", "credentials", "ids"):
            refused.add_metric([kind], self._refused[kind])
        yield refused
