"""The paths of dead letters in the OpenAPI document."""

from __future__ import annotations

from service.api.dead_letters import DEAD_LETTERS, DEFAULT_LIMIT, MAX_LIMIT
from service.api.dead_letters_shown import PATH
from service.api.kinds import LINK_SCHEMA, Json, link
from service.api.openapi_examples import USER, content
from service.api.openapi_paths import OPTIONS_SAY, SCHEMAS, headers_of, path_id, query_parameter, response_of
from service.http.openapi_examples import CONTEXT, TIME
from service.http.openapi_schemas import whatever

AFTER_PATTERN = "^(0|[1-9][0-9]{0,8})-(0|[1-9][0-9]{0,17})$"
_TAG = "Deadletters"
_LETTER = {"$ref": f"{SCHEMAS}{DEAD_LETTERS.label}"}
_READ_ERRORS = (400, 401, 403, 404, 429, 500, 503)
_WRITE_ERRORS = (400, 401, 403, 404, 409, 413, 429, 500, 503)
_TEXT: Json = {"type": "string"}
_SAID: Json = {
    "type": ["object", "null"],
    "description": "As JSON where it is that, or MessagePack between the processors; else as text and in hexadecimal.",
    "properties": {"json": {}, "text": _TEXT, "hex": _TEXT},
}
_ID = "context-events-3-12"
_PLACE = path_id(_ID, says="Where the record stands.")
_EVENT: Json = {"type": "context.item_removed.v1", "client": "1f0c3b5a79d2e684", "content_id": "nosferatu"}
_FOUND: Json = {
    "id": _ID,
    "url": f"{PATH}/{_ID}",
    "topic": "context-events",
    "partition": 3,
    "offset": 12,
    "time": TIME,
    "reason": "The record is no event: it is not JSON.",
    "key": {"text": f"{CONTEXT}/0f1e2d3c"},
    "value": {"text": "{", "hex": "7b"},
    "valueBytes": 1,
    "decision": None,
}


def _decided(what: str) -> Json:
    replaced = what == "replace"
    decision = {
        "what": what,
        "user": link("users", USER),
        "time": TIME,
        "of": CONTEXT if replaced else None,
        "standsAt": "context-events-3-40" if replaced else None,
    }
    return {**_FOUND, "decision": decision}


def letters_schemas() -> Json:
    """Return the schemas, by name."""
    decision = {
        "type": ["object", "null"],
        "description": "What was decided, by whom and when; null where nothing was.",
        "properties": {
            "what": {"enum": ["drop", "replace"]},
            "user": LINK_SCHEMA,
            "time": {"type": "string", "format": "date-time"},
            "of": {"type": ["string", "null"], "description": "The context or session of the event."},
            "standsAt": {
                "type": ["string", "null"],
                "description": "Where the log has the event. Null after `replace`: not known, so replace it again.",
            },
        },
        "required": ["what", "user", "time", "of", "standsAt"],
    }
    properties: Json = {
        "id": {**_TEXT, "description": "Where the record stands: `<topic>-<partition>-<offset>`."},
        "url": _TEXT,
        "topic": _TEXT,
        "partition": {"type": "integer"},
        "offset": {"type": "integer"},
        "time": {"type": "string", "format": "date-time"},
        "reason": _TEXT,
        "key": _SAID,
        "value": _SAID,
        "valueBytes": {"type": "integer", "description": "Of the whole value, of which lists show the beginning."},
        "decision": decision,
    }
    letter = {"type": "object", "description": DEAD_LETTERS.says, "properties": properties, "required": [*properties]}
    event = {
        "type": "object",
        "properties": {
            "of": {**_TEXT, "description": "The context or session; left out where the record's key says it."},
            "event": {"type": "object", "description": "As its topic has it; `id` and `corrects` are made here."},
        },
        "required": ["event"],
        "additionalProperties": False,
    }
    return {DEAD_LETTERS.label: letter, f"{DEAD_LETTERS.label}Replace": event}


def letters_paths() -> Json:
    """Return the paths, by template. They are for the super user."""
    after = query_parameter("after", "Where to go on: what `next` was.", {**_TEXT, "pattern": AFTER_PATTERN})
    most = {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}
    flag = {"type": "boolean", "default": False}
    page = {
        "type": "object",
        "properties": {"results": {"type": "array", "items": _LETTER}, "next": {"type": ["string", "null"]}},
        "required": ["results", "next"],
    }
    listed = content(page, page={"results": [_FOUND], "next": None})
    every = _operation("listDeadLetters", "Retrieve dead letters, by partition, oldest first", listed, _READ_ERRORS)
    every["parameters"] = [
        after,
        query_parameter("limit", "How many at most.", most),
        query_parameter("includeDecided", "Whether those that were decided about are listed too.", flag),
    ]
    found, dropped, replaced = (
        content(_LETTER, letter=letter) for letter in (_FOUND, _decided("drop"), _decided("replace"))
    )
    one = _operation("readDeadLetter", "Retrieve a dead letter", found, _READ_ERRORS)
    drop = _operation("postDeadLetterDrop", "Decide that a dead letter is nothing", dropped, _WRITE_ERRORS)
    replace = _operation("postDeadLetterReplace", "Have an event stand for the record", replaced, _WRITE_ERRORS)
    body = content({"$ref": f"{SCHEMAS}{DEAD_LETTERS.label}Replace"}, event={"of": CONTEXT, "event": _EVENT})
    replace["requestBody"] = {"required": True, "content": {"application/json": body}}
    for operation in (one, drop, replace):
        operation["parameters"] = [_PLACE]
    return {
        PATH: {"get": every, "head": _without_bodies(every), "options": _options("DeadLetters", [])},
        f"{PATH}/{{id}}": {"get": one, "head": _without_bodies(one), "options": _options("DeadLetter", [_PLACE])},
        f"{PATH}/{{id}}/drop": {"post": drop, "options": _options("DeadLetterDrop", [_PLACE])},
        f"{PATH}/{{id}}/replace": {"post": replace, "options": _options("DeadLetterReplace", [_PLACE])},
    }


def _operation(operation_id: str, summary: str, answer: Json, errors: tuple[int, ...]) -> Json:
    success = {
        "description": "Success",
        "headers": headers_of("Paket-Request-Id"),
        "content": {"application/json": answer},
    }
    return {
        "operationId": operation_id,
        "summary": summary,
        "description": "For the super user. Records that no fold can take; every later fold obeys what is decided.",
        "tags": [_TAG],
        "security": [{"bearer": []}],
        "responses": {"200": success, **{str(status): response_of(status) for status in errors}},
    }


def _options(name: str, parameters: list[Json]) -> Json:
    return {
        "operationId": f"optionsOf{name}",
        "summary": "Retrieve the path's methods",
        "description": OPTIONS_SAY,
        "tags": [_TAG],
        "security": [],
        "parameters": [whatever(parameter) for parameter in parameters],
        "responses": {"204": {"description": "Success", "headers": headers_of("Paket-Request-Id", "Allow")}},
    }


def _without_bodies(operation: Json) -> Json:
    responses = {
        status: {name: part for name, part in response.items() if name != "content"}
        for status, response in operation["responses"].items()
    }
    return {**operation, "operationId": f"{operation['operationId']}Head", "responses": responses}
