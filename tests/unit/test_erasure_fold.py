"""What the folds make of a context that is erased: nothing is left of it, and nothing comes of what follows."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from streams.codec import encode_event, event_key
from streams.domain import context_rows, session_rows
from streams.domain.context import fold_context_event, fold_subscription
from streams.domain.events import ContextErased, ContextEvent, ItemHidden, ItemPut, ItemRemoved
from streams.domain.feed import (
    LIMITS,
    Attached,
    Done,
    Effect,
    Erased,
    Limits,
    Subscribe,
    Sweep,
    ToContext,
    ToErase,
    TooManyContexts,
    ToSession,
    Unsubscribe,
    Wipe,
)
from streams.domain.ids import ContextId, Kind, id_text
from streams.domain.memory_rows import MemoryRows
from streams.log.port import Record
from streams.processors.contexts import ContextsFold
from streams.processors.sessions import SessionsFold
from streams.topics import CONTEXT_EVENTS, SESSION_EVENTS
from streams.views.sessions import newest, read_state
from streams.writer import record_key
from tests.support.tables import CLIENT, HASH_KEY, START_MS, Views, app_of, context_id, make_item, session_id
from tests.unit.test_session_fold import Session, item, whole

C, D, E = context_id(1), context_id(2), context_id(3)
S, T = session_id(1), session_id(2)
APP = id_text(Kind.APP, app_of(C))
CAUSE = {"id": "0" * 32, "client": CLIENT}
ERASED = ContextErased(**CAUSE)


def fold(rows: MemoryRows, event: ContextEvent, sequence: int, *, limits: Limits = LIMITS) -> list[Effect]:
    now_ms = START_MS + sequence
    effects = fold_context_event(rows, event, C, sequence=sequence, time_ms=now_ms, hash_key=HASH_KEY, limits=limits)
    return list(effects)


def filled(events: int = 20) -> MemoryRows:
    """Return a context with rows of every kind, and another's, which are to stay."""
    rows = MemoryRows()
    for n in range(events):
        event = ItemPut(id=f"{n:032x}", client=CLIENT, app=APP, item=make_item(f"m{n}"), idempotency_key=f"k{n}")
        fold(rows, event, n)
        context = ContextsFold(hash_key=HASH_KEY)
        corrects = replace(event, id=f"{n + events:032x}", corrects=f"context-events-0-{n}")
        record = Record(n, START_MS, record_key(Kind.CONTEXT, C, corrects), encode_event(corrects))
        list(context.fold(rows, CONTEXT_EVENTS, record))
        other = ItemPut(id=f"{n:032x}", client=CLIENT, app=APP, item=make_item(f"m{n}"), idempotency_key=f"k{n}")
        list(fold_context_event(rows, other, D, sequence=n, time_ms=START_MS, hash_key=HASH_KEY))
    for epoch, session in enumerate((S, T)):
        list(fold_subscription(rows, Subscribe(session, epoch), C, time_ms=START_MS))
    list(fold_subscription(rows, Unsubscribe(T, 1), C, time_ms=START_MS))
    return rows


def about(rows: MemoryRows) -> list[bytes]:
    return [key for key, _ in rows.range(b"") if bytes(C) in key]


def test_nothing_is_left_but_that_it_was_erased() -> None:
    """All rows of the context go, of every kind, but the meta row; the other context's stay."""
    rows = filled()
    before = [key for key, _ in rows.range(b"") if bytes(D) in key]
    kinds = {key[:1] for key in about(rows)}
    assert kinds == {b"m", b"i", b"o", b"s", b"u", b"e", b"f", b"g", b"c"}
    assert fold(rows, ERASED, 100) == [ToSession(S, Erased(C)), ToErase(Kind.CONTEXT, C)]
    assert about(rows) == [context_rows.meta_key(C)]
    assert context_rows.read_meta(rows, C) == context_rows.Meta(sequence=100, erased=True)
    assert [key for key, _ in rows.range(b"") if bytes(D) in key] == before


def test_what_follows_counts_for_nothing() -> None:
    """Whatever comes later moves its sequence, which somebody may wait for, leaves no other row, and is to go."""
    rows = filled()
    fold(rows, ERASED, 100)
    later: list[ContextEvent] = [
        ItemPut(**CAUSE, app=APP, item=make_item("late")),
        ItemPut(**CAUSE, app=APP, item=make_item("late"), idempotency_key="k"),
        ItemHidden(**CAUSE, content_id="m1", hidden=True),
        ItemRemoved(**CAUSE, content_id="m1"),
        ERASED,
    ]
    for sequence, event in enumerate(later, 101):
        assert fold(rows, event, sequence) == [ToErase(Kind.CONTEXT, C)]
        assert about(rows) == [context_rows.meta_key(C)]
        assert context_rows.read_meta(rows, C).sequence == sequence


