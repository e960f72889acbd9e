"""What contexts and sessions have, in short: so that two versions of the views can be compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from streams.domain import context_rows, session_rows
from streams.domain.feed import NONE
from streams.domain.ids import AppId, ContextId, Kind, SessionId, id_text
from streams.domain.items import item_hash
from streams.domain.rows import Rows
from streams.domain.session_rows import Member

_U64 = (1 << 64) - 1


class ContextDigest(msgspec.Struct, frozen=True):
    """One context's list: what it says of itself, and what its rows give when they are read as readers do."""

    id: str
    sequence: int = NONE
    """The offset of its last event; -1 of one that is erased, of which events may be gone that one version has seen."""
    total: int = 0
    erased: bool = False
    digest: str = f"{0:016x}"
    """The sum of the items' hashes, as 16 digits. An item's hash is of its content id, its place and its fragment."""


class MemberDigest(msgspec.Struct, frozen=True):
    """One context attached to a session, and the items that the merged list has of it."""

    context: str
    epoch: int
    app: str
    created_at_ms: int
    state: Literal["whole", "waits", "refused"]
    sequence: int
    count: int
    digest: str
    """As a context's."""

    @property
    def seat(self) -> tuple[str, int, str, int]:
        """What the session's own events say of it."""
        return self.context, self.epoch, self.app, self.created_at_ms


class SessionDigest(msgspec.Struct, frozen=True):
    """One session: who is attached, by context, and what its merged list has of each."""

    id: str
    deleted: bool = False
    total: int = 0
    members: Sequence[MemberDigest] = ()

    @property
    def seats(self) -> tuple[bool, list[tuple[str, int, str, int]]]:
        """What the session's own events say: all of this, and no more, is as of an offset of them."""
        return self.deleted, [member.seat for member in self.members]


class Digests(msgspec.Struct, frozen=True):
    """Some of a partition, as one node has them."""

    first: int
    """The offset of the source up to which the partition was folded before any of them was read …"""
    last: int
    """… and after all were."""
    contexts: Sequence[ContextDigest] = ()
    sessions: Sequence[SessionDigest] = ()
    moving: Sequence[str] = ()
    """Sessions that changed while they were read, as often as that was tried."""
    next: str | None = None
    """The last id; None where the partition has no more."""


class DigestItem(msgspec.Struct, frozen=True):
    """An item as a table has it."""

    content_id: str
    placed_at_ms: int
    """What sorts it: its `updated_at`."""
    item: str
    """The JSON that is served, whatever it is."""


class DigestItems(msgspec.Struct, frozen=True):
    """The items of one context, in its own list or in a session's, newest first."""

    sequence: int
    """The offset of the context's last event that they are as of."""
    items: Sequence[DigestItem]


def context_digest(rows: Rows, context: ContextId, hash_key: bytes) -> ContextDigest:
    """Return the digest of a context; of one that was never heard of, the empty one."""
    meta = context_rows.read_meta(rows, context)
    digest = 0
    for time_ms, content_id, encoded in _placed(rows, context):
        digest = (digest + item_hash(hash_key, content_id, time_ms, encoded)) & _U64
    sequence = NONE if meta.erased else meta.sequence
    return ContextDigest(id_text(Kind.CONTEXT, context), sequence, meta.count, meta.erased, _text(digest))


def context_items(rows: Rows, context: ContextId) -> DigestItems:
    """Return the items of a context's own list."""
    items = [_item(*placed) for placed in _placed(rows, context)]
    return DigestItems(context_rows.read_meta(rows, context).sequence, items)


def _placed(rows: Rows, context: ContextId) -> Iterable[tuple[int, bytes, bytes]]:
    """Yield (time, content id, fragment) in the order of the list. One scan of each kind of row: to ask costs more."""
    encoded = {
        key[context_rows.TOTAL_KEY_BYTES : -1]: context_rows.decode_item(value).fragment
        for key, value in rows.range(context_rows.ITEM + context)
    }
    for key, _ in rows.range(context_rows.ORDER + context):
        content_id = context_rows.order_content_id(key)
        if content_id in encoded:
            yield context_rows.order_time_ms(key), content_id, encoded[content_id]


class SessionSum:
    """Adds up a session's list, some rows at a time."""

    def __init__(self, rows: Rows, session: SessionId, hash_key: bytes) -> None:
        """Take who is attached now."""
        self._session, self._hash_key = session, hash_key
        self.state = session_rows.read_session(rows, session)
        self._members: Mapping[ContextId, Member] = dict(session_rows.members(rows, session))
        self._found = dict.fromkeys(self._members, (0, 0))

    def add(self, listed: Iterable[tuple[bytes, bytes]]) -> None:
        """Take rows of the list; those count that a reader would be shown."""
        for key, value in listed:
            entry = session_rows.list_entry(key, value)
            member = self._members.get(entry.context)
            if member is None or entry.load != member.load:
                continue
            time_ms, content_id = session_rows.list_order(key)
            count, digest = self._found[entry.context]
            hashed = item_hash(self._hash_key, content_id, time_ms, entry.fragment)
            self._found[entry.context] = count + 1, (digest + hashed) & _U64

    def digest(self) -> SessionDigest:
        """Return what was added up."""
        members = [self._member(context, member) for context, member in self._members.items()]
        return SessionDigest(id_text(Kind.SESSION, self._session), self.state.deleted, self.state.total, members)

    def _member(self, context: ContextId, member: Member) -> MemberDigest:
        count, digest = self._found[context]
        return MemberDigest(
            id_text(Kind.CONTEXT, context),
            member.epoch,
            id_text(Kind.APP, AppId(member.app)),
            member.created_at_ms,
            "waits" if member.waits else "refused" if member.load == NONE else "whole",
            member.sequence,
            count,
            _text(digest),
        )


def member_items(rows: Rows, session: SessionId, context: ContextId) -> DigestItems:
    """Return what a merged list has of one context; nothing where it is not attached."""
    member = session_rows.read_member(rows, session, context)
    if member is None:
        return DigestItems(NONE, ())
    items = []
    for key, value in rows.range(session_rows.LIST + session):
        entry = session_rows.list_entry(key, value)
        if (entry.context, entry.load) == (context, member.load):
            items.append(_item(*session_rows.list_order(key), value))
    return DigestItems(member.sequence, items)


def _item(time_ms: int, content_id: bytes, encoded: bytes) -> DigestItem:
    return DigestItem(content_id.decode(), time_ms, (encoded + b"}").decode(errors="replace"))


def _text(digest: int) -> str:
    return f"{digest:016x}"
