"""The sessions' folds, rule by rule: what is attached, and what contexts feed into the merged list."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.domain import session_rows as layout
from streams.domain.errors import SessionDeletedError
from streams.domain.events import ContextAttached, ContextDetached, SessionCreated, SessionDeleted, SessionEvent
from streams.domain.feed import (
    LIMITS,
    NONE,
    Attached,
    Change,
    Done,
    Effect,
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
from streams.domain.ids import ContextId, Kind, id_text
from streams.domain.items import item_hash
from streams.domain.memory_rows import MemoryRows
from streams.domain.notices import NoticeType, ToApp, session_context_json
from streams.domain.session import fold_feed, fold_session_event
from streams.views.sessions import newest, read_state
from tests.support.protocol_checks import items_of
from tests.support.protocol_oracle import SessionOracle
from tests.support.tables import CLIENT, HASH_KEY, START_MS, app_of, context_id, session_id

C, D = context_id(1), context_id(2)
S, T = session_id(1), session_id(2)
CAUSE = {"id": "0" * 32, "client": CLIENT}
Item = tuple[bytes, int, bytes]


class Session:
    """One session's rows, and the offsets of its next event and feed message."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.rows, self.limits = MemoryRows(), limits
        self.events, self.messages, self.now_ms = 0, 0, START_MS

    def fold(self, event: SessionEvent) -> list[Effect]:
        self.now_ms += 10
        self.events += 1
        return list(
            fold_session_event(self.rows, event, S, offset=self.events - 1, time_ms=self.now_ms, limits=self.limits)
        )

    def feed(self, message: FeedMessage) -> list[Effect]:
        self.messages += 1
        return list(fold_feed(self.rows, message, S, offset=self.messages - 1, hash_key=HASH_KEY, limits=self.limits))

    def attach(self, context: ContextId = C) -> list[Effect]:
        return self.fold(attach(context))

    def detach(self, context: ContextId = C, epoch: int | None = None) -> list[Effect]:
        return self.fold(ContextDetached(**CAUSE, context=id_text(Kind.CONTEXT, context), epoch=epoch))

    def delete(self) -> list[Effect]:
        return self.fold(SessionDeleted(**CAUSE))

    def snapshot(self, as_of: int, *items: Item, epoch: int = 0, context: ContextId = C) -> list[Effect]:
        return self.feed(whole(as_of, *items, epoch=epoch, context=context))

    def member(self, context: ContextId = C) -> layout.Member:
        member = layout.read_member(self.rows, S, context)
        assert member is not None
        return member

    @property
    def row(self) -> layout.Session:
        return layout.read_session(self.rows, S)

    @property
    def list(self) -> list[bytes]:
        return [entry.item[1] for entry in newest(self.rows, read_state(self.rows, S))]


def attach(context: ContextId) -> ContextAttached:
    return ContextAttached(**CAUSE, context=id_text(Kind.CONTEXT, context), app=id_text(Kind.APP, app_of(context)))


def item(content_id: str, time_ms: int, fragment: bytes | None = None) -> Item:
    return content_id.encode(), time_ms, fragment or f"{content_id}@{time_ms}".encode()


def digest(*items: Item) -> int:
    return sum(item_hash(HASH_KEY, *entry) for entry in items) % 2**64


def operations(*items: Item) -> list[Operation]:
    return [Operation(*entry) for entry in items]


def whole(as_of: int, *items: Item, epoch: int = 0, context: ContextId = C) -> Snapshot:
    return Snapshot(context, as_of, 0, 1, digest(*items), len(items), operations(*items), epoch)


def parts(as_of: int, *items: Item, epoch: int = 0) -> list[Snapshot]:
    """Return a snapshot with one part for each item."""
    sums = digest(*items), len(items)
    return [Snapshot(C, as_of, n, len(items), *sums, operations(entry), epoch) for n, entry in enumerate(items)]


def change(sequence: int, after: int, after_it: list[Item], *put: Item, remove: str = "") -> Change:
    """Return the change that puts and removes items, after which the context holds *after_it*."""
    removed = [Operation(remove.encode(), 1, None)] if remove else []
    return Change(C, sequence, after, digest(*after_it), len(after_it), [*removed, *operations(*put)])


A1, A5, B2, B6, C3 = item("a", 1), item("a", 5), item("b", 2), item("b", 6), item("c", 3)
ASKED = ToContext(C, Subscribe(S, 0))


def told(what: NoticeType, created_at_ms: int, context: ContextId = C) -> ToApp:
    """Return what the context's app is to hear of the session."""
    app = app_of(context)
    return ToApp(context, app, what, session_context_json(S, context, app, created_at_ms))


