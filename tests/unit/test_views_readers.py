"""Readers wait for what a request bears, and answer from the folds of the real processors."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from streams.domain.errors import (
    NotAttachedError,
    OverloadedError,
    SessionDeletedError,
    ViewUnavailableError,
)
from streams.domain.events import ItemsPut
from streams.domain.feed import Limits
from streams.domain.ids import Kind, id_text
from streams.domain.pages import Page, ViewState
from streams.domain.positions import (
    NOTHING,
    After,
    ContextPosition,
    ContextsPosition,
    ListPosition,
    SessionsPosition,
    context_mark,
)
from streams.views.context_views import ContextReader
from streams.views.session_lists import SessionLists
from streams.views.session_views import SessionReader
from streams.views.tables import WaitLimit
from tests.support.tables import CLIENT, Views, app_of, context_id, make_item, session_id

C, D = context_id(1), context_id(2)
S, T = session_id(1), session_id(2)


def sessions_of(views: Views, waits: int = 100) -> SessionReader:
    return SessionReader(views.sessions, 1, SessionLists(), WaitLimit(waits))


def contexts_of(views: Views, waits: int = 100) -> ContextReader:
    return ContextReader(views.contexts, 1, WaitLimit(waits))


def ids(page: Page) -> list[str]:
    return [orjson.loads(fragment + b"}")["content_id"] for _, fragment in page.items]


async def merged(views: Views, after: After = NOTHING, *, reader: SessionReader | None = None) -> Page:
    return await (reader or sessions_of(views)).page(S, start=0, limit=50, after=after, client="c")


async def test_a_contexts_list() -> None:
    """Newest first, whose every item names its app; a revision and a position that grow."""
    views = Views()
    reader = contexts_of(views)
    empty = await reader.page(C, start=0, limit=50, after=NOTHING, client="c")
    assert (ids(empty), empty.total, empty.next_key, empty.position) == ([], 0, None, ContextPosition(C, -1))
    for name in ("a", "b", "c", "a", '","app_id":"AP'):
        written = views.put(C, name)
    views.put(D, "other")
    views.drain()
    page = await reader.page(C, start=0, limit=2, after=After((written,)), client="c")
    assert ids(page) == ['","app_id":"AP', "a"]
    assert {app for app, _ in page.items} == {app_of(C)}
    assert (page.total, page.next_key, page.position, page.state) == (4, 2, written, ViewState.WHOLE)
    rest = await reader.page(C, start=2, limit=2, after=NOTHING, client="c")
    assert (ids(rest), rest.next_key) == (["c", "b"], None)
    beyond = await reader.page(C, start=4, limit=2, after=NOTHING, client="c")
    assert (ids(beyond), beyond.total, beyond.next_key) == ([], 4, None)
    assert page.revision != empty.revision


async def test_a_write_is_waited_for() -> None:
    """A context's list waits for the table; a session's for its member, if the context is attached."""
    views = Views()
    await_context, await_session = contexts_of(views), sessions_of(views)
    written = views.put(C, "a")
    with views.behind():
        await await_context.page(C, start=0, limit=50, after=After((written,)), client="c")
    # Not attached, so the session's list has nothing to wait for.
    assert ids(await merged(views, After((written,)))) == []
    attached = views.attach(S, C)
    views.drain()
    written = views.put(C, "b")
    with views.behind():
        await merged(views, After((written,)), reader=await_session)
    waiting = asyncio.create_task(merged(views, After((written,), (attached,)), reader=await_session))
    await views.sessions.has_waits(1)
    views.drain()
    assert ids(await waiting) == ["b", "a"]


async def test_writes_to_many_contexts_are_waited_for() -> None:
    """Each list waits for what was written to its own contexts, in a context's list and in a session's."""
    views = Views()
    views.attach(S, C)
    views.put(C, "a")
    views.drain()
    written = ContextsPosition({context_mark(C): views.put(C, "b").offset, context_mark(D): views.put(D, "c").offset})
    after = After(bulks=(written,))
    with views.behind():
        await contexts_of(views).page(C, start=0, limit=50, after=after, client="c")
    with views.behind():
        await merged(views, after)
    assert ids(await merged(views, After(bulks=(ContextsPosition({context_mark(D): 99}),)))) == ["a"]
    views.drain()
    for context, content_ids in ((C, ["b", "a"]), (D, ["c"])):
        page = await contexts_of(views).page(context, start=0, limit=50, after=after, client="c")
        assert ids(page) == content_ids
    assert ids(await merged(views, after)) == ["b", "a"]


async def test_a_bulk_too_large_for_one_message_is_seen_as_a_whole() -> None:
    """Its sessions ask for what was withheld; a reader that waits for it sees all of it, and never a part."""
    views = Views(Limits(message_bytes=1_500))
    attached = [views.attach(session, C) for session in (S, T)]
    views.put(C, "a")
    views.drain()
    app = id_text(Kind.APP, app_of(C))
    items = [make_item(f"b{n}") for n in range(20)]
    written = views.context_event(C, ItemsPut(id=views.event_id(), client=CLIENT, app=app, items=items))
    seen = set()
    while sum(views.step(topic) for topic in views.topics):
        seen.add((await merged(views)).total)
    assert seen == {1, 21}
    assert (await merged(views, After((written,), tuple(attached)))).total == 21
    assert views.noticed == ["gap", "gap"]


async def test_an_attach_is_waited_for_until_its_items_are_there() -> None:
    """Without the attach's position the list answers with what it has, and says so; with it, it waits."""
    views = Views()
    views.put(C, "a")
    attached = views.attach(S, C)
    with views.behind():
        await merged(views, After(sessions=(attached,)))
    views.step("session-events")
    half = await merged(views)
    assert (ids(half), half.state, half.position) == ([], ViewState.CATCHING_UP, ListPosition(S, 0, [(0, -1)]))
    with views.behind():
        await merged(views, After(sessions=(attached,)))
    contexts = await sessions_of(views).contexts(S, start=0, limit=50, after=After(sessions=(attached,)), client="c")
    assert [entry.context for entry in contexts.items] == [C]
    views.drain()
    whole = await merged(views, After(sessions=(attached,)))
    assert (ids(whole), whole.state, whole.position) == (["a"], ViewState.WHOLE, ListPosition(S, 0, [(0, 0)]))


