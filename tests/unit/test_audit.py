"""Lists that are not what their events give are found; the others are not."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.audit import Audit, Served
from streams.domain import context_rows, session_rows
from streams.domain.audits import Audited, AuditResult, Sample, what_differs
from streams.domain.errors import ViewUnavailableError
from streams.domain.feed import LIMITS, Limits
from streams.domain.ids import ContextId, Kind, id_text
from streams.refold import Bound, Refold
from streams.views.context_views import ContextReader
from streams.views.session_lists import SessionLists
from streams.views.session_views import SessionReader
from streams.views.tables import WaitLimit
from tests.support.tables import HASH_KEY, Views, context_id, served_views, session_id
from tests.unit.test_explain import MOVES, make

C1, C2 = context_id(1), context_id(2)
S = session_id(1)
C1_TEXT = id_text(Kind.CONTEXT, C1).encode()


async def audited(
    views: Views, of: Audited, *, limits: Limits = LIMITS, most: int = 100, beyond: str | None = None
) -> AuditResult:
    refold = Refold(views.log, 1, hash_key=HASH_KEY, limits=limits)
    contexts = ContextReader(views.contexts, 1, WaitLimit(), edition="")
    sessions = SessionReader(views.sessions, 1, SessionLists(), WaitLimit())
    audit = Audit(refold, lambda _view: Served(contexts, sessions), bound=Bound(100_000, 30.0))
    return await audit.audit(of, 0, most=most, seed="s", beyond=beyond)


@settings(deadline=None)
@given(
    moves=st.lists(MOVES, max_size=30),
    erased=st.none() | st.sampled_from([C1, C2]),
    later=st.lists(MOVES, max_size=10),
    items=st.integers(1, 4),
    folded=st.integers(0, 200),
)
def test_nothing_is_found_where_nothing_is_wrong(
    moves: list[tuple[str, bytes, str]],
    erased: ContextId | None,
    later: list[tuple[str, bytes, str]],
    items: int,
    folded: int,
) -> None:
    """Whatever was written and erased, and however far the folds have got with it."""
    limits = Limits(items=items)
    views = Views(limits)
    make(views, moves)
    if erased is not None:
        views.erase(erased)
    make(views, later)
    for n in range(folded):
        views.step(views.topics[n % len(views.topics)])
    for of in Audited:
        assert asyncio.run(audited(views, of, limits=limits)).differing == []


@pytest.mark.parametrize("wrong", ["changed", "gone", "moved"])
async def test_a_sessions_list_that_is_wrong(wrong: str) -> None:
    """An item that is another, that is missing, or in another place."""
    views = served_views()
    rows = views.sessions.stored
    key, value = next(iter(rows.range(b"l" + S)))
    if wrong == "changed":
        rows.put(key, value.replace(b"Title", b"Tidal"))
    else:
        rows.delete(key)
    if wrong == "moved":
        rows.put(key[:18] + b"\xff" * 8 + key[26:], value)
    (found,) = (await audited(views, Audited.SESSIONS)).differing
    assert found.id == id_text(Kind.SESSION, S)
    assert ("order" in found.what) == (wrong == "moved")
    assert (await audited(views, Audited.CONTEXTS)).differing == []


async def test_a_context_that_is_wrong() -> None:
    """An item that its events do not give."""
    views = served_views()
    rows = views.contexts.stored
    key = next(key for key, _ in rows.range(b"i" + C1))
    rows.put(key, rows.values[key].replace(b"Title", b"Tidal"))
    (found,) = (await audited(views, Audited.CONTEXTS)).differing
    assert found.id == id_text(Kind.CONTEXT, C1)
    assert "'a'" in found.what


async def test_members_that_are_wrong() -> None:
    """A context that is attached and is not in the table; a session that is deleted there and not in the log."""
    views = served_views()
    views.sessions.stored.delete(session_rows.member_key(S, C1))
    (found,) = (await audited(views, Audited.SESSIONS)).differing
    assert "contexts" in found.what
    views = served_views()
    key = session_rows.session_key(S)
    views.sessions.stored.put(key, session_rows.encode_session(session_rows.Session(deleted=True)))
    assert len((await audited(views, Audited.SESSIONS)).differing) == 1
    views = served_views()
    views.delete(S)
    views.drain()
    assert (await audited(views, Audited.SESSIONS)).differing == []


@pytest.mark.parametrize("attached", ["loaded", "waits", "again"])
async def test_what_was_erased_is_right(attached: str) -> None:
    """An erased context that is served as one, and a session that had it, in whatever way, and has it no more."""
    views = served_views()
    if attached == "waits":
        views.attach(session_id(2), C1)
        views.erase(C1)
    else:
        views.erase(C1)
    views.drain()
    if attached == "again":
        views.attach(S, C1)
        views.drain()
    for of in Audited:
        found = await audited(views, of)
        assert (found.lists, found.moving, found.differing) == (
            1 + (of is Audited.CONTEXTS or attached == "waits"),
            0,
            [],
        )


async def test_what_is_being_erased_is_not_compared() -> None:
    """As long as the list is here, and may be gone from the log: it, and those of the sessions that have it."""
    views = served_views()
    views.erase(C1)
    for record in views.log.records["context-events"][:3]:
        if C1_TEXT in (record.key or b""):
            views.log.records["context-events"][record.offset] = record._replace(value=None)
    contexts, sessions = await audited(views, Audited.CONTEXTS), await audited(views, Audited.SESSIONS)
    assert (contexts.lists, contexts.moving, contexts.differing) == (1, 1, [])
    assert (sessions.lists, sessions.moving, sessions.differing) == (0, 1, [])


async def test_what_is_erased_here_only() -> None:
    """A context whose events do not say so, and a session that has lost one which was not erased."""
    views = served_views()
    meta = context_rows.Meta(sequence=2, erased=True)
    views.contexts.stored.put(context_rows.meta_key(C1), context_rows.encode_meta(meta))
    (found,) = (await audited(views, Audited.CONTEXTS)).differing
    assert (found.id, found.what) == (id_text(Kind.CONTEXT, C1), "it is erased, and not so in the log")
    views.erase(C2)
    views.drain()
    views.sessions.stored.delete(session_rows.member_key(S, C1))
    (found,) = (await audited(views, Audited.SESSIONS)).differing
    assert "contexts" in found.what


async def test_one_context_as_of_several_sequences() -> None:
    """Sessions that have got further than others with the same context are each compared with what they have."""
    views = served_views()
    views.attach(session_id(2), C1)
    views.drain()
    member = session_rows.read_member(views.sessions.stored, S, C1)
    assert member is not None
    views.put(C1, "later")
    for _ in range(1_000):
        # One of the two sessions hears of it; the other not yet.
        if session_rows.read_member(views.sessions.stored, S, C1) != member:
            break
        views.step("context-events")
        views.step("upnext-v1-session-feed")
    found = await audited(views, Audited.SESSIONS)
    assert (found.lists, found.differing) == (2, [])


async def test_all_of_many() -> None:
    """Every list comes once, in parts that go on where the last one has ended."""
    views = Views()
    for number in range(23):
        views.put(context_id(number), "a")
        views.put(context_id(number), "b")
    views.drain()
    beyond, lists = None, []
    while True:
        found = await audited(views, Audited.CONTEXTS, most=5, beyond=beyond)
        lists.append(found.lists)
        beyond = found.next
        if beyond is None:
            break
    assert lists == [5, 5, 5, 5, 3]


async def test_a_partition_that_is_not_here() -> None:
    """It is another node's to compare."""
    views = served_views()
    views.contexts.here = False
    with pytest.raises(ViewUnavailableError):
        await audited(views, Audited.CONTEXTS)


