"""The resource API in the OpenAPI document, built from what its routes are built from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from service.api.calls import MAX_OBJECTS
from service.api.kinds import API, OBJECT_ID, Json
from service.api.messages import ErrorsOut
from service.api.params import DEFAULT_PAGE_SIZE, MAX_PAGE, MAX_PAGE_SIZE
from service.api.resource import NAME, NO_NAME, STATES, Field, ResourceType
from service.api.types import TYPES

_SCHEMAS = "#/components/schemas/"
_STATUSES = {
    304: "The reader has this version", 400: "Malformed or invalid", 401: "No good token",
    403: "Not in this company's context", 404: "Absent", 409: "A duplicate, or changed by others",
    412: "Another version than expected", 413: "Too large", 500: "An error of the service", 503: "Not available now",
}  # fmt: skip
_READ_ERRORS = (400, 401, 403, 404, 500, 503)
_WRITE_ERRORS = (400, 401, 403, 404, 409, 412, 413, 500, 503)
_LINK: Json = {
    "type": "object",
    "description": "A reference. On input the id alone will do.",
    "properties": {"id": {"type": "string"}, "url": {"type": "string"}},
    "required": ["id", "url"],
}


def api_openapi() -> Mapping[str, Any]:
    """Return `paths` and `components` of the resource API, as OpenAPI 3.1 (`service.http.deps.Deps.more_openapi`)."""
    paths: Json = {}
    schemas: Json = {"ResourceLink": _LINK}
    _, errors = msgspec.json.schema_components([ErrorsOut], ref_template=_SCHEMAS + "Resource{name}")
    # Names of their own: `/v1` has an Error and a Message too.
    schemas["ResourceErrors"] = errors["ErrorsOut"]
    schemas["ResourceMessage"] = errors["Message"]
    for resource in TYPES:
        schemas[resource.label] = _shown(resource)
        schemas[f"{resource.label}Write"] = _written(resource)
        paths[f"{API}/{resource.name}"] = _collection(resource)
        paths[f"{API}/{resource.name}/{{id}}"] = _single(resource)
    bearer = {"type": "http", "scheme": "bearer", "description": "The token of a user who configures."}
    return {"paths": paths, "components": {"schemas": schemas, "securitySchemes": {"bearer": bearer}}}


def _shown(resource: ResourceType) -> Json:
    text, time, link = (
        {"type": "string"},
        {"type": "string", "format": "date-time"},
        {"$ref": f"{_SCHEMAS}ResourceLink"},
    )
    properties: Json = {
        "id": _id_schema(),
        "url": text,
        "name": _name(resource),
        **({"company": link} if resource.in_company else {}),
        "objectState": STATES.schema(),
        "createTime": time,
        "createUser": link,
        "updateTime": time,
        "updateUser": link,
        **{declared.name: _field(declared) for declared in resource.fields},
    }
    required = list(properties)
    once = "Answered once, when the object is made."
    properties |= {name: {**text, "description": f"{says} {once}"} for name, says in resource.shown_once.items()}
    properties["validationWarnings"] = {
        "type": "array",
        "description": "What keeps the object from working; left out where nothing does.",
        "items": {"$ref": f"{_SCHEMAS}ResourceMessage"},
    }
    return {"type": "object", "description": resource.says, "properties": properties, "required": required}


def _written(resource: ResourceType) -> Json:
    properties: Json = {"name": _name(resource), "objectState": STATES.schema()}
    properties["id"] = {**_id_schema(), "description": "Left out: made by the service."}
    if resource.minted is not None:
        properties["id"]["description"] = "Of an object that is there; of a new one it is made by the service."
    properties |= {declared.name: _field(declared) for declared in resource.fields if not declared.read_only}
    required = [declared.name for declared in resource.fields if declared.required]
    if resource.name_required:
        required.insert(0, "name")
    says = "Fields that are left out are not changed. "
    says += f"A new object must have: {', '.join(required)}." if required else "No field is required."
    return {"type": "object", "description": says, "properties": properties}


def _field(declared: Field) -> Json:
    schema = declared.kind.schema()
    if declared.empty is None and not declared.required and "type" in schema:
        schema = {**schema, "type": [schema["type"], "null"]}
    says = declared.says
    if not declared.is_obeyed:
        says += " Stored, but nothing acts on it in this version."
    if declared.immutable:
        says += " Cannot be changed."
    return {**schema, "description": says, **({"readOnly": True} if declared.read_only else {})}


def _name(resource: ResourceType) -> Json:
    return (NAME if resource.name_required else NO_NAME).schema()


def _id_schema() -> Json:
    return {"type": "string", "pattern": f"^{OBJECT_ID.pattern}$"}


def _collection(resource: ResourceType) -> Json:
    one = {"$ref": f"{_SCHEMAS}{resource.label}"}
    page = {
        "type": "object",
        "properties": {
            "page": {"type": "integer"},
            "pageSize": {"type": "integer"},
            "totalCount": {"type": "integer"},
            "results": {"type": "array", "items": one},
        },
        "required": ["page", "pageSize", "totalCount", "results"],
    }
    read = _operation(resource, f"list{resource.label}s", f"Retrieve {resource.name}", page, _READ_ERRORS)
    read["parameters"] = [*_context(resource), *_listing()]
    given = {"$ref": f"{_SCHEMAS}{resource.label}Write"}
    body = {"oneOf": [given, {"type": "array", "items": given, "maxItems": MAX_OBJECTS}]}
    answer = {"oneOf": [one, {"type": "array", "items": one}]}
    return _path(resource, read, f"Create or update {resource.name}, all or none", body, answer, [])


def _single(resource: ResourceType) -> Json:
    one = {"$ref": f"{_SCHEMAS}{resource.label}"}
    of_path = [{"name": "id", "in": "path", "required": True, "schema": _id_schema()}]
    what = f"a{'n' if resource.label[0] in 'AEIOU' else ''} {resource.label.lower()}"
    read = _operation(resource, f"read{resource.label}", f"Retrieve {what}", one, _READ_ERRORS)
    read["parameters"] = [*of_path, *_context(resource)]
    read["responses"]["304"] = _response(304)
    read["responses"]["200"]["headers"] = _headers("Paket-Request-Id", "ETag")
    body = {"$ref": f"{_SCHEMAS}{resource.label}Write"}
    made = "Update" if resource.minted is not None else "Create or update"
    return _path(resource, read, f"{made} {what}", body, one, of_path)


def _path(resource: ResourceType, read: Json, summary: str, body: Json, answer: Json, of_path: list[Json]) -> Json:
    """Return all methods of one path."""
    item: Json = {"get": read, "head": _without_bodies(read)}
    for method in ("post", "put"):
        operation_id = f"{method}{resource.label}{'' if of_path else 's'}"
        write = _operation(resource, operation_id, summary, answer, _WRITE_ERRORS)
        write["parameters"] = [*of_path, *_context(resource), *_preconditions()]
        write["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
        item[method] = write
    options = {"204": {"description": "Success", "headers": _headers("Paket-Request-Id", "Allow")}}
    operation_id = f"optionsOf{resource.label}{'' if of_path else 's'}"
    item["options"] = {
        "operationId": operation_id,
        "summary": "Retrieve the path's methods",
        "tags": [_tag(resource)],
        "security": [],
        "parameters": of_path,
        "responses": options,
    }
    return item


def _operation(resource: ResourceType, operation_id: str, summary: str, answer: Json, errors: Iterable[int]) -> Json:
    success = {
        "description": "Success",
        "headers": _headers("Paket-Request-Id"),
        "content": {"application/json": {"schema": answer}},
    }
    return {
        "operationId": operation_id,
        "summary": summary,
        "tags": [_tag(resource)],
        "security": [{"bearer": []}],
        "responses": {"200": success, **{str(status): _response(status) for status in errors}},
    }


def _response(status: int) -> Json:
    names = ["Paket-Request-Id", *{401: ["WWW-Authenticate"], 503: ["Retry-After"], 304: ["ETag"]}.get(status, [])]
    response: Json = {"description": _STATUSES[status], "headers": _headers(*names)}
    if status != 304:
        response["content"] = {"application/json": {"schema": {"$ref": f"{_SCHEMAS}ResourceErrors"}}}
    return response


def _headers(*names: str) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _without_bodies(operation: Json) -> Json:
    responses = {
        status: {name: part for name, part in response.items() if name != "content"}
        for status, response in operation["responses"].items()
    }
    return {**operation, "operationId": f"{operation['operationId']}Head", "responses": responses}


def _tag(resource: ResourceType) -> str:
    return resource.name.capitalize()


def _context(resource: ResourceType) -> list[Json]:
    if not resource.in_company:
        return []
    says = "The id of the company that the request is about."
    return [{"name": "context", "in": "query", "required": True, "description": says, "schema": _id_schema()}]


def _listing() -> list[Json]:
    page = {"type": "integer", "minimum": 0, "maximum": MAX_PAGE, "default": 0}
    size = {"type": "integer", "minimum": 1, "maximum": MAX_PAGE_SIZE, "default": DEFAULT_PAGE_SIZE}
    return [
        _query("page", "Which page, from 0.", page),
        _query("pageSize", "Objects on a page.", size),
        _query("id", "Only these objects: ids, separated by semicolons.", {"type": "string"}),
        _query("includeHidden", "Whether HIDDEN objects are listed.", {"type": "boolean", "default": False}),
    ]


def _query(name: str, says: str, schema: Json) -> Json:
    return {"name": name, "in": "query", "description": says, "schema": schema}


def _preconditions() -> list[Json]:
    says = "The ETag of the version that is written over; another one is 412."
    text = {"type": "string"}
    return [{"name": "If-Match", "in": "header", "description": says, "schema": text}]
