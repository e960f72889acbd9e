"""The resource API in the OpenAPI document, built from what its routes are built from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from service.api.assets_openapi import uploads
from service.api.auth_openapi import ways_in, ways_in_schemas
from service.api.dead_letters_openapi import letters_paths, letters_schemas
from service.api.kinds import LINK_SCHEMA, Json
from service.api.messages import ErrorsOut
from service.api.openapi_examples import api_examples
from service.api.openapi_paths import EVENT, SCHEMAS, id_schema, paths_of
from service.api.openapi_transactions import transactions_path
from service.api.resource import NO_NAME, STATES, Action, Field, ResourceType
from service.api.shown import ENVELOPE
from service.api.types import TYPES
from service.api.webhook_deliveries import WEBHOOK_DELIVERIES
from service.api.webhook_deliveries_openapi import deliveries_paths

_LINK: Json = {
    "type": "object",
    "description": "A reference, as it is answered.",
    "properties": {"id": {"type": "string"}, "url": {"type": "string"}},
    "required": ["id", "url"],
}
_REFERENCE: Json = {
    "description": "A reference, as it is given: the id, or an object that has it, as one that was answered.",
    "anyOf": [id_schema(), {"type": "object", "properties": {"id": id_schema()}, "required": ["id"]}],
}


def api_openapi() -> Mapping[str, Any]:
    """Return `paths` and `components` of the resource API, as OpenAPI 3.1 (`service.http.deps.Deps.more_openapi`)."""
    paths: Json = {}
    schemas: Json = {"ResourceLink": _LINK, "ResourceReference": _REFERENCE, "ResourceEvent": EVENT}
    _, errors = msgspec.json.schema_components([ErrorsOut], ref_template=SCHEMAS + "Resource{name}")
    # Names of their own: `/v1` has an Error and a Message too.
    schemas["ResourceErrors"] = errors["ErrorsOut"]
    schemas["ResourceMessage"] = errors["Message"]
    for resource in TYPES:
        schemas[resource.label] = _shown(resource)
        schemas[f"{resource.label}Write"] = _written(resource)
        for action in resource.actions:
            schemas[f"{resource.label}{action.name.capitalize()}"] = _asked(action)
        paths |= paths_of(resource)
    paths |= uploads()
    paths |= transactions_path()
    paths |= letters_paths()
    schemas |= letters_schemas()
    schemas[WEBHOOK_DELIVERIES.label] = _shown(WEBHOOK_DELIVERIES)
    paths |= deliveries_paths()
    paths |= ways_in()
    schemas |= ways_in_schemas()
    bearer = {"type": "http", "scheme": "bearer", "description": "A user's access token or API key."}
    return {
        "paths": paths,
        "components": {"schemas": schemas, "examples": api_examples(), "securitySchemes": {"bearer": bearer}},
    }


def _shown(resource: ResourceType) -> Json:
    text, time, link = (
        {"type": "string"},
        {"type": "string", "format": "date-time"},
        LINK_SCHEMA,
    )
    properties: Json = {
        "id": id_schema(),
        "url": text,
        "name": _name(resource),
        **({"company": link} if resource.in_company else {}),
        "objectState": STATES.schema(),
        "createTime": time,
        "createUser": link,
        "updateTime": time,
        "updateUser": link,
        **{declared.name: _field(declared) for declared in resource.fields if not declared.write_only},
    }
    required = list(properties)
    once = "Answered once, when it is made."
    properties |= {name: {**text, "description": f"{says} {once}"} for name, says in resource.shown_once.items()}
    properties["validationWarnings"] = {
        "type": "array",
        "description": "What keeps the object from working; left out where nothing does.",
        "items": {"$ref": f"{SCHEMAS}ResourceMessage"},
    }
    return {"type": "object", "description": resource.says, "properties": properties, "required": required}


def _written(resource: ResourceType) -> Json:
    properties: Json = {"name": _name(resource), "objectState": STATES.schema()}
    properties["id"] = {**id_schema(), "description": "Left out: made by the service."}
    if resource.minted is not None:
        properties["id"]["description"] = "Of an object that is there; of a new one it is made by the service."
    properties |= {declared.name: _given(_field(declared)) for declared in resource.fields}
    given_back = (*ENVELOPE, "company") if resource.in_company else ENVELOPE
    properties |= {name: {"readOnly": True, "description": "As it was answered, or left out."} for name in given_back}
    required = [declared.name for declared in resource.fields if declared.required]
    if resource.name_required:
        required.insert(0, "name")
    if not resource.creatable:
        properties["id"]["description"] = "Of an object that is there."
    says = "Fields that are left out are not changed. "
    says += f"A new object must have: {', '.join(required)}." if required else "No field is required."
    return {"type": "object", "description": says, "properties": properties, "additionalProperties": False}


def _field(declared: Field) -> Json:
    schema = declared.kind.schema()
    if declared.empty is None and not declared.required and "type" in schema:
        schema = {**schema, "type": [schema["type"], "null"]}
    says = declared.says
    if not declared.is_obeyed:
        says += " Stored, but nothing acts on it in this version."
    if declared.immutable:
        says += " Cannot be changed."
    read_only = {"readOnly": True} if declared.read_only else {}
    return {**schema, "description": says, **read_only, **({"writeOnly": True} if declared.write_only else {})}


def _given(schema: Any) -> Any:
    """Return what readers see as callers give it."""
    match schema:
        case dict():
            given = {name: _given(part) for name, part in schema.items()}
            return (
                {**given, "$ref": f"{SCHEMAS}ResourceReference"} if schema.get("$ref") == LINK_SCHEMA["$ref"] else given
            )
        case list():
            return [_given(part) for part in schema]
        case _:
            return schema


def _asked(action: Action) -> Json:
    properties = {declared.name: _field(declared) for declared in action.fields}
    required = [declared.name for declared in action.fields if declared.required]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _name(resource: ResourceType) -> Json:
    return (resource.name_kind if resource.name_required else NO_NAME).schema()
