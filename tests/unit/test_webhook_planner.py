"""Who is told of what happened: as much at once as fits into one event, and only what nobody has decided."""

from __future__ import annotations

from service.webhooks.planner import MOST_BYTES, MOST_NOTICES, MOST_TARGETS, plan
from service.webhooks.schedule import SPAN_MS
from streams.codec import MAX_EVENT_BYTES, encode_event
from streams.domain.notices import Notice, event_id
from streams.domain.webhook_events import DeliveriesPlanned, Target
from streams.domain.webhook_rows import Undecided
from streams.domain.webhooks import WebhookLimits, fold_notice, fold_webhook_event
from tests.support.tables import HASH_KEY, app_of, context_id
from tests.support.webhook_world import WebhookWorld, target

LONGEST = 20_000
"""An item of 16 KiB, with what is added when it is served."""


def planned(world: WebhookWorld) -> DeliveriesPlanned | None:
    return plan(world.rows_, world, now_ms=world.now_ms, new_id=lambda: "0" * 32)


def decided(world: WebhookWorld, limits: WebhookLimits = WebhookLimits()) -> list[int]:  # noqa: B008 - frozen
    """Plan and fold until nothing is left; return how many events each plan had."""
    counts: list[int] = []
    while (event := planned(world)) is not None:
        fold_webhook_event(world.rows_, event, offset=len(counts), time_ms=world.now_ms, limits=limits)
        counts.append(len(event.events))
    return counts


def test_a_few_at_a_time() -> None:
    """In the order in which they came, until nothing is left."""
    world = WebhookWorld([target("e")])
    assert planned(world) is None
    ids = [world.happens() for _ in range(MOST_NOTICES + 50)]
    first = planned(world)
    assert first is not None
    assert [event.id for event in first.events] == ids[:MOST_NOTICES]
    assert first.until == {"session-events-0": (MOST_NOTICES - 1, 0)}
    assert decided(world) == [MOST_NOTICES, 50]


def test_what_is_decided_and_not_dropped_yet() -> None:
    """It is passed over, and dropped by an event that decides nothing where nothing else is left."""
    world = WebhookWorld([target("e")])
    for _ in range(MOST_NOTICES + 50):
        world.happens()
    assert decided(world, WebhookLimits(drop_at_once=MOST_NOTICES // 2)) == [MOST_NOTICES, 50, 0]


def test_many_targets() -> None:
    """There are only so many in one event, beside those of its last notice."""
    world = WebhookWorld([target(f"e{n}") for n in range(MOST_TARGETS // 4 + 1)])
    for _ in range(6):
        world.happens()
    assert decided(world) == [4, 2]


def test_the_largest_fits_into_the_log() -> None:
    """Many of the largest items, for as many endpoints as there may be, with the longest ids."""
    world = WebhookWorld([Target(endpoint="x" * 60 + f"{n:04}", version="2024-02-16", ordered=True) for n in range(66)])
    data = b'{"title":"%s"}' % (b"t" * LONGEST)
    for offset in range(60):
        notice = Notice(
            "context-events", context_id(1), offset, 0, world.now_ms, "req_" + "0" * 16, app_of(context_id(1)),
            "context.list.item_hidden", data,
        )  # fmt: skip
        id_ = event_id(HASH_KEY, "context-events-0", offset, 0)
        fold_notice(world.rows_, Undecided(id_, "context-events-0", context_id(1), notice), offset=offset)
    event = planned(world)
    assert event is not None
    assert len(event.events) <= MOST_BYTES // LONGEST + 1
    assert len(encode_event(event)) < MAX_EVENT_BYTES
    world.targets = [Target(endpoint="x" * 60 + f"{n:04}", version="2024-02-16", ordered=True) for n in range(2_000)]
    event = planned(world)
    assert event is not None
    assert len(encode_event(event)) < MAX_EVENT_BYTES


def test_what_is_written_beside_the_items_counts() -> None:
    """Many notices with the longest keys, and after them one that goes to very many endpoints."""
    many = [Target(endpoint="x" * 60 + f"{n:04}", version="2024-02-16", ordered=True) for n in range(2_000)]
    world = WebhookWorld(many[:10])
    for offset in range(MOST_NOTICES):
        is_last = offset == MOST_NOTICES - 2
        notice = Notice(
            source="context-events", of=context_id(1), offset=offset, number=0, time_ms=world.now_ms,
            request="req_" + "0" * 16, app=app_of(context_id(2 if is_last else 1)), type="context.list.item_hidden",
            data=b'{"title":"%s"}' % (b"t" * 2_600), idempotency_key='"' * 255,
        )  # fmt: skip
        id_ = event_id(HASH_KEY, "context-events-0", offset, 0)
        fold_notice(world.rows_, Undecided(id_, "context-events-0", context_id(1), notice), offset=offset)
    world.of_app[app_of(context_id(2))] = many
    event = planned(world)
    assert event is not None
    assert len(encode_event(event)) < MAX_EVENT_BYTES
    assert len(event.events) > MOST_NOTICES // 2


def test_it_is_the_notices_time_that_counts() -> None:
    """What is older than anything is tried is told to nobody, and decided about."""
    world = WebhookWorld([target("e")])
    world.happens(time_ms=world.now_ms - SPAN_MS)
    event = planned(world)
    assert event is not None
    assert (event.events, event.until) == ([], {"session-events-0": (0, 0)})


def test_one_context_at_a_time() -> None:
    """What is told of another waits for the next event, so that each can be removed whole; what nobody is told, not."""
    world = WebhookWorld([target("e")])
    first = [world.happens(), world.happens()]
    world.happens(context=2, time_ms=world.now_ms - SPAN_MS)
    other = world.happens(context=2)
    last = world.happens()
    plans = []
    while (event := planned(world)) is not None:
        plans.append(([one.id for one in event.events], event.until["session-events-0"]))
        fold_webhook_event(world.rows_, event, offset=len(plans), time_ms=world.now_ms)
    assert plans == [(first, (2, 0)), ([other], (3, 0)), ([last], (4, 0))]
