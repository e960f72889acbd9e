"""
What the contexts table holds.

| row | key | value |
| --- | --- | --- |
| meta | `m` C | last sequence, last `updated_at`, items, digest, subscriptions, repairs, whether it is erased |
| item | `i` C content_id `0` | `updated_at`, hash, hidden, the item's fragment |
| order | `o` C ~updated_at content_id `0` | nothing |
| sub | `s` C S | epoch of a subscription that is on |
| unsub | `u` C S | epoch of the one that is off, and since when |

Rows that know repeated events are in `streams.domain.repeats`.

C and S are the raw ids of a context and a session; `~` is the big-endian complement, so that newest sorts first.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from streams.domain.feed import NONE
from streams.domain.ids import ID_BYTES, ContextId, SessionId
from streams.domain.rows import Rows

META, ITEM, ORDER, SUB, UNSUB = b"m", b"i", b"o", b"s", b"u"
TOTAL_KEY_BYTES = 1 + ID_BYTES
_U64 = (1 << 64) - 1
_ITEM_HEAD = struct.Struct(">QQ?")
_EPOCH = struct.Struct(">Q")
_OFF = struct.Struct(">QQ")


class Meta(msgspec.Struct, frozen=True, array_like=True):
    """One context: where its events have got to, and what it holds."""

    sequence: int = NONE
    time_ms: int = 0
    count: int = 0
    digest: int = 0
    subscribers: int = 0
    forgotten_to: bytes = b""
    """The session from which the search for subscriptions to forget goes on."""
    erased: bool = False
    repairs: int = 0
    """How often its rows were replaced by those that its events give: no sequence says that they are others."""

    @property
    def revision(self) -> str:
        """What changes with whatever readers can see."""
        return f"{self.sequence}.{self.repairs}" if self.repairs else str(self.sequence)


class StoredItem(NamedTuple):
    """One item as its row holds it."""

    time_ms: int
    hash: int
    hidden: bool
    fragment: bytes


_META = msgspec.msgpack.Decoder(Meta)
_ENCODER = msgspec.msgpack.Encoder()


def meta_key(context: ContextId) -> bytes:
    """Return the key of a context's meta row."""
    return META + context


def item_key(context: ContextId, content_id: bytes) -> bytes:
    """Return the key of an item's row; *content_id* is UTF-8 without a zero byte."""
    return ITEM + context + content_id + b"\0"


def order_key(context: ContextId, time_ms: int, content_id: bytes) -> bytes:
    """Return the key that gives an item its place."""
    return ORDER + context + (_U64 - time_ms).to_bytes(8, "big") + content_id + b"\0"


def order_content_id(key: bytes) -> bytes:
    """Return the content id in an order row's key."""
    return key[TOTAL_KEY_BYTES + 8 : -1]


def order_time_ms(key: bytes) -> int:
    """Return the `updated_at` in an order row's key."""
    return _U64 - int.from_bytes(key[TOTAL_KEY_BYTES : TOTAL_KEY_BYTES + 8], "big")


def sub_key(context: ContextId, session: SessionId) -> bytes:
    """Return the key of a subscription that is on."""
    return SUB + context + session


def unsub_key(context: ContextId, session: SessionId) -> bytes:
    """Return the key of a subscription that is off."""
    return UNSUB + context + session


def encode_meta(meta: Meta) -> bytes:
    """Return a meta row's value."""
    return _ENCODER.encode(meta)


def decode_meta(value: bytes | None) -> Meta:
    """Return what a meta row's value says; no row is the empty one."""
    return Meta() if value is None else _META.decode(value)


def read_meta(rows: Rows, context: ContextId) -> Meta:
    """Return a context's meta row; of a context that was never heard of, the empty one."""
    return decode_meta(rows.get(META + context))


def encode_item(item: StoredItem) -> bytes:
    """Return an item row's value."""
    return _ITEM_HEAD.pack(item.time_ms, item.hash, item.hidden) + item.fragment


def decode_item(value: bytes) -> StoredItem:
    """Return what an item row's value says."""
    time_ms, hashed, hidden = _ITEM_HEAD.unpack_from(value)
    return StoredItem(time_ms, hashed, hidden, value[_ITEM_HEAD.size :])


def encode_epoch(epoch: int) -> bytes:
    """Return a sub row's value."""
    return _EPOCH.pack(epoch)


def decode_epoch(value: bytes) -> int:
    """Return the epoch in a sub row or an unsub row."""
    return int(_EPOCH.unpack_from(value)[0])


def encode_off(epoch: int, time_ms: int) -> bytes:
    """Return an unsub row's value."""
    return _OFF.pack(epoch, time_ms)


def decode_off(value: bytes) -> tuple[int, int]:
    """Return the epoch in an unsub row, and the time since which it is off."""
    epoch, time_ms = _OFF.unpack(value)
    return epoch, time_ms


def newest_items(rows: Rows, context: ContextId) -> Iterator[tuple[bytes, bytes]]:
    """Yield (content id, fragment) of a context's items, newest first."""
    for key, _ in rows.range(ORDER + context):
        content_id = order_content_id(key)
        value = rows.get(ITEM + context + content_id + b"\0")
        if value is not None:
            yield content_id, value[_ITEM_HEAD.size :]


def subscriptions(rows: Rows, context: ContextId) -> Iterator[tuple[SessionId, int]]:
    """Yield (session, epoch) of the subscriptions that are on, by session."""
    for key, value in rows.range(SUB + context):
        yield SessionId(key[TOTAL_KEY_BYTES:]), decode_epoch(value)
