"""The events of webhooks, as they stand in the log for ever: what was planned for whom, and what came of it."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from streams.domain.events import Hex16
from streams.domain.notices import NoticeType
from streams.domain.registry_events import ObjectId

Natural = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Status = Literal["PENDING", "DELIVERED", "FAILED"]


class WebhookEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", forbid_unknown_fields=False):
    """
    What every event of webhooks bears. Its time is its record's, its id is its record's key.

    Fields are only ever added, with defaults; a changed meaning is a new tag.
    """

    id: Hex16


class Target(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An endpoint that is told."""

    endpoint: ObjectId
    version: str
    """The version of the API that its client uses by default."""
    ordered: bool = False
    """Whether it hears of a context's next event only when this one has arrived, or never will."""


class Planned(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that an app is told of, and which endpoints are."""

    id: Hex16
    """Of what happened, the same for ever."""
    source: str
    """The partition of the record that it comes of, `<topic>-<partition>`."""
    offset: Natural
    """The record's."""
    number: Natural
    """Which of the record's notices it is, from 0."""
    context: str
    """The id of the context that it happened to."""
    type: NoticeType
    created: Natural
    """When it happened, in epoch milliseconds."""
    request: str = ""
    """The id of the request that caused it."""
    idempotency_key: str = ""
    """That request's."""
    data: msgspec.Raw
    """What it happened to, as it is sent."""
    targets: Annotated[list[Target], Meta(min_length=1)]


class DeliveriesPlanned(WebhookEvent, frozen=True, kw_only=True, tag="webhook.deliveries_planned.v1"):
    """Of what happened lately, who is told what. What happened and is not named here is told to nobody."""

    until: dict[str, tuple[Natural, Natural]]
    """Partition of a source → offset and number of the last notice that this was decided about."""
    events: list[Planned]


class DeliveryAttempted(WebhookEvent, frozen=True, kw_only=True, tag="webhook.delivery_attempted.v1"):
    """An event was sent to an endpoint, or will never be."""

    event: Hex16
    endpoint: ObjectId
    attempt: Natural
    """Which one it is, from 1; of two with the same number the first counts."""
    at: Natural
    """When it began, in epoch milliseconds."""
    status: Annotated[int, Meta(ge=100, le=999)] | None = None
    """What the endpoint answered; null: nothing."""
    error: Annotated[str, Meta(max_length=300)] | None = None
    """Why there is no answer, in a word."""
    duration_ms: Natural = 0
    outcome: Status
    """PENDING: it is tried again."""
    again_at: Natural = 0
    """When, in epoch milliseconds, where it is."""


class DeliveryResent(WebhookEvent, frozen=True, kw_only=True, tag="webhook.delivery_resent.v1"):
    """Somebody wants an event to be sent to an endpoint once more, whatever came of it."""

    event: Hex16
    endpoint: ObjectId


class ContextForgotten(WebhookEvent, frozen=True, kw_only=True, tag="webhook.context_forgotten.v1"):
    """A context was erased: nothing more is told of it, and what was told is forgotten."""

    context: str
    until: dict[str, tuple[Natural, Natural]]
    """Of the events that planned what its app was told, which are removed from the log: see there."""


class SessionForgotten(WebhookEvent, frozen=True, kw_only=True, tag="webhook.session_forgotten.v1"):
    """A session was deleted: what was told of it is forgotten, by the contexts of this partition."""

    session: str
    until: dict[str, tuple[Natural, Natural]]
    """As of a context."""


AnyWebhookEvent = DeliveriesPlanned | DeliveryAttempted | DeliveryResent | ContextForgotten | SessionForgotten
