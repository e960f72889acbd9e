"""The contexts' folds, rule by rule: what a context holds, and what its sessions hear."""

from __future__ import annotations

from functools import partial

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from streams.domain import context_rows as layout
from streams.domain.context import fold_context_event, fold_subscription
from streams.domain.events import (
    ContextCreated,
    ContextEvent,
    ItemHidden,
    ItemPut,
    ItemRemoved,
    ItemsPut,
    ItemsReplaced,
)
from streams.domain.feed import (
    LIMITS,
    NONE,
    Change,
    Effect,
    Limits,
    Noticed,
    Operation,
    Refused,
    Snapshot,
    Subscribe,
    ToSession,
    Unsubscribe,
)
from streams.domain.ids import Kind, SessionId, id_text
from streams.domain.items import item_hash
from streams.domain.memory_rows import MemoryRows
from streams.domain.notices import ToApp
from streams.domain.times import LAST_MS
from tests.support.protocol_oracle import ContextOracle
from tests.support.tables import CLIENT, HASH_KEY, START_MS, app_of, context_id, make_item, session_id

C, D = context_id(1), context_id(2)
S, T, U = session_id(1), session_id(2), session_id(3)
CAUSE = {"id": "0" * 32, "client": CLIENT}
DAY_MS = 24 * 3600 * 1000


