"""What bodies and answers look like, where more than one resource shares it, or a list is joined from fragments."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

Action = Literal["up_next_continue", "up_next_next", "up_next_new", "up_next_watchlist"]
MediaType = Literal["movie", "tv_episode"]
AspectRatio = Literal["aspect_ratio_16_9", "aspect_ratio_4_3", "aspect_ratio_1_1", "aspect_ratio_2_3"]


class NothingIn(msgspec.Struct, forbid_unknown_fields=True):
    """A body that may be left out, and has no fields."""


class MessageOut(msgspec.Struct):
    """A write was recorded."""

    message: Literal["Success"]


class ListItemOut(msgspec.Struct, kw_only=True):
    """One item as its publisher reads it. Optional fields that were not written are left out."""

    content_id: str
    app_id: str
    context_id: str
    updated_at: str
    action: Action
    media_type: MediaType
    title: str
    description: str
    season: int | UnsetType = UNSET
    episode: int | UnsetType = UNSET
    poster_art_uri: str
    poster_art_aspect_ratio: AspectRatio
    preview_video_uri: str | UnsetType = UNSET
    position: int | UnsetType = UNSET
    duration: int
    hidden: bool


class SessionListItemOut(ListItemOut, kw_only=True):
    """One item as a platform reads it."""

    platform_data: dict[str, str | int | bool]
    app_media: dict[str, str]


class SessionContextOut(msgspec.Struct):
    """A context attached to a session."""

    session_id: str
    context_id: str
    app_id: str
    created_at: str


class PageOut(msgspec.Struct):
    """
    What is to be known of a page.

    `total` counts the whole list; `next` is the next page's query, relative to the list's own URL, null at the end.
    """

    total: int
    next: str | None


class ContextListOut(msgspec.Struct):
    """A page of a context's list, newest `updated_at` first, ties by `content_id`."""

    items: list[ListItemOut]
    page: PageOut


class SessionListOut(msgspec.Struct):
    """A page of a session's merged list, newest `updated_at` first, ties by `content_id`, then `context_id`."""

    items: list[SessionListItemOut]
    page: PageOut


class SessionContextsOut(msgspec.Struct):
    """A page of a session's contexts, newest `created_at` first, ties by `context_id`."""

    items: list[SessionContextOut]
    page: PageOut
