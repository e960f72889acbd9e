"""What became of an object, version by version, as the log tells it."""

from __future__ import annotations

from typing import NamedTuple

from streams.domain.registry_events import ObjectState, Transaction


class Past(NamedTuple):
    """One version of an object, and who wrote it when."""

    version: int
    time_ms: int
    user: str
    request: str
    """The id of the request that asked for it; empty where it is not known."""
    name: str
    state: ObjectState
    fields: dict[str, object]


def past_in(transaction: Transaction, type_name: str, object_id: str, time_ms: int) -> Past | None:
    """Return the version of an object that *transaction*, which was applied, has written; None where it has not."""
    for write in transaction.objects:
        if (write.type, write.id) == (type_name, object_id):
            return Past(
                version=write.version + 1,
                time_ms=time_ms,
                user=transaction.user,
                request=transaction.request,
                name=write.name,
                state=write.state,
                fields=write.fields,
            )
    return None
