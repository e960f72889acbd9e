"""The sessions processor: sessions' events and what contexts feed them, folded into merged lists."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import assert_never

from msgspec import UNSET

from streams.codec import decode_feed, decode_session_event, encode_message
from streams.domain.dead_letters import is_repeated
from streams.domain.erasure import Requested, encode_erasure
from streams.domain.feed import (
    LIMITS,
    Attached,
    Done,
    Effect,
    Limits,
    Noticed,
    SessionGone,
    ToContext,
    ToErase,
    TooManyContexts,
    ToSession,
)
from streams.domain.ids import id_text
from streams.domain.notices import ToApp
from streams.domain.rows import WritableRows
from streams.domain.session import fold_feed, fold_session_event
from streams.engine.fold import Emit, Judged, Output
from streams.log.port import Record
from streams.processors.told import Told
from streams.topics import ERASURES, SESSION_EVENTS, VIEW, view_topics

NAME = "sessions"


class SessionsFold:
    """`streams.engine.fold.Fold` of the sessions table."""

    name = NAME
    source = SESSION_EVENTS

    def __init__(self, *, hash_key: bytes, view: str = VIEW, limits: Limits = LIMITS) -> None:
        """Take what items are hashed with, up to 64 bytes, and the version of the views."""
        topics = view_topics(view)
        self.until_folded = topics.feed
        self.changelog = topics.sessions_changelog
        self.dead_letters = topics.dead_letters
        self._subscriptions = topics.subscriptions
        self._notices = topics.notices
        self._hash_key = hash_key
        self._limits = limits

    def fold(self, rows: WritableRows, topic: str, record: Record) -> Iterable[Emit]:
        """Fold one record into *rows*; see `streams.engine.fold.Fold`."""
        if topic == self.source:
            if record.value is None:
                return ()  # it has another record erased, and is nothing itself
            session, event = decode_session_event(record.key, record.value)
            if event.corrects is not UNSET and is_repeated(rows, session, event.corrects):
                return ()
            effects = fold_session_event(
                rows, event, session, offset=record.offset, time_ms=record.time_ms, limits=self._limits
            )
            return self._emits(effects, event.id, Told(SESSION_EVENTS, session, record, event))
        session, message = decode_feed(record.key, record.value)
        effects = fold_feed(rows, message, session, offset=record.offset, hash_key=self._hash_key, limits=self._limits)
        return self._emits(effects, "", None)

    def repaired(self, effects: Iterable[Effect]) -> Iterable[Emit]:
        """Return what a repair of a session has others told."""
        return self._emits(effects, "", None)

    def _emits(self, effects: Iterable[Effect], event_id: str, told: Told | None) -> Iterator[Emit]:
        for effect in effects:
            match effect:
                case ToSession(session, message):
                    yield Output(self.until_folded, session, encode_message(message))
                case ToContext(context, wish):
                    yield Output(self._subscriptions, context, encode_message(wish))
                case ToApp() if told is not None:
                    yield told.output(self._notices, effect)
                case Attached() | Done() | SessionGone() | TooManyContexts():
                    yield Judged(event_id, effect)
                case Noticed():
                    yield effect
                case ToErase(kind, raw):
                    yield Output(ERASURES, raw, encode_erasure(Requested(id_text(kind, raw))))
                case ToApp():
                    msg = "what a context feeds tells no app"
                    raise TypeError(msg)
                case _:
                    assert_never(effect)
