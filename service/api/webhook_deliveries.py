"""Webhook deliveries: what was sent to whom, and what is still to be sent."""

from __future__ import annotations

from service.api.kinds import Choice, Json, Link, Place, Plain, Text
from service.api.moments import Moment
from service.api.resource import Field, ResourceType
from service.api.shown import show
from service.webhooks.deliveries import FoundDelivery
from service.webhooks.events import event_id
from streams.domain.registry_state import RegistryState, StoredObject
from streams.domain.times import iso_ms

ENDPOINTS = "webhookendpoints"
STATUSES = ("PENDING", "DELIVERED", "FAILED")
_MAKER = "service"


class Attempts(Plain):
    """What came of each attempt, as the service has noted it."""

    def read(self, value: object, _place: Place) -> object:
        """Return the attempts."""
        return value

    def schema(self) -> Json:
        """Return the JSON schema."""
        properties = {
            "time": Moment().schema(),
            "status": {"type": ["integer", "null"]},
            "error": {"type": ["string", "null"]},
            "durationMs": {"type": "integer"},
        }
        return {"type": "array", "items": {"type": "object", "properties": properties, "required": [*properties]}}


WEBHOOK_DELIVERIES = ResourceType(
    name="webhookdeliveries",
    label="WebhookDelivery",
    says="What was sent to webhook endpoints, and what is still to be sent.",
    in_company=True,
    name_required=False,
    fields=(
        Field(name="endpoint", kind=Link((ENDPOINTS,)), says="Where it is sent to.", required=True, read_only=True),
        Field(name="eventId", kind=Text(64), says="The id of the event, `evt_…`.", required=True, read_only=True),
        Field(name="eventType", kind=Text(64), says="The type of the event.", required=True, read_only=True),
        Field(
            name="status",
            kind=Choice(STATUSES),
            says="Whether it has arrived, or never will.",
            required=True,
            read_only=True,
        ),
        Field(
            name="attempts", kind=Attempts(), says="What came of the last attempts, in order.", read_only=True, empty=()
        ),
        Field(
            name="nextAttempt",
            kind=Moment(),
            says="When it is tried again; null: never, or once those before it have arrived.",
            read_only=True,
        ),
    ),
)
"""No type of objects that the registry has: what its paths are answered by, beside those of the types."""


def show_delivery(found: FoundDelivery, company: str | None, state: RegistryState) -> Json:
    """Return a delivery to an endpoint of a company, as it is answered."""
    delivery = found.delivery
    updated_ms = max([found.planned_ms, *(attempt.time_ms for attempt in delivery.attempts)])
    attempts = [
        {
            "time": iso_ms(attempt.time_ms),
            "status": attempt.status,
            "error": attempt.error,
            "durationMs": attempt.duration_ms,
        }
        for attempt in delivery.attempts
    ]
    stored = StoredObject(
        type=WEBHOOK_DELIVERIES.name,
        id=found.id,
        version=0,
        offset=0,
        company=company,
        partners=(),
        name="",
        state="ACTIVE",
        fields={
            "endpoint": {"type": ENDPOINTS, "id": delivery.endpoint},
            "eventId": event_id(delivery.event),
            "eventType": delivery.type,
            "status": delivery.status,
            "attempts": attempts,
            "nextAttempt": None if delivery.due_ms is None else iso_ms(delivery.due_ms),
        },
        unique=(),
        created_ms=found.planned_ms,
        created_by=_MAKER,
        updated_ms=updated_ms,
        updated_by=_MAKER,
    )
    return show(WEBHOOK_DELIVERIES, stored, state)


def delivery_etag(found: FoundDelivery) -> str:
    """Return the entity tag of a delivery: what has been done about it."""
    delivery = found.delivery
    return f'"{delivery.made}-{delivery.tries}-{delivery.since_ms}-{delivery.due_ms or 0}-{delivery.status}"'
