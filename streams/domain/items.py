"""An item of a list: what a publisher writes, and the fragment of JSON that readers are served."""

from __future__ import annotations

from hashlib import blake2b
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from streams.domain.ids import AppId, ContextId, Kind, id_text
from streams.domain.times import iso_ms

ContentId = Annotated[str, Meta(min_length=1, max_length=255)]
Uri = Annotated[str, Meta(min_length=1, max_length=2048)]
Natural = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Positive = Annotated[int, Meta(gt=0, le=2**31 - 1)]

MAX_ITEMS = 1_000
"""Items in one context; one more drops the oldest."""


class Item(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """
    One item as a publisher writes it, in the order in which its fields are served.

    What cannot be said by a field's type (an episode has a season, a position is within the duration) is checked by
    `service.http` before it is written and by `streams.codec` when it is read.
    """

    content_id: ContentId
    action: Literal["up_next_continue", "up_next_next", "up_next_new", "up_next_watchlist"]
    media_type: Literal["movie", "tv_episode"]
    title: Annotated[str, Meta(min_length=1, max_length=512)]
    description: Annotated[str, Meta(max_length=4096)]
    poster_art_uri: Uri
    poster_art_aspect_ratio: Literal["aspect_ratio_16_9", "aspect_ratio_4_3", "aspect_ratio_1_1", "aspect_ratio_2_3"]
    duration: Positive
    season: Natural | UnsetType = UNSET
    episode: Natural | UnsetType = UNSET
    preview_video_uri: Uri | UnsetType = UNSET
    position: Natural | UnsetType = UNSET
    hidden: bool | UnsetType = UNSET
