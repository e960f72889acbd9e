"""What operators ask of the past, on the internal listener: a list as it was, what changed, and why."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
import structlog
from aiohttp import web
from multidict import MultiMapping
from prometheus_client import CollectorRegistry, Counter

from service.http.calls import Answer
from service.http.deps import Entropy, now_ms
from service.http.entropy import DrawnAhead
from service.http.explain import Everyone, ExplanationsOut, explanation_out
from service.http.gate import new_request_id, problem_answer, response
from service.http.positions import PositionTokens
from service.http.problems import Fault, InvalidFieldsError, UnauthorizedError, UnknownPathError
from service.ports import Audit, History
from streams.domain.audits import Audited, AuditResult
from streams.domain.errors import InvalidPositionError, UnknownIdError
from streams.domain.ids import AppId, ContextId, Kind, SessionId, id_text, parse_id
from streams.domain.items import content_id_fault
from streams.domain.past_lists import NOW, Difference, Moment, PastList, differences
from streams.domain.positions import ContextPosition, ListPosition

MOST_AUDITED = 500
"""Lists that one call compares: all that they hold is in memory meanwhile."""
_MAX_DIGITS = 6


class PastListOut(msgspec.Struct, frozen=True):
    """A list as it was: its items as they were folded, without what is configured of their apps."""

    total: int
    items: list[msgspec.Raw]
    contexts: list[PastContextOut]


class PastContextOut(msgspec.Struct, frozen=True):
    """A context that the list was of."""

    context_id: str
    app_id: str | None


class DifferenceOut(msgspec.Struct, frozen=True):
    """An item that was put, changed or gone: null where it was not there."""

    context_id: str
    content_id: str
    before: msgspec.Raw | None
    after: msgspec.Raw | None


class DifferencesOut(msgspec.Struct, frozen=True):
    """What differs between two lists."""

    differences: list[DifferenceOut]


class AuditMetrics:
    """How many lists were compared, and how many differed."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register the counters in *registry*."""
        self._lists = Counter(
            "upnext_audited_lists", "Lists that were compared with what their events give.", ["of"], registry=registry
        )
        self._differences = Counter(
            "upnext_audit_differences", "Lists that were not what their events give.", ["of"], registry=registry
        )
        for of in Audited:
            self._lists.labels(of.value)
            self._differences.labels(of.value)

    def compared(self, of: Audited, found: AuditResult) -> None:
        """Count what was found."""
        self._lists.labels(of.value).inc(found.lists)
        self._differences.labels(of.value).inc(len(found.differing))


