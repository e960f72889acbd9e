"""Calls whose partition is another node's: handed to it in one hop, its answer handed to the client as it is."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Collection
from time import perf_counter
from typing import Protocol, cast
from urllib.parse import quote

import structlog
from aiohttp import web
from aiohttp.payload import Payload

from service.commands.callers import mode_of
from service.http.calls import Answer, Call, Handler
from service.http.forward import (
    MISDIRECTED,
    READS,
    TABLES,
    UNKNOWN_ID,
    BrokenHopError,
    ForwardMetrics,
    Hop,
    HopAnswer,
    Places,
    UnreachableError,
)
from service.http.forward_hedges import Hedges
from service.http.forward_signature import ForwardedCall, passed_on
from streams.domain.errors import (
    LogUnavailableError,
    OverloadedError,
    UnavailableError,
    UnknownIdError,
    ViewUnavailableError,
)
from streams.domain.ids import IdKeys, Kind, parse_id
from streams.domain.nodes import NodeSaid, TableName

READ_LIMIT_S = 4.0
"""A read may wait 2 s for its positions, and then takes milliseconds."""
COMMAND_LIMIT_S = 7.5
"""A command may wait 2 s for its positions, and 4.5 s for its verdict."""
SILENT_S = 0.5
"""An owner that has not answered a read for so long is perhaps frozen: a copy is asked as well."""
_LOOK_S = 0.1
"""So often a read whose owner is silent looks again: whether a copy may be asked yet, whether it has another owner."""

_PARAMETERS = {Kind.CONTEXT: "context_id", Kind.SESSION: "session_id"}
_TRIES = 2
_DROPPED = frozenset(
    {"connection", "content-length", "date", "keep-alive", "server", "te", "trailer", "transfer-encoding", "upgrade"}
)
"""What is about the hop, or what every answer gets anew."""
_PATH_CHARS = "".join(chr(code) for code in range(0x21, 0x7F))


class Abandoning(Protocol):
    """A client's connection that ends the work on its request when it is lost."""

    abandons: bool


class Instead(enum.Enum):
    """What there is where there is no answer of another node's."""

    HERE = "this node is to answer"
    REFUSED = "the one that was asked says that it does not have the partition, or not yet"
    NOTHING = "there is nobody to ask, or nothing came back"


Found = Answer | Instead | UnavailableError
"""An error is that of a copy here that cannot answer now, and is as good as another node's 503."""


