"""
What the sessions table holds.

| row | key | value |
| --- | --- | --- |
| session | `S` S | deleted or not, revision, members, items in all |
| member | `m` S C | what `Member` says; no row: not attached |
| list | `l` S ~updated_at content_id `0` C load | the item's fragment |
| place | `p` S C load content_id `0` | the item's `updated_at` and hash |
| slot | `x` S hash | of a context that was erased while it was attached: what `Slot` says |

Rows that know repeated events are in `streams.domain.repeats`.

S and C are the raw ids of a session and a context; `~` is the big-endian complement, so that newest sorts first. A load
is the feed offset of the first part of the snapshot that began it. The hash in a slot is one of S and C: which context
it was is known again when somebody names it, and is not said.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from hashlib import blake2b
from typing import NamedTuple

import msgspec

from streams.domain.feed import NONE, Attached
from streams.domain.ids import ID_BYTES, ContextId, SessionId
from streams.domain.rows import Rows

SESSION, MEMBER, LIST, PLACE, SLOT = b"S", b"m", b"l", b"p", b"x"
_HEAD = 1 + ID_BYTES
_U64 = (1 << 64) - 1
_TAIL = ID_BYTES + 8
_PLACE = struct.Struct(">QQ")
_ATTACHED = struct.Struct(">Q?")
_SLOT = struct.Struct(">QQ")
_HASH_BYTES = 16


class Session(msgspec.Struct, frozen=True, array_like=True):
    """One session. *revision* grows with whatever a reader of it can see, members' sequences too."""

    deleted: bool = False
    revision: int = 0
    members: int = 0
    total: int = 0
    refused: int = NONE
    """The epoch that the last context would have got for which there was no room."""


class Loading(msgspec.Struct, frozen=True, array_like=True):
    """A snapshot that has come in part: *next_part* is awaited."""

    load: int
    as_of: int
    next_part: int
    digest: int
    count: int


class Member(msgspec.Struct, frozen=True, array_like=True):
    """
    A context attached to a session.

    *sequence* and *load* are `NONE` until the first snapshot is whole; readers take only rows of *load*. *gaps* counts
    the changes since the last snapshot that did not follow on. What is *suspect* has another digest than its context: a
    snapshot as of its own sequence replaces it too.
    """

    epoch: int
    app: bytes
    created_at_ms: int
    sequence: int = NONE
    load: int = NONE
    digest: int = 0
    count: int = 0
    gaps: int = 0
    loading: Loading | None = None
    refused: bool = False
    suspect: bool = False

    @property
    def waits(self) -> bool:
        """Say whether the member's items are still on their way."""
        return self.load == NONE and not self.refused


class Slot(NamedTuple):
    """
    What an erased context has left: room that it takes until it is detached.

    Where another one was refused meanwhile, it stays taken: once nothing is recorded of the erased one any more, that
    one has its room where the tables are folded again.

    That it was erased is no event of the session's. If it left room, what was attached in that room would be refused
    where the tables are folded again, and the session's events come before the erasure.
    """

    epoch: int
    created_at_ms: int


class ListEntry(NamedTuple):
    """One row of a session's list."""

    context: ContextId
    load: int
    fragment: bytes


_SESSION = msgspec.msgpack.Decoder(Session)
_MEMBER = msgspec.msgpack.Decoder(Member)
_ENCODER = msgspec.msgpack.Encoder()


def session_key(session: SessionId) -> bytes:
    """Return the key of a session's row."""
    return SESSION + session


def member_key(session: SessionId, context: ContextId) -> bytes:
    """Return the key of a member."""
    return MEMBER + session + context


def list_key(session: SessionId, time_ms: int, content_id: bytes, context: ContextId, load: int) -> bytes:
    """Return the key that gives an item its place in the merged list."""
    return b"%b%b%b%b\0%b%b" % (
        LIST,
        session,
        (_U64 - time_ms).to_bytes(8, "big"),
        content_id,
        context,
        load.to_bytes(8, "big"),
    )


def place_prefix(session: SessionId, context: ContextId, load: int) -> bytes:
    """Return what the keys of a load's places begin with."""
    return PLACE + session + context + load.to_bytes(8, "big")


