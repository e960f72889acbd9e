"""Rows of one context, or of one session, replaced by those that its events give: what differs, and what is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import msgspec
from msgspec.structs import replace

from streams.domain import context_rows, repeats, session_rows
from streams.domain.context_rows import Meta
from streams.domain.dead_letters import CORRECTED
from streams.domain.feed import NONE, Change, Effect, Erased, Subscribe, ToContext, ToSession, Unsubscribe
from streams.domain.ids import ContextId, SessionId
from streams.domain.rows import Rows, WritableRows
from streams.domain.session_rows import Member, Session, Slot

MOST_BYTES = 4 << 20
"""What one repair writes at once, for it is one batch of the changelog: the rest is another. Only what differs of a
thousand items of 4 KB each is more."""
_ROW_BYTES = 70
_MISSING, _STRAY = "is in the log, and was not here", "is not in the log, and was here"
_MOVED, _OTHERWISE = "was in another place", "was another"
_UNKNOWN = "is attached by the log, and was not here"
_NOT_ATTACHED = "is not attached by the log, and was here"
_NO_STATE = "was here as it never was in the log, and is loaded again"
_META = msgspec.msgpack.Decoder(Meta)
_MEMBER = msgspec.msgpack.Decoder(Member)
_SESSION = msgspec.msgpack.Decoder(Session)
_KNOWN = (repeats.EVENT, repeats.BY_TIME, repeats.OLDEST, CORRECTED)
"""Rows of both tables that know which events have come."""

T = TypeVar("T")
Changed = dict[bytes, bytes | None]


class DifferingItem(msgspec.Struct, frozen=True, order=True):
    """An item that is not what its context's events give, and how."""

    context: str
    content_id: str
    """Empty: what differs is that the context is attached, or how."""
    what: str


class Repaired(msgspec.Struct, frozen=True):
    """What came of folding a context or a session again."""

    id: str
    items: list[DifferingItem]
    """Those of lists that differed, by context."""
    rows: int
    """That were written, or would be: those of items and all others."""
    contexts: Sequence[str]
    """Of a session: those that are attached. What they hold is theirs to repair."""


class Mended(NamedTuple):
    """What one turn has written, and must tell others."""

    items: Mapping[bytes, str]
    """Content id → how the item differed."""
    rows: int
    """That were written."""
    effects: list[Effect]
    is_whole: bool
    """Whether nothing differs any more."""


def mend_context(rows: WritableRows, folded: Rows, context: ContextId, *, most_bytes: int = MOST_BYTES) -> Mended:
    """
    Write what differs between a context's *rows* and those *folded* from the same events; its sessions compare theirs.

    Who is subscribed does not follow from the context's events, and stays.
    """
    before: dict[bytes, bytes] = {}
    expected: dict[bytes, bytes] = {}
    meta = context_rows.read_meta(folded, context)
    for kind in (context_rows.ITEM, context_rows.ORDER, *_KNOWN):
        before |= rows.range(kind + context)
        if not meta.erased:  # of one that was, whatever else its events give goes by and by
            expected |= folded.range(kind + context)
    changed = _differing(before, expected)
    key = context_rows.meta_key(context)
    stored = _readable(_META, rows.get(key)) or Meta()
    sessions = [session for session, _ in context_rows.subscriptions(rows, context)]
    right = _right_meta(stored, meta, len(sessions))
    if not changed and stored == replace(right, repairs=stored.repairs):
        return Mended({}, 0, [], is_whole=True)
    # Readers know by this row that the list is another one; its sequence stays, for no event has come.
    right = replace(right, repairs=stored.repairs + 1)
    whole = {key: context_rows.encode_meta(right), **changed}
    written = _write(whole, rows, most_bytes)
    is_whole = written == len(whole)
    last = Change(context, right.sequence, right.sequence, right.digest, right.count, [])
    as_it_is = Erased(context) if right.erased else last
    told: list[Effect] = [ToSession(session, as_it_is) for session in sessions] if is_whole else []
    named = _named(before, changed, {key: _in_context(key) for key in changed if key[:1] not in _KNOWN})
    return Mended(named, written, told, is_whole)


