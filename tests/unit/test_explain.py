"""Why an item is where it is: what is explained is what the folds have made, for every history."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from streams.domain.errors import (
    HistoryGoneError,
    HistoryTooLongError,
    NotAttachedError,
    OverloadedError,
    SessionDeletedError,
)
from streams.domain.events import ContextAttached, ItemPut, ItemsPut, ItemsReplaced
from streams.domain.explain import Explanation, Reason, Rule
from streams.domain.feed import LIMITS, Limits
from streams.domain.ids import ContextId, Kind, id_text
from streams.domain.positions import NOTHING
from streams.domain.steps import MOST_STEPS, Did
from streams.explain import Explainer
from streams.refold import Bound, Refold
from streams.views.session_lists import SessionLists
from streams.views.session_views import SessionReader
from streams.views.tables import WaitLimit
from tests.support.tables import CLIENT, HASH_KEY, Views, app_of, context_id, make_item, session_id

C1, C2, C3 = map(context_id, (1, 2, 3))
S = session_id(1)
BOUND = Bound(10_000, 30.0)


def explainer(views: Views, *, limits: Limits = LIMITS, bound: Bound = BOUND) -> Explainer:
    refold = Refold(views.log, 1, hash_key=HASH_KEY, limits=limits)
    return Explainer(refold, SessionReader(views.sessions, 1, SessionLists(), WaitLimit()), bound=bound)


async def explained(
    views: Views, content_id: str, context: bytes | None = C1, *, limits: Limits = LIMITS
) -> Explanation:
    (one,) = await explainer(views, limits=limits).explain(S, content_id, context, after=NOTHING, client=CLIENT)  # type: ignore[arg-type]
    return one


def did(one: Explanation) -> list[Did]:
    return [step.did for step in one.steps]


def put_all(views: Views, content_ids: Sequence[str], *, replace: bool = False) -> None:
    kind = ItemsReplaced if replace else ItemsPut
    items = [make_item(content_id) for content_id in content_ids]
    app = id_text(Kind.APP, app_of(C1))
    views.context_event(C1, kind(id=views.event_id(), client=CLIENT, app=app, items=items))


async def test_an_item_in_its_place() -> None:
    """Where it is in the merged list, what is next to it, and the events that made it so, with who wrote them."""
    views = Views()
    views.attach(S, C1)
    views.attach(S, C2)
    for context, content_id in ((C1, "a"), (C2, "b"), (C1, "c"), (C2, "a")):
        views.put(context, content_id)
    views.drain()
    one = await explained(views, "a")
    assert one.reason is Reason.LISTED
    assert one.seat is not None
    assert (one.seat.at, one.seat.total, one.seat.older) == (3, 4, None)
    assert one.seat.newer is not None
    assert b'"content_id":"b"' in one.seat.newer
    assert did(one) == [Did.ATTACHED, Did.PUT]
    put = one.steps[1]
    assert (put.topic, put.offset, put.type, put.client) == ("context-events", 0, "context.item_put.v1", CLIENT)
    assert one.elsewhere == [C2]
    assert one.rules == [Rule.NEWEST_FIRST]
    assert one.agrees


async def test_without_a_context() -> None:
    """Each context whose list has the item; else each that ever had it; else none."""
    views = Views()
    views.attach(S, C1)
    views.attach(S, C2)
    views.attach(S, C3)
    views.put(C1, "a")
    views.put(C2, "a")
    views.put(C2, "b")
    views.remove(C2, "b")
    views.drain()
    explain = explainer(views)
    everywhere = await explain.explain(S, "a", None, after=NOTHING, client=CLIENT)
    assert [one.context for one in everywhere] == [C1, C2]
    assert [(one.context, one.reason) for one in await explain.explain(S, "b", None, after=NOTHING, client=CLIENT)] == [
        (C2, Reason.REMOVED)
    ]
    assert [(one.context, one.reason) for one in await explain.explain(S, "z", None, after=NOTHING, client=CLIENT)] == [
        (None, Reason.NEVER_WRITTEN)
    ]


async def test_what_is_not_there() -> None:
    """Never written, another context's, removed, left out: each by its name."""
    views = Views()
    views.attach(S, C1)
    views.attach(S, C2)
    views.put(C1, "removed")
    views.remove(C1, "removed")
    views.put(C1, "left-out")
    put_all(views, ["kept"], replace=True)
    views.put(C2, "elsewhere")
    views.drain()
    reasons = {name: (await explained(views, name)).reason for name in ("removed", "left-out", "elsewhere", "never")}
    assert reasons == {
        "removed": Reason.REMOVED,
        "left-out": Reason.LEFT_OUT,
        "elsewhere": Reason.OTHER_CONTEXT,
        "never": Reason.NEVER_WRITTEN,
    }
    assert (await explained(views, "left-out")).rules == [Rule.REPLACED_WHOLE]
    assert (await explained(views, "elsewhere")).elsewhere == [C2]


