"""What bodies and answers look like, where more than one resource shares it, or a list is joined from fragments."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

Action = Literal["up_next_continue", "up_next_next", "up_next_new", "up_next_watchlist"]
MediaType = Literal["movie", "tv_episode"]
AspectRatio = Literal["aspect_ratio_16_9", "aspect_ratio_4_3", "aspect_ratio_1_1", "aspect_ratio_2_3"]
PlatformData = Annotated[
    dict[str, str | int | bool],
    Meta(
        description="The platform's own attributes, by name: what the app tells it, and what it computes of that and "
        "of the item. Each is of the type that the platform gave it. One that has no value is left out, as is what "
        "would make the object larger than 16 KiB.",
        examples=[{"custom_app_id": "com.example.play", "deep_link": "app://com.example.play/nosferatu"}],
    ),
]


def _png(name: str, width: int, height: int) -> Any:
    return Meta(
        description=f"The URL of a PNG of {width}x{height} pixels.",
        examples=[f"https://api.example/media/AP{'0' * 41}/{name}.png"],
        extra_json_schema={"format": "uri"},
    )


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


class AppMediaOut(msgspec.Struct, kw_only=True):
    """The files of the item's app: those that it has uploaded, and that are not hidden."""

    icon_1x: Annotated[str, _png("icon@1x", 240, 240)] | UnsetType = UNSET
    icon_2x: Annotated[str, _png("icon@2x", 480, 480)] | UnsetType = UNSET
    icon_3x: Annotated[str, _png("icon@3x", 960, 960)] | UnsetType = UNSET
    tile_1x: Annotated[str, _png("tile@1x", 400, 240)] | UnsetType = UNSET
    tile_2x: Annotated[str, _png("tile@2x", 800, 480)] | UnsetType = UNSET
    logo_dark_1x: Annotated[str, _png("logo_dark@1x", 400, 240)] | UnsetType = UNSET
    logo_light_1x: Annotated[str, _png("logo_light@1x", 400, 240)] | UnsetType = UNSET


class SessionListItemOut(ListItemOut, kw_only=True):
    """One item as a platform reads it."""

    platform_data: PlatformData
    app_media: AppMediaOut


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


class ItemDifferenceOut(msgspec.Struct):
    """An item of a context's list that was put, changed or gone: null where it was not there."""

    context_id: str
    content_id: str
    before: ListItemOut | None
    after: ListItemOut | None


class SessionItemDifferenceOut(msgspec.Struct):
    """An item of a session's list that was put, changed or gone: null where it was not there."""

    context_id: str
    content_id: str
    before: SessionListItemOut | None
    after: SessionListItemOut | None


class SessionContextDifferenceOut(msgspec.Struct):
    """A context of a session that was attached, attached anew, or detached: null where it was not attached."""

    context_id: str
    before: SessionContextOut | None
    after: SessionContextOut | None


class ItemDifferencesOut(msgspec.Struct):
    """A page of what is different between two moments of a context's list."""

    items: list[ItemDifferenceOut]
    page: PageOut


class SessionItemDifferencesOut(msgspec.Struct):
    """A page of what is different between two moments of a session's list."""

    items: list[SessionItemDifferenceOut]
    page: PageOut


class SessionContextDifferencesOut(msgspec.Struct):
    """A page of what is different between two moments of a session's contexts."""

    items: list[SessionContextDifferenceOut]
    page: PageOut
