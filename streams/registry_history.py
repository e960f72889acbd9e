"""Past versions of the registry's objects, read from the log."""

from __future__ import annotations

from collections.abc import Sequence

from streams.domain.errors import PoisonError
from streams.domain.registry_events import Transaction
from streams.domain.registry_history import Past, past_in
from streams.log.port import Log, Record
from streams.registry_codec import decode_registry_event
from streams.topics import REGISTRY_EVENTS


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
    records = log.read_at(REGISTRY_EVENTS, 0, offsets)
    pasts = [_past(record, type_name, object_id) async for record in records]
    return [past for past in pasts if past is not None]


def _past(record: Record, type_name: str, object_id: str) -> Past | None:
    try:
        event = decode_registry_event(record.key, record.value)
    except PoisonError:
        return None
    return past_in(event, type_name, object_id, record.time_ms) if isinstance(event, Transaction) else None
