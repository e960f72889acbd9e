"""Calls whose partition is another node's: handed to it in one hop, its answer handed to the client as it is."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from time import perf_counter
from typing import NamedTuple, Protocol, cast
from urllib.parse import quote

import structlog
from aiohttp import web
from aiohttp.payload import Payload
from prometheus_client import CollectorRegistry, Counter, Histogram

from service.commands.callers import mode_of
from service.http.calls import Answer, Call
from service.http.forward_signature import ForwardedCall, passed_on
from streams.domain.errors import LogUnavailableError, OverloadedError, UpNextError, ViewUnavailableError
from streams.domain.ids import IdKeys, Kind, parse_id
from streams.domain.nodes import NodeSaid

PREFIX = "/forward"
"""Of the paths of forwarded calls on the internal listener."""
MISDIRECTED = 421
"""The status of a node that was asked for a partition that it does not have (RFC 9110, 15.5.20)."""
REFUSED = "UpNext-Refused"
"""The header of answers that are to the node that forwards, and not to its client: nothing was done."""
READ_LIMIT_S = 4.0
"""A read may wait 2 s for its positions, and then takes milliseconds."""
COMMAND_LIMIT_S = 7.5
"""A command may wait 2 s for its positions, and 4.5 s for its verdict."""
READS = frozenset({"GET", "HEAD"})

_PARAMETERS = {Kind.CONTEXT: "context_id", Kind.SESSION: "session_id"}
_TRIES = 2
_DROPPED = frozenset(
    {"connection", "content-length", "date", "keep-alive", "server", "te", "trailer", "transfer-encoding", "upgrade"}
)
"""What is about the hop, or what every answer gets anew."""
_PATH_CHARS = "".join(chr(code) for code in range(0x21, 0x7F))
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


class Places(Protocol):
    """Which partition is where."""

    @property
    def name(self) -> str:
        """This node's name."""

    def is_here(self, kind: Kind, raw_id: bytes) -> bool:
        """Say whether the partition of a context's or session's id is this node's, served yet or not."""

    def serves(self, kind: Kind, raw_id: bytes) -> bool:
        """Say whether it is, and can be read."""

    def owner(self, kind: Kind, raw_id: bytes, but: Collection[str] = ()) -> NodeSaid | None:
        """Return another node that answers for the partition, None where none is known; not one of *but*."""

    def has_copy(self, kind: Kind, raw_id: bytes) -> bool:
        """Say whether there is a warm copy of the partition here that can be read."""

    def copying(self, kind: Kind, raw_id: bytes, but: Collection[str] = ()) -> NodeSaid | None:
        """Return another node that has a warm copy of the partition, None where none is known; not one of *but*."""

    def doubt(self, name: str) -> None:
        """Return that node no more until it says something: it could not be reached."""


class Abandoning(Protocol):
    """A client's connection that ends the work on its request when it is lost."""

    abandons: bool


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

    def failed(self, outcome: str) -> None:
        """Count one that was not."""
        self._calls.labels(outcome).inc()

    def received(self, outcome: str) -> None:
        """Count one that came from another node."""
        self._received.labels(outcome).inc()


