"""What one event did to one item, or to the attachment of one context."""

from __future__ import annotations

import enum
from collections import deque
from typing import NamedTuple, assert_never

from streams.domain.context_rows import StoredItem
from streams.domain.events import (
    ContextAttached,
    ContextCreated,
    ContextDetached,
    ContextErased,
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

MOST_STEPS = 100
"""Of one item, or of one attachment: older ones are counted."""


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


class Steps:
    """The last steps of one thing, and of all that are older the last one that changed it: that is why it is so."""

    def __init__(self) -> None:
        self._last: deque[Step] = deque(maxlen=MOST_STEPS)
        self._count = 0
        self.changed: Step | None = None
        """The last one that did something."""

    def __bool__(self) -> bool:
        """Say whether there is one."""
        return bool(self._last)

    def add(self, step: Step) -> None:
        """Take the next one."""
        self._last.append(step)
        self._count += 1
        if step.did is not Did.NOTHING:
            self.changed = step

    @property
    def named(self) -> list[Step]:
        """Those that are named, oldest first."""
        older = [] if self.changed is None or self.changed.offset >= self._last[0].offset else [self.changed]
        return [*older, *self._last]

    @property
    def omitted(self) -> int:
        """How many are not."""
        return self._count - len(self.named)


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
        case ContextCreated() | ContextErased():
            return None if before is None or after is not None else Did.REMOVED
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
