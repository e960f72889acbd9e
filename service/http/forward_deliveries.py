"""Deliveries of webhooks that another node has: asked for over its internal listener, signed as forwarded calls are."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol, TypeVar

import msgspec
import structlog
from aiohttp import web

from service.http.bodies import read_body
from service.http.deps import now_ms
from service.http.forward import (
    MISDIRECTED,
    PREFIX,
    BrokenHopError,
    HopAnswer,
    UnreachableError,
)
from service.http.forward_listener import refusal
from service.http.forward_signature import ForgedCallError, ForwardedCall, verified
from service.http.gate import new_request_id
from service.ports import Client
from service.webhooks.deliveries import (
    Deliveries,
    DeliveryId,
    FoundDelivery,
    Listed,
    Wanted,
    parse_delivery_id,
)
from streams.domain.errors import LogUnavailableError, UnavailableError, ViewUnavailableError
from streams.domain.ids import Kind
from streams.domain.nodes import NodeSaid

PATH = "/webhookdeliveries/"
"""Behind `PREFIX`: then what is asked."""
MOST_BYTES = 32 << 20
"""Of an answer."""
_MOST_ASKED_BYTES = 1 << 20
_READ_LIMIT_S, _RESEND_LIMIT_S = 4.0, 7.5
_NODE = Client("node", Kind.APP, b"", live=True)
"""Who asks: no client, but a node by itself."""

T = TypeVar("T")


class WholeHop(Protocol):
    """Calls another node's internal listener; raises as `service.http.forward.Hop` does."""

    async def send(self, url: str, call: ForwardedCall, *, limit_s: float, held_bytes: int) -> HopAnswer:
        """Sign *call*, send it, and return the answer, whole where it has no more than *held_bytes*."""


class _ListAsked(msgspec.Struct, frozen=True, array_like=True):
    partitions: list[int]
    wanted: Wanted


class DeliveriesThere:
    """`service.webhooks.deliveries.Deliveries` of another node."""

    def __init__(self, hop: WholeHop, node: NodeSaid, doubt: Callable[[str], None]) -> None:
        """Take how other nodes are called, this one, and what hears that it could not be reached."""
        self._hop, self._node, self._doubt = hop, node, doubt

    async def listed(self, partitions: Sequence[int], wanted: Wanted) -> Listed:
        """Return the deliveries that are *wanted*."""
        return await self._read("list", _ListAsked(list(partitions), wanted), Listed)

    async def find(self, ids: Sequence[DeliveryId]) -> list[FoundDelivery | None]:
        """Return deliveries in the order of *ids*, None for what is unknown, or forgotten."""
        return await self._read("find", [one.text for one in ids], list[FoundDelivery | None])

    async def resend(self, ids: Sequence[DeliveryId]) -> int:
        """Have deliveries be sent again, and return of how many that is so."""
        try:
            return await self._ask("resend", [one.text for one in ids], int, _RESEND_LIMIT_S)
        except BrokenHopError as error:
            raise LogUnavailableError(str(error)) from error

    async def _read(self, what: str, body: object, kind: type[T]) -> T:
        try:
            return await self._ask(what, body, kind, _READ_LIMIT_S)
        except BrokenHopError as error:
            raise ViewUnavailableError(str(error)) from error

    async def _ask(self, what: str, body: object, kind: type[T], limit_s: float) -> T:
        call = ForwardedCall(
            to=self._node.name,
            method="POST",
            path=PATH + what,
            body=msgspec.msgpack.encode(body),
            client=_NODE,
            request_id=new_request_id(os.urandom),
        )
        try:
            answer = await self._hop.send(self._node.url, call, limit_s=limit_s, held_bytes=MOST_BYTES)
        except UnreachableError as error:
            self._doubt(self._node.name)
            raise ViewUnavailableError(str(error)) from error
        if answer.status == MISDIRECTED:
            raise ViewUnavailableError(f"{self._node.name} does not have these deliveries any more")
        if answer.status != 200 or not isinstance(answer.body, bytes):
            raise BrokenHopError(f"{self._node.name} has answered {answer.status}")
        try:
            return msgspec.msgpack.decode(answer.body, type=kind)
        except msgspec.MsgspecError as error:
            raise BrokenHopError(f"{self._node.name} has answered what cannot be read") from error


class DeliveryCallsOfNodes:
    """Answers other nodes that ask for the deliveries which this one has."""

    def __init__(self, own: Deliveries, key: bytes, name: str, time_ms: Callable[[], int] = now_ms) -> None:
        """Take the deliveries, the deployment's key for forwarding, this node's name, and Unix time."""
        self._own, self._key, self._name, self._now_ms = own, key, name, time_ms
        self._answers: Mapping[str, Callable[[bytes], Awaitable[object]]] = {
            "list": self._list,
            "find": self._find,
            "resend": self._resend,
        }
        self._logger = structlog.get_logger(__name__)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request to `/forward/webhookdeliveries/…`."""
        body = await read_body(request, most=_MOST_ASKED_BYTES)
        path = request.raw_path.removeprefix(PREFIX)
        try:
            call = verified(self._key, request.headers, path, body, to=self._name, time_ms=self._now_ms())
        except ForgedCallError as error:
            self._logger.warning("forwarded_call_refused", remote=request.remote, reason=str(error))
            return refusal(403, str(error))
        answer = self._answers.get(path.removeprefix(PATH))
        if answer is None:
            return refusal(MISDIRECTED, "nothing of that kind is known here")
        headers = {"Paket-Request-Id": call.request_id}
        try:
            found = await answer(body)
        except ViewUnavailableError as error:
            return refusal(MISDIRECTED, str(error))
        except UnavailableError:
            return web.Response(status=503, headers=headers)
        return web.Response(body=msgspec.msgpack.encode(found), headers=headers)

    async def _list(self, body: bytes) -> Listed:
        asked = msgspec.msgpack.decode(body, type=_ListAsked)
        return await self._own.listed(asked.partitions, asked.wanted)

    async def _find(self, body: bytes) -> list[FoundDelivery | None]:
        return await self._own.find(_ids(body))

    async def _resend(self, body: bytes) -> int:
        return await self._own.resend(_ids(body))


def _ids(body: bytes) -> list[DeliveryId]:
    return [one for text in msgspec.msgpack.decode(body, type=list[str]) if (one := parse_delivery_id(text))]