async def test_a_later_attach_holds_no_earlier_reader_up() -> None:
    """Only members with an epoch up to the position are waited for."""
    views = Views()
    first = views.attach(S, C)
    views.drain()
    views.attach(S, D)
    views.step("session-events")
    page = await merged(views, After(sessions=(first,)))
    assert page.state is ViewState.CATCHING_UP


async def test_a_lists_position_is_not_gone_back_from() -> None:
    """The next list has at least what the one before had, of what is still attached."""
    views = Views()
    views.attach(S, C)
    views.attach(S, D)
    views.put(C, "a")
    views.put(D, "b")
    views.drain()
    page = await merged(views)
    assert page.position == ListPosition(S, 1, [(0, 0), (1, 1)])
    assert ids(await merged(views, After(lists=(page.position,)))) == ["b", "a"]
    for ahead in (ListPosition(S, 2, []), ListPosition(S, 1, [(1, 2)])):
        with views.behind():
            await merged(views, After(lists=(ahead,)))
    # Of another session, and of an attachment that is no more, nothing is asked.
    assert (await merged(views, After(lists=(ListPosition(T, 2, [(1, 9)]),)))).total == 2
    views.detach(S, D)
    views.drain()
    assert (await merged(views, After(lists=(ListPosition(S, 1, [(1, 9)]),)))).total == 1


async def test_a_refused_member_is_not_waited_for() -> None:
    """It will never load, so a reader with its attach's position, or a write's, is answered."""
    views = Views(Limits(sessions=1))
    views.attach(T, C)
    views.drain()
    attached = views.attach(S, C)
    written = views.put(C, "a")
    views.drain()
    page = await merged(views, After((written,), (attached,)))
    assert (ids(page), page.state) == ([], ViewState.REFUSED)
    assert [entry.session for entry in await subscriptions(views)] == [T]


async def subscriptions(views: Views) -> list:  # type: ignore[type-arg]
    return await contexts_of(views).subscriptions(C, after=NOTHING, client="c")


async def test_one_contexts_list_waits_for_that_context_only() -> None:
    """A neighbour that is still on its way holds nothing up."""
    views = Views()
    views.put(C, "a")
    views.attach(S, C)
    views.drain()
    attached = views.attach(S, D)
    views.step("session-events")
    reader = sessions_of(views)
    after = After(sessions=(attached,))
    page = await reader.context_page(S, C, start=0, limit=50, after=after, client="c")
    assert (ids(page), page.total, page.state) == (["a"], 1, ViewState.WHOLE)
    assert await reader.holds(S, C, "a", after=after, client="c")
    assert not await reader.holds(S, C, "b", after=after, client="c")
    with views.behind():
        await reader.context_page(S, D, start=0, limit=50, after=after, client="c")
    with views.behind():
        await reader.reach(S, after)
    late = await reader.context_page(S, D, start=0, limit=50, after=NOTHING, client="c")
    assert (ids(late), late.state) == ([], ViewState.CATCHING_UP)