class Past:
    """Answers operators, who show the super user's token. Any node can: the log is asked, and nothing else."""

    def __init__(
        self,
        history: History,
        audit: Audit,
        tokens: PositionTokens,
        admin_token: str,
        *,
        metrics: CollectorRegistry,
        now_ms: Callable[[], int] = now_ms,
        entropy: Entropy | None = None,
    ) -> None:
        """Take what reads the past, what reads positions, the token that callers must show, and Unix time."""
        self._history, self._audit, self._tokens, self._admin = history, audit, tokens, admin_token.encode()
        self._now_ms = now_ms
        self._entropy = entropy or DrawnAhead()
        self._metrics = AuditMetrics(metrics)
        self._log = structlog.get_logger(__name__)

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request to `/past/list`, `/past/diff` or `/past/explain`."""
        request_id = new_request_id(self._entropy)
        try:
            answer = Answer(200, {}, msgspec.json.encode(await self._answer(request)))
        except Exception as error:  # noqa: BLE001 - whatever it is, the operator gets an answer in the one shape
            answer = problem_answer(error, request, request_id, self._log)
        return response(answer, request_id, {})

    async def _answer(self, request: web.BaseRequest) -> PastListOut | DifferencesOut | ExplanationsOut | AuditResult:
        shown = request.headers.get("Authorization", "").removeprefix("Bearer ").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(shown, self._admin):
            raise UnauthorizedError
        query = request.query
        match request.rel_url.raw_path.removeprefix("/past/"):
            case "list":
                return list_out(await self._list(query.get("of", ""), "as_of", query.get("as_of")))
            case "diff":
                before, after = [
                    await self._list(query.get("of", ""), name, query.get(name)) for name in ("from", "to")
                ]
                return DifferencesOut([_difference(one) for one in differences(before, after)])
            case "explain":
                return await self._explain(
                    query.get("of", ""), query.get("content_id", ""), query.get("context"), query.get("as_of")
                )
            case "audit":
                return await self._audit_some(query)
            case _:
                raise UnknownPathError

    async def _audit_some(self, query: MultiMapping[str]) -> AuditResult:
        of, partition, most = query.get("of"), query.get("partition", ""), query.get("most", "100")
        kinds = {kind.value: kind for kind in Audited}
        faults = [
            Fault(name, "invalid", text)
            for name, text, is_good in (
                ("of", "This is contexts or sessions.", of in kinds),
                ("partition", "This is a number.", _is_number(partition)),
                ("most", f"This is 1 to {MOST_AUDITED}.", _is_number(most) and 1 <= int(most) <= MOST_AUDITED),
            )
            if not is_good
        ]
        if faults:
            raise InvalidFieldsError(faults)
        kind = kinds[of or ""]
        seed, beyond = query.get("seed", ""), query.get("beyond")
        found = await self._audit.audit(kind, int(partition), most=int(most), seed=seed, beyond=beyond)
        self._metrics.compared(kind, found)
        for one in found.differing:
            self._log.error("audit_difference", of=kind.value, partition=int(partition), id=one.id, what=one.what)
        return found

    async def _list(self, of: str, name: str, text: str | None) -> PastList:
        context, session = parse_id(Kind.CONTEXT, of), parse_id(Kind.SESSION, of)
        if context is not None:
            return await self._history.context_list(ContextId(context), self._moment(context, name, text))
        if session is not None:
            return await self._history.session_list(SessionId(session), self._moment(session, name, text))
        raise UnknownIdError

    async def _explain(self, of: str, content_id: str, context: str | None, as_of: str | None) -> ExplanationsOut:
        session = parse_id(Kind.SESSION, of)
        raw = None if context is None else parse_id(Kind.CONTEXT, context)
        if session is None or (context is not None and raw is None):
            raise UnknownIdError
        if fault := content_id_fault(content_id):
            raise InvalidFieldsError([Fault("content_id", *fault)])
        found = await self._history.explain(
            SessionId(session),
            content_id,
            None if raw is None else ContextId(raw),
            self._moment(session, "as_of", as_of),
        )
        return ExplanationsOut(of, content_id, [explanation_out(one, Everyone()) for one in found])

    def _moment(self, raw: bytes, name: str, text: str | None) -> Moment:
        """
        Return the moment that a time or a position names; without either, now.

        Raises:
            InvalidFieldsError: It is no time, is yet to come, or is the position of something else.
        """
        if text is None:
            return NOW
        try:
            time = datetime.fromisoformat(text)
        except ValueError:
            return self._position(raw, name, text)
        time_ms = round((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)
        if time_ms > self._now_ms():
            raise InvalidFieldsError([Fault(name, "out_of_range", "This is yet to come.")])
        return Moment(time_ms=time_ms)

    def _position(self, raw: bytes, name: str, text: str) -> Moment:
        try:
            position = self._tokens.read(text)
        except InvalidPositionError as error:
            wrong = Fault(name, "invalid", "This is neither a time in ISO 8601 nor a position of this deployment.")
            raise InvalidFieldsError([wrong]) from error
        match position:
            case ContextPosition(context=context, offset=offset) if context == raw:
                return Moment(offset=offset)
            case ListPosition(session=session, offset=offset, members=members) if session == raw:
                return Moment(offset=offset, sequences=dict(members))
            case _:
                raise InvalidFieldsError([Fault(name, "invalid", "This is the position of something else.")])


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS


def list_out(past: PastList) -> PastListOut:
    """Return a list as it is answered."""
    return PastListOut(
        len(past.items),
        [_item(one.fragment) for one in past.items],
        [PastContextOut(id_text(Kind.CONTEXT, context), _app(app)) for context, app in past.contexts],
    )


def _difference(one: Difference) -> DifferenceOut:
    before, after = (None if fragment is None else _item(fragment) for fragment in (one.before, one.after))
    return DifferenceOut(id_text(Kind.CONTEXT, one.context), one.content_id, before, after)


def _item(fragment: bytes) -> msgspec.Raw:
    return msgspec.Raw(fragment + b"}")


def _app(app: AppId | None) -> str | None:
    return None if app is None else id_text(Kind.APP, app)
