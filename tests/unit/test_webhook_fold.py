"""The webhooks' folds, rule by rule: what apps are to hear of, for whom it was planned, and what came of it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.domain import webhook_rows as layout
from streams.domain.ids import Kind, id_text
from streams.domain.memory_rows import MemoryRows
from streams.domain.notices import Notice, event_id, session_context_json
from streams.domain.webhook_events import (
    AnyWebhookEvent,
    ContextForgotten,
    DeliveriesPlanned,
    DeliveryAttempted,
    DeliveryResent,
    Planned,
    SessionForgotten,
    Status,
    Target,
)
from streams.domain.webhook_rows import Attempt, Delivery, Undecided
from streams.domain.webhooks import WEBHOOK_LIMITS, WebhookLimits, fold_notice, fold_webhook_event
from tests.support.tables import HASH_KEY, START_MS, app_of, context_id, session_id

C, D = context_id(1), context_id(2)
SOURCE = "session-events-0"
ID = "0" * 32
DAY_MS = 24 * 3600 * 1000


def id_of(offset: int, number: int = 0) -> str:
    return event_id(HASH_KEY, SOURCE, offset, number)


def undecided(offset: int, number: int = 0) -> Undecided:
    notice = Notice(
        "session-events",
        session_id(1),
        offset,
        number,
        START_MS,
        "req_0",
        app_of(C),
        "context.session.context_added",
        b"{}",
    )
    return Undecided(id_of(offset, number), SOURCE, C, notice)


class Webhooks:
    """One partition of the table, and the offsets of what comes next."""

    def __init__(self, limits: WebhookLimits = WEBHOOK_LIMITS) -> None:
        self.rows, self.limits, self.now_ms = MemoryRows(), limits, START_MS
        self.notices, self.events = 0, 0

    def hear(self, *notices: Undecided) -> None:
        for notice in notices:
            fold_notice(self.rows, notice, offset=self.notices)
            self.notices += 1

    def fold(self, event: AnyWebhookEvent) -> None:
        self.now_ms += 10
        fold_webhook_event(self.rows, event, offset=self.events, time_ms=self.now_ms, limits=self.limits)
        self.events += 1

    def plan(self, *offsets: int, to: str = "e", ordered: bool = False, context: bytes = C) -> None:
        """Plan that endpoints, one letter each, hear of the notices of these records."""
        targets = [Target(endpoint=name, version="2024-02-16", ordered=ordered) for name in to]
        events = [
            Planned(
                id=id_of(offset),
                source=SOURCE,
                offset=offset,
                number=0,
                context=id_text(Kind.CONTEXT, context),
                type="context.session.context_added",
                created=START_MS,
                data=msgspec.Raw(b"{}"),
                targets=targets,
            )
            for offset in (offsets if targets else ())
        ]
        self.fold(DeliveriesPlanned(id=ID, until={SOURCE: (offsets[-1], 0)}, events=events))

    def attempt(self, offset: int, number: int, outcome: Status, *, to: str = "e", **more: Any) -> None:
        self.fold(
            DeliveryAttempted(
                id=ID, event=id_of(offset), endpoint=to, attempt=number, at=self.now_ms, outcome=outcome, **more
            )
        )

    def resend(self, offset: int, *, to: str = "e") -> None:
        self.fold(DeliveryResent(id=ID, event=id_of(offset), endpoint=to))

    def delivery(self, offset: int, to: str = "e") -> Delivery:
        found = layout.read_delivery(self.rows, id_of(offset), to)
        assert found is not None
        return found[1]

    @property
    def undecided(self) -> list[int]:
        return [notice.notice.offset for _, notice in layout.undecided(self.rows)]

    def due(self, to: str = "e") -> list[str]:
        return [event for _, event in layout.due(self.rows, layout.endpoint_hash(to))]

    def kinds(self) -> Counter[bytes]:
        return Counter(key[:1] for key in self.rows.values)


def test_a_notice_is_kept_until_it_is_decided_about() -> None:
    """Once, however often it comes: its source gives it again after a crash, or when tables are folded again."""
    webhooks = Webhooks()
    webhooks.hear(undecided(3), undecided(5), undecided(3), undecided(5, 1), undecided(5))
    assert [(n.notice.offset, n.notice.number) for _, n in layout.undecided(webhooks.rows)] == [(3, 0), (5, 0), (5, 1)]
    webhooks.plan(3, 5)
    assert [(n.notice.offset, n.notice.number) for _, n in layout.undecided(webhooks.rows)] == [(5, 1)]
    webhooks.hear(undecided(3), undecided(5, 1))
    assert webhooks.notices == 7
    assert len(webhooks.undecided) == 1


def test_what_was_decided_before_it_is_heard_of() -> None:
    """When all is folded again, the decision may come first: the notice is known."""
    webhooks = Webhooks()
    webhooks.plan(3, 5)
    webhooks.hear(undecided(3), undecided(5))
    assert webhooks.undecided == []
    webhooks.hear(undecided(6))
    assert webhooks.undecided == [6]


def test_what_is_decided_after_it_is_heard_of_again() -> None:
    """When all is folded again, the notice may come first, and a new decision after the old one is void."""
    webhooks = Webhooks()
    webhooks.hear(undecided(3))
    webhooks.plan(3)
    webhooks.attempt(3, 1, "DELIVERED")
    webhooks.plan(3, to="ef")
    assert webhooks.undecided == []
    assert (webhooks.due("e"), webhooks.due("f")) == ([], [])
    assert layout.read_delivery(webhooks.rows, id_of(3), "f") is None


def test_two_who_decide_at_once() -> None:
    """The first in the log counts, notice by notice."""
    webhooks = Webhooks()
    webhooks.hear(undecided(1), undecided(2), undecided(3))
    webhooks.plan(1, 2, to="e")
    webhooks.plan(1, 2, 3, to="f")
    assert webhooks.due("e") == sorted([id_of(1), id_of(2)])
    assert webhooks.due("f") == [id_of(3)]


def test_told_to_nobody() -> None:
    """It is remembered that it was decided, and nothing else."""
    webhooks = Webhooks()
    webhooks.hear(undecided(1))
    webhooks.plan(1, to="")
    assert webhooks.kinds() == {layout.HEARD: 1, layout.DECIDED: 1}


def test_many_notices_are_dropped_a_few_at_a_time() -> None:
    """Each decision drops some; those that are left are known to be decided about."""
    webhooks = Webhooks(WebhookLimits(drop_at_once=2))
    webhooks.hear(*(undecided(n) for n in range(5)))
    for left in (3, 1, 0):
        webhooks.plan(4, to="")
        assert len(webhooks.undecided) == left


def test_a_delivery_until_it_has_arrived() -> None:
    """Due at once, then when the attempt says, then never."""
    webhooks = Webhooks()
    webhooks.plan(1)
    assert webhooks.due() == [id_of(1)]
    planned = webhooks.delivery(1)
    assert (planned.status, planned.due_ms, planned.since_ms) == ("PENDING", webhooks.now_ms, webhooks.now_ms)
    webhooks.attempt(1, 1, "PENDING", status=503, error="no", duration_ms=7, again_at=START_MS + 9_000)
    tried = webhooks.delivery(1)
    assert (tried.due_ms, tried.tries, tried.made) == (START_MS + 9_000, 1, 1)
    assert tried.attempts == (Attempt(START_MS + 10, 503, "no", 7),)
    assert [due.time_ms for due in layout.due(webhooks.rows, layout.endpoint_hash("e"))] == [START_MS + 9_000]
    assert layout.read_endpoint(webhooks.rows, "e").pending == 1
    webhooks.attempt(1, 2, "DELIVERED", status=204)
    assert (webhooks.delivery(1).status, webhooks.delivery(1).due_ms, webhooks.due()) == ("DELIVERED", None, [])
    assert webhooks.kinds()[layout.ENDPOINT] == 0


def test_an_attempt_counts_once() -> None:
    """Of two nodes that made the same one, the first counts, and that it has arrived counts above all."""
    webhooks = Webhooks()
    webhooks.plan(1)
    webhooks.attempt(1, 1, "PENDING", again_at=5)
    webhooks.attempt(1, 1, "PENDING", again_at=7)
    assert (webhooks.delivery(1).due_ms, webhooks.delivery(1).made) == (5, 1)
    webhooks.attempt(1, 1, "DELIVERED", status=200)
    assert webhooks.delivery(1).status == "DELIVERED"
    before = dict(webhooks.rows.values)
    webhooks.attempt(1, 2, "PENDING", again_at=9)
    webhooks.attempt(1, 2, "FAILED")
    webhooks.attempt(1, 2, "DELIVERED")
    webhooks.attempt(2, 1, "DELIVERED")
    webhooks.attempt(1, 1, "DELIVERED", to="f")
    assert webhooks.rows.values == before


def test_a_failed_one_is_sent_again() -> None:
    """With as many attempts as at first, and those before remembered."""
    webhooks = Webhooks()
    webhooks.plan(1)
    webhooks.attempt(1, 1, "FAILED", error="gone")
    assert (webhooks.delivery(1).status, webhooks.due()) == ("FAILED", [])
    webhooks.resend(1)
    again = webhooks.delivery(1)
    assert (again.status, again.tries, again.made, again.since_ms) == ("PENDING", 0, 1, webhooks.now_ms)
    assert webhooks.due() == [id_of(1)]
    webhooks.attempt(1, 2, "DELIVERED")
    assert [attempt.error for attempt in webhooks.delivery(1).attempts] == ["gone", None]
    webhooks.resend(7)
    assert webhooks.due() == []


def test_one_that_waits_for_its_next_attempt_is_sent_now() -> None:
    """Sent again, it is due at once, and counted once."""
    webhooks = Webhooks()
    webhooks.plan(1)
    webhooks.attempt(1, 1, "PENDING", again_at=START_MS + DAY_MS)
    webhooks.resend(1)
    assert [due.time_ms for due in layout.due(webhooks.rows, layout.endpoint_hash("e"))] == [webhooks.now_ms]
    assert layout.read_endpoint(webhooks.rows, "e").pending == 1


def test_in_order() -> None:
    """What an endpoint is told of one context waits for what it was told before; of another, it does not."""
    webhooks = Webhooks()
    webhooks.plan(1, 2, 3, ordered=True)
    webhooks.plan(4, ordered=True, context=D)
    assert set(webhooks.due()) == {id_of(1), id_of(4)}
    webhooks.attempt(1, 1, "PENDING", again_at=START_MS + DAY_MS)
    assert set(webhooks.due()) == {id_of(1), id_of(4)}
    webhooks.attempt(1, 2, "DELIVERED")
    assert set(webhooks.due()) == {id_of(2), id_of(4)}
    assert webhooks.delivery(2).since_ms == webhooks.now_ms
    webhooks.attempt(2, 1, "FAILED")
    assert set(webhooks.due()) == {id_of(3), id_of(4)}
    webhooks.resend(2)
    assert set(webhooks.due()) == {id_of(3), id_of(4)}
    webhooks.resend(2)
    webhooks.resend(3)
    webhooks.attempt(3, 1, "DELIVERED")
    assert set(webhooks.due()) == {id_of(2), id_of(4)}


def test_out_of_its_turn() -> None:
    """One that another owner has sent before its turn waits all the same; if it has arrived, it has."""
    webhooks = Webhooks()
    webhooks.plan(1, 2, 3, ordered=True)
    webhooks.attempt(2, 1, "PENDING", again_at=5)
    assert webhooks.due() == [id_of(1)]
    webhooks.attempt(2, 2, "DELIVERED")
    assert webhooks.due() == [id_of(1)]
    webhooks.attempt(1, 1, "DELIVERED")
    assert webhooks.due() == [id_of(3)]


def test_too_many_that_wait() -> None:
    """One more has failed at once, and can be sent again."""
    webhooks = Webhooks(WebhookLimits(pending=2))
    webhooks.plan(1, 2, 3)
    assert (len(webhooks.due()), webhooks.delivery(3).status) == (2, "FAILED")
    webhooks.attempt(1, 1, "DELIVERED")
    webhooks.resend(3)
    assert set(webhooks.due()) == {id_of(2), id_of(3)}


def test_what_is_old_is_forgotten() -> None:
    """With all that came of it; what is still on its way, another time."""
    webhooks = Webhooks()
    webhooks.plan(1, 2, to="ef")
    for name in "ef":
        webhooks.attempt(1, 1, "DELIVERED", to=name)
    webhooks.attempt(2, 1, "DELIVERED", to="e")
    webhooks.now_ms += 30 * DAY_MS
    webhooks.plan(3, to="")
    assert layout.read_event(webhooks.rows, id_of(1)) is None
    assert webhooks.kinds()[layout.DELIVERY] == 2
    webhooks.attempt(2, 1, "FAILED", to="f")
    webhooks.now_ms += 30 * DAY_MS
    webhooks.plan(4, to="")
    assert webhooks.kinds() == {layout.DECIDED: 1}


def test_ids_are_of_what_they_come_of() -> None:
    """The same for ever, others for everything else, and in every deployment."""
    assert id_of(1) == id_of(1) == event_id(HASH_KEY, SOURCE, 1, 0)
    ids = {id_of(1), id_of(1, 1), id_of(2), event_id(HASH_KEY, "session-events-1", 1, 0), event_id(b"o", SOURCE, 1, 0)}
    assert len(ids) == 5


STEPS = st.one_of(
    st.tuples(st.just("plan"), st.sampled_from(["e", "f", "ef"]), st.booleans(), st.sampled_from([C, D])),
    st.tuples(
        st.just("attempt"), st.integers(0, 6), st.integers(1, 3), st.sampled_from(["PENDING", "DELIVERED", "FAILED"])
    ),
    st.tuples(st.just("resend"), st.integers(0, 6)),
    st.tuples(st.just("later"), st.sampled_from([DAY_MS, 31 * DAY_MS])),
)


@settings(max_examples=200, deadline=None, print_blob=True)
@given(steps=st.lists(STEPS, max_size=25), to=st.lists(st.sampled_from("ef"), min_size=25, max_size=25))
def test_the_rows_agree(steps: list[Any], to: list[str]) -> None:
    """After each event: what is due, counted and in order is what the deliveries say."""
    webhooks, planned, contexts = Webhooks(WebhookLimits(pending=3)), 0, {}
    for step, name in zip(steps, to, strict=False):
        match step:
            case ("plan", names, ordered, context):
                webhooks.plan(planned, to=names, ordered=ordered, context=context)
                contexts[id_of(planned)] = context
                planned += 1
            case ("attempt", offset, number, outcome):
                webhooks.attempt(offset, number, outcome, to=name, again_at=webhooks.now_ms + 5)
            case ("resend", offset):
                webhooks.resend(offset, to=name)
            case (_, ms):
                webhooks.now_ms += ms
        check(webhooks, contexts)


def check(webhooks: Webhooks, contexts: dict[str, bytes]) -> None:
    kinds = webhooks.kinds()
    deliveries = [layout.decode_delivery(value) for key, value in webhooks.rows.values.items() if key[:1] == b"D"]
    pending = [delivery for delivery in deliveries if delivery.status == "PENDING"]
    for name in "ef":
        of = [delivery for delivery in pending if delivery.endpoint == name]
        assert layout.read_endpoint(webhooks.rows, name).pending == len(of)
        assert webhooks.due(name) == [
            event for _, event in sorted((d.due_ms, d.event) for d in of if d.due_ms is not None)
        ]
        for context in (C, D):
            lined_up = [d for d in of if d.order is not None and contexts[d.event] == context]
            assert sum(d.due_ms is not None for d in lined_up) == bool(lined_up)
    assert kinds[layout.ORDER] == sum(delivery.order is not None for delivery in pending)
    assert kinds[layout.ENDPOINT] == len({delivery.endpoint for delivery in pending})
    assert kinds[layout.EVENT] == kinds[layout.AGE]


def test_what_is_old_goes_as_fast_as_events_come() -> None:
    """However many are planned at once, day after day."""
    webhooks = Webhooks(WebhookLimits(forget_ms=1_000))
    for turn in range(40):
        webhooks.plan(*range(turn * 20, turn * 20 + 20))
        for offset in range(turn * 20, turn * 20 + 20):
            webhooks.attempt(offset, 1, "DELIVERED")
    # Each turn takes 210 ms: those of the last five, and what came since.
    assert len(list(layout.ages(webhooks.rows))) <= 6 * 20


def test_so_many_deliveries_go_at_once() -> None:
    """Those of one event more at most, however many events are planned, and whatever is left goes with the next."""
    webhooks = Webhooks(WebhookLimits(forget_ms=1_000, forget_deliveries=5))
    webhooks.plan(*range(8), to="efg")
    for offset in range(8):
        for name in "efg":
            webhooks.attempt(offset, 1, "DELIVERED", to=name)
    webhooks.now_ms += 1_000
    left = []
    for turn in range(4):
        webhooks.plan(*range(8 + 4 * turn, 12 + 4 * turn))
        left.append(webhooks.kinds()[layout.DELIVERY] - 4 * (turn + 1))
    assert left == [18, 12, 6, 0]


def test_a_context_that_was_erased_is_forgotten() -> None:
    """What its app was told and was to be told, waiting or not; the other context's deliveries go on."""
    webhooks = Webhooks()
    webhooks.hear(undecided(1), undecided(2))
    webhooks.plan(1, 2, to="ef", ordered=True)
    webhooks.attempt(1, 1, "DELIVERED", to="e")
    webhooks.plan(3, to="e", context=D)
    webhooks.hear(undecided(4))
    assert layout.read_endpoint(webhooks.rows, "e").pending == 2
    webhooks.fold(ContextForgotten(id=ID, context=id_text(Kind.CONTEXT, C), until={SOURCE: (4, 0), "other": (7, 1)}))
    about_c = [key for key, value in webhooks.rows.values.items() if bytes(C) in key + value]
    assert about_c == []
    assert [event for event, _ in layout.events(webhooks.rows)] == [id_of(3)]
    assert (webhooks.due("e"), webhooks.due("f")) == ([id_of(3)], [])
    assert [row.pending for row in layout.endpoints(webhooks.rows)] == [1]
    webhooks.hear(undecided(4))
    assert webhooks.undecided == []
    webhooks.attempt(2, 1, "DELIVERED", to="f")
    webhooks.resend(2, to="f")
    assert [event for event, _ in layout.events(webhooks.rows)] == [id_of(3)]
    assert layout.read_place(webhooks.rows, layout.DECIDED, "other") == (7, 1)


