"""From declared operations to routes: the rules that hold for every request, in the order in which they count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import msgspec
from aiohttp import web
from multidict import istr

from service.commands.keyed import Keyed
from service.http.addresses import client_address
from service.http.bodies import MAX_BODY_BYTES, check_media_type, read_body
from service.http.callers import Callers
from service.http.calls import Answer, Call, Handler
from service.http.deps import Deps
from service.http.forward import READS
from service.http.idempotency import HEADER as IDEMPOTENCY_KEY
from service.http.idempotency import METHODS as KEYED
from service.http.idempotency import read_key
from service.http.params import AS_OF
from service.http.positions import HEADER as POSITION
from service.http.positions import PositionTokens
from service.http.problems import (
    AddressError,
    ForbiddenError,
    InvalidVersionError,
    MethodNotAllowedError,
    ScopeError,
    UnknownPathError,
)
from service.http.signatures import Signatures
from service.http.versions.version import Version
from service.networks import AllowList
from service.ports import Client
from streams.domain.errors import (
    HistoryGoneError,
    HistoryTooLongError,
    HistoryUnorderedError,
    LogUnavailableError,
    UnknownIdError,
    ViewUnavailableError,
)
from streams.domain.ids import Kind
from streams.domain.positions import NOTHING

_POSITION, _KEY = istr(POSITION), istr(IDEMPOTENCY_KEY)
"""Looked for in every request, and not folded to lower case each time."""


class Parameter(NamedTuple):
    """One parameter of a query, a text, as the OpenAPI document describes it; the handler reads it."""

    name: str
    description: str
    required: bool = False


AS_OF_PARAMETER = Parameter(
    AS_OF,
    "A moment of the past, where the deployment allows it: a time, or the `Paket-Position` of a list of the same id, "
    "which gives that very list. Further pages are asked for with the `Paket-Position` of the first one.",
)
PAST_PROBLEMS = (HistoryTooLongError, HistoryGoneError, HistoryUnorderedError, LogUnavailableError)
"""What can be wrong with the past, beside what can be with a list."""


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One method of one path, as it is routed and as the OpenAPI document describes it."""

    method: str
    path: str
    id: str
    summary: str
    says: str
    """What is to be known beyond the summary, in sentences."""
    tenant: Kind | None
    """Whose clients may call it; None: everyone's."""
    success: int
    answer: type[msgspec.Struct] | None = None
    body: type[msgspec.Struct] | None = None
    """What the body must be. Without one, a body is read and ignored."""
    body_required: bool = True
    body_limit: int = MAX_BODY_BYTES
    largest_page: int = 0
    """The most that `limit` may ask for; 0 where the answer is no list."""
    query: Sequence[Parameter] = ()
    """Of the query, beside those of a page."""
    writes: bool = False
    """Whether the answer bears the position of a write."""
    place: Kind | None = None
    """By which id of the path its partition is found, where only the node that has the partition can answer."""
    hedged: bool = True
    """Whether a copy is asked as well where the node that has the partition takes long, as a frozen one does."""
    problems: Sequence[type[Exception]] = ()
    """The errors beyond those that every operation has."""


