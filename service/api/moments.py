"""Moments as a kind of fields."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from service.api.kinds import BrokenValueError, Json, Place, Plain
from streams.domain.times import iso_ms


def moment_ms(value: object) -> int | None:
    """Return the moment that a text is, in epoch milliseconds, also before 1970; None where it is none."""
    try:
        moment = datetime.fromisoformat(value if isinstance(value, str) else "")
        # One without an offset would mean another time to each reader; one near the ends of time has none in UTC.
        return round(moment.astimezone(UTC).timestamp() * 1000) if moment.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


@dataclass(frozen=True)
class Moment(Plain):
    """A date and time of ISO 8601 with its offset from UTC; stored in UTC, so that texts are in the order of time."""

    def read(self, value: object, _place: Place) -> object:
        """Return the moment as it is shown everywhere."""
        ms = moment_ms(value)
        if ms is None or ms < 0:
            what = "a date and time in ISO 8601, as 2024-02-16T04:41:06Z"
            raise BrokenValueError("field.format", "{{field}} must be {{what}}", what=what)
        return iso_ms(ms)

    def schema(self) -> Json:
        """Return the JSON schema."""
        return {"type": "string", "format": "date-time"}
