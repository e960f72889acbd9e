"""Rows that are not what their events give are replaced by those that are, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from streams.domain import context_rows, session_rows
from streams.domain.events import ContextErased, ItemPut
from streams.domain.feed import LIMITS, NONE, Limits
from streams.domain.ids import ContextId, Kind, SessionId, id_text
from streams.domain.memory_rows import MemoryRows
from streams.domain.repairs import Mended, loaded_sequence, mend_context, mend_member, mend_session
from streams.engine.fold import Output
from streams.processors.contexts import ContextsFold
from streams.processors.sessions import SessionsFold
from streams.refold import Bound, Refold
from streams.topics import CONTEXT_EVENTS, SESSION_EVENTS
from streams.trail import Trail
from tests.support.tables import CLIENT, HASH_KEY, Views, app_of, context_id, make_item, session_id
from tests.unit.test_explain import MOVES, make

C1, C2, C3 = context_id(1), context_id(2), context_id(3)
S = session_id(1)
Harm = Callable[[MemoryRows], dict[bytes, bytes | None]]
"""Returns what is done to rows: None deletes one."""


class Repairing:
    """Views that are repaired as of what they have folded."""

    def __init__(self, views: Views, limits: Limits = LIMITS) -> None:
        self.views = views
        self._refold = Refold(views.log, 1, hash_key=HASH_KEY, limits=limits)
        self._folds = ContextsFold(hash_key=HASH_KEY, limits=limits), SessionsFold(hash_key=HASH_KEY, limits=limits)

    async def context(self, context: ContextId, most_bytes: int = 1 << 30) -> Mended:
        rows, end = self.views.contexts.stored, self.views.contexts.positions.get(CONTEXT_EVENTS, -1)
        trail = self._refold.context_trail(context)
        await self._read([trail], {trail: end})
        mended = mend_context(rows, trail.folded.rows, context, most_bytes=most_bytes)
        self._tell(self._folds[0], mended)
        return mended

    async def session(self, session: SessionId) -> list[Mended]:
        rows, end = self.views.sessions.stored, self.views.sessions.positions.get(SESSION_EVENTS, -1)
        history = self._refold.session_trail(session)
        await self._read([history], {history: end})
        keys = [key for kind in (b"m", b"p", b"l") for key, _ in rows.range(kind + session)]
        contexts = {*history.folded.members(), *map(session_rows.context_in, keys)}
        sequences = {one: loaded_sequence(rows, session, one) for one in contexts}
        trails = {one: self._refold.context_trail(one) for one, sequence in sequences.items() if sequence is not None}
        await self._read(trails.values(), {trail: sequences[one] or 0 for one, trail in trails.items()})
        every = {one: self._refold.context_trail(one) for one in history.folded.members()}
        await self._read(every.values(), dict.fromkeys(every.values(), 1 << 40))
        folded = history.folded.rows
        found = [
            mend_member(
                rows,
                folded,
                session,
                context,
                listed=[key for key in keys if key[:1] == b"l" and session_rows.context_in(key) == context],
                items=trails[context].folded.rows if context in trails else None,
                is_erased=context in every and every[context].folded.is_erased,
            )
            for context in sorted(contexts)
        ]
        found.append(mend_session(rows, folded, session))
        for mended in found:
            self._tell(self._folds[1], mended)
        return found

    async def _read(self, trails: Collection[Trail[Any]], ends: Mapping[Trail[Any], int]) -> None:
        """Read all that there is, in two pieces, and fold what is wanted of it."""
        with self._refold.reading(Bound(100_000, 30.0)) as reading:
            await self._refold.read_on(trails, reading, end=3)
            for trail, end in ends.items():
                trail.fold_to(end)
            await self._refold.read_on(trails, reading)

    def _tell(self, fold: ContextsFold | SessionsFold, mended: Mended) -> None:
        for emit in fold.repaired(mended.effects):
            assert isinstance(emit, Output)
            self.views.append(*emit)


def served() -> Views:
    views = Views()
    views.attach(S, C1)
    views.attach(S, C2)
    for context, content_id in ((C1, "a"), (C2, "b"), (C1, "c"), (C1, "d")):
        views.put(context, content_id)
    views.hide(C1, "c")
    views.drain()
    return views


def without_counters(rows: MemoryRows) -> dict[bytes, bytes]:
    """Return rows as they are but for how often they were repaired, and have changed."""
    found = dict(rows.values)
    for key, value in rows.values.items():
        if key[:1] == b"m" and len(key) == 18:
            meta = context_rows.decode_meta(value)
            found[key] = context_rows.encode_meta(replace(meta, repairs=0))
        elif key[:1] == b"S":
            row = session_rows.decode_session(value)
            found[key] = b"%d %d %d" % (row.deleted, row.members, row.total)
    return found


def key_of(rows: MemoryRows, prefix: bytes, n: int = 0) -> bytes:
    return [key for key, _ in rows.range(prefix)][n]


def harm(rows: MemoryRows, done: Harm) -> None:
    for key, value in done(rows).items():
        if value is None:
            rows.delete(key)
        else:
            rows.put(key, value)


def another(rows: MemoryRows, key: bytes, old: bytes, new: bytes) -> dict[bytes, bytes | None]:
    """Return a row with *new* in the place of *old*."""
    assert old in rows.values[key]
    return {key: rows.values[key].replace(old, new)}


HARM_TO_CONTEXTS: dict[str, Harm] = {
    "an item is gone": lambda rows: {key_of(rows, b"i" + C1): None},
    "an item is another": lambda rows: another(rows, key_of(rows, b"i" + C1), b"Title", b"Tidal"),
    "a place is gone": lambda rows: {key_of(rows, b"o" + C1): None},
    "a place is another": lambda rows: {
        key_of(rows, b"o" + C1): None,
        context_rows.order_key(C1, 5, context_rows.order_content_id(key_of(rows, b"o" + C1))): b"",
    },
    "a ghost": lambda rows: {
        context_rows.item_key(C1, b"ghost"): rows.values[key_of(rows, b"i" + C1)],
        context_rows.order_key(C1, 5, b"ghost"): b"",
    },
    "all is gone": lambda rows: {key: None for kind in (b"m", b"i", b"o") for key, _ in rows.range(kind + C1)},
    "nobody can read it": lambda _rows: {context_rows.meta_key(C1): b"\xff"},
}


@pytest.mark.parametrize("done", HARM_TO_CONTEXTS.values(), ids=HARM_TO_CONTEXTS)
async def test_a_context(done: Harm) -> None:
    """Whatever was done to its rows, they are as before; the list counts as another one."""
    views = served()
    before = without_counters(views.contexts.stored)
    revision = context_rows.read_meta(views.contexts.stored, C1).revision
    harm(views.contexts.stored, done)
    mended = await Repairing(views).context(C1)
    assert (mended.is_whole, mended.rows > 0) == (True, True)
    assert without_counters(views.contexts.stored) == before
    assert context_rows.read_meta(views.contexts.stored, C1).revision != revision
    assert (await Repairing(views).context(C1)).rows == 0
    views.drain()
    assert "digest_difference" not in views.noticed


async def test_how_items_of_a_context_differ() -> None:
    """In words, by content id."""
    views = served()
    rows = views.contexts.stored
    rows.delete(context_rows.item_key(C1, b"a"))
    rows.put(context_rows.item_key(C1, b"c"), rows.values[context_rows.item_key(C1, b"c")] + b" ")
    place = key_of(rows, b"o" + C1)
    assert context_rows.order_content_id(place) == b"d"
    rows.delete(place)
    rows.put(context_rows.order_key(C1, 7, b"d"), b"")
    rows.put(context_rows.item_key(C1, b"ghost"), b"")
    mended = await Repairing(views).context(C1)
    assert mended.items == {
        b"a": "is in the log, and was not here",
        b"c": "was another",
        b"d": "was in another place",
        b"ghost": "is not in the log, and was here",
    }


async def test_a_repair_of_more_than_one_batch() -> None:
    """What does not fit into one is written in several, each of which says that the list is another."""
    views = served()
    before = without_counters(views.contexts.stored)
    for kind in (b"i", b"o"):
        for key, _ in views.contexts.stored.range(kind + C1):
            views.contexts.stored.delete(key)
    revisions, parts = set[str](), 0
    while True:
        mended = await Repairing(views).context(C1, most_bytes=500)
        revisions.add(context_rows.read_meta(views.contexts.stored, C1).revision)
        parts += 1
        if mended.is_whole:
            break
        assert mended.effects == []
    assert parts == len(revisions) > 2
    assert without_counters(views.contexts.stored) == before


def served_items(rows: MemoryRows) -> list[bytes]:
    return [value for _, value in rows.range(b"l" + S)]


async def test_sessions_hear_of_a_repair() -> None:
    """A session that was told what a damaged context said gets what is right, though nobody writes any more."""
    views = served()
    rows = views.contexts.stored
    key = context_rows.item_key(C1, b"a")
    kept = rows.values[key]
    rows.delete(key)
    views.hide(C1, "a")
    views.drain()
    assert sum(b'"hidden":true' in item for item in served_items(views.sessions.stored)) == 1
    mended = await Repairing(views).context(C1)
    assert mended.items == {b"a": "is in the log, and was not here"}
    assert rows.values[key] != kept
    views.drain()
    assert sum(b'"hidden":true' in item for item in served_items(views.sessions.stored)) == 2
    member, meta = member_of(views.sessions.stored), context_rows.read_meta(rows, C1)
    assert (member.digest, member.count, member.sequence) == (meta.digest, meta.count, meta.sequence)
    assert views.noticed == ["digest_difference"]
    assert sum(mended.rows for mended in await Repairing(views).session(S)) == 0


def member_of(rows: MemoryRows) -> session_rows.Member:
    member = session_rows.read_member(rows, S, C1)
    assert member is not None
    return member


HARM_TO_SESSIONS: dict[str, Harm] = {
    "an item is gone": lambda rows: {key_of(rows, b"l" + S): None},
    "an item is another": lambda rows: another(rows, key_of(rows, b"l" + S), b"Title", b"Tidal"),
    "an item is in another place": lambda rows: {
        key_of(rows, b"l" + S): None,
        key_of(rows, b"l" + S)[:18] + bytes(8) + key_of(rows, b"l" + S)[26:]: b"{",
    },
    "a place is gone": lambda rows: {key_of(rows, b"p" + S): None},
    "a ghost": lambda rows: {session_rows.list_key(S, 5, b"ghost", C1, member_of(rows).load): b"{"},
    "what a load has left": lambda _rows: {
        session_rows.list_key(S, 5, b"old", C1, 77): b"{",
        session_rows.place_key(S, C1, 77, b"old"): session_rows.encode_place(5, 6),
    },
    "what no member has left": lambda _rows: {
        session_rows.list_key(S, 5, b"old", C3, 77): b"{",
        session_rows.place_key(S, C3, 78, b"old"): session_rows.encode_place(5, 6),
    },
    "a stray member": lambda _rows: {
        session_rows.member_key(S, C3): session_rows.encode_member(
            session_rows.Member(9, b"A" * 17, 1, sequence=0, load=4, count=2)
        )
    },
    "a member with another count and digest": lambda rows: {
        session_rows.member_key(S, C1): session_rows.encode_member(
            replace(member_of(rows), count=7, digest=8, suspect=True)
        )
    },
    "totals": lambda _rows: {
        session_rows.session_key(S): session_rows.encode_session(session_rows.Session(members=7, total=9))
    },
    "it is deleted": lambda _rows: {
        session_rows.session_key(S): session_rows.encode_session(session_rows.Session(deleted=True))
    },
    "nobody can read it": lambda _rows: {session_rows.session_key(S): b"\xff"},
}


@pytest.mark.parametrize("done", HARM_TO_SESSIONS.values(), ids=HARM_TO_SESSIONS)
async def test_a_session(done: Harm) -> None:
    """Whatever was done to its rows, they are as before; its members are at the same sequences."""
    views = served()
    rows = views.sessions.stored
    before, members = without_counters(rows), dict(session_rows.members(rows, S))
    harm(rows, done)
    found = await Repairing(views).session(S)
    assert sum(mended.rows for mended in found) > 0
    assert without_counters(rows) == before
    assert dict(session_rows.members(rows, S)) == members
    assert sum(mended.rows for mended in await Repairing(views).session(S)) == 0
    views.drain()
    assert without_counters(rows) == before


@pytest.mark.parametrize("wrong", ["gone", "epoch", "sequence", "unreadable"])
async def test_a_member_that_is_no_state_of_its_context(wrong: str) -> None:
    """It begins anew: its context feeds it what it has, and what it had loaded before is gone."""
    views = served()
    rows = views.sessions.stored
    key, member = session_rows.member_key(S, C1), member_of(rows)
    match wrong:
        case "gone":
            rows.delete(key)
        case "unreadable":
            rows.put(key, b"\xff")
        case "epoch":
            rows.put(key, session_rows.encode_member(replace(member, epoch=member.epoch + 5)))
        case "sequence":
            rows.put(key, session_rows.encode_member(replace(member, sequence=10**9)))
    await Repairing(views).session(S)
    fresh = member_of(rows)
    assert (fresh.epoch, fresh.load, fresh.sequence) == (member.epoch, NONE, NONE)
    views.drain()
    loaded = member_of(rows)
    assert (loaded.sequence, loaded.digest, loaded.count) == (member.sequence, member.digest, member.count)
    assert {session_rows.place_load(key) for key, _ in rows.range(b"p" + S + C1)} == {loaded.load}
    assert session_rows.read_session(rows, S).total == 4


async def test_a_subscription_that_was_lost() -> None:
    """Its context hears of the session again, and the session of what it has missed."""
    views = served()
    views.contexts.stored.delete(context_rows.sub_key(C1, S))
    await Repairing(views).context(C1)
    views.put(C1, "missed")
    views.drain()
    assert session_rows.read_session(views.sessions.stored, S).total == 4
    await Repairing(views).session(S)
    views.drain()
    assert session_rows.read_session(views.sessions.stored, S).total == 5
    assert context_rows.read_meta(views.contexts.stored, C1).subscribers == 1


async def test_an_erased_context() -> None:
    """It is nothing, and no session has it, though the session's events say that it is attached."""
    views = served()
    views.context_event(C1, ContextErased(id=views.event_id(), client=CLIENT))
    views.drain()
    views.put(C1, "late")
    views.drain()
    repairing = Repairing(views)
    assert (await repairing.context(C1)).rows == 0
    assert sum(mended.rows for mended in await repairing.session(S)) == 0
    right = without_counters(views.contexts.stored), without_counters(views.sessions.stored)
    item = context_rows.item_key(C1, b"back")
    views.contexts.stored.put(item, b"{")
    views.contexts.stored.put(context_rows.meta_key(C1), context_rows.encode_meta(context_rows.Meta(count=1)))
    member = session_rows.Member(0, b"A" * 17, 1, sequence=3, load=4, count=2)
    views.sessions.stored.put(session_rows.member_key(S, C1), session_rows.encode_member(member))
    views.sessions.stored.delete(session_rows.slot_key(S, C1))
    assert list((await repairing.context(C1)).items) == [b"back"]
    await repairing.session(S)
    views.drain()
    assert (without_counters(views.contexts.stored), without_counters(views.sessions.stored)) == right