def test_rows_that_are_too_many_for_one_event_go_in_turns() -> None:
    """What one record deletes has a bound: the processor tells itself to go on until nothing is left."""
    rows, limits = filled(), replace(LIMITS, erased_rows=7)
    asked, wipes = fold(rows, ERASED, 100, limits=limits), 0
    assert not list(rows.range(context_rows.ITEM + C))
    while ToContext(C, Wipe()) in asked:
        before = len(about(rows))
        asked = list(fold_subscription(rows, Wipe(), C, time_ms=START_MS, limits=limits))
        assert len(about(rows)) >= before - 7
        wipes += 1
    assert wipes > 5
    assert about(rows) == [context_rows.meta_key(C)]


def test_what_is_not_erased_is_not_wiped() -> None:
    """A wipe of a context that is there does nothing."""
    rows = filled()
    before = list(rows.range(b""))
    assert list(fold_subscription(rows, Wipe(), C, time_ms=START_MS)) == []
    assert list(rows.range(b"")) == before


def test_who_subscribes_later_hears_that_it_is_erased() -> None:
    """So a session has no context that was erased before it was attached, in whatever order both are folded."""
    rows = filled()
    fold(rows, ERASED, 100)
    wish = Subscribe(T, 9)
    assert list(fold_subscription(rows, wish, C, time_ms=START_MS)) == [
        ToSession(T, Erased(C)),
        ToErase(Kind.CONTEXT, C),
    ]
    assert list(fold_subscription(rows, Unsubscribe(T, 9), C, time_ms=START_MS)) == []
    assert about(rows) == [context_rows.meta_key(C)]


def test_a_session_has_it_no_more() -> None:
    """At once, with its items; its rows are swept up, and its app hears nothing; the other context's items stay."""
    session = Session()
    session.attach(C)
    session.attach(D)
    session.snapshot(1, item("a", 1), item("b", 2), epoch=0, context=C)
    session.snapshot(1, item("d", 3), epoch=1, context=D)
    load = session.member(C).load
    effects = session.feed(Erased(C))
    assert effects == [ToContext(C, Unsubscribe(session_id(1), 0)), ToSession(session_id(1), Sweep(C, load))]
    assert session.list == [b"d@3"]
    assert (session.row.members, session.row.total) == (1, 1)
    session.feed(Sweep(C, load))
    assert about(session.rows) == []
    assert session.feed(Erased(C)) == []


def test_one_that_was_attached_again_is_told_again() -> None:
    """An attachment after the erasure lasts until the context has answered."""
    rows = MemoryRows()
    session = Session()
    session.rows = rows
    attached = session.attach(C)
    assert any(isinstance(effect, Attached) for effect in attached)
    session.feed(Erased(C))
    assert session_rows.read_member(rows, session_id(1), C) is None
    assert session.feed(whole(3, item("a", 1))) == []
    assert session.list == []


def full() -> Session:
    """Return a session that has as many contexts as it may, one of which was erased."""
    session = Session(Limits(contexts=2))
    session.attach(C)
    session.attach(D)
    session.feed(Erased(C))
    return session


def test_room_is_left_by_a_detach_and_not_by_an_erasure() -> None:
    """So what is attached follows from the session's own events, in whatever order others are folded."""
    session = full()
    assert session.detach(C, epoch=7) == [ToErase(Kind.CONTEXT, C), Done()]
    assert len(session_rows.slots(session.rows, S)) == 1
    assert session.detach(C) == [ToErase(Kind.CONTEXT, C), Done()]
    assert Attached(session.now_ms + 10, refreshed=False) in session.attach(E)


def test_room_stays_taken_that_another_was_refused() -> None:
    """Who was refused has it in a rebuild, once nothing is recorded of the erased one any more."""
    session = full()
    assert session.attach(E)[-1] == TooManyContexts()
    session.detach(C)
    assert session.attach(E)[-1] == TooManyContexts()


def test_what_was_erased_and_is_attached_again_takes_no_more_room() -> None:
    """It is attached as it was, as it would be where the erasure is folded later; and has nothing, as before."""
    session = full()
    limits = session.limits
    session.limits = Limits(contexts=3)
    assert session.attach(C) == [ToErase(Kind.CONTEXT, C), Attached(START_MS + 10, refreshed=True)]
    assert session.feed(whole(3, item("a", 1))) == []
    assert session.list == []
    assert any(isinstance(effect, Attached) for effect in session.attach(E))
    session.limits = limits
    session.detach(C)
    session.detach(E)
    assert any(isinstance(effect, Attached) for effect in session.attach(C))


