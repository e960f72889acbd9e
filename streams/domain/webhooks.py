"""The webhooks processor's folds: what apps are to hear of, for whom it was planned, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import assert_never

import msgspec
from msgspec.structs import replace

from streams.domain import webhook_rows as layout
from streams.domain.ids import ContextId, Kind, known_id
from streams.domain.rows import WritableRows
from streams.domain.webhook_events import (
    AnyWebhookEvent,
    ContextForgotten,
    DeliveriesPlanned,
    DeliveryAttempted,
    DeliveryResent,
    Planned,
    SessionForgotten,
    Target,
)
from streams.domain.webhook_rows import Attempt, Delivery, Event, Undecided


class WebhookLimits(msgspec.Struct, frozen=True):
    """How much there may be of what. Tests make it small."""

    pending: int = 10_000
    """Deliveries of one partition that wait for one endpoint; one more has failed at once."""
    attempts: int = 45
    """Attempts of a delivery that are remembered."""
    forget_ms: int = 30 * 24 * 3600 * 1000
    """How long an event and its deliveries are remembered."""
    forget_at_once: int = 4
    """Events that are forgotten for each one that is planned, so that they do not grow in number for ever."""
    forget_deliveries: int = 4_000
    """Of their deliveries, and those of one event more at most, so that what one record changes fits into a batch. One
    plans fewer, so these do not grow in number either."""
    forget_of_context: int = 2_000
    """Notices and events of a context that is erased that go at once."""
    drop_at_once: int = 500
    """Notices that were decided about and are dropped when something is planned."""


WEBHOOK_LIMITS = WebhookLimits()


def fold_notice(rows: WritableRows, notice: Undecided, *, offset: int) -> None:
    """
    Keep a notice until somebody decides who is told, unless it was heard of before.

    Args:
        rows: The webhooks table, or an overlay of it.
        notice: What happened.
        offset: The notice's own.
    """
    source = notice.source
    known = max(layout.read_place(rows, layout.HEARD, source), layout.read_place(rows, layout.DECIDED, source))
    if notice.place > known:
        rows.put(layout.place_key(layout.HEARD, source), layout.encode_place(notice.place))
        rows.put(layout.notice_key(offset), layout.encode(notice))


def fold_webhook_event(
    rows: WritableRows, event: AnyWebhookEvent, *, offset: int, time_ms: int, limits: WebhookLimits = WEBHOOK_LIMITS
) -> None:
    """
    Fold *event* into the table.

    Args:
        rows: The webhooks table, or an overlay of it.
        event: What was planned, or what came of it.
        offset: The event's.
        time_ms: The event's time, its record's.
        limits: How much is kept.
    """
    fold = _Fold(rows, offset, time_ms, limits)
    match event:
        case DeliveriesPlanned():
            fold.plan(event)
        case DeliveryAttempted():
            fold.attempt(event)
        case DeliveryResent():
            fold.resend(event)
        case ContextForgotten():
            fold.forget(event)
        case SessionForgotten():
            fold.forget_session(event)
        case _:
            assert_never(event)


class _Fold:
    """The table, as one event changes it."""

    def __init__(self, rows: WritableRows, offset: int, time_ms: int, limits: WebhookLimits) -> None:
        self._rows, self._offset, self._time_ms, self._limits = rows, offset, time_ms, limits
        self._number = 0
        """Of the next order row."""

    def plan(self, event: DeliveriesPlanned) -> None:
        """Note who is told what, of that which nobody has decided about before."""
        before = {source: layout.read_place(self._rows, layout.DECIDED, source) for source in event.until}
        for planned in event.events:
            if (planned.offset, planned.number) > before.get(planned.source, layout.NOWHERE):
                self._plan(planned)
        self._decide(event.until)
        self._drop()
        self._forget(self._limits.forget_at_once * max(1, len(event.events)))

    def _decide(self, until: Mapping[str, tuple[int, int]]) -> None:
        for source, place in until.items():
            if place > layout.read_place(self._rows, layout.DECIDED, source):
                self._rows.put(layout.place_key(layout.DECIDED, source), layout.encode_place(place))

    def forget(self, event: ContextForgotten) -> None:
        """Forget all of a context, or as much as may go at once."""
        context = known_id(Kind.CONTEXT, event.context)
        self._decide(event.until)
        notices = (key for key, notice in layout.undecided(self._rows) if notice.context == context)
        for key in list(islice(notices, self._limits.forget_of_context)):
            self._rows.delete(key)
        left = self._limits.forget_deliveries
        for id_ in list(islice(layout.of_context(self._rows, context), self._limits.forget_of_context)):
            if left <= 0:
                return
            told = layout.read_event(self._rows, id_)
            found = [] if told is None else [layout.read_delivery(self._rows, id_, to) for to in told.endpoints]
            left -= len(found)
            for one in found:
                if one is not None:
                    self._cancel(*one)
            self._rows.delete(layout.event_key(id_))
            self._rows.delete(layout.of_key(context, id_))

    def _cancel(self, key: bytes, delivery: Delivery) -> None:
        """Forget a delivery, sent or not; what waits for it in order is of the same context, and goes too."""
        if delivery.due_ms is not None:
            self._rows.delete(layout.due_key(layout.endpoint_hash(delivery.endpoint), delivery.due_ms, delivery.event))
        if delivery.order is not None:
            self._rows.delete(delivery.order)
        if delivery.status == "PENDING":
            self._count(delivery.endpoint, -1)
        self._rows.delete(key)

    def forget_session(self, event: SessionForgotten) -> None:
        """Forget what was told of a session, or as much of it as may go at once."""
        named = b'"session_id":"%b"' % event.session.encode()
        self._decide(event.until)
        notices = (key for key, notice in layout.undecided(self._rows) if named in notice.notice.data)
        for key in list(islice(notices, self._limits.forget_of_context)):
            self._rows.delete(key)
        events = ((id_, told) for id_, told in layout.events(self._rows) if named in told.data)
        left = self._limits.forget_deliveries
        for id_, told in list(islice(events, self._limits.forget_of_context)):
            if left <= 0:
                return
            left -= len(told.endpoints)
            for endpoint in told.endpoints:
                found = layout.read_delivery(self._rows, id_, endpoint)
                if found is not None:
                    key, delivery = found
                    # What waits for it in order is of the same context, and goes on.
                    self._move(key, delivery, replace(delivery, status="FAILED", due_ms=None))
                    self._rows.delete(key)
            self._rows.delete(layout.event_key(id_))
            self._rows.delete(layout.of_key(ContextId(told.context), id_))

    def attempt(self, event: DeliveryAttempted) -> None:
        """Note an attempt; of one that two nodes have made, the first, or the one that has arrived."""
        found = layout.read_delivery(self._rows, event.event, event.endpoint)
        if found is None:
            return
        key, delivery = found
        arrives = event.outcome == "DELIVERED" and delivery.status != "DELIVERED"
        if not arrives and (event.attempt <= delivery.made or delivery.status != "PENDING"):
            return
        # One that waits for those before it goes on waiting: an owner that was away has sent it out of its turn.
        is_due = event.outcome == "PENDING" and delivery.due_ms is not None
        attempt = Attempt(event.at, event.status, event.error, event.duration_ms)
        self._move(
            key,
            delivery,
            replace(
                delivery,
                status=event.outcome,
                due_ms=event.again_at if is_due else None,
                tries=delivery.tries + 1,
                made=max(delivery.made, event.attempt),
                attempts=[*delivery.attempts, attempt][-self._limits.attempts :],
            ),
        )

    def resend(self, event: DeliveryResent) -> None:
        """Have a delivery begin anew; one that waits for those before it goes on waiting."""
        found = layout.read_delivery(self._rows, event.event, event.endpoint)
        known = layout.read_event(self._rows, event.event)
        if found is None or known is None:
            return
        key, delivery = found
        if delivery.status == "PENDING" and delivery.due_ms is None:
            return
        again = replace(delivery, status="PENDING", tries=0, since_ms=self._time_ms, due_ms=self._time_ms)
        if delivery.order is not None and delivery.status != "PENDING":
            again = self._line_up(again, ContextId(known.context))
        self._move(key, delivery, again)

    def _plan(self, planned: Planned) -> None:
        context = ContextId(known_id(Kind.CONTEXT, planned.context))
        endpoints = [target.endpoint for target in planned.targets]
        event = Event(
            context,
            planned.type,
            planned.created,
            planned.request,
            bytes(planned.data),
            self._time_ms,
            endpoints,
            planned.idempotency_key,
        )
        self._rows.put(layout.event_key(planned.id), layout.encode(event))
        self._rows.put(layout.of_key(context, planned.id), b"")
        self._rows.put(layout.age_key(self._time_ms, planned.id), b"")
        for target in planned.targets:
            self._deliver(planned, target, context)

    def _deliver(self, planned: Planned, target: Target, context: ContextId) -> None:
        key = layout.delivery_key(layout.endpoint_hash(target.endpoint), self._time_ms, planned.id)
        delivery = Delivery(
            target.endpoint, planned.id, planned.type, target.version, "PENDING", self._time_ms, self._time_ms
        )
        if layout.read_endpoint(self._rows, target.endpoint).pending >= self._limits.pending:
            refused = Attempt(self._time_ms, None, "queue_full", 0)
            failed = replace(delivery, status="FAILED", due_ms=None, attempts=[refused])
            self._rows.put(key, layout.encode(failed))
            return
        if target.ordered:
            delivery = self._line_up(delivery, context)
        self._move(key, None, delivery)

    def _line_up(self, delivery: Delivery, context: ContextId) -> Delivery:
        """Have a delivery wait for all that its endpoint is told of the context in order before it."""
        endpoint = layout.endpoint_hash(delivery.endpoint)
        waits = next(self._rows.range(layout.order_prefix(endpoint, context)), None) is not None
        key = layout.order_key(endpoint, context, self._offset, self._number)
        self._number += 1
        self._rows.put(key, bytes.fromhex(delivery.event))
        return replace(delivery, order=key, due_ms=None if waits else delivery.due_ms)

    def _move(self, key: bytes, before: Delivery | None, after: Delivery) -> None:
        """Write a delivery, when it is due, and how many are pending."""
        endpoint = layout.endpoint_hash(after.endpoint)
        if before is not None and before.due_ms is not None:
            self._rows.delete(layout.due_key(endpoint, before.due_ms, before.event))
        if after.due_ms is not None:
            self._rows.put(layout.due_key(endpoint, after.due_ms, after.event), b"")
        self._rows.put(key, layout.encode(after))
        was_pending = before is not None and before.status == "PENDING"
        is_pending = after.status == "PENDING"
        if was_pending != is_pending:
            self._count(after.endpoint, 1 if is_pending else -1)
        if was_pending and not is_pending and after.order is not None:
            self._next_in_order(after.endpoint, after.order)

    def _next_in_order(self, endpoint: str, order: bytes) -> None:
        """Have what waits for a delivery that has ended be due now."""
        self._rows.delete(order)
        value = next((value for _, value in self._rows.range(order[:-12])), None)
        found = None if value is None else layout.read_delivery(self._rows, value.hex(), endpoint)
        if found is not None and found[1].due_ms is None:
            key, waiting = found
            self._move(key, waiting, replace(waiting, since_ms=self._time_ms, due_ms=self._time_ms))

    def _count(self, endpoint: str, more: int) -> None:
        row = layout.read_endpoint(self._rows, endpoint)
        key = layout.endpoint_key(layout.endpoint_hash(endpoint))
        if row.pending + more:
            self._rows.put(key, layout.encode(replace(row, pending=row.pending + more)))
        else:
            self._rows.delete(key)

    def _drop(self) -> None:
        """Drop notices that were decided about, a bounded number at a time."""
        decided: dict[str, tuple[int, int]] = {}
        for key, notice in list(islice(layout.undecided(self._rows), self._limits.drop_at_once)):
            if notice.source not in decided:
                decided[notice.source] = layout.read_place(self._rows, layout.DECIDED, notice.source)
            if notice.place <= decided[notice.source]:
                self._rows.delete(key)

    def _forget(self, at_once: int) -> None:
        """Forget a few events that are old, with all that came of them; one that is still on its way, another time."""
        left = self._limits.forget_deliveries
        for key, (time_ms, event_id) in list(islice(layout.ages(self._rows), at_once)):
            if time_ms >= self._time_ms - self._limits.forget_ms or left <= 0:
                return
            self._rows.delete(key)
            event = layout.read_event(self._rows, event_id)
            if event is None:
                continue  # its context was erased
            found = [layout.read_delivery(self._rows, event_id, endpoint) for endpoint in event.endpoints]
            left -= len(found)
            if any(one is not None and one[1].status == "PENDING" for one in found):
                self._rows.put(layout.age_key(self._time_ms, event_id), b"")
                continue
            for one in found:
                if one is not None:
                    self._rows.delete(one[0])
            self._rows.delete(layout.event_key(event_id))
            self._rows.delete(layout.of_key(event.context, event_id))
