"""The sessions processor's folds: what is attached, and what the contexts feed into the merged list."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import assert_never

from msgspec import UNSET
from msgspec.structs import replace

from streams.domain import repeats
from streams.domain import session_rows as layout
from streams.domain.events import ContextAttached, ContextDetached, SessionCreated, SessionDeleted, SessionEvent
from streams.domain.feed import (
    LIMITS,
    NONE,
    Attached,
    Change,
    Done,
    Effect,
    Erased,
    FeedMessage,
    Limits,
    Noticed,
    Operation,
    Refused,
    SessionGone,
    Snapshot,
    Subscribe,
    Sweep,
    ToContext,
    ToErase,
    TooManyContexts,
    ToSession,
    Unsubscribe,
    Wipe,
)
from streams.domain.ids import ContextId, Kind, SessionId, known_id
from streams.domain.items import item_hash
from streams.domain.notices import NoticeType, ToApp, session_context_json
from streams.domain.rows import WritableRows
from streams.domain.session_rows import Loading, Member

_U64 = (1 << 64) - 1


def fold_session_event(
    rows: WritableRows, event: SessionEvent, session: SessionId, *, offset: int, time_ms: int, limits: Limits = LIMITS
) -> Iterator[Effect]:
    """
    Fold *event* into its session's rows; yield exactly one verdict, and what the contexts must hear.

    Args:
        rows: The sessions table, or an overlay of it.
        event: What somebody wants to have happened; the fold judges.
        session: To whom.
        offset: The event's offset: the epoch of what it attaches.
        time_ms: The event's time, its record's.
        limits: How many contexts a session holds.
    """
    fold = _SessionFold(rows, session, limits)
    is_keyed = event.idempotency_key is not UNSET
    if is_keyed and (kept := repeats.known(rows, session, event.id)) is not None:
        repeats.note(rows, session, event.id, time_ms, kept)
        yield from fold.again(event)
        yield layout.decode_attached(kept)
        return
    if fold.state.deleted:
        yield SessionGone()
        # Nothing comes of it, and the record of it is to be erased too.
        yield ToErase(Kind.SESSION, session)
        return
    match event:
        case SessionCreated():
            fold.touch()
            yield Done()
        case ContextAttached():
            for effect in fold.attach(event, offset, time_ms):
                if is_keyed and isinstance(effect, Attached):
                    # Nothing but success is kept: what was refused is judged anew when it comes again.
                    repeats.note(rows, session, event.id, time_ms, layout.encode_attached(effect))
                yield effect
        case ContextDetached():
            yield from fold.detach(event)
        case SessionDeleted():
            yield from fold.delete()
        case _:
            assert_never(event)


def _named(event: ContextAttached | ContextDetached) -> ToContext:
    """Return what has the record of an event that changes nothing be erased, too, where its context was."""
    return ToContext(ContextId(known_id(Kind.CONTEXT, event.context)), Wipe())


def fold_feed(
    rows: WritableRows,
    message: FeedMessage,
    session: SessionId,
    *,
    offset: int,
    hash_key: bytes,
    limits: Limits = LIMITS,
) -> Iterator[Effect]:
    """
    Fold what a context feeds into the session's rows, or sweep up what a load has left.

    Args:
        rows: The sessions table, or an overlay of it.
        message: What the contexts processor, or this one, has to say.
        session: To whom.
        offset: The message's offset: the load of the snapshot that it begins.
        hash_key: What items are hashed with, for the digest.
        limits: How often a member asks, how much a sweep deletes.
    """
    context = ContextId(message.context)
    if isinstance(message, Sweep):
        yield from _sweep(rows, session, context, message.load, limits)
        return
    member = layout.read_member(rows, session, context)
    if member is None:
        return
    fold = _MemberFold(rows, session, context, member, hash_key, limits)
    match message:
        case Change():
            yield from fold.change(message)
        case Snapshot():
            yield from fold.snapshot(message, offset)
        case Refused():
            fold.refuse(message.epoch)
        case Erased():
            # Its app has asked for it, and is told nothing.
            yield from _SessionFold(rows, session, limits).erase(context, member)
        case _:
            assert_never(message)


class _SessionFold:
    """One session, as its own events change it."""

    def __init__(self, rows: WritableRows, session: SessionId, limits: Limits) -> None:
        self._rows, self._session, self._limits = rows, session, limits
        self.state = layout.read_session(rows, session)

    def touch(self, *, members: int = 0, total: int = 0, deleted: bool = False, refused: int = NONE) -> None:
        """Write the session's row with so many more members and items."""
        _touch(self._rows, self._session, members=members, total=total, deleted=deleted, refused=refused)

    def again(self, event: SessionEvent) -> Iterator[Effect]:
        """Have the record of a repeated event be erased, too, where its session or its context is no more."""
        if self.state.deleted:
            yield ToErase(Kind.SESSION, self._session)
        elif isinstance(event, ContextAttached):
            yield _named(event)

    def attach(self, event: ContextAttached, offset: int, time_ms: int) -> Iterator[Effect]:
        """Make a context a member, where it is none and there is room, and subscribe to it."""
        context = ContextId(known_id(Kind.CONTEXT, event.context))
        member = layout.read_member(self._rows, self._session, context)
        if member is not None:
            yield Attached(member.created_at_ms, refreshed=True)
            return
        slot = layout.read_slot(self._rows, self._session, context)
        if slot is not None:
            # What names it again is to be erased too.
            yield ToErase(Kind.CONTEXT, context)
            yield Attached(slot.created_at_ms, refreshed=True)
            return
        if self.state.members + len(layout.slots(self._rows, self._session)) >= self._limits.contexts:
            self.touch(refused=offset)
            yield _named(event)
            yield TooManyContexts()
            return
        # It has asked once, with this: hence one gap.
        member = Member(offset, known_id(Kind.APP, event.app), time_ms, gaps=1)
        self._rows.put(layout.member_key(self._session, context), layout.encode_member(member))
        self.touch(members=1)
        yield ToContext(context, Subscribe(self._session, offset))
        yield self._told("context.session.context_added", context, member)
        yield Attached(time_ms, refreshed=False)

    def detach(self, event: ContextDetached) -> Iterator[Effect]:
        """Have a context no more, where it is the attachment that is meant; the room that an erased one takes, too."""
        context = ContextId(known_id(Kind.CONTEXT, event.context))
        member = layout.read_member(self._rows, self._session, context)
        slot = layout.read_slot(self._rows, self._session, context) if member is None else None
        if member is not None and event.epoch in (None, member.epoch):
            yield from self._take_off(context, member)
            yield self._told("context.session.context_removed", context, member)
        elif slot is not None and event.epoch in (None, slot.epoch) and self.state.refused < slot.epoch:
            self._rows.delete(layout.slot_key(self._session, context))
        if slot is not None:
            yield ToErase(Kind.CONTEXT, context)
        elif member is None:
            yield _named(event)
        yield Done()

    def erase(self, context: ContextId, member: Member) -> Iterator[Effect]:
        """Have a context no more, but for the room that it takes."""
        yield from self._take_off(context, member)
        slot = layout.Slot(member.epoch, member.created_at_ms)
        self._rows.put(layout.slot_key(self._session, context), layout.encode_slot(slot))

    def delete(self) -> Iterator[Effect]:
        for context, member in list(layout.members(self._rows, self._session)):
            yield from self._end(context, member)
            yield self._told("context.session.deleted", context, member)
        for key in layout.slots(self._rows, self._session):
            self._rows.delete(key)
        self.touch(members=-self.state.members, total=-self.state.total, deleted=True)
        yield Done()
        yield ToErase(Kind.SESSION, self._session)

    def _take_off(self, context: ContextId, member: Member) -> Iterator[Effect]:
        yield from self._end(context, member)
        self.touch(members=-1, total=-member.count)

    def _told(self, what: NoticeType, context: ContextId, member: Member) -> ToApp:
        data = session_context_json(self._session, context, member.app, member.created_at_ms)
        return ToApp(context, member.app, what, data)

    def _end(self, context: ContextId, member: Member) -> Iterator[Effect]:
        """Take a member off at once; its rows go later."""
        self._rows.delete(layout.member_key(self._session, context))
        yield ToContext(context, Unsubscribe(self._session, member.epoch))
        for load in (member.load, NONE if member.loading is None else member.loading.load):
            if load != NONE:
                yield ToSession(self._session, Sweep(context, load))