class Context:
    """One context's rows, and the offset and time of its next event."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.rows, self.limits, self.offset, self.now_ms = MemoryRows(), limits, 0, START_MS

    def fold(self, event: ContextEvent) -> list[Effect]:
        self.offset += 1
        self.now_ms += 10
        return list(
            fold_context_event(
                self.rows, event, C, sequence=self.offset, time_ms=self.now_ms, hash_key=HASH_KEY, limits=self.limits
            )
        )

    def put(self, content_id: str, **more: object) -> list[Effect]:
        return self.fold(put(content_id, **more))

    def remove(self, content_id: str) -> list[Effect]:
        return self.fold(ItemRemoved(**CAUSE, content_id=content_id))

    def hide(self, content_id: str, *, hidden: bool = True) -> list[Effect]:
        return self.fold(ItemHidden(**CAUSE, content_id=content_id, hidden=hidden))

    def subscribe(self, session: SessionId, epoch: int) -> list[Effect]:
        message = Subscribe(session, epoch)
        return list(fold_subscription(self.rows, message, C, time_ms=self.now_ms, limits=self.limits))

    def unsubscribe(self, session: SessionId, epoch: int) -> list[Effect]:
        message = Unsubscribe(session, epoch)
        return list(fold_subscription(self.rows, message, C, time_ms=self.now_ms, limits=self.limits))

    @property
    def items(self) -> list[bytes]:
        return [content_id for content_id, _ in layout.newest_items(self.rows, C)]

    @property
    def meta(self) -> layout.Meta:
        return layout.read_meta(self.rows, C)

    @property
    def fed(self) -> dict[SessionId, int]:
        return dict(layout.subscriptions(self.rows, C))


def put(content_id: str, **more: object) -> ItemPut:
    return ItemPut(**CAUSE, app=id_text(Kind.APP, app_of(C)), item=make_item(content_id, **more))


def bulk(content_ids: str, **more: object) -> ItemsPut:
    return ItemsPut(**CAUSE, app=id_text(Kind.APP, app_of(C)), items=[make_item(c, **more) for c in content_ids])


def replaced(content_ids: str, **more: object) -> ItemsReplaced:
    return ItemsReplaced(**CAUSE, app=id_text(Kind.APP, app_of(C)), items=[make_item(c, **more) for c in content_ids])


def changes(effects: list[Effect]) -> list[Change]:
    return [e.message for e in effects if isinstance(e, ToSession) and isinstance(e.message, Change)]


def snapshots(effects: list[Effect]) -> list[Snapshot]:
    return [e.message for e in effects if isinstance(e, ToSession) and isinstance(e.message, Snapshot)]


def test_a_put_goes_to_the_top() -> None:
    """A new item and a replaced one alike; the row holds the fragment as served."""
    context = Context()
    for content_id in "abca":
        assert context.put(content_id) == []
    assert context.items == [b"a", b"c", b"b"]
    assert context.meta == layout.Meta(4, START_MS + 40, 3, context.meta.digest)
    (_, newest), *_ = layout.newest_items(context.rows, C)
    assert newest.startswith(b'{"content_id":"a","app_id":"AP')
    assert newest.endswith(b',"hidden":false')


def test_hidden_is_kept_where_a_put_says_nothing_of_it() -> None:
    """Until the publisher says otherwise."""
    context = Context()
    context.put("a")
    context.hide("a")
    for more, hidden in (({}, b"true"), ({"hidden": False}, b"false"), ({"hidden": True}, b"true"), ({}, b"true")):
        context.put("a", **more)
        assert next(layout.newest_items(context.rows, C))[1].endswith(b'"hidden":' + hidden)
    # A removed item was hidden, one that is put anew is not.
    context.remove("a")
    context.put("a")
    assert next(layout.newest_items(context.rows, C))[1].endswith(b'"hidden":false')


def test_hiding_changes_neither_time_nor_place() -> None:
    """And nothing where the item is gone, or hidden already; but readers may wait for that too."""
    context = Context()
    context.put("a")
    context.put("b")
    context.subscribe(S, 0)
    effects = context.hide("a")
    (change,) = changes(effects)
    assert context.items == [b"b", b"a"]
    ((content_id, time_ms, fragment),) = (msgspec.structs.astuple(operation) for operation in change.operations)
    assert (content_id, time_ms) == (b"a", START_MS + 10)
    assert fragment is not None
    assert fragment.endswith(b'"hidden":true')
    assert effects[1:] == [ToApp(C, app_of(C), "context.list.item_hidden", fragment + b"}")]
    for again in (partial(context.hide, "a"), partial(context.hide, "gone"), partial(context.remove, "gone")):
        effects = again()
        (change,) = changes(effects)
        assert len(effects) == 1  # of what was so before, no app hears
        assert (change.operations, change.sequence, change.after) == ([], context.offset, context.offset - 1)
    assert context.meta.time_ms == START_MS + 20
    (shown,) = (effect for effect in context.hide("a", hidden=False) if isinstance(effect, ToApp))
    assert (shown.type, msgspec.json.decode(shown.data)["hidden"]) == ("context.list.item_unhidden", False)


def test_one_more_than_fit_drops_the_oldest() -> None:
    """In the one change that the put is; replacing what is there drops nothing."""
    context = Context(Limits(items=3))
    context.subscribe(S, 0)
    for content_id in "abca":
        context.put(content_id)
    (change,) = changes(context.put("d"))
    assert [(o.content_id, o.fragment is None) for o in change.operations] == [(b"b", True), (b"d", False)]
    assert context.items == [b"d", b"a", b"c"]
    assert (change.count, context.meta.count) == (3, 3)


def test_the_limit_is_a_thousand() -> None:
    """The 1,001st drops the oldest."""
    context = Context()
    for n in range(1_001):
        context.put(f"c{n}")
    assert context.meta.count == 1_000
    assert context.items[-1] == b"c1"
    assert len(context.items) == 1_000


def test_every_put_is_later_than_the_one_before() -> None:
    """Also when the log's clock stands still or steps back, and not beyond the last time there is."""
    context = Context()
    context.put("a")
    context.now_ms -= 60_000
    context.put("b")
    context.now_ms -= 10
    context.put("c")
    assert context.items == [b"c", b"b", b"a"]
    assert context.meta.time_ms == START_MS + 12
    context.now_ms = LAST_MS + 5
    context.put("z")
    assert context.meta.time_ms == LAST_MS
    context.put("zz")
    assert b"9999-12-31T23:59:59.999Z" in dict(layout.newest_items(context.rows, C))[b"zz"]
    assert context.meta.count == len(context.items) == 5


def test_a_change_goes_to_every_session_that_is_on() -> None:
    """The same one, with the sequence before, the digest and the count after."""
    context = Context()
    context.put("a")
    context.subscribe(S, 3)
    context.subscribe(T, 4)
    context.subscribe(U, 5)
    context.unsubscribe(T, 4)
    effects = context.fold(ContextCreated(**CAUSE, app=id_text(Kind.APP, app_of(C))))
    assert [effect.session for effect in effects if isinstance(effect, ToSession)] == [S, U]
    assert changes(effects) == [Change(C, 2, 1, context.meta.digest, 1, [])] * 2
    assert changes(context.put("b"))[0].digest == context.meta.digest


