"""One request on its way to its handler, and the answer on its way back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from aiohttp import web
from aiohttp.payload import Payload

from service.commands.callers import Caller, mode_of
from service.commands.keyed import Keyed
from service.http.versions.known import VERSIONS
from service.http.versions.version import Version
from service.ports import Client
from streams.domain.errors import UnknownIdError
from streams.domain.ids import ContextId, IdKeys, Kind, SessionId, parse_id
from streams.domain.positions import After


class Call(NamedTuple):
    """A request whose caller may make it. Its body and its ids are still text."""

    request: web.BaseRequest
    path: Mapping[str, str]
    """The path's parameters, still percent-encoded."""
    client: Client
    request_id: str
    after: After
    body: bytes
    beside: dict[str, str]
    """The headers that the answer bears beside its own, whatever it is."""
    version: Version = VERSIONS.first
    hedged: bool = True
    """Whether a copy is asked as well where the owner of the partition is silent."""
    keyed: Keyed | None = None
    """What its ids derive from, where it has an idempotency key."""

    @property
    def caller(self) -> Caller:
        """Who writes, as events bear it."""
        return Caller(self.client, self.request_id, self.keyed)


class Answer(NamedTuple):
    """What a handler answers; the content type of a body is JSON where the headers say no other."""

    status: int
    headers: dict[str, str]
    body: bytes | Payload | None = None
    """A payload is another node's answer, too large to be held."""


class UnknownInPart(Answer):
    """An answer that says of some of the request that its outcome is unknown: a repeat is not answered the same."""

    __slots__ = ()


Handler = Callable[[Call], Awaitable[Answer]]
"""Answers calls to one operation, or raises why not."""

SUCCESS = b'{"message":"Success"}'


def own_context(ids: IdKeys, call: Call) -> ContextId:
    """Return the path's context id; raise `UnknownIdError` where it is not one of the caller's own."""
    return ContextId(_own(ids, call, Kind.CONTEXT, "context_id"))


def own_session(ids: IdKeys, call: Call) -> SessionId:
    """Return the path's session id; raise `UnknownIdError` where it is not one of the caller's own."""
    return SessionId(_own(ids, call, Kind.SESSION, "session_id"))


def _own(ids: IdKeys, call: Call, kind: Kind, name: str) -> bytes:
    raw = _raw_own(ids, call, kind, call.path[name])
    if raw is None:
        raise UnknownIdError
    return raw


def _raw_own(ids: IdKeys, call: Call, kind: Kind, text: str) -> bytes | None:
    raw = parse_id(kind, text)
    known = raw is not None and ids.verify(kind, mode_of(call.client), call.client.tenant, raw)
    return raw if known else None


def context_called(ids: IdKeys, call: Call, text: str) -> ContextId | None:
    """Return the context whose id *text* is, None where it is not one of the caller's own."""
    raw = _raw_own(ids, call, Kind.CONTEXT, text)
    return None if raw is None else ContextId(raw)


def session_context(call: Call) -> ContextId | None:
    """Return the path's context id, which a session looks up among its own contexts; None where it is no id."""
    raw = parse_id(Kind.CONTEXT, call.path["context_id"])
    return None if raw is None else ContextId(raw)


def content_id_of(call: Call) -> str | None:
    """Return the path's content id, None where it is not percent-encoded UTF-8."""
    try:
        return unquote_to_bytes(call.path["content_id"].encode("utf-8", "surrogateescape")).decode()
    except UnicodeDecodeError:
        return None
