"""The contexts processor: contexts' events and sessions' subscriptions, folded into what contexts hold and feed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import assert_never

from msgspec import UNSET

from streams.codec import decode_context_event, decode_subscription, encode_message
from streams.domain.context import fold_context_event, fold_subscription
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
from streams.engine.fold import Emit, Output
from streams.log.port import Record
from streams.processors.told import Told
from streams.topics import CONTEXT_EVENTS, ERASURES, VIEW, view_topics

NAME = "contexts"


class ContextsFold:
    """`streams.engine.fold.Fold` of the contexts table."""

    name = NAME
    source = CONTEXT_EVENTS

    def __init__(self, *, hash_key: bytes, view: str = VIEW, limits: Limits = LIMITS) -> None:
        """Take what items are hashed with, up to 64 bytes, and the version of the views."""
        topics = view_topics(view)
        self.until_folded = topics.subscriptions
        self.changelog = topics.contexts_changelog
        self.dead_letters = topics.dead_letters
        self._feed = topics.feed
        self._notices = topics.notices
        self._hash_key = hash_key
        self._limits = limits

    def fold(self, rows: WritableRows, topic: str, record: Record) -> Iterable[Emit]:
        """Fold one record into *rows*; see `streams.engine.fold.Fold`."""
        if topic == self.source:
            if record.value is None:
                return ()  # it has another record erased, and is nothing itself
            context, event = decode_context_event(record.key, record.value)
            if event.corrects is not UNSET and is_repeated(rows, context, event.corrects):
                return ()
            effects = fold_context_event(
                rows,
                event,
                context,
                sequence=record.offset,
                time_ms=record.time_ms,
                hash_key=self._hash_key,
                limits=self._limits,
            )
            return self._emits(effects, Told(CONTEXT_EVENTS, context, record, event))
        context, message = decode_subscription(record.key, record.value)
        effects = fold_subscription(rows, message, context, time_ms=record.time_ms, limits=self._limits)
        return self._emits(effects, None)

    def repaired(self, effects: Iterable[Effect]) -> Iterable[Emit]:
        """Return what a repair of a context has others told."""
        return self._emits(effects, None)

    def _emits(self, effects: Iterable[Effect], told: Told | None) -> Iterator[Emit]:
        encoded, of = b"", None
        for effect in effects:
            match effect:
                case ToSession(session, message):
                    if message is not of:
                        # One change goes to every session of its context, in the same bytes.
                        encoded, of = encode_message(message), message
                    yield Output(self._feed, session, encoded)
                case ToErase(kind, raw):
                    yield Output(ERASURES, raw, encode_erasure(Requested(id_text(kind, raw))))
                case ToApp() if told is not None:
                    yield told.output(self._notices, effect)
                case ToContext(context, wish):
                    yield Output(self.until_folded, context, encode_message(wish))
                case Noticed():
                    yield effect
                case ToApp() | Attached() | Done() | SessionGone() | TooManyContexts():
                    msg = f"a fold of contexts yielded {type(effect).__name__}"
                    raise TypeError(msg)
                case _:
                    assert_never(effect)
