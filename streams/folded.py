"""One context, or one session, as far as its events were folded, and what each of them did."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from typing import assert_never

from msgspec import UNSET

from streams.codec import decode_context_event, decode_session_event
from streams.domain import context_rows, repeats, session_rows
from streams.domain.context_rows import StoredItem
from streams.domain.dead_letters import is_corrected
from streams.domain.errors import PoisonError
from streams.domain.events import (
    ContextAttached,
    ContextDetached,
    ContextErased,
    ContextEvent,
    SessionCreated,
    SessionDeleted,
    SessionEvent,
)
from streams.domain.ids import ContextId, Kind, SessionId, known_id
from streams.domain.memory_rows import MemoryRows
from streams.domain.session_rows import Member
from streams.domain.steps import Did, Step, Steps, did_to_item, did_to_member
from streams.log.port import Record
from streams.processors.contexts import ContextsFold
from streams.processors.sessions import SessionsFold
from streams.topics import CONTEXT_EVENTS, SESSION_EVENTS

_ERASED = str(ContextErased.__struct_config__.tag).encode()


class FoldedContext:
    """One context, as far as its events were folded, and what they did to the items that are watched."""

    def __init__(self, context: ContextId, fold: ContextsFold, watched: Collection[str]) -> None:
        self.context, self.rows = context, MemoryRows()
        self.steps = {content_id: Steps() for content_id in watched}
        self.is_erased_later = False
        """Whether a record that was only looked at erases it."""
        self._fold = fold

    @property
    def is_erased(self) -> bool:
        """Whether it was erased, also by a record that was only looked at: then nothing is to be told of it."""
        return self.is_erased_later or context_rows.read_meta(self.rows, self.context).erased

    def look(self, record: Record) -> None:
        """See whether a record that does not count erases the context."""
        if _ERASED not in (record.value or b""):
            return
        with suppress(PoisonError):
            _, event = decode_context_event(record.key, record.value)
            self.is_erased_later |= isinstance(event, ContextErased)

    def item(self, content_id: str) -> StoredItem | None:
        """Return an item as it is now."""
        value = self.rows.get(context_rows.item_key(self.context, content_id.encode()))
        return None if value is None else context_rows.decode_item(value)

    @property
    def sequence(self) -> int:
        """The offset of the last event that was folded, -1 before the first."""
        return context_rows.read_meta(self.rows, self.context).sequence

    def add(self, partition: int, record: Record) -> None:
        """Fold one record of the context; one that is no event is nothing, as it is to the tables."""
        try:
            _, event = decode_context_event(record.key, record.value)
        except PoisonError:
            return
        before = {content_id: self.item(content_id) for content_id in self.steps}
        is_repeat = _has_come(self.rows, self.context, event)
        for _ in self._fold.fold(self.rows, CONTEXT_EVENTS, record):
            pass
        for content_id, steps in self.steps.items():
            did = did_to_item(event, content_id, before[content_id], self.item(content_id))
            if did is not None:
                steps.add(_step(CONTEXT_EVENTS, partition, record, event, Did.NOTHING if is_repeat else did))


class FoldedSession:
    """One session, as far as its events were folded: its members, and what became of every attachment."""

    def __init__(self, session: SessionId, fold: SessionsFold) -> None:
        self.session, self.rows = session, MemoryRows()
        self.attachments: dict[ContextId, Steps] = {}
        """Context → what events did to its attachment."""
        self.offset = -1
        """Of the session's last event."""
        self._fold = fold

    @property
    def deleted(self) -> bool:
        """Whether the session was deleted."""
        return session_rows.read_session(self.rows, self.session).deleted

    def member(self, context: ContextId) -> Member | None:
        """Return a context's attachment, None where it is not attached."""
        return session_rows.read_member(self.rows, self.session, context)

    def members(self) -> dict[ContextId, Member]:
        """Return the contexts that are attached. What they have loaded is not said by the session's events."""
        return dict(session_rows.members(self.rows, self.session))

    @property
    def attached(self) -> list[ContextId]:
        """The contexts that are attached, were, or would be, had there been room."""
        return [one for one, steps in self.attachments.items() if steps.changed is not None]

    def add(self, partition: int, record: Record) -> None:
        """Fold one record of the session; after it was deleted, none counts."""
        try:
            _, event = decode_session_event(record.key, record.value)
        except PoisonError:
            return
        self.offset = record.offset
        named = [] if self.deleted else self._named(event)
        before = {context: self.member(context) for context in named}
        is_repeat = _has_come(self.rows, self.session, event)
        for _ in self._fold.fold(self.rows, SESSION_EVENTS, record):
            pass
        for context in named:
            did = did_to_member(event, before[context], self.member(context))
            if did is not None:
                steps = self.attachments.setdefault(context, Steps())
                steps.add(_step(SESSION_EVENTS, partition, record, event, Did.NOTHING if is_repeat else did))

    def _named(self, event: SessionEvent) -> list[ContextId]:
        """Return the contexts that an event may attach or detach."""
        match event:
            case ContextAttached() | ContextDetached():
                return [ContextId(known_id(Kind.CONTEXT, event.context))]
            case SessionDeleted():
                return list(self.members())
            case SessionCreated():
                return []
            case _:
                assert_never(event)


def _has_come(rows: MemoryRows, raw: bytes, event: ContextEvent | SessionEvent) -> bool:
    """Say whether an event has come before that counts once: what it meets by now says nothing of it."""
    if event.corrects is not UNSET and is_corrected(rows, raw, event.corrects):
        return True
    return event.idempotency_key is not UNSET and repeats.known(rows, raw, event.id) is not None


def _step(topic: str, partition: int, record: Record, event: ContextEvent | SessionEvent, did: Did) -> Step:
    kind = str(event.__struct_config__.tag)
    return Step(topic, partition, record.offset, record.time_ms, kind, event.client, event.request, did)
