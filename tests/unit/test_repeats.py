"""Events of requests with an idempotency key: each counts once, however often and however late it comes again."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.commands.callers import Cause
from streams.domain import context_rows, repeats, session_rows
from streams.domain.context import fold_context_event, fold_subscription
from streams.domain.events import (
    ContextAttached,
    ContextDetached,
    ContextEvent,
    ItemHidden,
    ItemPut,
    ItemRemoved,
    ItemsPut,
    ItemsReplaced,
    SessionDeleted,
    SessionEvent,
)
from streams.domain.feed import (
    LIMITS,
    Attached,
    Change,
    Effect,
    Limits,
    SessionGone,
    Subscribe,
    ToContext,
    ToErase,
    TooManyContexts,
    ToSession,
    Wipe,
)
from streams.domain.ids import ContextId, Kind, id_text
from streams.domain.memory_rows import MemoryRows
from streams.domain.notices import ToApp
from streams.domain.session import fold_session_event
from tests.support.rows import UncompactedRows
from tests.support.tables import CLIENT, HASH_KEY, START_MS, app_of, context_id, make_item, session_id

C, D = context_id(1), context_id(2)
S = session_id(1)
APP = id_text(Kind.APP, app_of(C))


def cause(number: int, *, keyed: bool = True) -> Cause:
    made = Cause(id=f"{number:032x}", client=CLIENT, request="")
    return Cause(**made, idempotency_key=f"key {number}") if keyed else made


class Context:
    """One context's rows, and the offset of its next event."""

    def __init__(self) -> None:
        self.rows, self.offset, self.now_ms = MemoryRows(), -1, START_MS

    def fold(self, event: ContextEvent) -> list[Effect]:
        self.offset += 1
        self.now_ms += 10
        return list(
            fold_context_event(self.rows, event, C, sequence=self.offset, time_ms=self.now_ms, hash_key=HASH_KEY)
        )

    def put(self, number: int, title: str) -> list[Effect]:
        return self.fold(ItemPut(**cause(number), app=APP, item=make_item("a", title=title)))

    def items(self) -> list[tuple[bytes, bytes]]:
        return list(context_rows.newest_items(self.rows, C))

    @property
    def sequence(self) -> int:
        return context_rows.read_meta(self.rows, C).sequence