def test_an_event_that_changes_nothing_is_to_be_erased_too() -> None:
    """It names the context all the same: a detach of what is not attached, and an attach for which there is no room."""
    session, rows = full(), filled()
    fold(rows, ERASED, 100)
    session.detach(C)
    in_vain = session.detach(C)
    session.attach(E)
    for effects in (in_vain, session.attach(C)):
        assert effects[0] == ToContext(C, Wipe())
        assert ToErase(Kind.CONTEXT, C) in list(fold_subscription(rows, Wipe(), C, time_ms=START_MS))


def test_what_was_erased_is_not_named_and_goes_with_the_session() -> None:
    """The room that it takes says a hash; nothing stays of it once the session is deleted."""
    session = full()
    assert len(session_rows.slots(session.rows, S)) == 1
    assert not [row for row in session.rows.range(b"") if bytes(C) in b"".join(row)]
    session.delete()
    assert session_rows.slots(session.rows, S) == []


MOVES = st.tuples(
    st.sampled_from(["attach", "attach", "detach", "erase", "put"]),
    st.sampled_from([context_id(n) for n in range(1, 5)]),
    st.lists(st.integers(0, 3), max_size=8),
)


def made(views: Views) -> dict[str, object]:
    """Return what a session's rows say, but for how far and how often it was told of its contexts' items."""
    rows = views.sessions.stored
    row = session_rows.read_session(rows, S)
    listed = [] if row.deleted else [entry.item for entry in newest(rows, read_state(rows, S))]
    slots = list(rows.range(session_rows.SLOT + S))
    return {"members": attached(rows), "row": replace(row, revision=0), "list": listed, "slots": slots}


def attached(rows: MemoryRows) -> dict[ContextId, tuple[int, bytes, int]]:
    return {context: (one.epoch, one.app, one.created_at_ms) for context, one in session_rows.members(rows, S)}


@settings(deadline=None)
@given(
    moves=st.lists(MOVES, max_size=25),
    deleted=st.booleans(),
    removed=st.booleans(),
    again=st.permutations([CONTEXT_EVENTS, SESSION_EVENTS]),
)
def test_the_tables_are_the_same_however_late_an_erasure_is_folded(
    moves: list[tuple[str, ContextId, list[int]]], deleted: bool, removed: bool, again: list[str]
) -> None:
    """
    Or, where somebody was refused, nothing that was attached is missing where they are folded again.

    Also not once what is recorded of erased contexts is gone.
    """
    limits = Limits(contexts=2)
    live, rebuilt = Views(limits), Views(limits)
    topics = live.topics[:4]
    for move, context, turns in moves:
        match move:
            case "attach":
                live.attach(S, context)
            case "detach":
                live.detach(S, context)
            case "erase":
                live.erase(context)
            case _:
                live.put(context, "a")
        for turn in turns:
            live.step(topics[turn])
    if deleted:
        live.delete(S)
    live.drain()
    erased = [id_text(Kind.CONTEXT, context).encode() for move, context, _ in moves if move == "erase"]
    for topic in again:
        for record in live.log.records[topic]:
            rebuilt.now_ms = record.time_ms
            named = (record.key or b"") + (record.value or b"")
            is_gone = removed and b"context.erased" not in named and any(one in named for one in erased)
            rebuilt.append(topic, record.key or b"", None if is_gone else record.value)
            rebuilt.step(topic)
    rebuilt.drain()
    if not removed and TooManyContexts() not in live.verdicts.values():
        assert made(rebuilt) == made(live)
    assert attached(live.sessions.stored).keys() <= attached(rebuilt.sessions.stored).keys()


def test_a_record_without_a_value_is_nothing() -> None:
    """It has another one removed from the log: no fold makes anything of it, and none a dead letter."""
    rows = MemoryRows()
    for key in (event_key(Kind.CONTEXT, C, "0" * 32), b"", None):
        record = Record(5, START_MS, key, None)
        assert list(ContextsFold(hash_key=HASH_KEY).fold(rows, CONTEXT_EVENTS, record)) == []
        assert list(SessionsFold(hash_key=HASH_KEY).fold(rows, SESSION_EVENTS, record)) == []
    assert list(rows.range(b"")) == []


def test_what_may_be_appended_again_has_a_key_of_its_own_each_time() -> None:
    """Compaction by key would keep the last copy only, and the first one is that which counts."""
    once = ItemPut(**CAUSE, app=APP, item=make_item("a"))
    assert record_key(Kind.CONTEXT, C, once) == event_key(Kind.CONTEXT, C, once.id)
    for again in (replace(once, idempotency_key="k"), replace(once, corrects="context-events-0-1")):
        keys = {record_key(Kind.CONTEXT, C, again) for _ in range(3)}
        assert len(keys) == 3
        assert all(key.startswith(event_key(Kind.CONTEXT, C, again.id) + b"/") for key in keys)