def test_a_context_is_forgotten_a_bounded_number_at_a_time() -> None:
    """The same event again forgets more, and is nothing in the end."""
    webhooks = Webhooks(WebhookLimits(forget_of_context=2))
    webhooks.plan(*range(5))
    event = ContextForgotten(id=ID, context=id_text(Kind.CONTEXT, C), until={})
    for left in (3, 1, 0, 0):
        webhooks.fold(event)
        assert len(list(layout.events(webhooks.rows))) == left


def test_what_many_endpoints_are_told_of_a_context_is_forgotten_a_bounded_number_at_a_time() -> None:
    """In order or not, sent or not; nothing of it is sent any more, and others' is left."""
    webhooks = Webhooks(WebhookLimits(forget_deliveries=6))
    webhooks.plan(*range(5), to="abc", ordered=True)
    webhooks.plan(5, to="abc", context=context_id(2))
    others = dict(webhooks.rows.values)
    webhooks.attempt(0, 1, "DELIVERED", to="a")
    event = ContextForgotten(id=ID, context=id_text(Kind.CONTEXT, C), until={})
    for left in (4, 2, 1, 1):
        webhooks.fold(event)
        assert len(list(layout.events(webhooks.rows))) == left
    assert webhooks.due() == webhooks.due("b")[1:] == []
    assert {kind: count for kind, count in webhooks.kinds().items() if kind != layout.AGE} == {
        layout.DECIDED: 1, layout.EVENT: 1, layout.OF: 1, layout.DELIVERY: 3, layout.DUE: 3, layout.ENDPOINT: 3,
    }  # fmt: skip
    assert {key for key in webhooks.rows.values if key[:1] == layout.DUE} <= set(others)