class _MemberFold:
    """One member of a session, as its context feeds it."""

    def __init__(
        self,
        rows: WritableRows,
        session: SessionId,
        context: ContextId,
        member: Member,
        hash_key: bytes,
        limits: Limits,
    ) -> None:
        self._rows, self._session, self._context, self._member = rows, session, context, member
        self._hash_key, self._limits = hash_key, limits

    def change(self, change: Change) -> Iterator[Effect]:
        """Apply a change that follows on; ignore one that is known; ask for a snapshot where something is missing."""
        member = self._member
        if member.load != NONE and change.sequence <= member.sequence:
            # A context that was repaired says what it has as of its last sequence.
            if change.sequence == member.sequence and (change.digest, change.count) != (member.digest, member.count):
                yield from self._compare(change.digest, change.count)
                self._write()
            return
        if member.load == NONE or change.after != member.sequence:
            if member.load != NONE:
                yield Noticed("gap")
            yield from self._mend()
            self._write()
            return
        digest, count = member.digest, member.count
        for operation in change.operations:
            digest, count = self._apply(operation, digest, count)
        self._member = replace(member, sequence=change.sequence, digest=digest, count=count)
        yield from self._compare(change.digest, change.count)
        self._write(total=count - member.count)

    def snapshot(self, part: Snapshot, offset: int) -> Iterator[Effect]:
        """Take a part under a load of its own; the last one replaces the member's rows as a whole."""
        if part.epoch != self._member.epoch:
            return
        if part.part == 0:
            yield from self._begin(part, offset)
        loading = self._member.loading
        if loading is None or (loading.as_of, loading.next_part) != (part.as_of, part.part):
            yield from self._abandon()
            self._write()
            return
        digest, count = loading.digest, loading.count
        for operation in part.items:
            digest = (digest + self._put(loading.load, operation)) & _U64
            count += 1
        loading = replace(loading, next_part=part.part + 1, digest=digest, count=count)
        self._member = replace(self._member, loading=loading)
        if part.part < part.parts - 1:
            self._write()
            return
        yield from self._finish(loading, part)

    def refuse(self, epoch: int) -> None:
        """Note that the context feeds as many sessions as it may."""
        if self._member.epoch == epoch and self._member.load == NONE:
            self._member = replace(self._member, refused=True)
            self._write()

    def _begin(self, part: Snapshot, offset: int) -> Iterator[Effect]:
        yield from self._abandon()
        member = self._member
        newer = part.as_of > member.sequence or (member.suspect and part.as_of == member.sequence)
        if member.load == NONE or newer:
            self._member = replace(member, loading=Loading(offset, part.as_of, 0, 0, 0))
        elif part.parts == 1:
            # What it asked for has come, and it knew it all: the next gap may ask at once.
            self._member = replace(member, gaps=0)

    def _abandon(self) -> Iterator[Effect]:
        if self._member.loading is not None:
            yield ToSession(self._session, Sweep(self._context, self._member.loading.load))
            self._member = replace(self._member, loading=None)

    def _finish(self, loading: Loading, part: Snapshot) -> Iterator[Effect]:
        member = self._member
        # A change may have come between the parts and be newer than all of them.
        if member.load != NONE and (
            loading.as_of < member.sequence or (loading.as_of == member.sequence and not member.suspect)
        ):
            yield from self._abandon()
            self._member = replace(self._member, gaps=0)
            self._write()
            return
        if member.load != NONE:
            yield ToSession(self._session, Sweep(self._context, member.load))
        self._member = replace(
            member,
            sequence=loading.as_of,
            load=loading.load,
            digest=loading.digest,
            count=loading.count,
            # One, for the snapshot has just answered: were it at odds with itself, to ask at once would never end.
            gaps=1 if (loading.digest, loading.count) != (part.digest, part.count) else 0,
            loading=None,
            refused=False,
            suspect=False,
        )
        yield from self._compare(part.digest, part.count)
        self._write(total=loading.count - member.count)

    def _compare(self, digest: int, count: int) -> Iterator[Effect]:
        """Ask for a snapshot where the member is not what its context is."""
        if (self._member.digest, self._member.count) == (digest, count):
            return
        yield Noticed("digest_difference")
        self._member = replace(self._member, suspect=True)
        yield from self._mend()

    def _mend(self) -> Iterator[Effect]:
        member = self._member
        if member.gaps % self._limits.ask_again == 0:
            yield ToContext(self._context, Subscribe(self._session, member.epoch))
        self._member = replace(member, gaps=member.gaps + 1)

    def _apply(self, operation: Operation, digest: int, count: int) -> tuple[int, int]:
        load = self._member.load
        place = layout.place_key(self._session, self._context, load, operation.content_id)
        old = self._rows.get(place)
        if old is not None:
            old_ms, old_hash = layout.decode_place(old)
            self._rows.delete(layout.list_key(self._session, old_ms, operation.content_id, self._context, load))
            digest, count = (digest - old_hash) & _U64, count - 1
        if operation.fragment is not None:
            return (digest + self._put(load, operation)) & _U64, count + 1
        if old is not None:
            self._rows.delete(place)
        return digest, count

    def _put(self, load: int, operation: Operation) -> int:
        """Write an item's two rows under *load*; return its hash."""
        content_id, time_ms, encoded = operation.content_id, operation.time_ms, operation.fragment or b""
        hashed = item_hash(self._hash_key, content_id, time_ms, encoded)
        self._rows.put(layout.list_key(self._session, time_ms, content_id, self._context, load), encoded)
        self._rows.put(
            layout.place_key(self._session, self._context, load, content_id), layout.encode_place(time_ms, hashed)
        )
        return hashed

    def _write(self, *, total: int = 0) -> None:
        self._rows.put(layout.member_key(self._session, self._context), layout.encode_member(self._member))
        _touch(self._rows, self._session, total=total)


def _touch(
    rows: WritableRows,
    session: SessionId,
    *,
    members: int = 0,
    total: int = 0,
    deleted: bool = False,
    refused: int = NONE,
) -> None:
    state = layout.read_session(rows, session)
    state = replace(
        state,
        deleted=deleted,
        revision=state.revision + 1,
        members=state.members + members,
        total=state.total + total,
        refused=max(state.refused, refused),
    )
    rows.put(layout.session_key(session), layout.encode_session(state))


def _sweep(rows: WritableRows, session: SessionId, context: ContextId, load: int, limits: Limits) -> Iterator[Effect]:
    """Delete the rows of a load that has ended, unless it is a load that counts: a replay may have made it one."""
    member = layout.read_member(rows, session, context)
    if member is not None and load in (member.load, NONE if member.loading is None else member.loading.load):
        return
    places = list(islice(rows.range(layout.place_prefix(session, context, load)), limits.sweep_rows + 1))
    for key, value in places[: limits.sweep_rows]:
        time_ms, _ = layout.decode_place(value)
        rows.delete(layout.list_key(session, time_ms, layout.place_content_id(key), context, load))
        rows.delete(key)
    if len(places) > limits.sweep_rows:
        yield ToSession(session, Sweep(context, load))
