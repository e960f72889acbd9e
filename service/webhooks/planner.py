"""Who is told of what happened, so that it stands in the log before anybody is."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from service.webhooks.ports import Endpoints
from service.webhooks.schedule import SPAN_MS
from streams.domain import webhook_rows as layout
from streams.domain.ids import Kind, id_text
from streams.domain.rows import Rows
from streams.domain.webhook_events import DeliveriesPlanned, Planned, Target
from streams.domain.webhook_rows import Undecided

MOST_NOTICES = 200
MOST_TARGETS = 2_000
MOST_BYTES = 512 << 10
"""What one event plans, at most as it is written, or one notice: half of what a record may have."""


def plan(rows: Rows, endpoints: Endpoints, *, now_ms: int, new_id: Callable[[], str]) -> DeliveriesPlanned | None:
    """
    Return who is told of the first notices that nothing was decided about; None where there are none.

    All that is told is of one context: where that is erased, the whole event is removed from the log.

    What is older than deliveries are tried is told to nobody: it comes of events that are folded again.

    Args:
        rows: A partition of the webhooks table.
        endpoints: The deployment's.
        now_ms: The time.
        new_id: Makes the event's id.
    """
    until: dict[str, tuple[int, int]] = {}
    events: list[Planned] = []
    targets = size = 0
    for count, notice in enumerate(_open(rows)):
        told = endpoints.of(notice.notice.app, notice.notice.type) if notice.notice.time_ms > now_ms - SPAN_MS else ()
        if told:
            planned = _planned(notice, told)
            size += len(msgspec.json.encode(planned))
            if events and (planned.context != events[0].context or size > MOST_BYTES):
                break
            events.append(planned)
            targets += len(told)
        until[notice.source] = notice.place
        if count + 1 == MOST_NOTICES or targets >= MOST_TARGETS:
            break
    # Where all was decided about already, an event that decides nothing has what is left dropped.
    is_left = bool(until) or next(iter(layout.undecided(rows)), None) is not None
    return DeliveriesPlanned(id=new_id(), until=until, events=events) if is_left else None


def _open(rows: Rows) -> Iterable[Undecided]:
    """Yield the notices that nothing was decided about, as they came."""
    decided: dict[str, tuple[int, int]] = {}
    for _, notice in layout.undecided(rows):
        if notice.source not in decided:
            decided[notice.source] = layout.read_place(rows, layout.DECIDED, notice.source)
        if notice.place > decided[notice.source]:
            yield notice


def _planned(notice: Undecided, told: Iterable[Target]) -> Planned:
    of = notice.notice
    return Planned(
        id=notice.id,
        source=notice.source,
        offset=of.offset,
        number=of.number,
        context=id_text(Kind.CONTEXT, notice.context),
        type=of.type,
        created=of.time_ms,
        request=of.request,
        idempotency_key=of.idempotency_key,
        data=msgspec.Raw(of.data),
        targets=list(told),
    )
