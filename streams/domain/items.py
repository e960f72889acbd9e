"""An item of a list: what a publisher writes, its rules, and the fragment of JSON that readers are served."""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import UNSET, Meta, UnsetType

from streams.domain.ids import ContextId, Kind, id_text
from streams.domain.times import iso_ms

ContentId = Annotated[str, Meta(min_length=1, max_length=255)]
Uri = Annotated[str, Meta(min_length=1, max_length=2048)]
Natural = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Positive = Annotated[int, Meta(gt=0, le=2**31 - 1)]

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_SPACE = r"\x00-\x20\x7f-\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
"""Control characters and space, spelled out: matching `\\s`, and without regard to case, takes half as long again."""
_URI = re.compile(rf"[Hh][Tt][Tt][Pp][Ss]?://(?:[^/?#@{_SPACE}]*@)?[^/?#:@{_SPACE}]+(?:[:/?#][^{_SPACE}]*)?")
_RESERVED = frozenset({"sessions", ".", ".."})
_HEAD, _AFTER_ID = b'{"content_id":"', b'","app_id":"'
_HIDDEN = (b',"hidden":false', b',"hidden":true')


class Item(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    One item as a publisher writes it, in the order in which its fields are served.

    What cannot be said by a field's type (an episode has a season, a position is within the duration) is what
    `item_faults` finds. Fields that a newer version has added are passed over, as they are in every event.
    """

    content_id: ContentId
    action: Literal["up_next_continue", "up_next_next", "up_next_new", "up_next_watchlist"]
    media_type: Literal["movie", "tv_episode"]
    title: Annotated[str, Meta(min_length=1, max_length=512)]
    description: Annotated[str, Meta(max_length=4096)]
    season: Natural | UnsetType = UNSET
    episode: Natural | UnsetType = UNSET
    poster_art_uri: Uri
    poster_art_aspect_ratio: Literal["aspect_ratio_16_9", "aspect_ratio_4_3", "aspect_ratio_1_1", "aspect_ratio_2_3"]
    preview_video_uri: Uri | UnsetType = UNSET
    position: Natural | UnsetType = UNSET
    duration: Positive
    hidden: bool | UnsetType = UNSET


class ItemFault(NamedTuple):
    """One broken field: its name, a code for programs, a sentence for people."""

    name: str
    code: str
    message: str


def content_id_fault(content_id: str) -> tuple[str, str] | None:
    """Return the code and sentence of what keeps *content_id* from being one, None where nothing does."""
    if content_id in _RESERVED:
        return "not_allowed", "This name is taken."
    if _CONTROL.search(content_id):
        return "not_allowed", "This must have no control characters."
    if not 1 <= len(content_id) <= 255:
        return "too_long", "This must have 1 to 255 characters."
    return None


def item_faults(item: Item) -> list[ItemFault]:
    """Return what is wrong between an item's fields, or in one beyond its type; None is passed."""
    faults: list[ItemFault] = []
    if item.content_id is not None and (fault := content_id_fault(item.content_id)):
        faults.append(ItemFault("content_id", *fault))
    for name, uri in (("poster_art_uri", item.poster_art_uri), ("preview_video_uri", item.preview_video_uri)):
        if isinstance(uri, str) and not _URI.fullmatch(uri):
            faults.append(ItemFault(name, "not_a_uri", "This must be an http or https URI."))
    for name, number in (("season", item.season), ("episode", item.episode)):
        if item.media_type == "tv_episode" and number is UNSET:
            faults.append(ItemFault(name, "required", "A tv_episode has one."))
        if item.media_type == "movie" and number is not UNSET:
            faults.append(ItemFault(name, "not_allowed", "A movie has none."))
    if item.action == "up_next_continue" and item.position is UNSET:
        faults.append(ItemFault("position", "required", "An up_next_continue item has one."))
    if isinstance(item.position, int) and isinstance(item.duration, int) and item.position > item.duration:
        faults.append(ItemFault("position", "out_of_range", "This must be at most the duration."))
    return faults


def fragment(item: Item, context: ContextId, app: str, time_ms: int, *, hidden: bool) -> bytes:
    """
    Return the item as served, its JSON object without the closing brace: `{"content_id":…,…,"hidden":false`.

    Args:
        item: What was written; its own `hidden` is not looked at.
        context: Whose list it is in.
        app: The context's app, as text.
        time_ms: Its `updated_at`.
        hidden: Whether it is marked as hidden.
    """
    encoded = msgspec.json.encode(item)
    end = -1 if item.hidden is UNSET else -1 - len(_HIDDEN[item.hidden])
    content_id = msgspec.json.encode(item.content_id)
    rest = encoded[len(b'{"content_id":') + len(content_id) : end]
    owner = f'"app_id":"{app}","context_id":"{id_text(Kind.CONTEXT, context)}","updated_at":"{iso_ms(time_ms)}"'
    return b'{"content_id":%b,%b%b%b' % (content_id, owner.encode(), rest, _HIDDEN[hidden])


def content_id_json(encoded: bytes) -> bytes:
    """Return the content id of the fragment *encoded*, as it stands within a string of JSON."""
    # A quote in the id has a backslash before it, so that the first one of this shape is its end.
    return encoded[len(_HEAD) : encoded.index(_AFTER_ID, len(_HEAD))]


def app_text(encoded: bytes) -> str:
    """Return the app of the fragment *encoded*, as text."""
    begin = encoded.index(_AFTER_ID, len(_HEAD)) + len(_AFTER_ID)
    return encoded[begin : encoded.index(b'"', begin)].decode("ascii")


def with_hidden(encoded: bytes, *, hidden: bool) -> bytes:
    """Return the fragment *encoded* marked as hidden, or not."""
    end = len(_HIDDEN[True]) if encoded.endswith(_HIDDEN[True]) else len(_HIDDEN[False])
    return encoded[:-end] + _HIDDEN[hidden]


def item_hash(key: bytes, content_id: bytes, time_ms: int, encoded: bytes) -> int:
    """Return the keyed 64-bit hash of one item: what a digest is the sum of."""
    hashed = blake2b(content_id, digest_size=8, key=key)
    hashed.update(b"\0%d\0" % time_ms)
    hashed.update(encoded)
    return int.from_bytes(hashed.digest(), "big")
