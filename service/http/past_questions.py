"""Questions about the past: a list as it was, what changed, and why. Asked of a node, or of the log itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import msgspec

from service.http.explain import Everyone, ExplanationsOut, explanation_out
from service.http.positions import PositionTokens
from service.http.problems import Fault, InvalidFieldsError, UnknownPathError
from service.ports import History
from streams.domain.errors import InvalidPositionError, UnknownIdError
from streams.domain.ids import AppId, ContextId, Kind, SessionId, id_text, parse_id
from streams.domain.items import content_id_fault
from streams.domain.past_lists import NOW, Difference, Moment, PastList, differences
from streams.domain.positions import ContextPosition, ListPosition


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


class Questions:
    """Answers them, from what the log says."""

    def __init__(self, history: History, tokens: PositionTokens, now_ms: Callable[[], int]) -> None:
        """Take what reads the past, what reads positions, and Unix time."""
        self._history, self._tokens, self._now_ms = history, tokens, now_ms

    async def answer(self, what: str, query: Mapping[str, str]) -> PastListOut | DifferencesOut | ExplanationsOut:
        """
        Answer `list` (of, as_of), `diff` (of, from, to) or `explain` (of, content_id, context, as_of).

        Raises:
            UnknownPathError: It is none of these.
            InvalidFieldsError: A moment, or a content id, is none.
            UnknownIdError: An id is none.
            What `service.ports.History` raises.
        """
        match what:
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
            case _:
                raise UnknownPathError

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
