"""Questions about the past: a list as it was, what changed, and why. Asked of a node, or of the log itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from service.http.explain import Everyone, ExplanationsOut, explanation_out
from service.http.moments import Moments
from service.http.positions import PositionTokens
from service.http.problems import Fault, InvalidFieldsError, UnknownPathError
from service.ports import History
from streams.domain.errors import UnknownIdError
from streams.domain.ids import ContextId, Kind, SessionId, id_text, parse_id
from streams.domain.items import content_id_fault
from streams.domain.past_lists import NOW, Difference, Moment, PastList, differences
from streams.domain.positions import ContextPosition


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
        self._history, self._moments = history, Moments(tokens, now_ms)

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
                (past,) = await self._lists(query.get("of", ""), {"as_of": query.get("as_of")})
                return list_out(past)
            case "diff":
                asked = {name: query.get(name) for name in ("from", "to")}
                before, after = await self._lists(query.get("of", ""), asked)
                return DifferencesOut([_difference(one) for one in differences(before, after)])
            case "explain":
                return await self._explain(
                    query.get("of", ""), query.get("content_id", ""), query.get("context"), query.get("as_of")
                )
            case _:
                raise UnknownPathError

    async def _lists(self, of: str, moments: Mapping[str, str | None]) -> Sequence[PastList]:
        context, session = parse_id(Kind.CONTEXT, of), parse_id(Kind.SESSION, of)
        if context is not None:
            return await self._history.context_lists(ContextId(context), self._moments_of(context, moments), client="")
        if session is not None:
            return await self._history.session_lists(SessionId(session), self._moments_of(session, moments), client="")
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
            *self._moments_of(session, {"as_of": as_of}),
        )
        return ExplanationsOut(of, content_id, [explanation_out(one, Everyone()) for one in found])

    def _moments_of(self, raw: bytes, texts: Mapping[str, str | None]) -> list[Moment]:
        """
        Return the moments that times or positions name; without either, now.

        Raises:
            InvalidFieldsError: One is no time, is yet to come, or is the position of something else.
        """
        read = self._moments.of_operator
        moments = [NOW if text is None else read(raw, name, text) for name, text in texts.items()]
        if faults := [one for one in moments if isinstance(one, Fault)]:
            raise InvalidFieldsError(faults)
        return [one for one in moments if isinstance(one, Moment)]


def list_out(past: PastList) -> PastListOut:
    """Return a list as it is answered."""
    return PastListOut(
        len(past.items),
        [_item(one.fragment) for one in past.items],
        _contexts(past),
    )


def _contexts(past: PastList) -> list[PastContextOut]:
    if isinstance(past.position, ContextPosition):
        return [PastContextOut(id_text(Kind.CONTEXT, past.position.context), None)]
    return [PastContextOut(id_text(Kind.CONTEXT, one.context), id_text(Kind.APP, one.app)) for one in past.contexts]


def _difference(one: Difference) -> DifferenceOut:
    before, after = (None if item is None else _item(item.fragment) for item in (one.before, one.after))
    return DifferenceOut(id_text(Kind.CONTEXT, one.context), one.content_id, before, after)


def _item(fragment: bytes) -> msgspec.Raw:
    return msgspec.Raw(fragment + b"}")