def test_a_large_change_is_withheld() -> None:
    """It follows on from nothing: each session asks for a snapshot, and gets it in parts that are small enough."""
    context = Context(Limits(message_bytes=1_000))
    context.put("a")
    context.put("b")
    context.subscribe(S, 3)
    context.subscribe(T, 4)
    effects = context.put("c", description="long " * 300)
    assert effects == [ToSession(s, Change(C, 3, 3, context.meta.digest, 3, [])) for s in (S, T)]
    parts = snapshots(context.subscribe(T, 4))
    assert [(part.as_of, part.part, part.parts, part.epoch) for part in parts] == [(3, n, 2, 4) for n in range(2)]
    assert [[o.content_id for o in part.items] for part in parts] == [[b"a", b"b"], [b"c"]]
    assert {(part.digest, part.count) for part in parts} == {(context.meta.digest, 3)}
    assert changes(context.put("d"))[0].after == 3


def test_content_ids_count_for_what_is_large() -> None:
    """What is removed has nothing else."""
    context = Context(Limits(message_bytes=3_000))
    for n in range(8):
        context.put(f"{n}" + "\N{GRINNING FACE}" * 120)
    context.subscribe(S, 3)
    (change,) = changes(context.fold(replaced("")))
    assert (change.operations, change.after, change.sequence, change.count) == ([], 9, 9, 0)


def test_what_is_put_at_once_is_one_change() -> None:
    """The later the newer, each 1 ms after the one before, and what is put next later than all of them."""
    context = Context()
    context.put("x")
    context.subscribe(S, 0)
    (change,) = changes(context.fold(bulk("abc")))
    assert (change.sequence, change.after, change.count) == (2, 1, 4)
    at_ms = START_MS + 20
    assert [(o.content_id, o.time_ms) for o in change.operations] == [
        (b"a", at_ms),
        (b"b", at_ms + 1),
        (b"c", at_ms + 2),
    ]
    assert context.items == [b"c", b"b", b"a", b"x"]
    context.now_ms -= 9
    context.put("y")
    assert context.meta.time_ms == at_ms + 3


def test_of_one_that_is_put_twice_the_later_counts() -> None:
    """As if both had been put one after the other."""
    context = Context()
    first, last = make_item("a", title="first"), make_item("a", title="last")
    app = id_text(Kind.APP, app_of(C))
    for event in (
        ItemsPut(**CAUSE, app=app, items=[first, make_item("b"), last]),
        ItemsReplaced(**CAUSE, app=app, items=[first, make_item("b"), last]),
    ):
        context.fold(event)
        assert context.items == [b"a", b"b"]
        assert b'"title":"last"' in dict(layout.newest_items(context.rows, C))[b"a"]
        assert context.meta.count == 2


def test_a_list_is_replaced_whole() -> None:
    """What is not named is gone, hidden stays where nothing is said of it, and none empties the list."""
    context = Context()
    context.fold(bulk("abcd"))
    context.hide("b")
    context.subscribe(S, 0)
    (change,) = changes(context.fold(replaced("be")))
    assert context.items == [b"e", b"b"]
    assert [(o.content_id, o.fragment is None) for o in change.operations] == [
        (b"d", True),
        (b"c", True),
        (b"a", True),
        (b"b", False),
        (b"e", False),
    ]
    fragments = dict(layout.newest_items(context.rows, C))
    assert fragments[b"b"].endswith(b'"hidden":true')
    assert fragments[b"e"].endswith(b'"hidden":false')
    context.fold(replaced("b", hidden=False))
    assert dict(layout.newest_items(context.rows, C))[b"b"].endswith(b'"hidden":false')
    context.fold(replaced(""))
    assert (context.items, context.meta.count, context.meta.digest) == ([], 0, 0)


def test_a_bulk_drops_as_many_of_the_oldest() -> None:
    """Of a full list; half of what is put is there already."""
    context = Context()
    for n in range(1_000):
        context.put(f"c{n}")
    app = id_text(Kind.APP, app_of(C))
    items = [make_item(f"c{n}") for n in range(750, 1_250)]
    context.fold(ItemsPut(**CAUSE, app=app, items=items))
    assert context.meta.count == 1_000
    assert context.items == [f"c{n}".encode() for n in reversed([*range(250, 750), *range(750, 1_250)])]