class Resource:
    """All operations of one path."""

    def __init__(
        self,
        deps: Deps,
        tokens: PositionTokens,
        signatures: Signatures,
        operations: Mapping[Operation, Handler],
        of_test_keys: Resource | None = None,
    ) -> None:
        """
        Take what requests are checked with, and the handlers of the path's operations.

        *of_test_keys* is the same with handlers that record nothing; None where this one is it.
        """
        self._of_test_keys = of_test_keys
        self._signatures, self._keyed = signatures, deps.keyed
        self._callers, self._limits, self._versions = Callers(deps), deps.limits, deps.versions
        self._body_limit_s, self._body_room = deps.body_limit_s, deps.body_room
        self._tokens = tokens
        self._proxies = deps.proxies
        self._elsewhere = deps.elsewhere
        self.path = next(iter(operations)).path
        self.operations = {operation.method: (operation, handle) for operation, handle in operations.items()}
        if "GET" in self.operations:
            self.operations["HEAD"] = self.operations["GET"]
        self.allow = ", ".join(sorted([*self.operations, "OPTIONS"]))

    async def judge(
        self, request: web.BaseRequest, path: Mapping[str, str], request_id: str, beside: dict[str, str]
    ) -> Answer:
        """Check the rules in the order in which they count (the first broken one is raised), then handle."""
        if request.method == "OPTIONS":
            return Answer(204, {"Allow": self.allow})
        client, wait_s, version = self._callers.caller(request, beside)
        operation, _ = self._found(request.method, client)
        if not client.may_write and not (client.may_read and request.method in READS):
            raise ScopeError
        if client.allowed is not None:
            self._check_address(client.allowed, request)
        if wait_s:
            raise self._limits.refuse(request.method, wait_s)
        body, taken_bytes = b"", 0
        try:
            if request.body_exists:
                taken_bytes = self._body_room.take(request, client.client_id, operation.body_limit)
                body = await read_body(request, most=operation.body_limit, limit_s=self._body_limit_s)
            self._signatures.check(request, client, body)
            resource = self if client.live or self._of_test_keys is None else self._of_test_keys
            return await resource.judge_for(client, version, request, request.method, path, request_id, body, beside)
        except UnknownIdError:
            self._limits.failed("ids", request)
            raise
        finally:
            if taken_bytes:
                self._body_room.give_back(client.client_id, taken_bytes)

    async def judge_for(
        self,
        client: Client,
        version: Version | None,
        request: web.BaseRequest,
        method: str,
        path: Mapping[str, str],
        request_id: str,
        body: bytes,
        beside: dict[str, str],
        keyed: Keyed | None = None,
    ) -> Answer:
        """Check what is left once it is known who calls and what was sent, then handle, here or elsewhere."""
        operation, handle = self._found(method, client)
        if body and operation.body is not None:
            check_media_type(request)
        if version is None:
            raise InvalidVersionError(self._versions.names)
        key = None
        if _KEY in request.headers and method in KEYED:
            key = read_key(request.headers.getall(_KEY))
        after = NOTHING
        if _POSITION in request.headers:
            after = self._tokens.after(request.headers.getall(_POSITION))
        # To read the log takes long: a copy would read as much, and the owner be taken for frozen.
        hedged = operation.hedged and AS_OF not in request.query
        call = Call(request, path, client, request_id, after, body, beside, version, hedged, keyed)
        if key is None:
            return await self._handled(operation, handle, call)
        return await self._keyed.answer(call, key, partial(self._handled, operation, handle))

    async def _handled(self, operation: Operation, handle: Handler, call: Call) -> Answer:
        if self._elsewhere is None or operation.place is None:
            return await handle(call)
        answer = await self._elsewhere.answer(call, operation.place, handle)
        if answer is not None:
            return answer
        try:
            return await handle(call)
        except ViewUnavailableError:
            if call.request.method not in READS:
                raise
            # What was here when it was looked for has gone in the meantime, or cannot be read any more.
            answer = await self._elsewhere.answer(call, operation.place, handle)
            return await handle(call) if answer is None else answer

    def _check_address(self, allowed: AllowList, request: web.BaseRequest) -> None:
        forwarded = request.headers.getall("X-Forwarded-For", ())
        if not allowed.has(client_address(request.remote, forwarded, self._proxies)):
            raise AddressError

    def _found(self, method: str, client: Client) -> tuple[Operation, Handler]:
        found = self.operations.get(method)
        if found is None:
            raise MethodNotAllowedError(self.allow)
        tenant = found[0].tenant
        if tenant is not None and tenant is not client.tenant_kind:
            raise ForbiddenError
        return found


class UnknownPath:
    """Every path that nothing else has: there is nothing there, but only callers with credentials hear of it."""

    path = "unknown"

    def __init__(self, deps: Deps) -> None:
        """Take what credentials are checked with."""
        self._callers = Callers(deps)

    async def judge(
        self, request: web.BaseRequest, _path: Mapping[str, str], _request_id: str, beside: dict[str, str]
    ) -> Answer:
        """Raise `UnknownPathError`, or what is wrong with the credentials."""
        self._callers.caller(request, beside)
        raise UnknownPathError
