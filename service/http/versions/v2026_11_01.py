"""
2026-11-01: lists say how to go on.

Before it, a list has `total` and `next_key` beside its items, `next_key` only where there is more. Whoever reads on
makes the next query of that and of the limit, which must be kept.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from service.http import schemas
from service.http.schemas import (
    ItemDifferenceOut,
    ListItemOut,
    SessionContextDifferenceOut,
    SessionContextOut,
    SessionItemDifferenceOut,
    SessionListItemOut,
)
from service.http.versions.version import Change


class ContextListOut(msgspec.Struct, kw_only=True):
    """
    A page of a context's list, newest `updated_at` first, ties by `content_id`.

    `total` counts the whole list; `next_key` is the index of the next item, left out at the end.
    """

    total: int
    next_key: int | UnsetType = UNSET
    items: list[ListItemOut]


class SessionListOut(msgspec.Struct, kw_only=True):
    """
    A page of a session's merged list, newest `updated_at` first, ties by `content_id`, then `context_id`.

    `total` counts the whole list; `next_key` is the index of the next item, left out at the end.
    """

    total: int
    next_key: int | UnsetType = UNSET
    items: list[SessionListItemOut]


class SessionContextsOut(msgspec.Struct, kw_only=True):
    """
    A page of a session's contexts, newest `created_at` first, ties by `context_id`.

    `total` counts all of them; `next_key` is the index of the next one, left out at the end.
    """

    total: int
    next_key: int | UnsetType = UNSET
    items: list[SessionContextOut]


class ItemDifferencesOut(msgspec.Struct, kw_only=True):
    """A page of what is different between two moments of a context's list; `next_key` as in lists."""

    total: int
    next_key: int | UnsetType = UNSET
    items: list[ItemDifferenceOut]


class SessionItemDifferencesOut(msgspec.Struct, kw_only=True):
    """A page of what is different between two moments of a session's list; `next_key` as in lists."""

    total: int
    next_key: int | UnsetType = UNSET
    items: list[SessionItemDifferenceOut]


class SessionContextDifferencesOut(msgspec.Struct, kw_only=True):
    """A page of what is different between two moments of a session's contexts; `next_key` as in lists."""

    total: int
    next_key: int | UnsetType = UNSET
    items: list[SessionContextDifferenceOut]


def list_body(total: int, next_key: int | None, entries: bytes, _query: bytes) -> bytes:
    """Return a list as it was before."""
    following = b"" if next_key is None else b',"next_key":%d' % next_key
    return b'{"total":%d%b,"items":[%b]}' % (total, following, entries)


CHANGE = Change(
    version="2026-11-01",
    says="Lists have a `page` in place of `total` and `next_key`: its `total`, and in `next` the query of the next "
    "page, with the limit that was asked for, as a reference relative to the list's own URL; null at the end.",
    list_body_before=list_body,
    answers_before={
        schemas.ContextListOut: ContextListOut,
        schemas.SessionListOut: SessionListOut,
        schemas.SessionContextsOut: SessionContextsOut,
        schemas.ItemDifferencesOut: ItemDifferencesOut,
        schemas.SessionItemDifferencesOut: SessionItemDifferencesOut,
        schemas.SessionContextDifferencesOut: SessionContextDifferencesOut,
    },
)
