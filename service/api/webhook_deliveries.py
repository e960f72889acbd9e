"""Webhook deliveries: what was sent to whom, and what is still to be sent."""

from __future__ import annotations

from service.api.kinds import Choice, Json, Link, Place, Plain, Text
from service.api.moments import Moment
from service.api.resource import Field, ResourceType


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
        return {"type": "array", "items": {"type": "object", "properties": properties}}


WEBHOOK_DELIVERIES = ResourceType(
    name="webhookdeliveries",
    label="WebhookDelivery",
    says="What was sent to webhook endpoints, and what is still to be sent.",
    in_company=True,
    name_required=False,
    writable=False,
    fields=(
        Field(name="endpoint", kind=Link(("webhookendpoints",)), says="Where it is sent to.", read_only=True),
        Field(name="eventId", kind=Text(64), says="The id of the event, `evt_…`.", read_only=True),
        Field(name="eventType", kind=Text(64), says="The type of the event.", read_only=True),
        Field(
            name="status",
            kind=Choice(("PENDING", "DELIVERED", "FAILED")),
            says="Whether it has arrived, or never will.",
            read_only=True,
        ),
        Field(name="attempts", kind=Attempts(), says="What came of each attempt.", read_only=True, empty=()),
        Field(name="nextAttempt", kind=Moment(), says="When it is tried again; null: never.", read_only=True),
    ),
)
