"""What is sent: events as publishers see them."""

from __future__ import annotations

import msgspec

from streams.domain.webhook_rows import Event


class _Request(msgspec.Struct, frozen=True):
    id: str | None
    idempotency_key: str | None


class _Sent(msgspec.Struct, frozen=True):
    """
    An event.

    Source:
        docs/webhooks.md.
    """

    id: str
    object: str
    type: str
    created: int
    api_version: str
    request: _Request
    data: msgspec.Raw


def event_id(event: str) -> str:
    """Return the id by which the receiver of an event knows it: the same, however often it is sent."""
    return f"evt_{event}"


def body(event: str, told: Event, version: str) -> bytes:
    """Return what is sent of an event to a client that uses a version of the API: always the same bytes."""
    return msgspec.json.encode(
        _Sent(
            id=event_id(event),
            object="event",
            type=told.type,
            created=told.created_ms,
            api_version=version,
            request=_Request(told.request or None, told.idempotency_key or None),
            data=msgspec.Raw(told.data),
        )
    )