ADDED: NoticeType = "context.session.context_added"
REMOVED: NoticeType = "context.session.context_removed"
DELETED: NoticeType = "context.session.deleted"


def test_attach_asks_for_the_items() -> None:
    """The member has the event's offset as its epoch, and waits."""
    session = Session()
    assert session.fold(SessionCreated(**CAUSE, platform=id_text(Kind.PLATFORM, bytes(17)))) == [Done()]
    attached = Attached(START_MS + 20, refreshed=False)
    assert session.attach() == [ToContext(C, Subscribe(S, 1)), told(ADDED, START_MS + 20), attached]
    assert session.member() == layout.Member(1, app_of(C), START_MS + 20, gaps=1)
    assert session.member().waits
    assert session.attach() == [Attached(START_MS + 20, refreshed=True)]
    assert (session.row.members, session.row.total, session.list) == (1, 0, [])


def test_as_many_contexts_as_may_be() -> None:
    """One more is refused; what is attached is refreshed; a detach makes room."""
    session = Session(Limits(contexts=2))
    for n in (1, 2):
        assert session.attach(context_id(n))[-1] == Attached(START_MS + 10 * n, refreshed=False)
    before = dict(session.rows.values)
    assert session.attach(context_id(3)) == [ToContext(context_id(3), Wipe()), TooManyContexts()]
    assert session.row.refused == 2
    kept = session.rows.values.keys() - {layout.session_key(S)}
    assert {key: session.rows.values[key] for key in kept} == {key: before[key] for key in kept}
    assert session.attach(C) == [Attached(START_MS + 10, refreshed=True)]
    session.detach(C)
    assert session.attach(context_id(3))[-1] == Attached(session.now_ms, refreshed=False)


def test_the_limit_is_200() -> None:
    """The 201st is one too many."""
    session = Session()
    verdicts = [session.attach(context_id(n))[-1] for n in range(201)]
    assert verdicts.count(TooManyContexts()) == 1
    assert verdicts[-1] == TooManyContexts()


def test_a_detach_hides_the_items_at_once() -> None:
    """Before any row is removed; the sweep removes them later."""
    session = Session()
    session.attach()
    session.snapshot(4, A1, B2)
    removed = told(REMOVED, START_MS + 10)
    assert session.detach() == [ToContext(C, Unsubscribe(S, 0)), ToSession(S, Sweep(C, 0)), removed, Done()]
    assert (session.list, session.row.total, session.row.members) == ([], 0, 0)
    assert len(list(session.rows.range(layout.LIST + S))) == 2
    assert session.feed(Sweep(C, 0)) == []
    assert list(session.rows.values) == [layout.session_key(S)]
    assert session.detach() == [ToContext(C, Wipe()), Done()]


def test_a_detach_with_an_epoch_ends_that_attachment_only() -> None:
    """A newer one stays."""
    session = Session()
    session.attach()
    assert session.detach(epoch=7) == [Done()]
    session.detach(epoch=0)
    session.attach()
    assert session.detach(epoch=0) == [Done()]
    assert session.member().epoch == 3
    assert session.detach(epoch=3)[0] == ToContext(C, Unsubscribe(S, 3))


def test_a_deleted_session_is_gone() -> None:
    """With all that is attached; whatever comes after finds it gone, and it is never made again."""
    session = Session()
    session.attach(C)
    session.attach(D)
    session.snapshot(4, A1)
    effects = session.delete()
    assert effects == [
        ToContext(C, Unsubscribe(S, 0)),
        ToSession(S, Sweep(C, 0)),
        told(DELETED, START_MS + 10),
        ToContext(D, Unsubscribe(S, 1)),
        told(DELETED, START_MS + 20, D),
        Done(),
        ToErase(Kind.SESSION, S),
    ]
    assert session.row == layout.Session(deleted=True, revision=session.row.revision)
    before = dict(session.rows.values)
    for event in (
        attach(C),
        SessionDeleted(**CAUSE),
        SessionCreated(**CAUSE, platform=id_text(Kind.PLATFORM, bytes(17))),
    ):
        assert session.fold(event) == [SessionGone(), ToErase(Kind.SESSION, S)]
    for message in (whole(9, A5), change(5, 4, [A5], A5), Refused(C, 0)):
        assert session.feed(message) == []
    assert session.rows.values == before
    with pytest.raises(SessionDeletedError):
        read_state(session.rows, S)


