"""What both logs say, folded in the plainest way there is: the oracle of the protocol's runs."""

from __future__ import annotations

import json
from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from msgspec import UNSET

from streams.domain.events import (
    ContextAttached,
    ContextDetached,
    ContextEvent,
    ItemHidden,
    ItemPut,
    ItemRemoved,
    ItemsPut,
    ItemsReplaced,
    SessionDeleted,
    SessionEvent,
)
from streams.domain.feed import NONE, Attached, Done, Limits, SessionGone, TooManyContexts, Verdict
from streams.domain.ids import ContextId, Kind, SessionId, id_text
from streams.domain.items import Item
from tests.support.tables import app_of


class Kept(NamedTuple):
    """One item of one context."""

    item: Item
    hidden: bool
    time_ms: int
    fragment: bytes


Items = dict[bytes, tuple[int, bytes]]
"""Content id → `updated_at` and fragment."""


class ContextOracle:
    """One context, and what it was after each of its events."""

    def __init__(self, context: ContextId, limits: Limits) -> None:
        self._context = context
        self._limits = limits
        self._items: dict[str, Kept] = {}
        self._time_ms = 0
        self._offsets: list[int] = [NONE]
        self._states: list[Items] = [{}]

    @property
    def last(self) -> int:
        """The offset of the context's last event."""
        return self._offsets[-1]

    def at(self, offset: int) -> Items:
        """Return what the context held after the event at *offset*, or the last one before it."""
        return self._states[bisect_right(self._offsets, offset) - 1]

    def is_event(self, offset: int) -> bool:
        """Say whether *offset* is that of one of the context's events, or none."""
        return self._offsets[bisect_right(self._offsets, offset) - 1] == offset

    def fold(self, event: ContextEvent, offset: int, time_ms: int) -> None:
        match event:
            case ItemPut(item=item):
                self._put(item, time_ms)
            case ItemsPut(items=items):
                for item in items:
                    self._put(item, time_ms)
            case ItemsReplaced(items=items):
                named = {item.content_id for item in items}
                self._items = {key: kept for key, kept in self._items.items() if key in named}
                for item in items:
                    self._put(item, time_ms)
            case ItemRemoved(content_id=content_id):
                self._items.pop(content_id, None)
            case ItemHidden(content_id=content_id, hidden=hidden):
                if content_id in self._items:
                    kept = self._items[content_id]
                    self._items[content_id] = self._kept(kept.item, kept.time_ms, hidden=hidden)
        self._offsets.append(offset)
        self._states.append({key.encode(): (kept.time_ms, kept.fragment) for key, kept in self._items.items()})

    def _put(self, item: Item, time_ms: int) -> None:
        old = self._items.pop(item.content_id, None)
        hidden = (old is not None and old.hidden) if item.hidden is UNSET else bool(item.hidden)
        if len(self._items) == self._limits.items:
            del self._items[min(self._items, key=lambda key: self._items[key].time_ms)]
        self._time_ms = max(time_ms, self._time_ms + 1)
        self._items[item.content_id] = self._kept(item, self._time_ms, hidden=hidden)

    def _kept(self, item: Item, time_ms: int, *, hidden: bool) -> Kept:
        at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time_ms)
        fields = {
            "content_id": item.content_id,
            "app_id": id_text(Kind.APP, app_of(self._context)),
            "context_id": id_text(Kind.CONTEXT, self._context),
            "updated_at": f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z",
            "action": item.action,
            "media_type": item.media_type,
            "title": item.title,
            "description": item.description,
            "poster_art_uri": item.poster_art_uri,
            "poster_art_aspect_ratio": item.poster_art_aspect_ratio,
            "duration": item.duration,
            "hidden": hidden,
        }
        fragment = json.dumps(fields, separators=(",", ":"), ensure_ascii=False)[:-1].encode()
        return Kept(item, hidden, time_ms, fragment)


class Attachments(NamedTuple):
    """A session after one of its events."""

    deleted: bool
    epochs: dict[ContextId, int]


class SessionOracle:
    """One session, and what was attached to it after each of its events."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._offsets: list[int] = [NONE]
        self._states: list[Attachments] = [Attachments(deleted=False, epochs={})]
        self._created: dict[ContextId, int] = {}
        self.verdicts: dict[int, Verdict] = {}

    def at(self, offset: int) -> Attachments:
        """Return what was attached after the event at *offset*, or the last one before it."""
        return self._states[bisect_right(self._offsets, offset) - 1]

    def fold(self, event: SessionEvent, offset: int, time_ms: int, context: ContextId) -> None:
        """Fold *event*, whose context, where it has one, is *context*."""
        state = self._states[-1]
        epochs = dict(state.epochs)
        verdict: Verdict = Done()
        match event:
            case _ if state.deleted:
                verdict = SessionGone()
            case ContextAttached():
                verdict = self._attach(epochs, context, offset, time_ms)
            case ContextDetached(epoch=epoch):
                if epoch in (None, epochs.get(context)):
                    epochs.pop(context, None)
            case SessionDeleted():
                state, epochs = state._replace(deleted=True), {}
        self._offsets.append(offset)
        self._states.append(state._replace(epochs=epochs))
        self.verdicts[offset] = verdict

    def _attach(self, epochs: dict[ContextId, int], context: ContextId, offset: int, time_ms: int) -> Verdict:
        if context in epochs:
            return Attached(self._created[context], refreshed=True)
        if len(epochs) == self._limits.contexts:
            return TooManyContexts()
        epochs[context], self._created[context] = offset, time_ms
        return Attached(time_ms, refreshed=False)


class Oracle:
    """Every context and every session."""

    def __init__(self, contexts: list[ContextId], sessions: list[SessionId], limits: Limits) -> None:
        self.contexts = {context: ContextOracle(context, limits) for context in contexts}
        self.sessions = {session: SessionOracle(limits) for session in sessions}

    def merged(self, session: SessionId, offset: int, without: set[ContextId]) -> list[bytes]:
        """Return the session's list as both logs have it, but for the contexts *without*: fragments, in order."""
        rows = [
            (-time_ms, content_id, context, fragment)
            for context in self.sessions[session].at(offset).epochs
            if context not in without
            for content_id, (time_ms, fragment) in self.contexts[context].at(self.contexts[context].last).items()
        ]
        return [row[3] for row in sorted(rows)]
