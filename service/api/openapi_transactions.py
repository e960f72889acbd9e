"""The path of transactions in the OpenAPI document."""

from __future__ import annotations

from service.api.calls import MAX_OBJECTS
from service.api.companies import COMPANIES
from service.api.kinds import Json
from service.api.licenses import LICENSES
from service.api.openapi_examples import COMPANY, content, id_of, shown, written
from service.api.openapi_paths import OPTIONS_SAY, WRITE_ERRORS, headers_of, id_schema, query_parameter, response_of
from service.api.resource import ResourceType
from service.api.transactions import PATH
from service.api.types import TYPES

_TAG = "Transactions"
_TEXT: Json = {"type": "string"}
_CHANGE: Json = {"type": "object", "properties": {"from": {}, "to": {}}, "required": ["from", "to"]}
_GIVEN: Json = {
    "type": "object",
    "description": "An object as its type takes it, with its type, and its context where it belongs to a company.",
    "properties": {
        "type": {"enum": [resource.name for resource in TYPES]},
        "context": {**id_schema(), "description": "In whose context it is written; its `company` where left out."},
        "id": {
            **_TEXT,
            "description": "Its id. Of an app or a platform also a label, `$` and what ids consist of: the one of its "
            "name in its context, a new one where there is none. References of the same request may be labels too.",
        },
    },
    "required": ["type"],
    "additionalProperties": True,
}
_RESULT: Json = {
    "type": "object",
    "description": "What became of one object.",
    "properties": {
        "type": _TEXT,
        "id": {"type": ["string", "null"], "description": "Null where only a real write makes it."},
        "action": {"enum": ["CREATED", "UPDATED", "UNCHANGED"]},
        "changes": {
            "type": "object",
            "description": "By field, of those that callers set. Of what nobody is shown, only that it changed.",
            "additionalProperties": _CHANGE,
        },
        "object": {
            "type": "object",
            "description": "As it is now, with what is shown this once; left out where nothing is written.",
        },
        "validationWarnings": {
            "type": "array",
            "description": "Where nothing is written: what would keep the object from working; left out where nothing.",
            "items": {"$ref": "#/components/schemas/ResourceMessage"},
        },
    },
    "required": ["type", "id", "action", "changes"],
}
_ANSWER: Json = {
    "type": "object",
    "properties": {"results": {"type": "array", "description": "In the order given.", "items": _RESULT}},
    "required": ["results"],
}
_TOLD = (COMPANIES, LICENSES)


def _sent(resource: ResourceType) -> Json:
    context = {"context": COMPANY} if resource.in_company else {}
    return {"type": resource.name, **context, **written(resource, with_id=True)}


def _became(resource: ResourceType) -> Json:
    changes = {name: {"from": None, "to": value} for name, value in written(resource, with_id=False).items()}
    made = {"type": resource.name, "id": id_of(resource), "action": "CREATED", "changes": changes}
    return {**made, "object": shown(resource, once=True)}


def transactions_path() -> Json:
    """Return the path, by its template."""
    success = {
        "description": "Success",
        "headers": headers_of("Paket-Request-Id"),
        "content": {"application/json": content(_ANSWER, made={"results": [_became(one) for one in _TOLD]})},
    }
    sent = [_sent(one) for one in _TOLD]
    body = {"oneOf": [_GIVEN, {"type": "array", "items": _GIVEN, "maxItems": MAX_OBJECTS}]}
    flag = {"type": "boolean", "default": False}
    post = {
        "operationId": "postTransactions",
        "summary": "Create or update objects of several types, all or none",
        "description": "Each as a write to its type takes it. They may refer to each other, in any order.",
        "tags": [_TAG],
        "security": [{"bearer": []}],
        "parameters": [
            query_parameter("context", "The context of the objects that say none.", id_schema()),
            query_parameter("dryRun", "Whether only to say what would become of them.", flag),
        ],
        "requestBody": {"required": True, "content": {"application/json": content(body, one=sent[0], list=sent)}},
        "responses": {"200": success, **{str(status): response_of(status) for status in WRITE_ERRORS}},
    }
    options = {
        "operationId": "optionsOfTransactions",
        "summary": "Retrieve the path's methods",
        "description": OPTIONS_SAY,
        "tags": [_TAG],
        "security": [],
        "responses": {"204": {"description": "Success", "headers": headers_of("Paket-Request-Id", "Allow")}},
    }
    return {PATH: {"post": post, "options": options}}
