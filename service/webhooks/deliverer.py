"""Sends what is due to webhook endpoints, and notes in the log what came of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import structlog

from service.webhooks import events
from service.webhooks.lanes import SLOW_S, Lanes
from service.webhooks.planner import plan
from service.webhooks.ports import EndpointNow, Endpoints, Queues, Sign
from service.webhooks.schedule import GONE, Outcome, judge
from service.webhooks.sender import Sender, Sent
from streams.domain import webhook_rows as layout
from streams.domain.errors import PoisonError, UnavailableError
from streams.domain.rows import Rows
from streams.domain.webhook_events import AnyWebhookEvent, DeliveryAttempted, Status
from streams.domain.webhook_rows import Delivery, Event

_LOOK_S = 1.0
"""So often at least it is looked what is due, and whose the partitions are."""
_REST = 4
"""For so many times as long as a look has taken, the turns of others included, the next one waits, up to `_LOOK_S`: to
look takes a fifth of a core, unless it takes long."""
_LOOKED_AT = 64
"""Deliveries of one endpoint that a look goes through: those that are on their way stand first."""
_ENDPOINTS_AT_ONCE = 50
"""That a look goes through before others have their turn."""
_AGAIN_S = 0.5
_NOTE_LIMIT_S = 30.0
"""For so long it is tried to note what came of an attempt; then it was made in vain, and is made again."""
_STOP_LIMIT_S = 3.0
"""For so long what is on its way may go on once the node was asked to stop; what is not noted is sent again."""
_AHEAD_MS = 1_000
"""By so much the log's clock may be ahead of this one: what is planned is due at once. No pause is as short."""
_BUSY = frozenset({408, 425, 429})
"""Answers that say, as those from 500 on, that the endpoint itself is not well."""
_NOT_SENT = Sent(None, "endpoint_inactive", 0, None)
_UNREADABLE = Sent(None, "secret_unreadable", 0, None)
"""Another node's key may be the right one, or this one's tomorrow: it is tried again."""


class World(NamedTuple):
    """What a deliverer needs."""

    queues: Queues
    endpoints: Endpoints
    sender: Sender
    sign: Sign
    entropy: Callable[[int], bytes]
    chance: Callable[[], float]
    """Returns a number from 0 up to 1, at random."""
    now_ms: Callable[[], int]
    clock_s: Callable[[], float] = time.monotonic


@dataclass
class Counts:
    """What was done since the start, and what waits."""

    planned: int = 0
    """Events that were written of who is told what."""
    attempts: int = 0
    delivered: int = 0
    failed: int = 0
    unwritable: int = 0
    """Attempts that have come to what cannot be written down."""
    pending: int = 0
    """Deliveries that wait, or are on their way."""
    oldest_due_ms: int = 0
    """For how long the one has been due that waits longest."""


class _Job(NamedTuple):
    """One event to one endpoint."""

    partition: int
    told: Event
    delivery: Delivery