def test_a_subscription_is_answered_with_a_snapshot() -> None:
    """Of what is there as of the last event, even if that is nothing."""
    context = Context()
    assert context.subscribe(S, 7) == [ToSession(S, Snapshot(C, NONE, 0, 1, 0, 0, [], 7))]
    context.put("a")
    (part,) = snapshots(context.subscribe(T, 8))
    fragment = next(layout.newest_items(context.rows, C))[1]
    assert part == Snapshot(C, 1, 0, 1, context.meta.digest, 1, [Operation(b"a", START_MS + 10, fragment)], 8)
    assert context.fed == {S: 7, T: 8}
    assert context.meta.subscribers == 2


def test_which_subscriptions_count() -> None:
    """A newer attachment, or the same again while it is on; never an older one, nor one that was ended."""
    context = Context()
    assert snapshots(context.subscribe(S, 5))
    assert snapshots(context.subscribe(S, 5))
    assert context.subscribe(S, 4) == []
    assert context.unsubscribe(S, 4) == []
    assert context.fed == {S: 5}
    assert context.unsubscribe(S, 5) == []
    assert (context.fed, context.meta.subscribers) == ({}, 0)
    assert context.subscribe(S, 5) == []
    assert context.subscribe(S, 4) == []
    assert context.fed == {}
    assert snapshots(context.subscribe(S, 6))
    # The end of a newer attachment than the one it knows ends that too: its beginning will come too late.
    context.unsubscribe(S, 9)
    assert context.subscribe(S, 8) == []
    assert (context.fed, context.meta.subscribers) == ({}, 0)


def test_as_many_sessions_as_may_be() -> None:
    """One more is refused, and told so; what is on is answered all the same; an end makes room."""
    context = Context(Limits(sessions=2))
    context.subscribe(S, 1)
    context.subscribe(T, 2)
    refused = [Noticed("refused"), ToSession(U, Refused(C, 3))]
    assert context.subscribe(U, 3) == refused
    assert snapshots(context.subscribe(T, 4))
    assert context.subscribe(U, 3) == refused
    assert (context.fed, context.meta.subscribers) == ({S: 1, T: 4}, 2)
    context.unsubscribe(S, 1)
    assert snapshots(context.subscribe(U, 3))


def unsubs(context: Context) -> list[SessionId]:
    return [SessionId(key[18:]) for key, _ in context.rows.range(layout.UNSUB + C)]


def test_subscriptions_that_are_off_are_forgotten_after_30_days() -> None:
    """A few at a time; young ones and those of others stay, and hide no old ones."""
    context = Context()
    for n in range(40):
        context.unsubscribe(session_id(n), n)
    context.now_ms += 29 * DAY_MS
    for n in range(100, 140):
        context.unsubscribe(session_id(n), n)
    context.unsubscribe(S, 500)
    assert len(unsubs(context)) == 80
    context.now_ms += 2 * DAY_MS
    young = [session_id(n) for n in range(100, 140)]
    for n in range(12):
        context.unsubscribe(session_id(100 + n), 1_000)
    assert unsubs(context) == [S, *young]
    rows = dict(context.rows.values)
    list(fold_subscription(context.rows, Unsubscribe(S, 1), D, time_ms=context.now_ms))
    assert {key: value for key, value in context.rows.values.items() if key[1:18] == C} == rows


def test_contexts_are_apart() -> None:
    """The rows of one are not those of another."""
    context = Context()
    context.put("a")
    before = dict(context.rows.values)
    list(fold_context_event(context.rows, put("b"), D, sequence=9, time_ms=1, hash_key=HASH_KEY))
    assert {key: value for key, value in context.rows.values.items() if key[1:18] == C} == before


BULKS = st.text(st.sampled_from("abcdef"), max_size=6)
EVENTS = st.one_of(
    st.builds(
        put,
        st.sampled_from(["a", "b", "c", "d", "e\u00e9", "f/"]),
        title=st.sampled_from(["t", "\u00fc"]),
        hidden=st.sampled_from([UNSET, UNSET, True, False]),
    ),
    st.builds(bulk, BULKS.filter(bool), hidden=st.sampled_from([UNSET, UNSET, True])),
    st.builds(replaced, BULKS, hidden=st.sampled_from([UNSET, UNSET, True])),
    st.builds(
        ItemRemoved, **{name: st.just(value) for name, value in CAUSE.items()}, content_id=st.sampled_from("abc")
    ),
    st.builds(
        ItemHidden,
        **{name: st.just(value) for name, value in CAUSE.items()},
        content_id=st.sampled_from("abc"),
        hidden=st.booleans(),
    ),
)


