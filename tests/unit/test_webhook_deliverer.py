"""What is due is sent, and what came of it is noted: once, in order, again, or never."""

from __future__ import annotations

import asyncio
import time

import msgspec
import pytest
from structlog.testing import capture_logs

from service.webhooks.schedule import MOST_TRIES, SPAN_MS
from service.webhooks.sender import Sent
from service.webhooks.signing import verify_paket
from streams.domain.webhook_events import DeliveriesPlanned
from tests.support.webhook_world import WebhookWorld, deliverer_of, delivering, status, target

HOUR_MS = 3_600_000


async def test_what_happens_is_told_to_all_who_hear_of_it() -> None:
    """Decided first, then sent, then noted."""
    world = WebhookWorld([target("e"), target("f")])
    async with delivering(world) as deliverer:
        event = world.happens()
        await world.until(lambda: len(world.log) == 3)
        assert (world.called("e"), world.called("f")) == ([event], [event])
        planned, *attempted = world.log
        assert isinstance(planned, DeliveriesPlanned)
        assert [one.outcome for one in world.attempts()] == ["DELIVERED", "DELIVERED"]
        assert len(attempted) == 2
        assert world.calls[0].body == world.calls[1].body
        sent = msgspec.json.decode(world.calls[0].body)
        assert sent == {
            "id": f"evt_{event}",
            "object": "event",
            "type": "context.session.context_added",
            "created": world.now_ms,
            "api_version": "2024-02-16",
            "request": {"id": "req_1", "idempotency_key": None},
            "data": {"n": 1},
        }
        verify_paket(world.calls[0].headers, world.calls[0].body, "whsec_" + "c2VjcmV0" * 4, world.now_ms)
        await world.until(lambda: deliverer.counts.delivered == 2)
        counts = deliverer.counts
        assert (counts.planned, counts.attempts, counts.failed, deliverer.lanes.running) == (1, 2, 0, 0)


async def test_told_to_nobody() -> None:
    """Where nobody is to hear of it, and where it is older than anything is tried."""
    world = WebhookWorld([])
    async with delivering(world):
        world.happens()
        await world.until(lambda: len(world.log) == 1)
        world.targets = [target("e")]
        world.happens(time_ms=world.now_ms - SPAN_MS)
        await world.until(lambda: len(world.log) == 2)
        event = world.happens(time_ms=world.now_ms - SPAN_MS + 1)
        await world.until(lambda: len(world.log) == 4)
        assert world.called("e") == [event]


async def test_again_and_again_and_then_never() -> None:
    """15 times, each time later, with the same bytes, in no more than 72 hours."""
    world = WebhookWorld([target("e")], answer=status(500))
    async with delivering(world):
        event = world.happens()
        pauses = []
        for tries in range(1, MOST_TRIES):
            await world.until(lambda tries=tries: len(world.attempts()) == tries)  # type: ignore[misc]
            due_ms = world.delivery(event, "e").due_ms
            assert due_ms is not None
            pauses.append(due_ms - world.now_ms)
            if tries == 3:
                world.answer = status(404)  # one that answers is not left alone, by another clock than this
            world.later(due_ms - world.now_ms)
        await world.until(lambda: len(world.attempts()) == MOST_TRIES)
        assert world.delivery(event, "e").status == "FAILED"
        assert (len(world.calls), len({call.body for call in world.calls})) == (MOST_TRIES, 1)
        assert pauses[:11] == sorted(pauses[:11])
        assert 60 * HOUR_MS < sum(pauses) < SPAN_MS
        world.resend(event, "e")
        await world.until(lambda: len(world.attempts()) == MOST_TRIES + 1)
        assert world.delivery(event, "e").status == "PENDING"


@pytest.mark.parametrize(
    ("sent", "outcome"),
    [
        (Sent(1_000, None, 1, None), "FAILED"),
        (Sent(None, "x" * 301, 1, None), "FAILED"),
        (Sent(None, "\ud800", 1, None), "FAILED"),
        (Sent(204, None, -1, None), "DELIVERED"),
        (Sent(204, None, 2**64, None), "DELIVERED"),
    ],
)
async def test_what_cannot_be_written_down(sent: Sent, outcome: str) -> None:
    """An attempt that came to what no fold takes ends the delivery, and says so; what is due next goes its way."""

    async def answer(_endpoint: str) -> Sent:
        world.answer = None
        return sent

    world = WebhookWorld([target("e", ordered=True)], answer=answer)
    async with delivering(world) as deliverer:
        first, second = world.happens(), world.happens()
        with capture_logs() as logs:
            await world.until(lambda: len(world.attempts()) == 2)
        assert world.called("e") == [first, second]
        noted, then = world.attempts()
        assert (noted.outcome, noted.status, noted.error) == (outcome, None, "unwritable")
        assert (world.delivery(first, "e").status, then.outcome) == (outcome, "DELIVERED")
        (said,) = [entry for entry in logs if entry["event"] == "webhook_attempt_unwritable"]
        assert (said["webhook_event"], said["endpoint"]) == (first, "e")
        await world.until(lambda: deliverer.counts.attempts == 2)
        assert deliverer.counts.unwritable == 1


async def test_an_endpoint_that_is_gone() -> None:
    """410 switches it off, and what waits for it has failed without a call."""
    world = WebhookWorld([target("e", ordered=True)], answer=status(410))
    async with delivering(world):
        events = [world.happens(), world.happens()]
        await world.until(lambda: len(world.attempts()) == 2)
        assert (world.called("e"), world.disabled) == (events[:1], ["e"])
        assert [world.delivery(event, "e").status for event in events] == ["FAILED", "FAILED"]
        assert [one.error for one in world.attempts()] == [None, "endpoint_inactive"]