class Deliverer:
    """
    Sends what is due of the partitions that are this node's.

    What is to be sent stands in the log before it is sent, and what came of it before anything else is made of that. So
    a crash anywhere repeats an attempt at most, of an event that bears the same id. What is dead or slow holds back
    nobody else: see `Lanes`.
    """

    def __init__(self, world: World) -> None:
        """Take what is needed."""
        self._world = world
        self.lanes = Lanes()
        self.counts = Counts()
        self._on_way: set[tuple[str, str]] = set()
        """(Event, endpoint) of what is sent, until the table knows what came of it."""
        self._planning: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._failed: list[BaseException] = []
        self._logger = structlog.get_logger(__name__)

    async def run(self) -> None:
        """Send, until this is cancelled; then what is on its way has a little time to arrive."""
        limit_s = 0.0
        try:
            while True:
                await self._world.queues.changed(limit_s)
                began_s = self._world.clock_s()
                limit_s = await self._look()
                for error in self._failed:
                    raise error
                await asyncio.sleep(min(_REST * (self._world.clock_s() - began_s), _LOOK_S))
        finally:
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=_STOP_LIMIT_S)
            for task in self._tasks:
                task.cancel()

    async def _look(self) -> float:
        """Begin what can be begun; return for how many seconds there is nothing more, unless something changes."""
        now_ms = self._world.now_ms()
        pending, waits_ms = 0, [now_ms]
        told: set[str] = set()
        next_ms = now_ms + int(_LOOK_S * 1_000)
        with suppress(UnavailableError):
            for partition in await self._world.queues.ready():
                rows = self._world.queues.rows(partition)
                if partition not in self._planning and next(layout.undecided(rows), None) is not None:
                    self._planning.add(partition)
                    self._begin(self._plan(partition))
                for number, row in enumerate(list(layout.endpoints(rows)), 1):
                    pending += row.pending
                    told.add(row.endpoint)
                    first_ms = self._send_due(partition, rows, row.endpoint, now_ms)
                    if first_ms is not None and first_ms > now_ms:
                        next_ms = min(next_ms, first_ms)
                    elif first_ms is not None:
                        waits_ms.append(first_ms)
                    if number % _ENDPOINTS_AT_ONCE == 0:
                        await asyncio.sleep(0)
                        rows = self._world.queues.rows(partition)
                await asyncio.sleep(0)
            self.lanes.forget_others(told, self._world.clock_s())
        self.counts.pending, self.counts.oldest_due_ms = pending, now_ms - min(waits_ms)
        return (next_ms - now_ms) / 1_000

    def _send_due(self, partition: int, rows: Rows, endpoint: str, now_ms: int) -> int | None:
        """Begin to send what an endpoint is due, as far as there is room; return when what is left is due first."""
        room = self.lanes.room(endpoint, self._world.clock_s())
        for time_ms, event in islice(layout.due(rows, layout.endpoint_hash(endpoint)), _LOOKED_AT):
            if (event, endpoint) in self._on_way:
                continue
            if time_ms > now_ms + _AHEAD_MS or room <= 0:
                return time_ms
            found, told = layout.read_delivery(rows, event, endpoint), layout.read_event(rows, event)
            if found is None or told is None:
                msg = f"{event} is due, and is not there"
                raise RuntimeError(msg)
            room -= 1
            self.lanes.begin(endpoint)
            self._on_way.add((event, endpoint))
            self._begin(self._deliver(_Job(partition, told, found[1])))
        return None

    def _begin(self, doing: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(doing, name="webhooks")
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed.append(error)
        self._world.queues.wake()

    async def _plan(self, partition: int) -> None:
        """Decide who is told of what happened, once all is known of those who are to be."""
        world = self._world
        try:
            await world.endpoints.caught_up()
            rows = world.queues.rows(partition)
            event = plan(rows, world.endpoints, now_ms=world.now_ms(), new_id=lambda: world.entropy(16).hex())
            if event is not None and await self._note(partition, event):
                self.counts.planned += 1
        except UnavailableError:
            await asyncio.sleep(_AGAIN_S)
        finally:
            self._planning.discard(partition)

    async def _deliver(self, job: _Job) -> None:
        """Send an event once, and note what came of it."""
        delivery, world = job.delivery, self._world
        at_ms = world.now_ms()
        try:
            try:
                endpoint = await self._endpoint(delivery.endpoint)
            except UnavailableError:
                await asyncio.sleep(_AGAIN_S)
                # Nothing was sent, and it is still due; that says nothing of the endpoint.
                self.lanes.leave(delivery.endpoint)
                return
            sent = await self._send(job, endpoint, at_ms)
            outcome = Outcome("FAILED", 0) if endpoint is None else self._judged(delivery, sent)
            if sent.status == GONE and endpoint is not None:
                await world.endpoints.disable(delivery.endpoint, endpoint.url)
            attempted = DeliveryAttempted(
                id=world.entropy(16).hex(),
                event=delivery.event,
                endpoint=delivery.endpoint,
                attempt=delivery.made + 1,
                at=at_ms,
                status=sent.status,
                error=sent.error,
                duration_ms=sent.duration_ms,
                outcome=outcome.status,
                again_at=outcome.again_ms,
            )
            await self._note_attempt(job.partition, attempted)
        finally:
            self._on_way.discard((delivery.event, delivery.endpoint))

    async def _endpoint(self, endpoint: str) -> EndpointNow | None:
        """
        Return an endpoint as it is now; None where nothing is sent to it any more, once all is known of it here.

        Raises:
            LogUnavailableError: All is not known.
        """
        found = self._world.endpoints.find(endpoint)
        if found is None:
            await self._world.endpoints.caught_up()
            found = self._world.endpoints.find(endpoint)
        return found

    async def _send(self, job: _Job, endpoint: EndpointNow | None, at_ms: int) -> Sent:
        delivery, world = job.delivery, self._world
        began_s = world.clock_s()
        slow = asyncio.get_running_loop().call_later(SLOW_S, self._slow, delivery.endpoint)
        sent = _NOT_SENT
        try:
            if endpoint is not None and not endpoint.secrets:
                sent = _UNREADABLE
            elif endpoint is not None:
                content = events.body(delivery.event, job.told, delivery.version)
                headers = world.sign(events.event_id(delivery.event), content, endpoint.secrets, at_ms)
                sent = await world.sender.send(endpoint.url, content, headers)
        finally:
            slow.cancel()
            now_s = world.clock_s()
            answers = sent.status is not None and sent.status < 500 and sent.status not in _BUSY
            self.lanes.end(delivery.endpoint, now_s=now_s, took_s=now_s - began_s, answers=answers or endpoint is None)
        return sent

    def _slow(self, endpoint: str) -> None:
        self.lanes.slow(endpoint)
        self._world.queues.wake()

    def _judged(self, delivery: Delivery, sent: Sent) -> Outcome:
        world = self._world
        tries, since_ms = delivery.tries + 1, delivery.since_ms
        return judge(sent, tries=tries, since_ms=since_ms, now_ms=world.now_ms(), chance=world.chance())

    async def _note_attempt(self, partition: int, attempted: DeliveryAttempted) -> None:
        """Note what came of an attempt; where that breaks the rules of events, that it came to an end."""
        try:
            is_noted = await self._note(partition, attempted)
        except PoisonError as error:
            # A bug. It is not sent again and again for that, and nobody else waits for it.
            self.counts.unwritable += 1
            of = {"webhook_event": attempted.event, "endpoint": attempted.endpoint}
            self._logger.error("webhook_attempt_unwritable", **of, reason=str(error))  # noqa: TRY400 - the reason says it
            outcome: Status = "DELIVERED" if attempted.outcome == "DELIVERED" else "FAILED"
            attempted = DeliveryAttempted(
                id=attempted.id,
                event=attempted.event,
                endpoint=attempted.endpoint,
                attempt=attempted.attempt,
                at=attempted.at,
                error="unwritable",
                outcome=outcome,
            )
            is_noted = await self._note(partition, attempted)
        if is_noted:
            self.counts.attempts += 1
            self.counts.delivered += attempted.outcome == "DELIVERED"
            self.counts.failed += attempted.outcome == "FAILED"

    async def _note(self, partition: int, event: AnyWebhookEvent) -> bool:
        """Append an event and wait until the table has it; say whether it is in the log. `PoisonError` as `append`."""
        world = self._world
        end_s = world.clock_s() + _NOTE_LIMIT_S
        while world.clock_s() < end_s:
            try:
                offset = await world.queues.append(partition, event)
            except UnavailableError:
                await asyncio.sleep(_AGAIN_S)
                continue
            with suppress(UnavailableError):
                await world.queues.folded(partition, offset, limit_s=_NOTE_LIMIT_S)
            return True
        return False