class Forwarding:
    """Implements `service.http.deps.Elsewhere` for clients: asks the node that has the partition."""

    def __init__(self, places: Places, hop: Hop, ids: IdKeys, metrics: ForwardMetrics) -> None:
        """Take who has what, how others are called, what ids are verified with, and what counts."""
        self._places, self._hop, self._ids, self._metrics = places, hop, ids, metrics
        self._logger = structlog.get_logger(__name__)

    async def answer(self, call: Call, place: Kind) -> Answer | None:
        """
        Return the owner's answer; None where this node is to answer.

        Raises:
            ViewUnavailableError: No node answers for the partition now; nothing was written.
            LogUnavailableError: A command was sent, and no answer came: its outcome is unknown.
            OverloadedError: Nothing was written.
        """
        raw = parse_id(place, call.path[_PARAMETERS[place]])
        if raw is None or self._places.serves(place, raw):
            return None
        if self._places.is_here(place, raw) and call.request.method not in READS:
            return None
        client = call.client
        if not self._ids.verify(place, mode_of(client), client.tenant, raw):
            return None  # it is absent, and no other node would know more of it
        connection = cast("Abandoning", call.request.protocol)
        connection.abandons = True
        try:
            return await self._ask(call, place, raw)
        finally:
            connection.abandons = False

    async def _ask(self, call: Call, place: Kind, raw: bytes) -> Answer | None:
        asked: set[str] = set()
        while len(asked) < _TRIES:
            owner = self._places.owner(place, raw, asked)
            if owner is None:
                break
            asked.add(owner.name)
            answer = await self._try(owner, call)
            if answer is not None:
                return answer
            if self._places.serves(place, raw):
                return None
        if call.request.method in READS:
            # What a copy has is as of some time, which the answer tells; a position that is asked for is waited for.
            if self._places.has_copy(place, raw):
                self._metrics.copied()
                return None
            copying = self._places.copying(place, raw, asked)
            answer = None if copying is None else await self._try(copying, call, of_copy=True)
            if answer is not None:
                return answer
        if self._places.is_here(place, raw):
            return None
        self._metrics.failed("nobody")
        raise ViewUnavailableError("no node is known that answers for the partition now")

    async def _try(self, owner: NodeSaid, call: Call, *, of_copy: bool = False) -> Answer | None:
        """Return a node's answer; None where it has none, and another may be asked."""
        began = perf_counter()
        is_read = call.request.method in READS
        try:
            answer = await self._hop.send(
                owner.url,
                _forwarded(owner.name, call, of_copy=of_copy),
                limit_s=READ_LIMIT_S if is_read else COMMAND_LIMIT_S,
            )
        except UnreachableError as error:
            self._failed(owner, "unreachable", error)
            self._places.doubt(owner.name)
            return None
        except OverloadedError:
            self._metrics.failed("overloaded")
            if is_read:
                return None  # a copy of the partition may be elsewhere
            raise
        except BrokenHopError as error:
            # No doubt of it: one list that takes long must not keep others from being asked for.
            self._failed(owner, "broken", error)
            if is_read:
                return None
            raise LogUnavailableError(f"node {owner.name} may have written it: {error}") from error
        if answer.status == MISDIRECTED:
            self._metrics.failed("misdirected")
            return None
        self._metrics.answered(perf_counter() - began)
        return _handed_on(answer)

    def _failed(self, owner: NodeSaid, outcome: str, error: Exception) -> None:
        self._metrics.failed(outcome)
        self._logger.warning("hop_failed", node=owner.name, url=owner.url, outcome=outcome, reason=str(error))


def _forwarded(to: str, call: Call, *, of_copy: bool) -> ForwardedCall:
    request = call.request
    return ForwardedCall(
        to,
        request.method,
        path_of(request),
        call.body,
        call.client,
        call.request_id,
        passed_on(request.headers),
        of_copy=of_copy,
    )


def path_of(request: web.BaseRequest) -> str:
    """Return a request's path and query, ASCII: what is not is no part of a good one, and stays none."""
    url = request.rel_url
    path = f"{url.raw_path}?{url.raw_query_string}" if url.raw_query_string else url.raw_path
    return path if path.isascii() else quote(path, safe=_PATH_CHARS, errors="surrogateescape")


def _handed_on(answer: HopAnswer) -> Answer:
    headers = {name: value for name, value in answer.headers.items() if name.lower() not in _DROPPED}
    body = answer.body
    if isinstance(body, Payload):
        # Known beforehand, so that the client notices where the rest does not come.
        headers["Content-Length"] = answer.headers["Content-Length"]
    return Answer(answer.status, headers, body)