def _right_meta(stored: Meta, folded: Meta, subscribers: int) -> Meta:
    """Return a context's meta row as it should be."""
    if folded.erased:
        # What came after it is nothing, and may be gone from the log: the sequence does not go back for that.
        return Meta(max(stored.sequence, folded.sequence) if stored.erased else folded.sequence, erased=True)
    return replace(folded, subscribers=subscribers, forgotten_to=stored.forgotten_to)


def mend_member(
    rows: WritableRows,
    folded: Rows,
    session: SessionId,
    context: ContextId,
    *,
    listed: Iterable[bytes],
    items: Rows | None,
    is_erased: bool = False,
    most_bytes: int = MOST_BYTES,
) -> Mended:
    """
    Write what differs in the rows of one context in a session, and have the context know what the session is to it.

    Args:
        rows: The session's.
        folded: Those that the session's events give.
        session: Whose.
        context: Which was attached, is, or has left something.
        listed: Keys of the context's rows in the session's list, as far as they are known; those that it should have,
            and those that were written since, need not be among them.
        items: The context's rows as of the member's sequence; None: what the member has loaded is not looked at.
        is_erased: Whether the context was erased by now: then no session has it, attached or not.
        most_bytes: That are written at once.
    """
    key = session_rows.member_key(session, context)
    stored = rows.get(key)
    before = _readable(_MEMBER, stored)
    attached = session_rows.read_member(folded, session, context)
    right = None if is_erased else attached
    member = _right_member(before, right, context, items)
    expected = _expected(session, context, member, items)
    kept = _kept_loads(member, items)
    there = dict(rows.range(session_rows.PLACE + session + context))
    there |= {one: value for one in {*listed, *expected} if (value := rows.get(one)) is not None}
    there = {one: value for one, value in there.items() if _load(one) not in kept}
    changed = _differing(there, expected)
    named: dict[bytes, str] = {}
    if member is not None and before is not None and member.load == before.load:
        named = _named(there, changed, {one: _in_session(one) for one in changed if _load(one) == member.load})
    elif member is not None or before is not None:
        named = {b"": _UNKNOWN if before is None else _NOT_ATTACHED if member is None else _NO_STATE}
    encoded = None if member is None else session_rows.encode_member(member)
    if stored != encoded:
        changed = {key: encoded, **changed}
    if is_erased and attached is not None:
        # What its erasure leaves where the fold hears of it.
        slot = session_rows.slot_key(session, context)
        left = {slot: session_rows.encode_slot(Slot(attached.epoch, attached.created_at_ms))}
        changed = {**_differing({slot: rows.get(slot)}, left), **changed}
    written = _write(changed, rows, most_bytes)
    if changed:
        _mend_totals(rows, folded, session, is_changed=True)
    is_whole = written == len(changed)
    return Mended(named, written, _wishes(session, context, before, member) if is_whole else [], is_whole)


def loaded_sequence(rows: Rows, session: SessionId, context: ContextId) -> int | None:
    """Return the sequence of what a session has of a context, None where it has nothing."""
    member = _readable(_MEMBER, rows.get(session_rows.member_key(session, context)))
    return None if member is None or member.load == NONE else member.sequence


def mend_session(rows: WritableRows, folded: Rows, session: SessionId) -> Mended:
    """Write what differs in those rows of a session that are of none of its members."""
    changed: Changed = {}
    for kind in _KNOWN:
        changed |= _differing(dict(rows.range(kind + session)), dict(folded.range(kind + session)))
    _write(changed, rows, MOST_BYTES)
    is_changed = _mend_totals(rows, folded, session, is_changed=bool(changed))
    return Mended({}, len(changed) + is_changed, [], is_whole=True)


def _right_member(before: Member | None, right: Member | None, context: ContextId, items: Rows | None) -> Member | None:
    """Return a member as it should be: it keeps what it has loaded, where that can be a state of its context."""
    if right is None or before is None or before.epoch != right.epoch:
        return right
    member = replace(before, app=right.app, created_at_ms=right.created_at_ms)
    if items is None or before.load == NONE:
        return member
    meta = context_rows.read_meta(items, context)
    if meta.sequence != before.sequence:
        return right
    return replace(member, digest=meta.digest, count=meta.count, suspect=False)


