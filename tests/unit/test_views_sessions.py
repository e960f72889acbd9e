"""Pages of sessions' lists are those of a plain sort, however their rows came to be."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.domain import session_rows as layout
from streams.domain.errors import NotAttachedError, SessionDeletedError
from streams.domain.feed import NONE
from streams.domain.memory_rows import MemoryRows
from streams.domain.pages import SessionContext, ViewState
from streams.domain.positions import ListPosition
from streams.domain.session_rows import Member, Session
from streams.views import sessions
from streams.views.session_lists import SessionLists
from tests.support.tables import app_of, context_id, session_id

S = session_id(1)
OTHER = session_id(2)


class Listed(NamedTuple):
    """One item of the model."""

    context: int
    content_id: bytes
    time_ms: int
    load: int

    @property
    def fragment(self) -> bytes:
        return b"%d/%b/%d/%d" % self


LOADS = st.integers(min_value=0, max_value=3)
ITEMS = st.builds(
    Listed,
    context=st.integers(min_value=0, max_value=4),
    content_id=st.text(min_size=1, max_size=3, alphabet="ab\u00e9\U0001f600\ufffd/").map(str.encode),
    time_ms=st.integers(min_value=0, max_value=5),
    load=LOADS,
)
MEMBERS = st.dictionaries(
    st.integers(min_value=0, max_value=3),
    st.tuples(st.one_of(st.just(NONE), LOADS), st.integers(min_value=1, max_value=3)),
)


def stored(listed: list[Listed], members: dict[int, tuple[int, int]]) -> tuple[MemoryRows, list[Listed]]:
    """Return the rows of a session with these items under all kinds of loads, and what counts of them, sorted."""
    rows = MemoryRows()
    unique = {(item.context, item.content_id, item.load): item for item in listed}
    for item in unique.values():
        context = context_id(item.context)
        for session, fragment in ((S, item.fragment), (OTHER, b"not mine")):
            rows.put(layout.list_key(session, item.time_ms, item.content_id, context, item.load), fragment)
        place = layout.place_key(S, context, item.load, item.content_id)
        rows.put(place, layout.encode_place(item.time_ms, 7))
    counted = [item for item in unique.values() if members.get(item.context, (NONE, 0))[0] == item.load]
    for number, (load, created) in members.items():
        context = context_id(number)
        count = sum(item.context == number for item in counted)
        member = Member(
            number, app_of(context), created, sequence=number if load != NONE else NONE, load=load, count=count
        )
        rows.put(layout.member_key(S, context), layout.encode_member(member))
    rows.put(layout.session_key(S), layout.encode_session(Session(False, 9, len(members), len(counted))))
    return rows, sorted(counted, key=lambda i: (-i.time_ms, i.content_id, context_id(i.context)))


@given(listed=st.lists(ITEMS, max_size=30), members=MEMBERS, start=st.integers(0, 12), limit=st.integers(1, 12))
def test_a_page_is_a_slice_of_the_sorted_list(
    listed: list[Listed], members: dict[int, tuple[int, int]], start: int, limit: int
) -> None:
    """Newest first, ties by content id then context; only rows of current loads; `total` and `next_key` exact."""
    rows, expected = stored(listed, members)
    lists = SessionLists()
    for _ in range(2):
        state, items = lists.near(rows, S, start=start, limit=limit)
        page = sessions.page(state, items, start=start, offset=40)
        served = expected[start : start + limit]
        assert list(page.items) == [(app_of(context_id(item.context)), item.fragment) for item in served]
        assert page.total == len(expected)
        assert page.next_key == (start + limit if start + limit < len(expected) else None)
        assert page.revision == "9"
        assert page.position == ListPosition(
            S, 40, sorted((n, n if load != NONE else NONE) for n, (load, _) in members.items())
        )
        waiting = any(load == NONE for load, _ in members.values())
        assert page.state is (ViewState.CATCHING_UP if waiting else ViewState.WHOLE)


@given(listed=st.lists(ITEMS, max_size=30), members=MEMBERS, start=st.integers(0, 12), limit=st.integers(1, 12))
def test_a_far_page_is_the_same_page(
    listed: list[Listed], members: dict[int, tuple[int, int]], start: int, limit: int
) -> None:
    """However far the start, what is skipped in pieces is what a slice would leave out."""
    rows, expected = stored(listed, members)
    _, items = asyncio.run(SessionLists(piece=3).far(lambda: rows, S, start=start, limit=limit))
    assert [fragment for _, fragment in items] == [item.fragment for item in expected[start : start + limit]]


@given(listed=st.lists(ITEMS, max_size=30), members=MEMBERS, start=st.integers(0, 8), limit=st.integers(1, 8))
def test_one_contexts_page_is_its_part_of_the_list(
    listed: list[Listed], members: dict[int, tuple[int, int]], start: int, limit: int
) -> None:
    """The list of one context has the order of the merged one."""
    rows, expected = stored(listed, members)
    state = sessions.read_state(rows, S)
    for number in range(5):
        if number not in members:
            with pytest.raises(NotAttachedError):
                sessions.context_page(rows, state, context_id(number), start=start, limit=limit, offset=1)
            continue
        page = sessions.context_page(rows, state, context_id(number), start=start, limit=limit, offset=1)
        own = [item for item in expected if item.context == number]
        assert [fragment for _, fragment in page.items] == [item.fragment for item in own[start : start + limit]]
        assert page.total == len(own)
        assert page.next_key == (start + limit if start + limit < len(own) else None)
        held = {item.content_id for item in own}
        for content_id in ("a", "b", "\u00e9", "ab"):
            assert sessions.holds(rows, state, context_id(number), content_id) is (content_id.encode() in held)


@given(members=MEMBERS, start=st.integers(0, 5), limit=st.integers(1, 5))
def test_a_page_of_contexts_is_a_slice_of_the_members(
    members: dict[int, tuple[int, int]], start: int, limit: int
) -> None:
    """Newest attachment first, ties by context id."""
    rows, _ = stored([], members)
    page = sessions.contexts_page(sessions.read_state(rows, S), start=start, limit=limit, offset=1)
    ordered = sorted(members, key=lambda n: (-members[n][1], context_id(n)))
    expected = [SessionContext(S, context_id(n), app_of(context_id(n)), members[n][1]) for n in ordered]
    assert page.items == expected[start : start + limit]
    assert page.total == len(members)
    assert page.next_key == (start + limit if start + limit < len(members) else None)


def test_a_session_never_heard_of_is_empty() -> None:
    """Its id proves that it was made; its events may still be on their way."""
    state, items = SessionLists().near(MemoryRows(), S, start=0, limit=50)
    page = sessions.page(state, items, start=0, offset=-1)
    assert (len(page.items), page.total, page.next_key) == (0, 0, None)


def test_a_deleted_session_is_gone() -> None:
    """Whatever rows are left of it."""
    rows, _ = stored([Listed(0, b"a", 1, 1)], {0: (1, 1)})
    rows.put(layout.session_key(S), layout.encode_session(Session(deleted=True, revision=10)))
    with pytest.raises(SessionDeletedError):
        SessionLists().near(rows, S, start=0, limit=50)


def test_a_refused_member_is_told() -> None:
    """A context that feeds as many sessions as it may leaves its member empty, and the list says so."""
    refused = Member(3, app_of(context_id(0)), 1, refused=True)
    assert sessions.view_state([refused]) is ViewState.REFUSED
    assert sessions.view_state([refused, Member(4, b"", 1)]) is ViewState.CATCHING_UP


class Changing(MemoryRows):
    """Rows whose session gets another revision with each range that is read."""

    changes = 100

    def range(
        self, prefix: bytes, *, start: bytes | None = None, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        yield from super().range(prefix, start=start, reverse=reverse)
        if prefix.startswith(layout.LIST) and self.changes:
            self.changes -= 1
            row = layout.read_session(self, S)
            self.put(layout.session_key(S), layout.encode_session(Session(False, row.revision + 1, 1, row.total)))


@pytest.mark.parametrize("changes", [1, 2, 100])
def test_a_far_page_of_a_list_that_changes(changes: int) -> None:
    """A page that was overtaken is begun again, a few times; in the end it is read at one go."""
    items = [Listed(0, b"%05d" % n, 1, 1) for n in range(30)]
    quiet, expected = stored(items, {0: (1, 1)})
    rows = Changing()
    rows.changes = changes
    for key, value in quiet.values.items():
        rows.put(key, value)
    _, found = asyncio.run(SessionLists(piece=4).far(lambda: rows, S, start=20, limit=5))
    assert [fragment for _, fragment in found] == [item.fragment for item in expected[20:25]]