class Forwarding:
    """Implements `service.http.deps.Elsewhere` for clients: asks the node that has the partition."""

    def __init__(
        self, places: Places, hop: Hop, ids: IdKeys, metrics: ForwardMetrics, hedges: Hedges | None = None
    ) -> None:
        """Take who has what, how others are called, what ids are verified with, what counts, and when to hedge."""
        self._places, self._hop, self._ids, self._metrics = places, hop, ids, metrics
        self._hedges = hedges or Hedges()
        self._logger = structlog.get_logger(__name__)

    async def answer(self, call: Call, place: Kind, handle: Handler) -> Answer | None:
        """
        Return the owner's answer, or for a read that it does not answer, a copy's; None where this node is to answer.

        Raises:
            ViewUnavailableError: No node answers for the partition now; nothing was written.
            ViewBehindError: Only a copy here would answer, and has not got so far.
            UnknownIdError: The owner says so of an id in the call.
            LogUnavailableError: A command was sent, and no answer came: its outcome is unknown.
            OverloadedError: Nothing was written.
        """
        raw, table = parse_id(place, call.path[_PARAMETERS[place]]), TABLES[place]
        if raw is None or self._places.serves(table, raw):
            return None
        is_read = call.request.method in READS
        if self._places.is_here(table, raw) and not is_read:
            return None
        client = call.client
        if not self._ids.verify(place, mode_of(client), client.tenant, raw):
            return None  # it is absent, and no other node would know more of it
        asking = _Asking(self._places, call, table, raw, handle)
        connection = cast("Abandoning", call.request.protocol)
        connection.abandons = True
        try:
            found = await (self._read(asking) if is_read else self._command(asking))
        finally:
            connection.abandons = False
        if isinstance(found, Answer):
            return found
        if isinstance(found, UnavailableError):
            raise found
        if found is Instead.HERE or self._places.is_here(table, raw):
            return None
        self._metrics.failed("nobody")
        raise ViewUnavailableError("no node is known that answers for the partition now")

    async def _command(self, asking: _Asking) -> Answer | Instead:
        while owner := asking.next_owner():
            found = await self._try(owner, asking.call)
            if isinstance(found, Answer):
                return found
            if asking.is_served_here:
                return Instead.HERE
        return Instead.NOTHING

    async def _read(self, asking: _Asking) -> Found:
        mute: set[str] = set()
        refused: NodeSaid | None = None
        while owner := asking.next_owner():
            found = await (self._hedged(owner, asking) if asking.call.hedged else self._try(owner, asking.call))
            if isinstance(found, Answer):
                return found
            if asking.is_served_here:
                return Instead.HERE
            if isinstance(found, UnavailableError):
                return found
            if found is Instead.REFUSED:
                refused = owner
            else:
                mute.add(owner.name)
        # What a copy has is as of some time, which the answer tells; a position that is asked for is waited for.
        found = await self._copied(asking, mute)
        if isinstance(found, Instead) and (owner := asking.next_owner()):
            # While copies were asked somebody has taken the partition over.
            found = await self._try(owner, asking.call)
        if isinstance(found, Instead) and refused is not None:
            # Who has just lost a partition often keeps a copy, before anybody has heard of it.
            return await self._try(refused, asking.call, of_copy=True)
        return found

    async def _copied(self, asking: _Asking, but: Collection[str]) -> Found:
        """Return what a copy says: this node's own, or that of one that is not among *but*; raise what that raises."""
        if asking.is_copied_here:
            try:
                answer = await asking.handle(asking.call)
            except ViewUnavailableError:
                pass  # it has gone in the meantime
            except UnavailableError as error:
                return error
            else:
                self._metrics.copied()
                return answer
        copying = asking.copying(but)
        return Instead.NOTHING if copying is None else await self._try(copying, asking.call, of_copy=True)

    async def _hedged(self, owner: NodeSaid, asking: _Asking) -> Found:
        """Return the answer of an owner; of a copy where that is silent, or was a moment ago."""
        if self._hedges.is_silent(owner.name):
            copied = await self._copied(asking, {owner.name})
            if _is_whole(copied):
                return copied
            hop = asyncio.create_task(self._try(owner, asking.call))
            try:
                return _rather(await _unless_moved(hop, owner, asking), copied)
            finally:
                hop.cancel()
        hop = asyncio.create_task(self._try(owner, asking.call))
        try:
            done, _ = await asyncio.wait({hop}, timeout=SILENT_S)
            while not done and not self._hedges.may_ask(owner.name):
                done, _ = await asyncio.wait({hop}, timeout=_LOOK_S)
            return hop.result() if done else await self._raced(hop, owner, asking)
        finally:
            hop.cancel()

    async def _raced(self, hop: asyncio.Task[Answer | Instead], owner: NodeSaid, asking: _Asking) -> Found:
        """Return what comes first, the answer under way or a copy's; not a 503 of one while the other may know more."""
        self._metrics.hedged()
        hedge = asyncio.create_task(self._copied(asking, {owner.name}))
        try:
            await asyncio.wait({hop, hedge}, return_when=asyncio.FIRST_COMPLETED)
            if not hop.done() and (hedge.exception() is not None or _is_whole(hedge.result())):
                self._hedges.won(owner.name)  # also with an error, which is the client's to know, such as a 404
                return hedge.result()
            found = await _unless_moved(hop, owner, asking)
            if _is_whole(found):
                await _let_go(hedge)
                return found
            return _rather(found, await hedge)
        finally:
            hedge.cancel()

    async def _try(self, owner: NodeSaid, call: Call, *, of_copy: bool = False) -> Answer | Instead:
        """Return a node's answer; what there is instead where it has none, and another may be asked."""
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
            return Instead.NOTHING
        except OverloadedError:
            self._metrics.failed("overloaded")
            if is_read:
                return Instead.NOTHING  # a copy of the partition may be elsewhere
            raise
        except BrokenHopError as error:
            # No doubt of it: one list that takes long must not keep others from being asked for.
            self._failed(owner, "broken", error)
            if is_read:
                return Instead.NOTHING
            raise LogUnavailableError(f"node {owner.name} may have written it: {error}") from error
        if answer.status == MISDIRECTED:
            self._metrics.failed("misdirected")
            return Instead.REFUSED
        self._metrics.answered(perf_counter() - began)
        if UNKNOWN_ID in answer.headers:
            raise UnknownIdError  # is answered in the same bytes, and counted
        return _handed_on(answer)

    def _failed(self, owner: NodeSaid, outcome: str, error: Exception) -> None:
        self._metrics.failed(outcome)
        self._logger.warning("hop_failed", node=owner.name, url=owner.url, outcome=outcome, reason=str(error))


