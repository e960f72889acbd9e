"""The past, read from the log: lists as they were served, what changed, and why."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.domain.errors import ContextErasedError, HistoryTooLongError, NotAttachedError, SessionDeletedError
from streams.domain.events import ContextErased, ItemsPut
from streams.domain.explain import Reason
from streams.domain.feed import LIMITS, Limits
from streams.domain.ids import Kind, id_text
from streams.domain.past_lists import Moment, differences
from streams.domain.positions import NOTHING, ListPosition
from streams.history import History
from streams.refold import Bound, Refold
from streams.views.context_views import ContextReader
from streams.views.session_lists import SessionLists
from streams.views.session_views import SessionReader
from streams.views.tables import WaitLimit
from tests.support.tables import CLIENT, HASH_KEY, Views, app_of, context_id, make_item, session_id
from tests.support.turns import turns_of_others
from tests.unit.test_explain import MOVES, make

C1, C2 = context_id(1), context_id(2)
S = session_id(1)


def history(views: Views, limits: Limits = LIMITS) -> History:
    return History(Refold(views.log, 1, hash_key=HASH_KEY, limits=limits), bound=Bound(10_000, 30.0))


async def listed(views: Views, at: Moment) -> list[str]:
    return [one.content_id for one in (await history(views).session_lists(S, [at]))[0].items]


@settings(deadline=None)
@given(moves=st.lists(MOVES, max_size=30), items=st.integers(1, 4))
def test_every_list_that_was_served(moves: list[tuple[str, bytes, str]], items: int) -> None:
    """The position of a list gives that very list, byte for byte, whatever came after it; so does a context's."""
    limits = Limits(items=items)
    views = Views(limits)
    sessions = SessionReader(views.sessions, 1, SessionLists(), WaitLimit())
    contexts = ContextReader(views.contexts, 1, WaitLimit(), edition="")

    async def check() -> None:
        served = []
        for move in moves:
            make(views, [move])
            views.drain()
            page = await sessions.page(S, start=0, limit=200, after=NOTHING, client=CLIENT)
            own = await contexts.page(C1, start=0, limit=200, after=NOTHING, client=CLIENT)
            served.append((page, own))
        past = history(views, limits)
        for page, own in served:
            assert isinstance(page.position, ListPosition)
            at = Moment(offset=page.position.offset, sequences=dict(page.position.members))
            (found,) = await past.session_lists(S, [at])
            assert [one.fragment for one in found.items] == [encoded for _, encoded in page.items]
            (mine,) = await past.context_lists(C1, [Moment(offset=own.position.offset)])
            assert [one.fragment for one in mine.items] == [encoded for _, encoded in own.items]

    asyncio.run(check())


async def test_by_time() -> None:
    """All that had come by then, of every partition, and nothing later."""
    views = Views()
    views.attach(S, C1)
    views.put(C1, "a")
    first_ms = views.now_ms
    views.now_ms += 10
    views.put(C1, "b")
    views.detach(S, C1)
    views.drain()
    assert await listed(views, Moment(time_ms=first_ms - 1)) == []
    assert await listed(views, Moment(time_ms=first_ms)) == ["a"]
    assert await listed(views, Moment(time_ms=views.now_ms - 1)) == ["a"]
    assert await listed(views, Moment()) == []
    one, two = await history(views).session_lists(S, [Moment(time_ms=at) for at in (first_ms, views.now_ms)])
    assert [(each.content_id, each.after) for each in differences(one, two)] == [("a", None)]


async def test_what_differs() -> None:
    """What was put, what was changed, what is gone; nothing of what is the same."""
    views = Views()
    views.attach(S, C1)
    for content_id in ("same", "changed", "gone"):
        views.put(C1, content_id)
    before_ms = views.now_ms
    views.now_ms += 1
    views.hide(C1, "changed")
    views.remove(C1, "gone")
    views.put(C1, "new")
    before, after = await history(views).session_lists(S, [Moment(time_ms=before_ms), Moment()])
    found = {one.content_id: (one.before is None, one.after is None) for one in differences(before, after)}
    assert found == {"new": (True, False), "changed": (False, False), "gone": (False, True)}
    assert differences(after, after) == []