@pytest.mark.parametrize("at_once", [False, True])
async def test_what_was_dropped(at_once: bool) -> None:
    """The item that was written longest ago goes with the one that is too many, and its last step says so."""
    limits = Limits(items=3)
    views = Views(limits)
    views.attach(S, C1)
    views.put(C1, "oldest")
    if at_once:
        put_all(views, ["a", "b", "c"])
    else:
        for content_id in ("a", "b", "c"):
            views.put(C1, content_id)
    views.drain()
    one = await explained(views, "oldest", limits=limits)
    assert (one.reason, one.rules, did(one)) == (
        Reason.DROPPED,
        [Rule.AT_MOST_1000],
        [Did.ATTACHED, Did.PUT, Did.DROPPED],
    )
    assert one.steps[-1].offset == (1 if at_once else 3)


async def test_an_item_that_its_own_event_drops() -> None:
    """More items in one event than a list holds: the first ones were never to be seen."""
    limits = Limits(items=2)
    views = Views(limits)
    views.attach(S, C1)
    put_all(views, ["a", "b", "c"])
    views.drain()
    assert (await explained(views, "a", limits=limits)).reason is Reason.DROPPED


async def test_hidden() -> None:
    """In its place, marked; and still so when it is written again."""
    views = Views()
    views.attach(S, C1)
    views.put(C1, "a")
    views.hide(C1, "a")
    views.hide(C1, "a")
    views.drain()
    one = await explained(views, "a")
    assert (one.reason, did(one)[1:]) == (Reason.HIDDEN, [Did.PUT, Did.HIDDEN, Did.NOTHING])
    assert one.rules == [Rule.NEWEST_FIRST, Rule.HIDDEN_KEEPS_ITS_PLACE, Rule.NOTHING_TO_DO]
    views.put(C1, "a")
    views.drain()
    one = await explained(views, "a")
    assert one.rules == [Rule.NEWEST_FIRST, Rule.HIDDEN_KEEPS_ITS_PLACE, Rule.HIDDEN_IS_KEPT]
    views.hide(C1, "a", hidden=False)
    views.drain()
    one = await explained(views, "a")
    assert (one.reason, one.steps[-1].did) == (Reason.LISTED, Did.UNHIDDEN)


async def test_attached_later() -> None:
    """What was written before its context was attached came with the attachment, in the place of its own time."""
    views = Views()
    views.put(C1, "a")
    views.now_ms += 10
    views.attach(S, C1)
    views.drain()
    one = await explained(views, "a")
    assert (one.reason, one.rules) == (Reason.LISTED, [Rule.NEWEST_FIRST, Rule.ATTACHED_LATER])
    assert did(one) == [Did.PUT, Did.ATTACHED]


async def test_a_clock_that_steps_back() -> None:
    """An `updated_at` that is not its event's time is said to follow from the write before."""
    views = Views()
    views.attach(S, C1)
    views.put(C1, "a")
    views.now_ms -= 60_000
    views.put(C1, "b")
    views.drain()
    assert Rule.LATER_THAN_THE_LAST in (await explained(views, "b")).rules
    assert Rule.LATER_THAN_THE_LAST not in (await explained(views, "a")).rules


