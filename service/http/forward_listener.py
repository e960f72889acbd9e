"""Forwarded calls on the internal listener: answered as the client's own request would be, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import structlog
from aiohttp import web

from service.http.bodies import MAX_BODY_BYTES, read_body
from service.http.calls import Answer, Call, Handler
from service.http.deps import now_ms
from service.http.forward import MISDIRECTED, PREFIX, READS, REFUSED, TABLES, UNKNOWN_ID, ForwardMetrics, Here
from service.http.forward_keys import PATH as KEYS_PATH
from service.http.forward_keys import KeysOfOthers
from service.http.forward_signature import ForgedCallError, ForwardedCall, verified
from service.http.gate import problem_answer, response
from service.http.paths import Paths
from service.http.routes import Resource
from service.http.versions.known import VERSIONS
from service.ports import Tenants
from streams.domain.errors import UnknownIdError, UpNextError, ViewUnavailableError
from streams.domain.ids import Kind, parse_id


class MisdirectedError(UpNextError):
    """The partition is not this node's, and a forwarded call goes no further."""


class OnlyHere:
    """Implements `service.http.deps.Elsewhere` for forwarded calls, which never go on."""

    def __init__(self, places: Here, *, copies: bool = False) -> None:
        """Take what is here, and whether warm copies answer as well."""
        self._places, self._copies = places, copies

    async def answer(self, call: Call, place: Kind, handle: Handler) -> Answer | None:  # noqa: ARG002 - it reads nothing
        """Return None where this node is to answer; raise `MisdirectedError` where not."""
        table = TABLES[place]
        raw = parse_id(place, call.path["context_id" if place is Kind.CONTEXT else "session_id"])
        if raw is None or self._places.serves(table, raw) or (self._copies and self._places.has_copy(table, raw)):
            return None
        if self._places.is_here(table, raw) and call.request.method not in READS:
            return None
        # Also a read of what is here and not served yet: a copy of it may be elsewhere.
        raise MisdirectedError


class ForwardedCalls:
    """
    Answers the calls of other nodes.

    The signature says that a node of this deployment has checked the credentials, and nothing was changed on the way.
    """

    def __init__(
        self,
        resources: Iterable[Resource],
        copies: Iterable[Resource],
        tenants: Tenants,
        *,
        key: bytes,
        name: str,
        metrics: ForwardMetrics,
        keys: KeysOfOthers,
        now_ms: Callable[[], int] = now_ms,
    ) -> None:
        """
        Take what answers.

        Args:
            resources: Which look for partitions only here.
            copies: The same, which take a warm copy as well.
            tenants: The registry must be as fresh for these calls as for clients'.
            key: The deployment's for forwarding: `MasterKey.derive(b"forward")`.
            name: This node's.
            metrics: Counts the calls.
            keys: Admits requests with idempotency keys that are judged here.
            now_ms: Unix time.
        """
        self._paths = Paths({resource.path: resource for resource in resources})
        self._copies = Paths({resource.path: resource for resource in copies})
        self._tenants, self._key, self._name, self._now_ms = tenants, key, name, now_ms
        self._metrics, self._keys = metrics, keys
        self._logger = structlog.get_logger(__name__)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request to `/forward/…`."""
        body = await read_body(request, most=MAX_BODY_BYTES) if request.body_exists else b""
        # As it was sent: the signature is over these characters.
        path = request.raw_path.removeprefix(PREFIX)
        try:
            call = verified(self._key, request.headers, path, body, to=self._name, time_ms=self._now_ms())
        except ForgedCallError as error:
            self._metrics.received("refused")
            self._logger.warning("forwarded_call_refused", remote=request.remote, reason=str(error))
            return refusal(403, str(error))
        try:
            answer = await self._judge(request, call)
        except MisdirectedError:
            self._metrics.received("misdirected")
            return refusal(MISDIRECTED, "the partition is not here")
        self._metrics.received("answered")
        return response(answer, call.request_id, {})

    async def _judge(self, request: web.BaseRequest, call: ForwardedCall) -> Answer:
        if call.path == KEYS_PATH:
            return await self._judge_key(request, call)
        paths = self._copies if call.of_copy else self._paths
        found = paths.find(request.rel_url.raw_path.removeprefix(PREFIX))
        version = VERSIONS.find(call.version)
        if found is None or version is None or (call.of_copy and call.method not in READS):
            raise MisdirectedError  # a newer version forwards what this one does not know
        resource, path = found
        try:
            self._tenants.ensure_fresh()
            return await resource.judge_for(
                call.client, version, request, call.method, path, call.request_id, call.body, {}, call.keyed
            )
        except MisdirectedError:
            raise
        except ViewUnavailableError as error:
            if call.method not in READS:
                return problem_answer(error, request, call.request_id, self._logger)
            raise MisdirectedError from error  # it has gone in the meantime: a copy of it may be elsewhere
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer in the one shape
            answer = problem_answer(error, request, call.request_id, self._logger)
            if isinstance(error, UnknownIdError):
                answer.headers[UNKNOWN_ID] = "1"
            return answer

    async def _judge_key(self, request: web.BaseRequest, call: ForwardedCall) -> Answer:
        try:
            return Answer(200, {}, await self._keys.begin(call.body))
        except ViewUnavailableError as error:
            raise MisdirectedError from error
        except UpNextError as error:
            return problem_answer(error, request, call.request_id, self._logger)


def refusal(status: int, reason: str) -> web.Response:
    """Return an answer to the node that forwards: nothing was done."""
    return web.Response(status=status, headers={REFUSED: reason})