@pytest.mark.long
@settings(max_examples=200, deadline=None, print_blob=True)
@given(events=st.lists(st.tuples(EVENTS, st.integers(-5_000, 5_000)), max_size=30), items=st.integers(1, 4))
def test_a_context_is_a_plain_dict(events: list[tuple[ContextEvent, int]], items: int) -> None:
    """
    After each event: the same items in the same order, the same bytes; digest and count are those of the rows.

    The app hears of what was hidden or shown by others than itself.
    """
    limits = Limits(items=items)
    rows, oracle, last = MemoryRows(), ContextOracle(C, limits), 0
    for offset, (event, drift) in enumerate(events):
        time_ms = START_MS + drift
        before = dict(layout.newest_items(rows, C))
        effects = list(
            fold_context_event(rows, event, C, sequence=offset, time_ms=time_ms, hash_key=HASH_KEY, limits=limits)
        )
        oracle.fold(event, offset, time_ms)
        kept = oracle.at(offset)
        ordered = sorted((-updated, content_id, fragment) for content_id, (updated, fragment) in kept.items())
        assert list(layout.newest_items(rows, C)) == [entry[1:] for entry in ordered]
        changed = dict(layout.newest_items(rows, C)).items() - before.items()
        told = [effect.data for effect in effects if isinstance(effect, ToApp)]
        assert told == ([fragment + b"}" for _, fragment in changed] if isinstance(event, ItemHidden) else [])
        meta = layout.read_meta(rows, C)
        hashes = [item_hash(HASH_KEY, content_id, *item) for content_id, item in kept.items()]
        assert (meta.sequence, meta.count, meta.digest) == (offset, len(kept), sum(hashes) % 2**64)
        assert len({updated for updated, *_ in ordered}) == len(ordered)
        if isinstance(event, ItemPut | ItemsPut):
            assert meta.time_ms > last
        last = meta.time_ms
        assert len(rows.values) == 1 + 2 * len(kept)


@pytest.mark.long
@settings(max_examples=200, deadline=None, print_blob=True)
@given(before=st.lists(EVENTS, max_size=8), items=st.integers(1, 8), ids=BULKS.filter(bool), whole=st.booleans())
def test_a_bulk_is_its_puts_one_after_the_other(
    before: list[ContextEvent], items: int, ids: str, *, whole: bool
) -> None:
    """At one moment of the log; a list that is replaced, once what is not named was removed. All but the sequence."""
    at_once, singly = Context(Limits(items=items)), Context(Limits(items=items))
    for event in before:
        at_once.fold(event)
        singly.fold(event)
    at_once.fold(replaced(ids) if whole else bulk(ids))
    for gone in reversed(singly.items) if whole else ():
        if gone.decode() not in ids:
            singly.remove(gone.decode())
    for content_id in ids:
        singly.now_ms = at_once.now_ms - 10
        singly.put(content_id)
    meta = layout.meta_key(C)
    assert msgspec.structs.replace(at_once.meta, sequence=0) == msgspec.structs.replace(singly.meta, sequence=0)
    rows, others = at_once.rows.values, singly.rows.values
    assert {**rows, meta: b""} == {**others, meta: b""}


@pytest.fixture(params=[1, 1_000, 10**9])
def parts_of(request: pytest.FixtureRequest) -> list[Snapshot]:
    context = Context(Limits(message_bytes=request.param))
    for content_id in "abcde":
        context.put(content_id)
    return snapshots(context.subscribe(S, 1))


def test_parts_are_of_one_snapshot(parts_of: list[Snapshot]) -> None:
    """Together they hold each item once, whatever their size; none is empty."""
    assert [part.part for part in parts_of] == list(range(len(parts_of)))
    assert {part.parts for part in parts_of} == {len(parts_of)}
    assert [operation.content_id for part in parts_of for operation in part.items] == [b"a", b"b", b"c", b"d", b"e"]
    assert all(part.items for part in parts_of)