def _expected(session: SessionId, context: ContextId, member: Member | None, items: Rows | None) -> dict[bytes, bytes]:
    """Return the rows that a member should have loaded."""
    expected: dict[bytes, bytes] = {}
    if member is None or items is None or member.load == NONE:
        return expected
    for key, value in items.range(context_rows.ITEM + context):
        content_id, item = key[context_rows.TOTAL_KEY_BYTES : -1], context_rows.decode_item(value)
        expected[session_rows.list_key(session, item.time_ms, content_id, context, member.load)] = item.fragment
        place = session_rows.place_key(session, context, member.load, content_id)
        expected[place] = session_rows.encode_place(item.time_ms, item.hash)
    return expected


def _kept_loads(member: Member | None, items: Rows | None) -> set[int]:
    """Return the loads whose rows stay as they are: of what is on its way, and of what is not looked at."""
    if member is None:
        return set()
    loading = set() if member.loading is None else {member.loading.load}
    return loading if items is not None else {*loading, member.load}


def _wishes(session: SessionId, context: ContextId, before: Member | None, member: Member | None) -> list[Effect]:
    if member is not None:
        # Whoever is subscribed is answered with what it has, and takes no notice.
        return [ToContext(context, Subscribe(session, member.epoch))]
    return [] if before is None else [ToContext(context, Unsubscribe(session, before.epoch))]


def _mend_totals(rows: WritableRows, folded: Rows, session: SessionId, *, is_changed: bool) -> bool:
    """Write the session's own row, where that or anything else *is_changed*; say whether it was written."""
    key = session_rows.session_key(session)
    stored = _readable(_SESSION, rows.get(key)) or Session()
    members = [_readable(_MEMBER, value) for _, value in rows.range(session_rows.MEMBER + session)]
    right = replace(
        stored,
        deleted=session_rows.read_session(folded, session).deleted,
        members=len(members),
        total=sum(0 if member is None else member.count for member in members),
    )
    if not is_changed and stored == right:
        return False
    rows.put(key, session_rows.encode_session(replace(right, revision=right.revision + 1)))
    return True


def _differing(before: Mapping[bytes, bytes | None], expected: Mapping[bytes, bytes]) -> Changed:
    """Return what makes rows those that are expected."""
    changed: Changed = {key: None for key in before if key not in expected}
    return changed | {key: value for key, value in expected.items() if before.get(key) != value}


def _named(before: Mapping[bytes, bytes], changed: Changed, of: Mapping[bytes, bytes]) -> dict[bytes, str]:
    """Return how items differed, whose content ids *of* says by the keys of their rows."""
    extra = {of[key] for key in of if changed[key] is None}
    missing = {of[key] for key in of if key not in before}
    return {
        content_id: _MOVED
        if content_id in extra & missing
        else _STRAY
        if content_id in extra
        else _MISSING
        if content_id in missing
        else _OTHERWISE
        for content_id in of.values()
    }


def _write(changed: Changed, rows: WritableRows, most_bytes: int) -> int:
    """Write rows, the first ones of too many; return how many."""
    written = 0
    for key, value in changed.items():
        if most_bytes <= 0:
            break
        if value is None:
            rows.delete(key)
        else:
            rows.put(key, value)
        written += 1
        most_bytes -= _ROW_BYTES + len(key) + len(value or b"")
    return written


def _in_context(key: bytes) -> bytes:
    """Return the content id in the key of an item's row, or of its place, in a context."""
    is_item = key[:1] == context_rows.ITEM
    return key[context_rows.TOTAL_KEY_BYTES : -1] if is_item else context_rows.order_content_id(key)


def _in_session(key: bytes) -> bytes:
    """Return the content id in the key of an item's row, or of its place, in a session."""
    is_place = key[:1] == session_rows.PLACE
    return session_rows.place_content_id(key) if is_place else session_rows.list_content_id(key)


def _load(key: bytes) -> int:
    """Return the load in the key of an item's row, or of its place, in a session."""
    return session_rows.place_load(key) if key[:1] == session_rows.PLACE else session_rows.list_entry(key, b"").load


def _readable(decoder: msgspec.msgpack.Decoder[T], value: bytes | None) -> T | None:
    """Return what a row says, None where there is none, or nobody can read it."""
    try:
        return None if value is None else decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