def test_a_half_loaded_member_leaves_both_loads() -> None:
    """When it is detached, each is swept."""
    session = Session()
    session.attach()
    session.snapshot(4, A1)
    session.feed(parts(5, A5, B2)[0])
    assert session.detach()[1:3] == [ToSession(S, Sweep(C, 0)), ToSession(S, Sweep(C, 1))]


def test_changes_that_follow_on() -> None:
    """Put, replace and remove; the list, the total and the digest follow."""
    session = Session()
    session.attach()
    session.snapshot(4, A1)
    steps: list[tuple[Change, list[bytes]]] = [
        (change(6, 4, [A1, B2], B2), [b"b@2", b"a@1"]),
        (change(7, 6, [A5, B2], A5), [b"a@5", b"b@2"]),
        (change(9, 7, [A5, B2]), [b"a@5", b"b@2"]),
        (change(10, 9, [A5, C3], C3, remove="b"), [b"a@5", b"c@3"]),
        (change(11, 10, [A5, C3], remove="gone"), [b"a@5", b"c@3"]),
        (change(12, 11, [C3], remove="a"), [b"c@3"]),
    ]
    for message, listed in steps:
        revision = session.row.revision
        assert session.feed(message) == []
        assert (session.list, session.row.total) == (listed, len(listed))
        assert session.row.revision > revision
        member = session.member()
        assert (member.sequence, member.digest, member.count) == (message.sequence, message.digest, message.count)
        # Repeated, it is known.
        before = dict(session.rows.values)
        assert session.feed(message) == []
        assert session.rows.values == before


def test_a_gap_is_asked_about_once_in_a_while() -> None:
    """At once, then with every 16th change that does not follow on; nothing of them is applied."""
    session = Session()
    session.attach()
    session.snapshot(4, A1)
    asked = []
    for n in range(40):
        effects = session.feed(change(10 + n, 9 + n, [B2], B2))
        assert effects[0] == Noticed("gap")
        if effects[1:]:
            assert effects[1:] == [ASKED]
            asked.append(n)
    assert asked == [0, 16, 32]
    assert session.list == [b"a@1"]
    assert session.snapshot(60, B2) == [ToSession(S, Sweep(C, 0))]
    assert session.list == [b"b@2"]
    assert session.feed(change(70, 65, [], remove="b")) == [Noticed("gap"), ASKED]


def test_a_member_that_waits_asks_again() -> None:
    """With the 16th change after the attach, which asked first; it is no gap that an operator counts."""
    session = Session()
    session.attach()
    effects = [session.feed(change(n, n - 1, [A1], A1)) for n in range(16)]
    assert effects == [[]] * 15 + [[ASKED]]
    assert session.list == []


def test_what_is_not_attached_is_fed_nothing() -> None:
    """A change, a snapshot or a refusal for it leaves no row."""
    session = Session()
    for message in (change(1, NONE, [A1], A1), whole(1, A1), Refused(C, 0)):
        assert session.feed(message) == []
    assert session.rows.values == {}


def test_a_snapshot_of_another_attachment_is_none() -> None:
    """Whether it answers an older one or, from a batch that was never committed, a newer."""
    session = Session()
    session.attach()
    session.detach()
    session.attach()
    before = dict(session.rows.values)
    for epoch in (0, 1, 3):
        assert session.snapshot(9, A1, epoch=epoch) == []
    assert session.rows.values == before
    session.snapshot(9, A1, epoch=2)
    assert session.list == [b"a@1"]


def test_a_snapshot_in_parts_is_seen_when_it_is_whole() -> None:
    """Until then what was there is served; afterwards that is swept."""
    session = Session()
    session.attach()
    session.snapshot(4, A1)
    first, second, third = parts(8, A5, B2, C3)
    for part in (first, second):
        assert session.feed(part) == []
        assert (session.list, session.row.total, session.member().sequence) == ([b"a@1"], 1, 4)
    assert session.feed(third) == [ToSession(S, Sweep(C, 0))]
    assert (session.list, session.row.total, session.member().sequence) == ([b"a@5", b"c@3", b"b@2"], 3, 8)
    session.feed(Sweep(C, 0))
    assert len(session.rows.values) == 2 + 2 * 3


def test_parts_follow_on_or_are_given_up() -> None:
    """A missing, foreign or repeated part ends the load; a first part begins another."""
    for wrong in (2, 0):
        session = Session()
        session.attach()
        loaded = parts(8, A5, B2, C3)
        session.feed(loaded[0])
        broken = loaded[2] if wrong else parts(9, A1, B2, C3)[1]
        assert session.feed(broken) == [ToSession(S, Sweep(C, 0))]
        assert session.member().loading is None
        assert session.feed(loaded[1]) == []
        assert session.list == []
        assert session.feed(loaded[0]) == []
        assert session.feed(loaded[0]) == [ToSession(S, Sweep(C, 3))]
        for part in loaded[1:]:
            session.feed(part)
        assert session.list == [b"a@5", b"c@3", b"b@2"]


