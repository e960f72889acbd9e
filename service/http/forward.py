"""What forwarding speaks of: who has which partition, how another node is called, and what is counted."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple, Protocol

from aiohttp.payload import Payload
from prometheus_client import CollectorRegistry, Counter, Histogram

from service.http.forward_signature import ForwardedCall
from streams.domain.errors import UpNextError
from streams.domain.ids import Kind
from streams.domain.nodes import NodeSaid, TableName

PREFIX = "/forward"
"""Of the paths of forwarded calls on the internal listener."""
MISDIRECTED = 421
"""The status of a node that was asked for a partition that it does not have (RFC 9110, 15.5.20)."""
REFUSED = "UpNext-Refused"
"""The header of answers that are to the node that forwards, and not to its client: nothing was done."""
UNKNOWN_ID = "UpNext-Unknown-Id"
"""The header of answers to calls with an id that is malformed, forged or another's: the node in front counts them."""
TABLES = {Kind.CONTEXT: TableName.CONTEXTS, Kind.SESSION: TableName.SESSIONS}
"""What a call's path speaks of → the table that answers it."""
READS = frozenset({"GET", "HEAD"})
_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class UnreachableError(UpNextError):
    """Nothing was done: nobody listens there, or not in time, or who does has refused the call."""


class BrokenHopError(UpNextError):
    """The call may have been heard; no answer of a node's came in time."""


class HopAnswer(NamedTuple):
    """What the other node has answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes | Payload | None
    """None: there can be none. A payload is streamed."""


class Hop(Protocol):
    """Calls another node's internal listener."""

    async def send(self, url: str, call: ForwardedCall, *, limit_s: float) -> HopAnswer:
        """
        Sign *call*, send it, and return the answer.

        Raises:
            UnreachableError: Nothing was done.
            BrokenHopError: The call may have been heard.
            OverloadedError: Too many calls to that node are under way; nothing was sent.
        """


class Here(Protocol):
    """Which partition is here."""

    def is_here(self, table: TableName, raw_id: bytes) -> bool:
        """Say whether the partition of an id is this node's, served yet or not."""

    def serves(self, table: TableName, raw_id: bytes) -> bool:
        """Say whether it is, and can be read."""

    def has_copy(self, table: TableName, raw_id: bytes) -> bool:
        """Say whether there is a warm copy of the partition here that can be read."""


class Places(Here, Protocol):
    """Which partition is where."""

    @property
    def name(self) -> str:
        """This node's name."""

    def owner(self, table: TableName, raw_id: bytes, but: Collection[str] = ()) -> NodeSaid | None:
        """Return another node that answers for the partition, None where none is known; not one of *but*."""

    def copying(self, table: TableName, raw_id: bytes, but: Collection[str] = ()) -> NodeSaid | None:
        """Return another node that has a warm copy of the partition, None where none is known; not one of *but*."""

    def doubt(self, name: str) -> None:
        """Return that node no more until it says something: it could not be reached."""


class ForwardMetrics:
    """What became of calls that were forwarded from here, and of those that came."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register the counters in *registry*."""
        self._calls = Counter(
            "upnext_forwarded_requests", "Calls handed to another node, by outcome.", ["outcome"], registry=registry
        )
        self._seconds = Histogram(
            "upnext_forward_seconds",
            "Time from handing a call to another node to its answer.",
            buckets=_BUCKETS_S,
            registry=registry,
        )
        self._received = Counter(
            "upnext_forwards_received",
            "Calls that other nodes handed here, by outcome.",
            ["outcome"],
            registry=registry,
        )

    def answered(self, seconds: float) -> None:
        """Count a call that was answered."""
        self._calls.labels("answered").inc()
        self._seconds.observe(seconds)

    def copied(self) -> None:
        """Count a read that was answered from a warm copy here."""
        self._calls.labels("copied").inc()

    def hedged(self) -> None:
        """Count a read that a copy was asked for as well, as its owner was silent."""
        self._calls.labels("hedged").inc()

    def failed(self, outcome: str) -> None:
        """Count one that was not."""
        self._calls.labels(outcome).inc()

    def received(self, outcome: str) -> None:
        """Count one that came from another node."""
        self._received.labels(outcome).inc()