class _Asking:
    """A call on its way: who was asked, and who may be."""

    def __init__(self, places: Places, call: Call, table: TableName, raw: bytes, handle: Handler) -> None:
        self._places, self.call, self._table, self._raw, self.handle = places, call, table, raw, handle
        self._asked: set[str] = set()

    def next_owner(self) -> NodeSaid | None:
        """Return the next node that may have the partition, None where none is known or two were asked."""
        owner = None if len(self._asked) == _TRIES else self._places.owner(self._table, self._raw, self._asked)
        if owner is not None:
            self._asked.add(owner.name)
        return owner

    def copying(self, but: Collection[str]) -> NodeSaid | None:
        """Return a node that has a copy."""
        return self._places.copying(self._table, self._raw, but)

    def is_still_of(self, owner: NodeSaid) -> bool:
        """Say whether the partition is not known to be another's than that node's, which was asked."""
        if self.is_served_here:
            return False
        known = self._places.owner(self._table, self._raw, self._asked - {owner.name})
        return known is None or known.name == owner.name

    @property
    def is_served_here(self) -> bool:
        """Whether the partition has come here in the meantime."""
        return self._places.serves(self._table, self._raw)

    @property
    def is_copied_here(self) -> bool:
        """Whether there is a copy here that can be read."""
        return self._places.has_copy(self._table, self._raw)


def _is_whole(found: Found) -> bool:
    """Say whether the client can be told so, whatever else comes."""
    return isinstance(found, Answer) and found.status < 500


def _rather(of_owner: Answer | Instead, of_copy: Found) -> Found:
    """Return the copy's where that is whole, or the only answer; else the owner's."""
    is_only = of_owner is Instead.NOTHING and not isinstance(of_copy, Instead)
    return of_copy if is_only or _is_whole(of_copy) else of_owner


async def _unless_moved(hop: asyncio.Task[Answer | Instead], owner: NodeSaid, asking: _Asking) -> Answer | Instead:
    """Return what an owner answers that was silent; nothing once its partition is another's, who is to be asked."""
    while not (await asyncio.wait({hop}, timeout=_LOOK_S))[0]:
        if not asking.is_still_of(owner):
            return Instead.NOTHING
    return hop.result()


async def _let_go(asking: asyncio.Task[Found]) -> None:
    """Close an answer that nobody is given any more, where it has come."""
    if asking.done() and asking.exception() is None:
        found = asking.result()
        if isinstance(found, Answer) and isinstance(found.body, Payload):
            await found.body.close()


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
        call.version.name,
        of_copy=of_copy,
        keyed=call.keyed,
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
