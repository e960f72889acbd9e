"""URLs that events may be sent to."""

from __future__ import annotations

from dataclasses import dataclass

from service.api.kinds import BrokenValueError, Json, Place, Plain
from service.webhooks.hosts import fault_of


@dataclass(frozen=True)
class WebhookUrl(Plain):
    """
    An https URL of a host that the whole world calls the same.

    What a name leads to is only known when it is called, and is judged then.
    """

    def read(self, value: object, place: Place) -> object:
        """Return the URL as it is written."""
        if not isinstance(value, str):
            raise BrokenValueError("field.wrong.type", "{{field}} must be a string")
        what = fault_of(value, allows_loopback=place.allows_loopback)
        if what is not None:
            raise BrokenValueError("field.format", "{{field}} must be {{what}}", what=what)
        return value

    def schema(self) -> Json:
        """Return the JSON schema."""
        return {"type": "string", "format": "uri", "maxLength": 2048}
