"""What the public listener counts."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

_KNOWN_METHODS = frozenset({"GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS"})
_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class HttpMetrics:
    """Requests by method, route and status, and how long they took."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register the counters in *registry*."""
        self._requests = Counter(
            "upnext_http_requests", "Requests answered.", ["method", "route", "status"], registry=registry
        )
        self._seconds = Histogram(
            "upnext_http_request_seconds",
            "Time from the end of a request's headers to its answer.",
            ["method", "route"],
            buckets=_BUCKETS_S,
            registry=registry,
        )
        # The children by key: finding one by its labels costs more than counting.
        self._counts: dict[tuple[str, str, int], Counter] = {}
        self._times: dict[tuple[str, str], Histogram] = {}

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request to *route*, a path template, so that labels are few."""
        if method not in _KNOWN_METHODS:
            method = "other"
        counted = self._counts.get((method, route, status))
        if counted is None:
            counted = self._counts[method, route, status] = self._requests.labels(method, route, str(status))
        counted.inc()
        timed = self._times.get((method, route))
        if timed is None:
            timed = self._times[method, route] = self._seconds.labels(method, route)
        timed.observe(seconds)