async def test_what_is_on_its_way_or_refused() -> None:
    """A context without a snapshot yet has nothing to show, and one that feeds too many sessions never has."""
    views = Views(Limits(sessions=1))
    views.put(C1, "a")
    views.attach(S, C1)
    while views.step("session-events"):
        pass
    assert (await explained(views, "a")).reason is Reason.CATCHING_UP
    views.attach(session_id(2), C2)
    views.drain()
    views.attach(S, C2)
    views.drain()
    assert (await explained(views, "a", C2)).reason is Reason.REFUSED


async def test_only_as_far_as_the_list_has_it() -> None:
    """What the list has not got to yet is not told: the explanation is of what is served."""
    views = Views()
    views.attach(S, C1)
    views.put(C1, "a")
    views.drain()
    views.remove(C1, "a")
    one = await explained(views, "a")
    assert (one.reason, one.agrees, did(one)) == (Reason.LISTED, True, [Did.ATTACHED, Did.PUT])


async def test_what_was_detached() -> None:
    """Only that it was, and when: what its app has written is not the session's to know any more."""
    views = Views()
    views.attach(S, C1)
    views.put(C1, "a")
    views.detach(S, C1)
    views.put(C1, "a")
    views.drain()
    one = await explained(views, "a")
    assert (one.reason, did(one), one.seat) == (Reason.DETACHED, [Did.ATTACHED, Did.DETACHED], None)


async def test_a_context_that_there_was_no_room_for() -> None:
    """It was not attached, and that is why."""
    limits = Limits(contexts=1)
    views = Views(limits)
    views.attach(S, C1)
    views.attach(S, C2)
    views.drain()
    assert (await explained(views, "a", C2, limits=limits)).reason is Reason.TOO_MANY


async def test_a_put_that_comes_again_after_its_item_was_removed() -> None:
    """It did nothing, also where there is no item since: what removed that is the reason, and nothing was dropped."""
    for once in ({"idempotency_key": "key"}, {"corrects": "context-events-0-0"}):
        views = Views()
        views.attach(S, C1)
        views.now_ms += 1
        app, item = id_text(Kind.APP, app_of(C1)), make_item("a")
        put = ItemPut(id=views.event_id(), client=CLIENT, app=app, item=item, **once)
        views.context_event(C1, put)
        views.context_event(C1, put)
        views.remove(C1, "a")
        views.context_event(C1, put)
        views.put(C1, "b")
        views.drain()
        one = await explained(views, "a")
        assert (one.reason, one.rules, one.agrees) == (Reason.REMOVED, [Rule.NOTHING_TO_DO], True)
        assert did(one) == [Did.ATTACHED, Did.PUT, Did.NOTHING, Did.REMOVED, Did.NOTHING]


async def test_an_attachment_that_comes_again_after_it_was_undone() -> None:
    """It did nothing: the context is detached, or found no room, as it was said before it came again."""
    limits = Limits(contexts=1)
    views = Views(limits)
    app, text = id_text(Kind.APP, app_of(C1)), id_text(Kind.CONTEXT, C1)
    attach = ContextAttached(id=views.event_id(), client=CLIENT, idempotency_key="key", context=text, app=app)
    views.session_event(S, attach)
    views.session_event(S, attach)
    views.detach(S, C1)
    views.session_event(S, attach)
    views.drain()
    one = await explained(views, "a", limits=limits)
    assert (one.reason, did(one)) == (Reason.DETACHED, [Did.ATTACHED, Did.NOTHING, Did.DETACHED, Did.NOTHING])
    views.attach(S, C2)
    views.attach(S, C1)
    views.session_event(S, attach)
    views.drain()
    one = await explained(views, "a", limits=limits)
    assert (one.reason, did(one)[4:]) == (Reason.TOO_MANY, [Did.TOO_MANY, Did.NOTHING])


async def test_what_is_not_the_sessions() -> None:
    """A context that never was attached is absent, also one that was only detached; so is a deleted session."""
    views = Views()
    views.attach(S, C1)
    views.put(C2, "a")
    views.detach(S, C2)
    views.drain()
    with pytest.raises(NotAttachedError):
        await explained(views, "a", C2)
    views.delete(S)
    views.drain()
    with pytest.raises(SessionDeletedError):
        await explained(views, "a")