async def test_an_erased_context_that_knew_more_than_goes_at_once() -> None:
    """What has gone by and by does not come back."""
    limits = Limits(erased_rows=2)
    views = Views(limits)
    for key in range(9):
        item, app = make_item(f"c{key}"), id_text(Kind.APP, app_of(C1))
        event = ItemPut(id=views.event_id(), client=CLIENT, app=app, item=item, idempotency_key=f"k{key}")
        views.context_event(C1, event)
    views.context_event(C1, ContextErased(id=views.event_id(), client=CLIENT))
    views.drain()
    assert (await Repairing(views, limits).context(C1)).rows == 0


@settings(deadline=None)
@given(moves=st.lists(MOVES, max_size=30), items=st.integers(1, 4), folded=st.integers(0, 200))
async def test_nothing_is_repaired_where_nothing_is_wrong(
    moves: list[tuple[str, bytes, str]], items: int, folded: int
) -> None:
    """Whatever was written, and however far the folds have got with it: but for what waits to be swept up."""
    limits = Limits(items=items)
    views = Views(limits)
    make(views, moves)
    for n in range(folded):
        views.step(views.topics[n % len(views.topics)])
    repairing = Repairing(views, limits)
    for context in (C1, C2):
        assert (await repairing.context(context)).rows == 0
    views.drain()
    found = await repairing.session(S)
    assert [mended.rows for mended in found] == [0] * len(found)