class Session:
    """One session's rows, and the offset of its next event."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.rows, self.offset, self.now_ms, self.limits = MemoryRows(), -1, START_MS, limits

    def fold(self, event: SessionEvent) -> list[Effect]:
        self.offset += 1
        self.now_ms += 10
        return list(
            fold_session_event(self.rows, event, S, offset=self.offset, time_ms=self.now_ms, limits=self.limits)
        )

    def attach(self, number: int, context: ContextId = C) -> list[Effect]:
        return self.fold(ContextAttached(**cause(number), context=id_text(Kind.CONTEXT, context), app=APP))

    def detach(self, context: ContextId = C) -> list[Effect]:
        return self.fold(ContextDetached(**cause(99, keyed=False), context=id_text(Kind.CONTEXT, context)))


def test_a_repeat_does_not_overwrite_what_came_after_it() -> None:
    """It moves the sequence, for somebody may wait for its position, and nothing else, however often it comes."""
    context = Context()
    context.put(1, "first")
    context.put(2, "second")
    before = context.items()
    for _ in range(3):
        assert context.put(1, "first") == []
        assert context.items() == before
        assert context.sequence == context.offset


@pytest.mark.parametrize(
    "event",
    [
        ItemsPut(**cause(1), app=APP, items=[make_item("b")]),
        ItemsReplaced(**cause(1), app=APP, items=[make_item("b")]),
        ItemRemoved(**cause(1), content_id="a"),
        ItemHidden(**cause(1), content_id="a", hidden=True),
    ],
)
def test_whatever_was_written(event: ContextEvent) -> None:
    """The same holds of every event of a context."""
    context = Context()
    context.put(0, "before")
    context.fold(event)
    context.fold(ItemsReplaced(**cause(2), app=APP, items=[make_item("a"), make_item("c")]))
    before = context.items()
    context.fold(event)
    assert context.items() == before


def test_sessions_hear_of_a_repeat_that_nothing_changed() -> None:
    """So their sequences follow on."""
    context = Context()
    list(fold_subscription(context.rows, Subscribe(S, 0), C, time_ms=START_MS))
    context.put(1, "first")
    (told,) = context.put(1, "first")
    assert isinstance(told, ToSession)
    assert isinstance(told.message, Change)
    assert (told.message.after, told.message.sequence, told.message.operations) == (0, 1, [])


def test_without_a_key_an_event_counts_each_time() -> None:
    """And nothing is noted of it."""
    context = Context()
    event = ItemPut(**cause(1, keyed=False), app=APP, item=make_item("a"))
    context.fold(event)
    before = context.items()
    context.fold(event)
    assert context.items() != before
    assert not list(context.rows.range(repeats.EVENT + C))


def test_attached_once_with_the_verdict_of_the_first_time() -> None:
    """Also where it was detached since, which a repeat does not undo, and the session is gone. Its app hears once."""
    session = Session()
    first = session.attach(1)
    assert [type(effect) for effect in first] == [ToContext, ToApp, Attached]
    verdict = Attached(START_MS + 10, refreshed=False)
    named = ToContext(C, Wipe())
    assert session.attach(1) == [named, verdict]
    session.detach()
    assert session.attach(1) == [named, verdict]
    assert session_rows.read_member(session.rows, S, C) is None
    assert session.attach(2)[2:] == [Attached(START_MS + 50, refreshed=False)]
    session.fold(SessionDeleted(**cause(99, keyed=False)))
    assert session.attach(1) == [ToErase(Kind.SESSION, S), verdict]
    assert session.attach(3) == [SessionGone(), ToErase(Kind.SESSION, S)]


def test_what_was_refused_is_judged_anew() -> None:
    """There is no answer that would have to be given again."""
    session = Session(Limits(contexts=1))
    session.attach(1, D)
    assert session.attach(2) == [ToContext(C, Wipe()), TooManyContexts()]
    session.detach(D)
    assert session.attach(2)[2:] == [Attached(START_MS + 40, refreshed=False)]


def test_known_for_73_hours_since_it_last_came() -> None:
    """Then it goes, a few at a time, with the next ones that come."""
    context = Context()
    for number in range(6):
        context.put(number, "old")
    context.now_ms += repeats.KEPT_MS - 100
    context.put(0, "again")
    context.now_ms += 200
    known = [repeats.known(context.rows, C, f"{number:032x}") for number in range(6)]
    assert known == [b""] * 6
    context.put(7, "new")
    left = list(context.rows.range(repeats.EVENT + C))
    assert len(left) == len(list(context.rows.range(repeats.BY_TIME + C))) == 3  # 4 of 7 have gone
    context.put(8, "new")
    assert {key[-16:].hex().lstrip("0") or "0" for key, _ in context.rows.range(repeats.EVENT + C)} == {"0", "7", "8"}
    before = context.items()
    context.put(0, "again")
    assert context.items() == before


def test_old_ones_go_without_a_look_at_those_that_have_gone() -> None:
    """However many there were, and however often one comes again: one more costs the same."""
    rows = UncompactedRows()
    step_ms = repeats.KEPT_MS // 10
    for number in range(200):
        repeats.note(rows, C, f"{number:032x}", START_MS + number * step_ms)
        repeats.note(rows, D, "0" * 32, START_MS + number * step_ms)
    assert rows.passed <= 2 * 200
    assert len(list(rows.range(repeats.EVENT + C))) == 11


def test_events_are_forgotten_whatever_the_clock_said() -> None:
    """One that comes before others by the log's time is forgotten before them."""
    rows = MemoryRows()
    repeats.note(rows, C, "0" * 32, START_MS)
    repeats.note(rows, C, "1" * 32, START_MS - 10)
    repeats.note(rows, C, "2" * 32, START_MS + repeats.KEPT_MS - 5)
    assert [repeats.known(rows, C, digit * 32) for digit in "012"] == [b"", None, b""]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2)), max_size=40))
def test_as_if_each_had_come_once(sent: list[tuple[int, int]]) -> None:
    """However events and repeats of them are mixed, the list is that of the first of each."""
    context, once, seen = Context(), Context(), set[int]()
    for number, place in sent:
        event = ItemPut(**cause(number), app=APP, item=make_item(f"c{place}", title=f"t{number}"))
        context.fold(event)
        once.now_ms = context.now_ms - 10
        if number not in seen:
            seen.add(number)
            once.fold(event)
    assert context.items() == once.items()
    meta, other = (context_rows.read_meta(one.rows, C) for one in (context, once))
    assert (meta.digest, meta.count, meta.time_ms) == (other.digest, other.count, other.time_ms)