async def test_a_list_that_is_not_what_its_events_say() -> None:
    """A fold with a bug in it is found out."""
    views = Views()
    views.attach(S, C1)
    views.put(C1, "a", title="Right")
    views.drain()
    rows = views.sessions.stored
    (key,) = [key for key, _ in rows.range(b"l" + S)]
    rows.put(key, rows.values[key].replace(b"Right", b"Wrong"))
    assert not (await explained(views, "a")).agrees
    rows.delete(key)
    rows.delete(next(key for key, _ in rows.range(b"p" + S)))
    one = await explained(views, "a")
    assert (one.reason, one.agrees) == (Reason.DIFFERS, False)


async def test_many_steps() -> None:
    """The last hundred are named, the others counted."""
    views = Views()
    views.attach(S, C1)
    for _ in range(130):
        views.put(C1, "a")
    views.drain()
    one = await explained(views, "a")
    assert (one.omitted, len(one.steps)) == (30, 101)


async def test_what_hundreds_of_events_that_did_nothing_come_after() -> None:
    """A context was attached, or found no room, and an item was removed, however often nothing was done since."""
    limits = Limits(contexts=1)
    views = Views(limits)
    views.attach(S, C1)
    views.put(C1, "a")
    views.remove(C1, "a")
    views.detach(S, C1)
    views.attach(S, C2)
    views.attach(S, C1)
    for _ in range(MOST_STEPS + 10):
        views.detach(S, C1)
        views.remove(C1, "a")
        views.detach(S, C3)
    views.drain()
    one = await explained(views, "a", limits=limits)
    assert (one.reason, did(one)[0], one.omitted) == (Reason.TOO_MANY, Did.TOO_MANY, 12)
    views.detach(S, C2)
    views.attach(S, C1)
    views.drain()
    one = await explained(views, "a", limits=limits)
    assert (one.reason, one.omitted) == (Reason.REMOVED, 11 + 14)
    for _ in range(MOST_STEPS):
        views.detach(S, C2)
    views.drain()
    assert (await explained(views, "a", C2, limits=limits)).reason is Reason.DETACHED
    with pytest.raises(NotAttachedError):
        await explained(views, "a", C3, limits=limits)


async def test_more_than_may_be_read() -> None:
    """It is said how much a call may read, and nothing is answered of a part; nor where the log has lost its start."""
    views = Views()
    views.attach(S, C1)
    for _ in range(30):
        views.put(C1, "a")
    views.drain()
    for bound, what in ((Bound(30, 30.0), "30 records"), (Bound(1_000, -1.0), "-1 s")):
        with pytest.raises(HistoryTooLongError, match=what):
            await explainer(views, bound=bound).explain(S, "a", C1, after=NOTHING, client=CLIENT)
    too_large = Bound(1_000, 30.0, 1 << 10)
    with pytest.raises(HistoryTooLongError, match="0 MiB"):
        await explainer(views, bound=too_large).explain(S, "a", C1, after=NOTHING, client=CLIENT)
    views.log.start = 1
    with pytest.raises(HistoryGoneError):
        await explained(views, "a")


async def test_few_read_the_log_at_once() -> None:
    """One call more than may is told to come again, and has waited for nothing."""
    views = Views()
    views.attach(S, C1)
    views.drain()
    refold = Refold(views.log, 1, hash_key=HASH_KEY, most_at_once=1)
    explain = Explainer(refold, SessionReader(views.sessions, 1, SessionLists(), WaitLimit()), bound=BOUND)
    with refold.reading(BOUND), pytest.raises(OverloadedError):
        await explain.explain(S, "a", C1, after=NOTHING, client=CLIENT)
    await explain.explain(S, "a", C1, after=NOTHING, client=CLIENT)


