"""Past versions of the registry's objects, read from the log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from streams.domain.errors import PoisonError
from streams.domain.registry_events import Transaction
from streams.domain.registry_history import Past, past_in
from streams.log.port import Log, Record
from streams.registry_codec import decode_registry_event
from streams.topics import REGISTRY_EVENTS

READ_THROUGH = 1_000
"""Records between two that are wanted, at most, for which one read goes on instead of beginning anew."""


class Span(NamedTuple):
    """Offsets that one read is made for."""

    start: int
    end: int
    """Not included."""


async def past_versions(log: Log, type_name: str, object_id: str, offsets: Sequence[int]) -> list[Past]:
    """
    Return the versions of an object that the transactions at *offsets* wrote, in this order.

    What was removed from the log is left out.

    Args:
        log: Its topic `registry-events` is read.
        type_name: The object's type.
        object_id: The object's id.
        offsets: Of transactions that wrote the object and were applied, ascending.

    Raises:
        LogUnavailableError: The log did not answer.
    """
    wanted = frozenset(offsets)
    found: list[Past] = []
    for span in spans(offsets):
        async for chunk in log.read(REGISTRY_EVENTS, 0, span.start, span.end):
            for record in chunk.records:
                past = _past(record, type_name, object_id) if record.offset in wanted else None
                if past is not None:
                    found.append(past)
    return found


def spans(offsets: Sequence[int]) -> Iterator[Span]:
    """Yield as few spans as cover *offsets*, ascending, without reading through too much that is not wanted."""
    start = end = None
    for offset in offsets:
        if start is not None and end is not None and offset - end > READ_THROUGH:
            yield Span(start, end)
            start = None
        start, end = offset if start is None else start, offset + 1
    if start is not None and end is not None:
        yield Span(start, end)


def _past(record: Record, type_name: str, object_id: str) -> Past | None:
    try:
        event = decode_registry_event(record.key, record.value)
    except PoisonError:
        return None
    return past_in(event, type_name, object_id, record.time_ms) if isinstance(event, Transaction) else None
