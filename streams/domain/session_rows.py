"""The rows of the sessions table: every key and value in one place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from streams.domain.feed import NONE
from streams.domain.ids import ID_BYTES, AppId, ContextId, SessionId
from streams.domain.rows import Rows
from streams.domain.times import newest_first, time_of_newest_first

_SESSION = b"n"
_MEMBER = b"m"
_LIST = b"l"
_PLACE = b"p"
_LOAD_BYTES = 8
_GROUP_BYTES = 1 + ID_BYTES
_LIST_ID_AT = _GROUP_BYTES + 8
_PLACE_ID_AT = _GROUP_BYTES + ID_BYTES + _LOAD_BYTES

OWNER_BYTES = ID_BYTES + _LOAD_BYTES
"""The end of a list row's key: whose item it is, and of which load."""


class SessionRow(msgspec.Struct, frozen=True, array_like=True):
    """What a session's members amount to."""

    deleted: bool = False
    revision: int = 0
    """Grows whenever anything that readers see of the session changes, its members' sequences too."""
    members: int = 0
    total: int = 0
    """Items in the list of all members together."""
    offset: int = NONE
    """The session's last event that was folded."""


class Loading(msgspec.Struct, frozen=True, array_like=True):
    """A snapshot of which some parts are still to come."""

    load: int
    as_of: int
    next_part: int
    digest: int
    count: int


class Member(msgspec.Struct, frozen=True, array_like=True):
    """A context that is attached. One that is not has no row."""

    app: bytes
    created_at_ms: int
    epoch: int
    """The offset of the attach event."""
    sequence: int = NONE
    """The last event of the context that the items of *load* are the fold of."""
    digest: int = 0
    count: int = 0
    load: int = NONE
    """The feed offset of the first part of the snapshot that the items began with; `NONE` before the first."""
    loading: Loading | None = None
    gaps: int = 0
    """Changes that did not follow on since a snapshot was last asked for or came."""
    refused: bool = False
    """The context feeds as many sessions as it may."""
    doubted: bool = False
    """The digest differs from the context's: a snapshot as of the same sequence is welcome too."""

    @property
    def is_loaded(self) -> bool:
        """Whether the first snapshot has come."""
        return self.load != NONE


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Where an item of a load stands in the list, and its hash."""

    time_ms: int
    hash: int


class Listed(NamedTuple):
    """A row of a session's list, of any load: readers take those whose *owner* is a live one."""

    owner: bytes
    """The context and the load: see `live_owners`."""
    time_ms: int
    content_id: bytes
    fragment: bytes


encode_row = msgspec.msgpack.Encoder().encode
_decode_session = msgspec.msgpack.Decoder(SessionRow).decode
_decode_member = msgspec.msgpack.Decoder(Member).decode
_decode_place = msgspec.msgpack.Decoder(Place).decode

NO_SESSION = SessionRow()


def session_key(session: SessionId) -> bytes:
    """Return the key of a session's only `SessionRow`; every event and change of the session writes it."""
    return _SESSION + session


def member_key(session: SessionId, context: ContextId) -> bytes:
    """Return the key of an attached context."""
    return _MEMBER + session + context


def owner_bytes(context: ContextId, load: int) -> bytes:
    """Return what the keys of a load's list rows end with."""
    return context + load.to_bytes(_LOAD_BYTES, "big")


def list_prefix(session: SessionId) -> bytes:
    """Return what the keys of all rows of a session's list begin with; they sort as the list does."""
    return _LIST + session


def list_key(session: SessionId, time_ms: int, content_id: bytes, owner: bytes) -> bytes:
    """Return the key of an item in a session's list: newest first, ties by content id, then context. See `owner_bytes`."""
    return b"".join((_LIST, session, newest_first(time_ms), content_id, b"\0", owner))


def place_prefix(session: SessionId, owner: bytes) -> bytes:
    """Return what the keys of all places of a load begin with."""
    return b"".join((_PLACE, session, owner))


def place_key(session: SessionId, content_id: bytes, owner: bytes) -> bytes:
    """Return the key of an item's place. See `owner_bytes`."""
    return b"".join((_PLACE, session, owner, content_id, b"\0"))


def session_row(rows: Rows, session: SessionId) -> SessionRow:
    """Return what a session's members amount to; `NO_SESSION` where it has no row."""
    value = rows.get(session_key(session))
    return NO_SESSION if value is None else _decode_session(value)


def member_row(rows: Rows, session: SessionId, context: ContextId) -> Member | None:
    """Return an attached context, None where it is not attached."""
    value = rows.get(member_key(session, context))
    return None if value is None else _decode_member(value)


def members(rows: Rows, session: SessionId) -> Iterator[tuple[ContextId, Member]]:
    """Yield each attached context, by context."""
    for key, value in rows.range(_MEMBER + session):
        yield ContextId(key[_GROUP_BYTES:]), _decode_member(value)


def live_owners(attached: Iterable[tuple[ContextId, Member]]) -> dict[bytes, AppId]:
    """Return the app of each member that is loaded, by its context and current load."""
    return {owner_bytes(context, member.load): AppId(member.app) for context, member in attached if member.is_loaded}


def listed(rows: Rows, session: SessionId) -> Iterator[Listed]:
    """Yield a session's list as it is ordered, rows of loads that have ended or not begun among them."""
    for key, fragment in rows.range(_LIST + session):
        owner_at = len(key) - OWNER_BYTES
        time_ms = time_of_newest_first(key[_GROUP_BYTES:_LIST_ID_AT])
        yield Listed(key[owner_at:], time_ms, key[_LIST_ID_AT : owner_at - 1], fragment)


def place(rows: Rows, session: SessionId, content_id: bytes, owner: bytes) -> Place | None:
    """Return where an item of a load stands, None where the load has none of that id."""
    value = rows.get(place_key(session, content_id, owner))
    return None if value is None else _decode_place(value)


def places(rows: Rows, session: SessionId, owner: bytes) -> Iterator[tuple[bytes, Place]]:
    """Yield the content id and place of each item of a load, by content id."""
    for key, value in rows.range(place_prefix(session, owner)):
        yield key[_PLACE_ID_AT:-1], _decode_place(value)
