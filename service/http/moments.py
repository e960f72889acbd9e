"""Moments of the past as callers name them: by time, or by the position that a list or a write was answered with."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime

from service.http.positions import PositionTokens
from service.http.problems import Fault
from streams.domain.errors import InvalidPositionError
from streams.domain.past_lists import Moment
from streams.domain.positions import ContextPosition, ContextsPosition, ListPosition, context_mark

TIME = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,3})?Z"
"""How clients write times: as `/v1` does."""
MAX_MOMENT_CHARS = 3_500
"""More than the position of any list takes, and twice as much still fits into the line of a request."""
_is_time = re.compile(TIME).fullmatch


class Moments:
    """Reads them."""

    def __init__(self, tokens: PositionTokens, now_ms: Callable[[], int]) -> None:
        """Take what reads positions, and Unix time."""
        self._tokens, self._now_ms = tokens, now_ms

    def of_client(self, raw: bytes, name: str, text: str) -> Moment | Fault:
        """Return the moment that a client names for the list of a session or a context, or what is wrong with it."""
        if not _is_time(text):
            return self._position(raw, name, text)
        try:
            return self._time(name, datetime.fromisoformat(text))
        except ValueError:
            return Fault(name, "invalid_moment", "There is no such time.")

    def of_operator(self, raw: bytes, name: str, text: str) -> Moment | Fault:
        """Return the moment that an operator names: any time of ISO 8601, UTC where it does not say."""
        try:
            time = datetime.fromisoformat(text)
        except ValueError:
            return self._position(raw, name, text)
        return self._time(name, time if time.tzinfo else time.replace(tzinfo=UTC))

    def _time(self, name: str, time: datetime) -> Moment | Fault:
        time_ms = round(time.timestamp() * 1000)
        if time_ms > self._now_ms():
            return Fault(name, "out_of_range", "This is yet to come.")
        return Moment(time_ms=time_ms)

    def _position(self, raw: bytes, name: str, text: str) -> Moment | Fault:
        try:
            position = self._tokens.read(text)
        except InvalidPositionError:
            return Fault(name, "invalid_moment", "This is neither a time in ISO 8601 nor a position of this log.")
        match position:
            case ContextPosition(context=context, offset=offset) if context == raw:
                return Moment(offset=offset)
            case ContextsPosition(offsets=offsets) if context_mark(raw) in offsets:
                return Moment(offset=offsets[context_mark(raw)])
            case ListPosition(session=session, offset=offset, members=members) if session == raw:
                return Moment(offset=offset, sequences=dict(members))
            case _:
                return Fault(name, "invalid_moment", "This is the position of something else.")