@given(ids=st.lists(st.binary(min_size=1, max_size=3), max_size=60), size=st.integers(1, 10), seed=st.text(max_size=3))
def test_a_sample(ids: list[bytes], size: int, seed: str) -> None:
    """The same whatever the order, each id once, and none is left out of all parts."""
    samples = []
    for order in (ids, ids[::-1]):
        sample = Sample(size, seed, None)
        for one in order:
            sample.add(one)
        samples.append(sample.taken())
    assert samples[0] == samples[1]
    found: list[bytes] = []
    beyond = None
    while True:
        sample = Sample(size, seed, beyond)
        for one in ids:
            sample.add(one)
        taken, beyond = sample.taken()
        found += taken
        if beyond is None:
            break
    assert sorted(found) == sorted(set(ids))


def test_how_lists_differ() -> None:
    """In words that name the first few items."""
    many = [b'{"content_id":"%d"' % n for n in range(7)]
    assert what_differs(many, many) is None
    assert what_differs(many, many[::-1]) == "the order is another"
    said = what_differs(many, [])
    assert said == "served, and not in the log: '0', '1', '2', '3', '4' and 2 more; in the log, and not served: nothing"


async def test_of_which_version() -> None:
    """Of the one that is named; of the one that clients read where none is."""
    views, asked = served_views(), []
    reader = Served(
        ContextReader(views.contexts, 1, WaitLimit(), edition=""),
        SessionReader(views.sessions, 1, SessionLists(), WaitLimit()),
    )

    def find(view: str | None) -> Served:
        asked.append(view)
        return reader

    audit = Audit(Refold(views.log, 1, hash_key=HASH_KEY), find)
    for view in (None, "upnext-v2"):
        await audit.audit(Audited.CONTEXTS, 0, most=5, seed="", beyond=None, view=view)
    assert asked == [None, "upnext-v2"]