def test_a_snapshot_that_is_not_newer_is_refused_at_its_first_part() -> None:
    """But it answers: the next gap may be asked about at once."""
    session = Session()
    session.attach()
    session.snapshot(8, A1)
    session.feed(change(11, 10, [A1]))
    for as_of in (8, 7, NONE):
        rows = len(session.rows.values)
        assert session.snapshot(as_of, B2) == []
        assert (session.list, len(session.rows.values)) == ([b"a@1"], rows)
    for part in parts(8, B2, C3):
        assert session.feed(part) == []
    assert session.list == [b"a@1"]
    assert session.member().gaps == 0
    assert session.feed(change(12, 11, [A1])) == [Noticed("gap"), ASKED]


def test_a_change_between_parts_may_be_newer_than_all_of_them() -> None:
    """Then what they bring is swept, not shown."""
    session = Session()
    session.attach()
    session.snapshot(4, A1)
    first, second = parts(6, A5, B2)
    session.feed(first)
    session.feed(change(7, 4, [A5, B2, C3], A5, B2, C3))
    assert session.feed(second) == [ToSession(S, Sweep(C, 1))]
    assert session.member().sequence == 7
    assert session.list == [b"a@5", b"c@3", b"b@2"]
    session.feed(Sweep(C, 1))
    assert session.list == [b"a@5", b"c@3", b"b@2"]
    assert len(session.rows.values) == 2 + 2 * 3


def test_a_member_that_differs_from_its_context_is_mended() -> None:
    """A snapshot as of its own sequence replaces it, which it does not otherwise."""
    session = Session()
    session.attach()
    session.snapshot(4, A1)
    wrong = item("b", 2, b"damaged")
    effects = session.feed(Change(C, 5, 4, digest(A1, B2), 2, operations(wrong)))
    assert effects == [Noticed("digest_difference"), ASKED]
    assert session.list == [b"damaged", b"a@1"]
    session.snapshot(5, A1, B2)
    assert session.list == [b"b@2", b"a@1"]
    assert not session.member().suspect
    assert session.feed(change(6, 5, [A1, B2])) == []


def test_a_snapshot_at_odds_with_itself_is_not_asked_for_for_ever() -> None:
    """Once in a while, not at once: else the two would talk without end."""
    session = Session()
    session.attach()
    broken = Snapshot(C, 4, 0, 1, digest(A1) ^ 1, 1, operations(A1), 0)
    assert session.feed(broken) == [Noticed("digest_difference")]
    assert session.feed(broken) == [ToSession(S, Sweep(C, 0)), Noticed("digest_difference")]
    assert session.member().suspect
    assert session.list == [b"a@1"]


def test_the_count_is_compared_too() -> None:
    """For the empty digest is that of no items."""
    session = Session()
    session.attach()
    assert session.feed(Snapshot(C, 4, 0, 1, 0, 1, [], 0))[0] == Noticed("digest_difference")


def test_a_refusal_says_why_there_is_nothing() -> None:
    """Of this attachment, while it has no items; a snapshot that comes after all ends it."""
    session = Session()
    session.attach()
    session.feed(Refused(C, 5))
    assert session.member().waits
    revision = session.row.revision
    session.feed(Refused(C, 0))
    assert (session.member().refused, session.member().waits) == (True, False)
    assert session.row.revision > revision
    session.snapshot(4, A1)
    assert not session.member().refused
    session.feed(Refused(C, 0))
    assert (session.member().refused, session.list) == (False, [b"a@1"])


def test_a_sweep_leaves_what_counts() -> None:
    """The current load and the one that is loading, also where it was asked for by a batch that never was."""
    session = Session(Limits(sweep_rows=2))
    session.attach()
    session.snapshot(4, A1, B2, C3)
    session.feed(parts(8, A5, B6)[0])
    before = dict(session.rows.values)
    for load in (0, 1, 7):
        assert session.feed(Sweep(C, load)) == []
    assert session.rows.values == before
    assert session.feed(parts(8, A5, B6)[1]) == [ToSession(S, Sweep(C, 0))]
    # Few rows at a time: the rest is another sweep.
    assert session.feed(Sweep(C, 0)) == [ToSession(S, Sweep(C, 0))]
    assert session.feed(Sweep(C, 0)) == []
    assert len(session.rows.values) == 2 + 2 * 2
    assert session.list == [b"b@6", b"a@5"]