async def test_an_endpoint_of_which_not_all_is_known() -> None:
    """What waits for it goes on waiting, takes up no room meanwhile, and is sent once it is known."""
    world = WebhookWorld([target("e")], answer=status(500))
    async with delivering(world) as deliverer:
        event = world.happens()
        await world.until(lambda: len(world.attempts()) == 1)
        world.disabled, world.lagging = ["e"], 2
        world.later(60_000)
        await world.until(lambda: world.lagging == 0)
        world.disabled, world.answer = [], None
        await world.until(lambda: len(world.attempts()) == 2)
        assert (world.called("e"), world.delivery(event, "e").status) == ([event, event], "DELIVERED")
        assert deliverer.lanes.running == 0


async def test_a_secret_that_cannot_be_read() -> None:
    """Nothing is sent unsigned, and what waits is tried again, as where nobody answers."""
    world = WebhookWorld([target("e")], sealed=True)
    async with delivering(world):
        event = world.happens()
        await world.until(lambda: len(world.attempts()) == 1)
        assert (world.calls, world.attempts()[0].error) == ([], "secret_unreadable")
        assert world.delivery(event, "e").status == "PENDING"
        world.sealed = False
        world.later(60_000)
        await world.until(lambda: len(world.attempts()) == 2)
        assert (world.called("e"), world.delivery(event, "e").status) == ([event], "DELIVERED")


async def test_how_long_an_endpoint_wants_to_be_left_alone() -> None:
    """Its `Retry-After` counts where it is longer."""
    world = WebhookWorld([target("e")], answer=status(503, retry_after_s=3_600))
    async with delivering(world):
        event = world.happens()
        await world.until(lambda: len(world.attempts()) == 1)
        assert world.delivery(event, "e").due_ms == world.now_ms + HOUR_MS


async def test_in_order() -> None:
    """What an ordered endpoint is told of a context waits until what was before has arrived; others do not."""
    world = WebhookWorld([target("e", ordered=True), target("f")], answer=status(500))
    async with delivering(world):
        first, second = world.happens(), world.happens()
        other = world.happens(context=2)
        await world.until(lambda: len(world.attempts()) >= 5)
        assert set(world.called("e")) == {first, other}
        assert set(world.called("f")) == {first, second, other}
        world.answer = None
        world.later(6_000)
        await world.until(lambda: second in world.called("e"))
        await world.until(lambda: world.delivery(second, "e").status == "DELIVERED")
        assert world.called("e").index(second) > len(world.called("e")) - 3


async def test_an_append_that_may_be_there() -> None:
    """Who is told is decided once, and an attempt counts once, however often it is noted."""
    world = WebhookWorld([target("e")], away=2)
    async with delivering(world):
        event = world.happens()
        await world.until(lambda: len(world.calls) == 1)
        world.away = 2
        await world.until(lambda: len(world.attempts()) == 2)
        assert (world.called("e"), world.delivery(event, "e").made) == ([event], 1)


async def test_what_is_on_its_way_is_not_sent_again() -> None:
    """However often it is looked, until it is noted what came of it; the endpoint has answered, so it may have more."""
    gate = asyncio.Event()
    gate.set()

    async def waits(_endpoint: str) -> Sent:
        await gate.wait()
        return Sent(204, None, 1, None)

    world = WebhookWorld([target("e")], answer=waits)
    async with delivering(world) as deliverer:
        first = world.happens()
        await world.until(lambda: len(world.attempts()) == 1)
        gate.clear()
        second = world.happens()
        await world.until(lambda: len(world.calls) == 2)
        for _ in range(5):
            world.wake()
            await asyncio.sleep(0.01)
        assert (world.called("e"), deliverer.lanes.running) == ([first, second], 1)
        gate.set()
        await world.until(lambda: len(world.attempts()) == 2)


async def test_a_partition_that_is_anothers() -> None:
    """Nothing of it is sent."""
    world = WebhookWorld([target("e")], here=False)
    async with delivering(world):
        world.happens()
        await asyncio.sleep(0.05)
        assert (world.log, world.calls) == ([], [])
        world.here = True
        world.wake()
        await world.until(lambda: len(world.calls) == 1)


async def test_a_bug_ends_it() -> None:
    """A failure that is nobody's answer is not passed over."""

    async def broken(_endpoint: str) -> Sent:
        raise ZeroDivisionError

    world = WebhookWorld([target("e")], answer=broken)
    world.happens()
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(deliverer_of(world).run(), 10)


async def test_those_that_hang_hold_back_nobody() -> None:
    """Ten that answer are told of each of 20 things at once, and not in the ten seconds that three hundred hang."""
    good, hanging = [f"g{n}" for n in range(10)], [f"h{n}" for n in range(300)]

    async def answer(endpoint: str) -> Sent:
        if endpoint.startswith("h"):
            await asyncio.sleep(10)
            return Sent(None, "timeout", 10_000, None)
        return Sent(204, None, 1, None)

    world = WebhookWorld([target(name) for name in (*hanging, *good)], answer=answer)
    happened: dict[str, float] = {}
    async with delivering(world):
        for _ in range(20):
            happened[world.happens()] = time.monotonic()
            await asyncio.sleep(0.02)
        await world.until(lambda: sum(call.endpoint.startswith("g") for call in world.calls) == 200)
        late = sorted(call.at_s - happened[call.event] for call in world.calls if call.endpoint.startswith("g"))
        print(f"p50 {late[100]:.3f} s, p99 {late[198]:.3f} s")
        assert late[198] < 5.0
