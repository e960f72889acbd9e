"""The events of contexts and sessions: facts in the past tense, as they stand in the log for ever."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from streams.domain.items import ContentId, Item

Hex16 = Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]
IdempotencyKey = Annotated[str, Meta(min_length=1, max_length=255)]


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", forbid_unknown_fields=False):
    """
    What every event bears. Its time is its record's, its context or session is in its record's key.

    Fields are only ever added, with defaults; a changed meaning is a new tag.
    """

    id: Hex16
    client: str
    """The client that caused it: 16 hexadecimal digits."""
    request: str = ""
    """The request's id, `req_…`."""
    corrects: str | UnsetType = UNSET
    """The place of a dead letter, `<topic>-<partition>-<offset>`, whose record it stands for."""
    idempotency_key: IdempotencyKey | UnsetType = UNSET
    """The request's. With one the event's id derives from it, and the event counts once, however often it comes."""


class ContextCreated(Event, frozen=True, kw_only=True, tag="context.created.v1"):
    """A context was made for *app*."""

    app: str


class ItemPut(Event, frozen=True, kw_only=True, tag="context.item_put.v1"):
    """An item was added, or replaced whole. Its `hidden`, where left out, stays as it was."""

    app: str
    item: Item


class ItemsPut(Event, frozen=True, kw_only=True, tag="context.items_put.v1"):
    """Items were put at once, each as by a `context.item_put.v1` of its own, the later the newer."""

    app: str
    items: Annotated[list[Item], Meta(min_length=1, max_length=1_000)]


class ItemsReplaced(Event, frozen=True, kw_only=True, tag="context.items_replaced.v1"):
    """The list was replaced whole: what is not named went, the others were put at once, the later the newer."""

    app: str
    items: Annotated[list[Item], Meta(max_length=1_000)]


class ItemRemoved(Event, frozen=True, kw_only=True, tag="context.item_removed.v1"):
    """An item was removed."""

    content_id: ContentId


class ItemHidden(Event, frozen=True, kw_only=True, tag="context.item_hidden.v1"):
    """A platform's user hid an item, or showed it again."""

    content_id: ContentId
    hidden: bool


class ContextErased(Event, frozen=True, kw_only=True, tag="context.erased.v1"):
    """The context was erased: it is nothing from now on, and whatever else is recorded of it is removed for good."""


class SessionCreated(Event, frozen=True, kw_only=True, tag="session.created.v1"):
    """A session was made for *platform*."""

    platform: str


class ContextAttached(Event, frozen=True, kw_only=True, tag="session.context_attached.v1"):
    """A context was attached, or attached again."""

    context: str
    app: str


class ContextDetached(Event, frozen=True, kw_only=True, tag="session.context_detached.v1"):
    """A context was detached. With an epoch: only if it is still the attachment made at that offset."""

    context: str
    epoch: int | None = None


class SessionDeleted(Event, frozen=True, kw_only=True, tag="session.deleted.v1"):
    """The session was deleted, with all its associations."""


ContextEvent = ContextCreated | ItemPut | ItemsPut | ItemsReplaced | ItemRemoved | ItemHidden | ContextErased
SessionEvent = SessionCreated | ContextAttached | ContextDetached | SessionDeleted
