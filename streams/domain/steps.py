"""What one event did to one item, or to the attachment of one context."""

from __future__ import annotations

import enum
from typing import NamedTuple, assert_never

from streams.domain.context_rows import StoredItem
from streams.domain.events import (
    ContextAttached,
    ContextCreated,
    ContextDetached,
    ContextEvent,
    ItemHidden,
    ItemPut,
    ItemRemoved,
    ItemsPut,
    ItemsReplaced,
    SessionCreated,
    SessionDeleted,
    SessionEvent,
)
from streams.domain.session_rows import Member


class Did(enum.Enum):
    """What one event did to one item, or to one context in a session."""

    PUT = "put"
    REPLACED = "replaced"
    LEFT_OUT = "left_out"
    REMOVED = "removed"
    DROPPED = "dropped"
    HIDDEN = "hidden"
    UNHIDDEN = "unhidden"
    ATTACHED = "attached"
    REFRESHED = "refreshed"
    TOO_MANY = "too_many_contexts"
    DETACHED = "detached"
    DELETED = "session_deleted"
    NOTHING = "nothing"


class Step(NamedTuple):
    """One event that spoke of an item or of an attachment, or changed it."""

    topic: str
    partition: int
    offset: int
    time_ms: int
    """Its record's."""
    type: str
    client: str
    request: str
    did: Did


def did_to_item(
    event: ContextEvent, content_id: str, before: StoredItem | None, after: StoredItem | None
) -> Did | None:
    """
    Return what an event that counts did to an item, which was *before* it and is *after* it as its rows say.

    None: nothing, and the event does not speak of it.
    """
    match event:
        case ItemPut():
            return _put(event.item.content_id == content_id, before, after, Did.DROPPED)
        case ItemsPut():
            return _put(any(item.content_id == content_id for item in event.items), before, after, Did.DROPPED)
        case ItemsReplaced():
            return _put(any(item.content_id == content_id for item in event.items), before, after, Did.LEFT_OUT)
        case ItemRemoved():
            gone = Did.NOTHING if before is None else Did.REMOVED
            return gone if event.content_id == content_id else None
        case ItemHidden():
            return _hide(before, after) if event.content_id == content_id else None
        case ContextCreated():
            return None
        case _:
            assert_never(event)


def _put(named: bool, before: StoredItem | None, after: StoredItem | None, gone: Did) -> Did | None:
    if not named:
        return gone if before is not None and after is None else None
    if after is None:
        return Did.DROPPED  # by those that the same event has put after it
    return Did.PUT if before is None else Did.REPLACED


def _hide(before: StoredItem | None, after: StoredItem | None) -> Did:
    if before is None or after is None or before.hidden is after.hidden:
        return Did.NOTHING
    return Did.HIDDEN if after.hidden else Did.UNHIDDEN


def did_to_member(event: SessionEvent, before: Member | None, after: Member | None) -> Did | None:
    """
    Return what an event that counts did to the attachment of a context that it speaks of.

    The session is not deleted before it.
    """
    match event:
        case ContextAttached():
            if after is None:
                return Did.TOO_MANY
            return Did.ATTACHED if before is None else Did.REFRESHED
        case ContextDetached():
            return Did.DETACHED if before is not None and after is None else Did.NOTHING
        case SessionDeleted():
            return Did.DELETED
        case SessionCreated():
            return None
        case _:
            assert_never(event)