def place_key(session: SessionId, context: ContextId, load: int, content_id: bytes) -> bytes:
    """Return the key of an item's place."""
    return place_prefix(session, context, load) + content_id + b"\0"


def place_content_id(key: bytes) -> bytes:
    """Return the content id in a place's key."""
    return key[_HEAD + _TAIL : -1]


def context_in(key: bytes) -> ContextId:
    """Return the context in the key of a member, of an item's place, or of a list row."""
    return ContextId(key[-_TAIL:-8] if key[:1] == LIST else key[_HEAD : _HEAD + ID_BYTES])


def place_load(key: bytes) -> int:
    """Return the load in a place's key."""
    return int.from_bytes(key[_HEAD + ID_BYTES : _HEAD + _TAIL], "big")


def slot_key(session: SessionId, context: ContextId) -> bytes:
    """Return the key of the slot that a context leaves when it is erased."""
    return SLOT + session + blake2b(context, key=session, digest_size=_HASH_BYTES).digest()


def encode_place(time_ms: int, item_hash: int) -> bytes:
    """Return a place's value."""
    return _PLACE.pack(time_ms, item_hash)


def decode_place(value: bytes) -> tuple[int, int]:
    """Return the `updated_at` and the hash in a place."""
    time_ms, item_hash = _PLACE.unpack(value)
    return time_ms, item_hash


def encode_session(session: Session) -> bytes:
    """Return a session row's value."""
    return _ENCODER.encode(session)


def decode_session(value: bytes | None) -> Session:
    """Return what a session row's value says; no row is the empty one."""
    return Session() if value is None else _SESSION.decode(value)


def encode_member(member: Member) -> bytes:
    """Return a member row's value."""
    return _ENCODER.encode(member)


def encode_slot(slot: Slot) -> bytes:
    """Return a slot's value."""
    return _SLOT.pack(*slot)


def encode_attached(attached: Attached) -> bytes:
    """Return what is kept of the verdict on an event that may come again."""
    return _ATTACHED.pack(attached.created_at_ms, attached.refreshed)


def decode_attached(kept: bytes) -> Attached:
    """Return the verdict of which that was kept."""
    created_at_ms, refreshed = _ATTACHED.unpack(kept)
    return Attached(created_at_ms, refreshed)


def read_session(rows: Rows, session: SessionId) -> Session:
    """Return a session's row; of a session that was never heard of, the empty one."""
    return decode_session(rows.get(SESSION + session))


def read_member(rows: Rows, session: SessionId, context: ContextId) -> Member | None:
    """Return a member, None where the context is not attached."""
    value = rows.get(MEMBER + session + context)
    return None if value is None else _MEMBER.decode(value)


def read_slot(rows: Rows, session: SessionId, context: ContextId) -> Slot | None:
    """Return the slot that a context has left, None where it has left none."""
    value = rows.get(slot_key(session, context))
    return None if value is None else Slot(*_SLOT.unpack(value))


def slots(rows: Rows, session: SessionId) -> list[bytes]:
    """Return the keys of a session's slots."""
    return [key for key, _ in rows.range(SLOT + session)]


def members(rows: Rows, session: SessionId) -> Iterator[tuple[ContextId, Member]]:
    """Yield the session's contexts with their members, by context."""
    for key, value in rows.range(MEMBER + session):
        yield ContextId(key[_HEAD:]), _MEMBER.decode(value)


def list_entry(key: bytes, value: bytes) -> ListEntry:
    """Return what a list row says; whether it counts, the member's load decides."""
    return ListEntry(ContextId(key[-_TAIL:-8]), int.from_bytes(key[-8:], "big"), value)


def list_content_id(key: bytes) -> bytes:
    """Return the content id in a list row's key."""
    return key[_HEAD + 8 : -_TAIL - 1]


def list_order(key: bytes) -> tuple[int, bytes]:
    """Return the `updated_at` and the content id in a list row's key."""
    return _U64 - int.from_bytes(key[_HEAD : _HEAD + 8], "big"), key[_HEAD + 8 : -_TAIL - 1]