async def test_why_it_was_so() -> None:
    """The explanation of a moment knows of nothing later."""
    views = Views()
    views.attach(S, C1)
    views.attach(S, C2)
    views.put(C1, "a")
    then = Moment(time_ms=views.now_ms)
    views.now_ms += 1
    views.remove(C1, "a")
    past = history(views)
    assert [one.reason for one in await past.explain(S, "a", C1, then)] == [Reason.LISTED]
    assert [(one.context, one.reason) for one in await past.explain(S, "a", None)] == [(C1, Reason.REMOVED)]
    assert [one.reason for one in await past.explain(S, "a", C2, then)] == [Reason.OTHER_CONTEXT]
    with pytest.raises(NotAttachedError):
        await past.explain(S, "a", context_id(3))


async def test_a_session_that_was_deleted() -> None:
    """It is gone from then on, and was there before."""
    views = Views()
    views.attach(S, C1)
    views.put(C1, "a")
    then = Moment(time_ms=views.now_ms)
    views.now_ms += 1
    views.delete(S)
    assert await listed(views, then) == ["a"]
    with pytest.raises(SessionDeletedError):
        await listed(views, Moment())


async def test_a_context_that_was_erased() -> None:
    """Nothing is told of it any more, also as of a moment at which it was there; of others, all is."""
    views = Views()
    views.attach(S, C1)
    views.attach(S, C2)
    views.put(C1, "a", title="They say context.erased.v1")
    views.put(C2, "b")
    then = Moment(time_ms=views.now_ms)
    assert [one.content_id for one in (await history(views).context_lists(C1, [then]))[0].items] == ["a"]
    views.drain()
    page = await SessionReader(views.sessions, 1, SessionLists(), WaitLimit()).page(
        S, start=0, limit=1, after=NOTHING, client=CLIENT
    )
    assert isinstance(page.position, ListPosition)
    at = Moment(offset=page.position.offset, sequences=dict(page.position.members))
    views.now_ms += 1
    views.context_event(C1, ContextErased(id=views.event_id(), client=CLIENT))
    views.put(C1, "c")
    for moment in (then, at, Moment()):
        (found,) = await history(views).session_lists(S, [moment])
        assert [one.content_id for one in found.items] == ["b"]
        assert [one.context for one in found.contexts] == [C2]
        assert [one.reason for one in await history(views).explain(S, "a", None, moment)] == [Reason.NEVER_WRITTEN]
        with pytest.raises(ContextErasedError):
            await history(views).context_lists(C1, [moment])


async def test_others_have_their_turn() -> None:
    """After each piece of the log that is read, whoever waits is served."""
    views = Views()
    for _ in range(20 * views.log.piece):
        views.put(C2, "a")
    assert await turns_of_others(history(views).context_lists(C1, [Moment()])) >= 20


async def test_more_than_may_be_read() -> None:
    """No answer from a part."""
    views = Views()
    for _ in range(10):
        views.put(C1, "a")
    past = History(Refold(views.log, 1, hash_key=HASH_KEY), bound=Bound(9, 30.0))
    with pytest.raises(HistoryTooLongError):
        await past.context_lists(C1, [Moment()])


async def test_many_items_in_one_event_let_others_have_their_turn() -> None:
    """However few events they are; and the time that all may take is looked at as often."""
    views, many = Views(), 12
    items = [make_item(f"c{number}") for number in range(200)]
    for _ in range(many):
        event = ItemsPut(id=views.event_id(), client=CLIENT, app=id_text(Kind.APP, app_of(C1)), items=items)
        views.context_event(C1, event)
    assert await turns_of_others(history(views).context_lists(C1, [Moment()])) >= many
    seconds = iter(range(1_000))
    refold = Refold(views.log, 1, hash_key=HASH_KEY, clock_s=lambda: float(next(seconds)))
    with pytest.raises(HistoryTooLongError, match=r"more than 5 s"):
        await History(refold, bound=Bound(10_000, 5.0)).context_lists(C1, [Moment()])