CONTENT = st.sampled_from(["a", "b", "c", "d"])
CONTEXT = st.sampled_from([C1, C2])
MOVES = st.one_of(
    st.tuples(st.just("put"), CONTEXT, CONTENT),
    st.tuples(st.just("hidden"), CONTEXT, CONTENT),
    st.tuples(st.just("remove"), CONTEXT, CONTENT),
    st.tuples(st.just("hide"), CONTEXT, CONTENT),
    st.tuples(st.just("unhide"), CONTEXT, CONTENT),
    st.tuples(st.just("attach"), CONTEXT, CONTENT),
    st.tuples(st.just("detach"), CONTEXT, CONTENT),
    st.tuples(st.just("back"), CONTEXT, CONTENT),
    st.tuples(st.just("all"), CONTEXT, CONTENT),
    st.tuples(st.just("replace"), CONTEXT, CONTENT),
    st.tuples(st.just("put once"), CONTEXT, CONTENT),
    st.tuples(st.just("attach once"), CONTEXT, CONTENT),
)
PRESENT = {Did.PUT, Did.REPLACED, Did.HIDDEN, Did.UNHIDDEN}


def make(views: Views, moves: Sequence[tuple[str, bytes, str]]) -> None:
    for move, raw, content_id in moves:
        context = context_id(raw[-1])
        views.now_ms += 3
        match move:
            case "put" | "hidden":
                views.put(context, content_id, hidden=move == "hidden" or UNSET)
            case "remove":
                views.remove(context, content_id)
            case "hide" | "unhide":
                views.hide(context, content_id, hidden=move == "hide")
            case "attach":
                views.attach(S, context)
            case "detach":
                views.detach(S, context)
            case "back":
                views.now_ms -= 1_000
            case "put once" | "attach once":
                make_once(views, move, context, content_id)
            case "all" | "replace":
                put_all(
                    views, ["d", content_id, "a"] if content_id not in "ad" else ["b", "c"], replace=move == "replace"
                )


def make_once(views: Views, move: str, context: ContextId, content_id: str) -> None:
    """Make an event that counts once: with the same arguments, it is the same one, and comes again."""
    app, event_id = id_text(Kind.APP, app_of(context)), f"{context[-1]:02x}{content_id.encode().hex():0>30}"
    once = {"id": event_id, "client": CLIENT, "idempotency_key": "key", "app": app}
    if move == "put once":
        views.context_event(context, ItemPut(**once, item=make_item(content_id)))
    else:
        views.session_event(S, ContextAttached(**once, context=id_text(Kind.CONTEXT, context)))


@settings(deadline=None)
@given(moves=st.lists(MOVES, max_size=40), items=st.integers(1, 4))
def test_it_agrees_with_the_fold(moves: list[tuple[str, bytes, str]], items: int) -> None:
    """For every history: the reason is what the list shows, and the last step what the reason says."""
    limits = Limits(items=items)
    views = Views(limits)
    make(views, moves)
    views.drain()
    reader = SessionReader(views.sessions, 1, SessionLists(), WaitLimit())

    async def check() -> None:
        page = await reader.page(S, start=0, limit=200, after=NOTHING, client=CLIENT)
        listed = [encoded for _, encoded in page.items]
        for context in (C1, C2):
            for content_id in "abcd":
                try:
                    one = await explained(views, content_id, context, limits=limits)
                except NotAttachedError:
                    continue
                assert one.agrees
                steps = [s.did for s in one.steps if s.topic == "context-events" and s.did is not Did.NOTHING]
                if one.seat is not None:
                    assert listed[one.seat.at] == one.seat.fragment
                    assert (one.reason is Reason.HIDDEN) == one.seat.fragment.endswith(b'"hidden":true')
                    assert steps[-1] in PRESENT
                    continue
                mine = f'"content_id":"{content_id}"'.encode(), id_text(Kind.CONTEXT, context).encode()
                assert not any(all(part in encoded for part in mine) for encoded in listed)
                if one.reason in (Reason.NEVER_WRITTEN, Reason.OTHER_CONTEXT):
                    assert steps == []
                elif one.reason is not Reason.DETACHED:
                    assert steps[-1].value == one.reason.value

    asyncio.run(check())
