"""What became of an object, from the newest version to the first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from msgspec.structs import replace

from service.api.kinds import Json, link
from service.api.params import Listing
from service.api.ports import Registry
from service.api.resource import Field, ResourceType
from service.api.shown import show_field
from streams.domain.registry_history import Past
from streams.domain.registry_state import StoredObject
from streams.domain.times import iso_ms

CONCEALED = "********"
"""Stands for whatever nobody is shown: that it changed may be known."""


async def read_history(resource: ResourceType, stored: StoredObject, registry: Registry, listing: Listing) -> Json:
    """
    Return a page of the changes of an object, newest first.

    Raises:
        LogUnavailableError: The log did not answer.
    """
    newest = stored.version - listing.page * listing.page_size
    oldest = max(newest - listing.page_size + 1, 1)
    pasts: Sequence[Past | None] = ()
    if newest >= 1:
        # What the oldest of them changed shows beside the one before it.
        first = max(oldest - 1, 1)
        offsets = registry.state.offsets(stored, first, newest)
        read = await registry.past(resource.name, stored.id, offsets)
        pasts = [None, *read] if first == oldest else read
    return {
        "page": listing.page,
        "pageSize": listing.page_size,
        "totalCount": stored.version,
        "results": [_event(resource, stored, before, after) for before, after in pairwise(pasts)][::-1],
    }


def _event(resource: ResourceType, stored: StoredObject, before: Past | None, after: Past | None) -> Json:
    if after is None:
        raise AssertionError(stored.id)
    return {
        "time": iso_ms(after.time_ms),
        "user": link("users", after.user),
        "requestId": after.request or None,
        "version": after.version,
        "changes": changes(resource, None if before is None else _as_of(stored, before), _as_of(stored, after)),
    }


def changes(resource: ResourceType, old: StoredObject | None, new: StoredObject) -> Json:
    """Return what is not the same in two versions of an object, by field; of a new one, all that it has."""
    return dict(_changes(resource, old, new))


def _changes(resource: ResourceType, old: StoredObject | None, new: StoredObject) -> Iterator[tuple[str, Json]]:
    for name in ("name", "state"):
        was, now = None if old is None else getattr(old, name), getattr(new, name)
        if was != now:
            yield {"state": "objectState"}.get(name, name), {"from": was, "to": now}
    for field in resource.fields:
        was, now = None if old is None else old.fields.get(field.key), new.fields.get(field.key)
        if was != now:
            yield field.name, {"from": _shown(field, old), "to": _shown(field, new)}


def _as_of(stored: StoredObject, past: Past) -> StoredObject:
    return replace(stored, name=past.name, state=past.state, fields=past.fields, version=past.version)


def _shown(field: Field, stored: StoredObject | None) -> object:
    if stored is None:
        return None
    if field.write_only:
        return CONCEALED if field.key in stored.fields else None
    return show_field(field, stored)
