"""Which deliveries a request is about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from multidict import MultiMapping

from service.api.kinds import BrokenValueError, read_id
from service.api.messages import Message, MessagesError, invalid, reference_not_found
from service.api.moments import moment_ms
from service.api.params import parameter_broken
from service.api.webhook_deliveries import STATUSES
from service.webhooks.deliveries import MOST_MS, Wanted
from streams.domain.webhook_events import Status

MOST_ENDPOINTS = 100
"""Whose deliveries one list has."""
RANGE = ("endpoint", "from", "to")
_MOST_TOLD = 100
_WHEN = "a date and time in ISO 8601, as 2024-02-16T04:41:06Z"


def read_wanted(query: MultiMapping[str], endpoints: Mapping[str, bool], *, with_hidden: bool) -> Wanted:
    """
    Return which deliveries a list is to have.

    Args:
        query: The request's.
        endpoints: The company's, by id: whether each is in lists.
        with_hidden: Whether those are asked for that are not.

    Raises:
        MessagesError: 400, with all that is broken.
    """
    broken: list[Message] = []
    times = [_time(query, name, default, broken) for name, default in (("from", 0), ("to", MOST_MS))]
    status = query.get("status")
    if status is not None and status not in STATUSES:
        broken.append(parameter_broken("status", f"one of {', '.join(STATUSES)}", status))
    named = dict.fromkeys(part for value in query.getall("endpoint", []) for part in value.split(";") if part)
    if "endpoint" in query:
        wanted = [one for one in named if one in endpoints]
    else:
        wanted = [one for one, is_listed in endpoints.items() if is_listed or with_hidden]
    if len(wanted) > MOST_ENDPOINTS:
        text = "Name endpoints by the parameter endpoint: {{most}} at most"
        broken.append(invalid("endpoints.too.many", text, most=str(MOST_ENDPOINTS)))
    if broken:
        raise MessagesError(400, broken)
    return Wanted(wanted, cast("Status | None", status), *_between(*times))


def read_range(fields: Mapping[str, Any], endpoints: Mapping[str, bool]) -> Wanted:
    """Return which deliveries are to be sent again; raise `MessagesError` (400) with all that is broken."""
    unknown = [name for name in fields if name not in RANGE]
    broken = [invalid("field.unknown", "There is no field {{field}}", field=name[:_MOST_TOLD]) for name in unknown]
    missing = [name for name in RANGE if name not in fields]
    broken += [invalid("field.required", "{{field}} is required", field=name) for name in missing]
    times = {name: moment_ms(fields.get(name)) for name in ("from", "to")}
    broken += [
        invalid("field.format", "{{field}} must be {{what}}", field=name, what=_WHEN)
        for name, time in times.items()
        if name in fields and time is None
    ]
    endpoint = _endpoint(fields, broken) if "endpoint" in fields else None
    if endpoint is not None and endpoint not in endpoints:
        broken.append(reference_not_found("WebhookEndpoint", endpoint, "endpoint"))
    if broken or endpoint is None:
        raise MessagesError(400, broken)
    return Wanted([endpoint], None, *_between(times["from"] or 0, times["to"] or 0))


def _between(from_ms: int, to_ms: int) -> tuple[int, int]:
    """Return the same times, none of them before 1970, when nothing was planned."""
    return max(from_ms, 0), max(to_ms, 1)


def _endpoint(fields: Mapping[str, Any], broken: list[Message]) -> str | None:
    try:
        return read_id(fields["endpoint"])
    except BrokenValueError as error:
        broken.append(invalid(error.code, error.text, field="endpoint", **error.params))
        return None


def _time(query: MultiMapping[str], name: str, default: int, broken: list[Message]) -> int:
    values = query.getall(name, [])
    if not values:
        return default
    time_ms = moment_ms(values[0]) if len(values) == 1 else None
    if time_ms is None:
        broken.append(parameter_broken(name, f"{_WHEN}, given once", values[-1]))
    return time_ms or 0
