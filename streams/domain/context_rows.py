"""The rows of the contexts table: every key and value in one place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from streams.domain.feed import NONE
from streams.domain.ids import ID_BYTES, ContextId, SessionId
from streams.domain.rows import Rows
from streams.domain.times import newest_first, time_of_newest_first

_META = b"c"
_ITEM = b"i"
_ORDER = b"o"
_SUB = b"s"
_UNSUB = b"u"
_GROUP_BYTES = 1 + ID_BYTES
_ORDER_ID_AT = _GROUP_BYTES + 8


class ContextMeta(msgspec.Struct, frozen=True, array_like=True):
    """What a context's items amount to, after its event at offset *sequence*."""

    sequence: int = NONE
    time_ms: int = -1
    """The last `updated_at` given out, -1 before the first."""
    count: int = 0
    digest: int = 0
    """The sum of the items' hashes modulo 2^64."""
    sessions: int = 0
    """How many sessions the context feeds."""
    purged_to: bytes = b""
    """The session at which the search for old ended subscriptions goes on."""


class ItemRow(msgspec.Struct, frozen=True, array_like=True):
    """One item: its `updated_at`, its hash, and its JSON object as served, without the closing brace."""

    time_ms: int
    hidden: bool
    hash: int
    fragment: bytes


class Sub(msgspec.Struct, frozen=True, array_like=True):
    """A session is fed, for its attachment made at offset *epoch*."""

    epoch: int


class Unsub(msgspec.Struct, frozen=True, array_like=True):
    """A session is no longer fed; *epoch* is the last attachment that it ended, *time_ms* when, by the log."""

    epoch: int
    time_ms: int


class Ordered(NamedTuple):
    """An item's place in its context's list."""

    time_ms: int
    content_id: bytes


encode_row = msgspec.msgpack.Encoder().encode
_decode_meta = msgspec.msgpack.Decoder(ContextMeta).decode
_decode_item = msgspec.msgpack.Decoder(ItemRow).decode
_decode_sub = msgspec.msgpack.Decoder(Sub).decode
_decode_unsub = msgspec.msgpack.Decoder(Unsub).decode

NO_EVENTS = ContextMeta()


def meta_key(context: ContextId) -> bytes:
    """Return the key of a context's only `ContextMeta`; every event of the context writes it."""
    return _META + context


def item_key(context: ContextId, content_id: bytes) -> bytes:
    """Return the key of an item. *content_id* is UTF-8."""
    return _ITEM + context + content_id + b"\0"


def order_key(context: ContextId, time_ms: int, content_id: bytes) -> bytes:
    """Return the key of an item's place in its context's list: newest first, ties by content id. It has no value."""
    return b"".join((_ORDER, context, newest_first(time_ms), content_id, b"\0"))


def sub_key(context: ContextId, session: SessionId) -> bytes:
    """Return the key of a subscription that is on."""
    return _SUB + context + session


def unsub_key(context: ContextId, session: SessionId) -> bytes:
    """Return the key of a subscription that has ended."""
    return _UNSUB + context + session


def context_meta(rows: Rows, context: ContextId) -> ContextMeta:
    """Return what a context's items amount to; `NO_EVENTS` where it has no row."""
    value = rows.get(meta_key(context))
    return NO_EVENTS if value is None else _decode_meta(value)


def item_row(rows: Rows, context: ContextId, content_id: bytes) -> ItemRow | None:
    """Return one item, None where the context has none of that id."""
    value = rows.get(item_key(context, content_id))
    return None if value is None else _decode_item(value)


def items(rows: Rows, context: ContextId) -> Iterator[tuple[bytes, ItemRow]]:
    """Yield each content id and item, by content id."""
    for key, value in rows.range(_ITEM + context):
        yield key[_GROUP_BYTES:-1], _decode_item(value)


def ordered(rows: Rows, context: ContextId, *, reverse: bool = False) -> Iterator[Ordered]:
    """Yield the places of a context's items as its list has them: newest first, or oldest first if *reverse*."""
    for key, _ in rows.range(_ORDER + context, reverse=reverse):
        yield Ordered(time_of_newest_first(key[_GROUP_BYTES:_ORDER_ID_AT]), key[_ORDER_ID_AT:-1])


def subscription(rows: Rows, context: ContextId, session: SessionId) -> Sub | None:
    """Return a session's subscription, None where it is not on."""
    value = rows.get(sub_key(context, session))
    return None if value is None else _decode_sub(value)


def ended_subscription(rows: Rows, context: ContextId, session: SessionId) -> Unsub | None:
    """Return a session's subscription that has ended, None where that is forgotten or one is on."""
    value = rows.get(unsub_key(context, session))
    return None if value is None else _decode_unsub(value)


def subscriptions(rows: Rows, context: ContextId) -> Iterator[tuple[SessionId, Sub]]:
    """Yield each session that the context feeds, and its subscription, by session."""
    for key, value in rows.range(_SUB + context):
        yield SessionId(key[_GROUP_BYTES:]), _decode_sub(value)


def ended_subscriptions(rows: Rows, context: ContextId, *, start: bytes = b"") -> Iterator[tuple[SessionId, Unsub]]:
    """Yield each session whose subscription has ended, by session, beginning at the session *start*."""
    prefix = _UNSUB + context
    for key, value in rows.range(prefix, start=prefix + start):
        yield SessionId(key[_GROUP_BYTES:]), _decode_unsub(value)
