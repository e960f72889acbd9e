"""What the public listener counts."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

_KNOWN_METHODS = frozenset({"GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS"})
_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_NAMES = [*map(str, _BUCKETS_S), "+Inf"]


class _Times:
    """How long the requests of one method and route took."""

    __slots__ = ("counts", "sum_s")

    def __init__(self) -> None:
        self.counts = [0] * len(_NAMES)
        """By bucket, each without those before it."""
        self.sum_s = 0.0


class HttpMetrics(Collector):
    """
    Requests by method, route and status, and how long they took.

    The client library's own counters take a lock for each number: four in each request, of one thread.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        """Have *registry* ask for what was counted."""
        self._requests: dict[tuple[str, str, int], int] = {}
        self._times: dict[tuple[str, str], _Times] = {}
        self._cut: dict[str, int] = {}
        registry.register(self)

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request to *route*, a path template, so that labels are few."""
        if method not in _KNOWN_METHODS:
            method = "other"
        counted = (method, route, status)
        self._requests[counted] = self._requests.get(counted, 0) + 1
        times = self._times.get((method, route))
        if times is None:
            times = self._times[method, route] = _Times()
        times.counts[bisect_left(_BUCKETS_S, seconds)] += 1
        times.sum_s += seconds

    def count_cut(self, reason: str) -> None:
        """Count one connection that was ended, or refused, as it took too much."""
        self._cut[reason] = self._cut.get(reason, 0) + 1

    def collect(self) -> Iterator[Metric]:
        """Yield what was counted."""
        requests = CounterMetricFamily(
            "upnext_http_requests", "Requests answered.", labels=["method", "route", "status"]
        )
        for (method, route, status), count in self._requests.items():
            requests.add_metric([method, route, str(status)], count)
        seconds = HistogramMetricFamily(
            "upnext_http_request_seconds",
            "Time from the end of a request's headers to its answer.",
            labels=["method", "route"],
        )
        for labels, times in self._times.items():
            buckets = [(name, float(count)) for name, count in zip(_NAMES, accumulate(times.counts), strict=True)]
            seconds.add_metric(labels, buckets, times.sum_s)
        cut = CounterMetricFamily(
            "upnext_http_connections_cut", "Connections that took too much, by reason.", labels=["reason"]
        )
        for reason, count in self._cut.items():
            cut.add_metric([reason], count)
        yield requests
        yield seconds
        yield cut