def test_the_merged_list_is_of_all_members() -> None:
    """Newest first, ties by content id and then context; sessions and contexts are apart."""
    session = Session()
    session.attach(D)
    session.attach(C)
    session.snapshot(3, item("b", 2, b"D b"), item("a", 2, b"D a"), epoch=0, context=D)
    session.snapshot(4, item("a", 2, b"C a"), item("z", 9, b"C z"), epoch=1)
    assert session.list == [b"C z", b"C a", b"D a", b"D b"]
    assert session.row.total == 4
    list(fold_session_event(session.rows, attach(C), T, offset=9, time_ms=1))
    list(fold_feed(session.rows, whole(5, B2, epoch=9), T, offset=50, hash_key=HASH_KEY))
    assert session.list == [b"C z", b"C a", b"D a", b"D b"]
    session.detach(D)
    assert (session.list, session.row.total) == ([b"C z", b"C a"], 2)


EVENTS = st.one_of(
    st.builds(attach, st.sampled_from([C, D, context_id(3)])),
    st.builds(
        lambda context, epoch: ContextDetached(**CAUSE, context=id_text(Kind.CONTEXT, context), epoch=epoch),
        st.sampled_from([C, D, context_id(3)]),
        st.none() | st.integers(0, 12),
    ),
    st.just(SessionDeleted(**CAUSE)) | st.builds(attach, st.just(C)),
)


@pytest.mark.long
@settings(max_examples=150, deadline=None, print_blob=True)
@given(events=st.lists(EVENTS, max_size=14), contexts=st.integers(1, 3))
def test_what_is_attached_is_a_plain_dict(events: list[SessionEvent], contexts: int) -> None:
    """After each event: one verdict, the model's; the same attachments; of each that changed, its app hears."""
    session = Session(Limits(contexts=contexts))
    oracle = SessionOracle(session.limits)
    by_text = {id_text(Kind.CONTEXT, context): context for context in (C, D, context_id(3))}
    for offset, event in enumerate(events):
        before = dict(layout.members(session.rows, S))
        effects = session.fold(event)
        verdicts = [e for e in effects if not isinstance(e, ToContext | ToSession | ToApp | ToErase)]
        oracle.fold(event, offset, session.now_ms, by_text.get(getattr(event, "context", ""), C))
        assert verdicts == [oracle.verdicts[offset]]
        epochs = {context: member.epoch for context, member in layout.members(session.rows, S)}
        assert (session.row.deleted, epochs) == oracle.at(offset)
        assert session.row.members == len(epochs)
        after = dict(layout.members(session.rows, S))
        gone: NoticeType = DELETED if isinstance(event, SessionDeleted) else REMOVED
        assert [e for e in effects if isinstance(e, ToApp)] == [
            told(ADDED if context in after else gone, (after | before)[context].created_at_ms, context)
            for context in sorted(before.keys() ^ after.keys())
        ]


STATES = st.lists(st.dictionaries(st.sampled_from("abcd"), st.integers(1, 6), max_size=4), min_size=2, max_size=8)


@pytest.mark.long
@settings(max_examples=150, deadline=None, print_blob=True)
@given(states=STATES, lost=st.sets(st.integers(1, 7)), again=st.integers(1, 7))
def test_a_member_is_always_an_exact_past_state(states: list[dict[str, int]], lost: set[int], again: int) -> None:
    """Whatever changes are lost or repeated: the items as of the member's sequence, and no others."""
    session = Session()
    session.attach()
    items = [[item(name, time_ms) for name, time_ms in sorted(state.items())] for state in states]
    session.snapshot(0, *items[0])
    messages = [
        Change(
            C,
            n,
            n - 1,
            digest(*items[n]),
            len(items[n]),
            [Operation(name.encode(), 0, None) for name in states[n - 1] if name not in states[n]]
            + operations(*(entry for entry in items[n] if entry not in items[n - 1])),
        )
        for n in range(1, len(states))
    ]
    delivered = [message for message in messages if message.sequence not in lost]
    for message in delivered + delivered[again:]:
        session.feed(message)
        member = session.member()
        held = items_of(session.rows, S, C, member.load)
        assert held == {content_id: (time_ms, fragment) for content_id, time_ms, fragment in items[member.sequence]}
        assert (member.digest, session.row.total) == (digest(*items[member.sequence]), len(held))
        assert not member.suspect