async def test_what_is_not_attached_is_absent() -> None:
    """Before an attach and after a detach; and after the session was deleted, everything."""
    views = Views()
    reader = sessions_of(views)
    views.put(C, "a")
    for act in (None, views.detach):
        if act:
            act(S, C)
            views.drain()
        with pytest.raises(NotAttachedError):
            await reader.context_page(S, C, start=0, limit=50, after=NOTHING, client="c")
        with pytest.raises(NotAttachedError):
            await reader.holds(S, C, "a", after=NOTHING, client="c")
        views.attach(S, C)
        views.drain()
        assert await reader.holds(S, C, "a", after=NOTHING, client="c")
    deleted = views.delete(S)
    with views.behind():
        await merged(views, After(sessions=(deleted,)), reader=reader)
    views.drain()
    for after in (NOTHING, After(sessions=(deleted,)), After((views.put(C, "b"),))):
        with pytest.raises(SessionDeletedError):
            await merged(views, after, reader=reader)
        with pytest.raises(SessionDeletedError):
            await reader.contexts(S, start=0, limit=50, after=after, client="c")
        with pytest.raises(SessionDeletedError):
            await reader.context_page(S, C, start=0, limit=50, after=after, client="c")


async def test_a_cached_list_is_never_a_stale_one() -> None:
    """After every single fold, a reader with a cache answers as one without."""
    views = Views()
    cached = sessions_of(views)
    steps = 0
    for act in (
        lambda: views.attach(S, C),
        lambda: views.put(C, "a"),
        lambda: views.put(C, "b"),
        lambda: views.attach(S, D),
        lambda: views.put(D, "c"),
        lambda: views.put(C, "a"),
        lambda: views.hide(C, "b"),
        lambda: views.remove(C, "a"),
        lambda: views.detach(S, C),
        lambda: views.attach(S, C),
        lambda: views.put(D, "d"),
    ):
        act()
        busy = True
        while busy:
            busy = False
            for topic in (
                "session-events",
                "context-events",
                "upnext-v1-session-feed",
                "upnext-v1-context-subscriptions",
            ):
                if views.step(topic):
                    busy = True
                    steps += 1
                    for start, limit in ((0, 50), (0, 2), (1, 1)):
                        kept, read = [
                            await reader.page(S, start=start, limit=limit, after=NOTHING, client="c")
                            for reader in (cached, sessions_of(views))
                        ]
                        assert kept == read
    assert steps > 20
    assert ids(await merged(views, reader=cached)) == ["d", "c", "b"]


async def test_a_small_cache_stays_small() -> None:
    """What was not read for longest is forgotten; what is read is right all the same."""
    views = Views()
    for n in range(20):
        views.attach(session_id(n), C)
    for n in range(10):
        views.put(C, f"c{n}")
    views.drain()
    lists = SessionLists(20_000)
    reader = SessionReader(views.sessions, 1, lists, WaitLimit())
    for n in [*range(20), *range(20)]:
        page = await reader.page(session_id(n), start=0, limit=50, after=NOTHING, client="c")
        assert page.total == 10
    assert 0 < lists.bytes <= 20_000


async def test_what_is_joined_counts_in_the_cache() -> None:
    """Pages that are closed with much take more than they did as they were read; the next read knows of it."""
    views = Views()
    for n in range(8):
        views.attach(session_id(n), C)
    for n in range(10):
        views.put(C, f"c{n}")
    views.drain()
    lists = SessionLists(1_000_000)
    reader = SessionReader(views.sessions, 1, lists, WaitLimit())
    read = []
    for end in (b"", b"x" * 100):
        for n in range(8):
            page = await reader.page(session_id(n), start=0, limit=50, after=NOTHING, client="c")
            page.items.joined(end.hex(), lambda _app, _fragment, end=end: end, lambda entries: entries)  # type: ignore[misc]
        await reader.page(session_id(0), start=0, limit=50, after=NOTHING, client="c")
        read.append(lists.bytes)
    assert read[1] - read[0] == 8 * 10 * 100


async def test_waits_are_bounded_per_client() -> None:
    """One client's waiting requests refuse its next, and nobody else's."""
    views = Views()
    reader = sessions_of(views, waits=2)
    after = After(sessions=(SessionsPosition({0: 0}),))

    async def waiting(client: str) -> Page:
        return await reader.page(S, start=0, limit=50, after=after, client=client)

    tasks = [asyncio.create_task(waiting("one")) for _ in range(2)]
    await views.sessions.has_waits(2)
    with pytest.raises(OverloadedError):
        await waiting("one")
    tasks.append(asyncio.create_task(waiting("two")))
    await views.sessions.has_waits(3)
    views.attach(S, C)
    views.drain()
    assert [page.total for page in await asyncio.gather(*tasks)] == [0, 0, 0]
    with views.behind():
        await reader.page(S, start=0, limit=50, after=After(sessions=(SessionsPosition({0: 9}),)), client="one")


async def test_a_view_that_is_not_here_is_unavailable() -> None:
    """Never an empty list; and a list that is old says how old."""
    views = Views()
    views.sessions.age = 7
    assert (await merged(views)).age_s == 7
    views.contexts.here = views.sessions.here = False
    with pytest.raises(ViewUnavailableError):
        await merged(views)
    with pytest.raises(ViewUnavailableError):
        await contexts_of(views).page(C, start=0, limit=50, after=NOTHING, client="c")
