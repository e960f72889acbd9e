"""The paths of webhook deliveries in the OpenAPI document: like those of the types, but that nobody writes them."""

from __future__ import annotations

from typing import Any

from service.api.kinds import API, Json
from service.api.openapi_examples import content, id_of
from service.api.openapi_paths import SCHEMAS, headers_of, path_id, paths_of, posting, query_parameter
from service.api.webhook_deliveries import ENDPOINTS, STATUSES, WEBHOOK_DELIVERIES
from service.http.openapi_examples import TIME
from service.webhooks.deliveries import MOST_LISTED

_LABEL = WEBHOOK_DELIVERIES.label
_TIME: Json = {"type": "string", "format": "date-time"}
_READS = ("get", "head", "options")


def deliveries_paths() -> Json:
    """Return the paths, by template."""
    every = f"{API}/{WEBHOOK_DELIVERIES.name}"
    one = f"{every}/{{id}}"
    of_type = paths_of(WEBHOOK_DELIVERIES)
    listed, read = ({method: of_type[path][method] for method in _READS} for path in (every, one))
    for method in ("get", "head"):
        listed[method] |= {
            "description": f"Newest first, at most {MOST_LISTED} of them: where there are more, go on with `to`.",
            "parameters": [*listed[method]["parameters"], *_filters()],
        }
        read[method]["description"] = "With its attempts."
    _add_since(listed["get"]["responses"]["200"]["content"]["application/json"])
    return {every: listed, f"{every}/resend": _resend_all(), one: read, f"{one}/resend": _resend()}


def _filters() -> list[Json]:
    return [
        query_parameter("endpoint", "Only to these endpoints: ids, separated by semicolons.", {"type": "string"}),
        query_parameter("status", "Only those that are this.", {"enum": [*STATUSES]}),
        query_parameter("from", "Only those that were planned then or later.", _TIME),
        query_parameter("to", "Only those that were planned before.", _TIME),
    ]


def _add_since(page: Json) -> None:
    says = "All that were planned since then are in the list, and no others; null: these are all."
    page["schema"]["properties"]["since"] = {"type": ["string", "null"], "format": "date-time", "description": says}
    page["schema"]["required"].append("since")
    page["examples"]["page"]["value"]["since"] = None


def _resend() -> Json:
    says = "Whatever became of it, it begins anew. Its event has the same id and body."
    of_path, body = [path_id(id_of(WEBHOOK_DELIVERIES))], {"content": {"application/json": content({}, nothing={})}}
    path = posting(WEBHOOK_DELIVERIES, f"{_LABEL}Resend", "Send a webhook delivery again", says, body, of_path)
    path["post"]["responses"]["200"]["headers"] = headers_of("Paket-Request-Id", "ETag")
    return _without_versions(path)


def _resend_all() -> Json:
    sent = {"endpoint": "play-hooks", "from": TIME, "to": "2026-11-03T00:00:00.000Z"}
    properties: Json = {
        "endpoint": {"$ref": f"{SCHEMAS}ResourceReference", "description": f"One of `{ENDPOINTS}`."},
        "from": {**_TIME, "description": "Those that were planned then or later."},
        "to": {**_TIME, "description": "And before."},
    }
    asked = {"type": "object", "properties": properties, "required": [*sent], "additionalProperties": False}
    body = {"required": True, "content": {"application/json": content(asked, sent=sent)}}
    summary = "Send again what was planned for an endpoint within some time"
    says = "Whatever became of them, they begin anew, oldest first. After a 503 do it again: events have the same ids."
    path = posting(WEBHOOK_DELIVERIES, "WebhookDeliveriesResend", summary, says, body, [])
    count = {"type": "integer", "description": "How many are sent again."}
    counted = {"type": "object", "properties": {"count": count}, "required": ["count"]}
    path["post"]["responses"]["200"]["content"] = {"application/json": content(counted, counted={"count": 3})}
    return _without_versions(path)


def _without_versions(path: Json) -> Json:
    """Return the methods of a path without what is about versions of objects: these have none."""
    post: dict[str, Any] = path["post"]
    post["parameters"] = [one for one in post["parameters"] if one["in"] != "header"]
    for status in ("409", "412"):
        del post["responses"][status]
    return path