def test_a_session_that_was_deleted_is_forgotten() -> None:
    """What was told of it goes, by what it says; what was told of other sessions stays, and is due in its turn."""
    webhooks = Webhooks()
    of_session = [session_context_json(session_id(n), C, app_of(C), START_MS) for n in (1, 2)]
    for offset, data in enumerate(of_session):
        planned = Planned(
            id=id_of(offset),
            source=SOURCE,
            offset=offset,
            number=0,
            context=id_text(Kind.CONTEXT, C),
            type="context.session.context_added",
            created=START_MS,
            data=msgspec.Raw(data),
            targets=[Target(endpoint="e", version="2024-02-16", ordered=True)],
        )
        webhooks.fold(DeliveriesPlanned(id=ID, until={SOURCE: (offset, 0)}, events=[planned]))
    assert webhooks.due() == [id_of(0)]
    webhooks.fold(SessionForgotten(id=ID, session=id_text(Kind.SESSION, session_id(1)), until={SOURCE: (9, 0)}))
    assert [event for event, _ in layout.events(webhooks.rows)] == [id_of(1)]
    assert webhooks.due() == [id_of(1)]
    assert [row.pending for row in layout.endpoints(webhooks.rows)] == [1]
    assert list(layout.of_context(webhooks.rows, C)) == [id_of(1)]
    assert layout.read_place(webhooks.rows, layout.DECIDED, SOURCE) == (9, 0)
