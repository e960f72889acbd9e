"""The paths of one type of resources in the OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterable

from service.api.calls import MAX_OBJECTS
from service.api.kinds import API, LINK_SCHEMA, OBJECT_ID, Json
from service.api.openapi_examples import COMPANY, asked, content, event, id_of, of_status, page, shown, written
from service.api.params import DEFAULT_PAGE_SIZE, MAX_HISTORY_PAGE_SIZE, MAX_PAGE, MAX_PAGE_SIZE
from service.api.resource import Action, ResourceType
from service.http.openapi_schemas import whatever

SCHEMAS = "#/components/schemas/"
_STATUSES = {
    304: "The reader has this version", 400: "Malformed or invalid", 401: "No good token",
    403: "Not in this company's context", 404: "Absent", 409: "A duplicate, or changed by others",
    412: "Another version than expected", 413: "Too large", 415: "Not of the kind that is taken",
    429: "Too many requests, or passwords that were not right", 500: "An error of the service",
    503: "Not available now",
}  # fmt: skip
_READ_ERRORS = (400, 401, 403, 404, 429, 500, 503)
WRITE_ERRORS = (400, 401, 403, 404, 409, 412, 413, 429, 500, 503)

_ERRORS: Json = {"schema": {"$ref": f"{SCHEMAS}ResourceErrors"}}
OPTIONS_SAY = "For everyone, whatever the path's parameters are."
EVENT: Json = {
    "type": "object",
    "description": "One change of an object.",
    "properties": {
        "time": {"type": "string", "format": "date-time"},
        "user": LINK_SCHEMA,
        "requestId": {"type": ["string", "null"]},
        "version": {"type": "integer"},
        "changes": {
            "type": "object",
            "description": "By field. Of what nobody is shown, only that it changed.",
            "additionalProperties": {
                "type": "object",
                "properties": {"from": {}, "to": {}},
                "required": ["from", "to"],
            },
        },
    },
    "required": ["time", "user", "requestId", "version", "changes"],
}


def paths_of(resource: ResourceType) -> Json:
    """Return the paths of a type, by template."""
    every = f"{API}/{resource.name}"
    paths = {
        every: _collection(resource),
        f"{every}/{{id}}": _single(resource),
        f"{every}/{{id}}/events": _history(resource),
    }
    return paths | {f"{every}/{{id}}/{action.name}": _action(resource, action) for action in resource.actions}


def _collection(resource: ResourceType) -> Json:
    one = {"$ref": f"{SCHEMAS}{resource.label}"}
    results = {"anyOf": [one, _name_alone()]} if resource.names_are_public else one
    listed = content(_page(results), page=page(shown(resource)))
    says = f"{resource.says} By name, ties by id; without HIDDEN ones."
    read = _operation(resource, f"list{_plural(resource)}", f"Retrieve {resource.name}", says, listed, _READ_ERRORS)
    read["parameters"] = [*_context(resource), *_listing(resource)]
    given = {"$ref": f"{SCHEMAS}{resource.label}Write"}
    sent, made = written(resource, with_id=True), shown(resource, once=True)
    body = content(
        {"oneOf": [given, {"type": "array", "items": given, "maxItems": MAX_OBJECTS}]}, one=sent, list=[sent]
    )
    answer = content({"oneOf": [one, {"type": "array", "items": one}]}, one=made, list=[made])
    verb = "Create or update" if resource.creatable else "Update"
    return _path(resource, read, f"{verb} {resource.name}, all or none", body, answer, [])


def _name_alone() -> Json:
    return {
        "type": "object",
        "description": "Another company's, with `includeOthers`.",
        "properties": {"id": id_schema(), "url": {"type": "string"}, "name": {"type": "string"}},
        "required": ["id", "url", "name"],
        "additionalProperties": False,
    }


def _page(one: Json) -> Json:
    return {
        "type": "object",
        "properties": {
            "page": {"type": "integer"},
            "pageSize": {"type": "integer"},
            "totalCount": {"type": "integer"},
            "results": {"type": "array", "items": one},
        },
        "required": ["page", "pageSize", "totalCount", "results"],
    }


def _single(resource: ResourceType) -> Json:
    one = {"$ref": f"{SCHEMAS}{resource.label}"}
    of_path, what, answer = _of_path(resource), _a(resource), content(one, one=shown(resource))
    says = "Also where it is HIDDEN. Its version is in the `ETag`."
    read = _operation(resource, f"read{resource.label}", f"Retrieve {what}", says, answer, _READ_ERRORS)
    read["parameters"] = [*of_path, *_context(resource)]
    read["responses"]["304"] = response_of(304)
    read["responses"]["200"]["headers"] = headers_of("Paket-Request-Id", "ETag")
    body = content({"$ref": f"{SCHEMAS}{resource.label}Write"}, one=written(resource, with_id=False))
    made = "Create or update" if resource.minted is None and resource.creatable else "Update"
    return _path(resource, read, f"{made} {what}", body, answer, of_path)


def _history(resource: ResourceType) -> Json:
    answer = content(_page({"$ref": f"{SCHEMAS}ResourceEvent"}), page=page(event(resource)))
    summary = f"Retrieve what became of {_a(resource)}, newest first"
    says = "As the log has it, a change of each version. Secrets never."
    read = _operation(resource, f"list{resource.label}Events", summary, says, answer, _READ_ERRORS)
    read["parameters"] = [*_of_path(resource), *_context(resource), *_paging(MAX_HISTORY_PAGE_SIZE)]
    options = _options(resource, f"optionsOf{resource.label}Events", _of_path(resource))
    return {"get": read, "head": _without_bodies(read), "options": options}


def _action(resource: ResourceType, action: Action) -> Json:
    name = f"{resource.label}{action.name.capitalize()}"
    body = {
        "required": any(field.required for field in action.fields),
        "content": {"application/json": content({"$ref": f"{SCHEMAS}{name}"}, sent=asked(resource, action.name))},
    }
    says = "The answer has what is shown this once."
    return posting(resource, name, action.says, says, body, _of_path(resource))


def posting(
    resource: ResourceType, name: str, summary: str, says: str, body: Json, of_path: list[Json], *more_errors: int
) -> Json:
    """Return the methods of a path to which something is posted, and which answers an object."""
    answer = content({"$ref": f"{SCHEMAS}{resource.label}"}, one=shown(resource, once=True))
    write = _operation(resource, f"post{name}", summary, says, answer, sorted((*WRITE_ERRORS, *more_errors)))
    write["parameters"] = [*of_path, *_context(resource), *_preconditions()]
    write["requestBody"] = body
    return {"post": write, "options": _options(resource, f"optionsOf{name}", of_path)}


def _path(resource: ResourceType, read: Json, summary: str, body: Json, answer: Json, of_path: list[Json]) -> Json:
    """Return all methods of one path."""
    item: Json = {"get": read, "head": _without_bodies(read)}
    name = resource.label if of_path else _plural(resource)
    for method in ("post", "put"):
        operation_id = f"{method}{name}"
        says = "What is left out is not changed. What changes nothing writes nothing."
        write = _operation(resource, operation_id, summary, says, answer, WRITE_ERRORS)
        write["parameters"] = [*of_path, *_context(resource), *_preconditions()]
        write["requestBody"] = {"required": True, "content": {"application/json": body}}
        item[method] = write
    item["options"] = _options(resource, f"optionsOf{name}", of_path)
    return item


def _options(resource: ResourceType, operation_id: str, of_path: list[Json]) -> Json:
    options = {"204": {"description": "Success", "headers": headers_of("Paket-Request-Id", "Allow")}}
    return {
        "operationId": operation_id,
        "summary": "Retrieve the path's methods",
        "description": OPTIONS_SAY,
        "tags": [_tag(resource)],
        "security": [],
        "parameters": [whatever(parameter) for parameter in of_path],
        "responses": options,
    }


def _operation(
    resource: ResourceType, operation_id: str, summary: str, says: str, answer: Json, errors: Iterable[int]
) -> Json:
    success = {
        "description": "Success",
        "headers": headers_of("Paket-Request-Id"),
        "content": {"application/json": answer},
    }
    return {
        "operationId": operation_id,
        "summary": summary,
        "description": says,
        "tags": [_tag(resource)],
        "security": [{"bearer": []}],
        "responses": {"200": success, **{str(status): response_of(status) for status in errors}},
    }


def response_of(status: int) -> Json:
    """Return the answer of a status that is no success."""
    names = [
        "Paket-Request-Id",
        *{401: ["WWW-Authenticate"], 429: ["Retry-After"], 503: ["Retry-After"], 304: ["ETag"]}.get(status, []),
    ]
    response: Json = {"description": _STATUSES[status], "headers": headers_of(*names)}
    if status != 304:
        response["content"] = {"application/json": {**_ERRORS, "examples": of_status(status)}}
    return response


def headers_of(*names: str) -> Json:
    """Return the headers of an answer, by name."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _without_bodies(operation: Json) -> Json:
    responses = {
        status: {name: part for name, part in response.items() if name != "content"}
        for status, response in operation["responses"].items()
    }
    return {**operation, "operationId": f"{operation['operationId']}Head", "responses": responses}


def _of_path(resource: ResourceType) -> list[Json]:
    return [path_id(id_of(resource))]


def path_id(example: str, name: str = "id", says: str = "The object's id.") -> Json:
    """Return the parameter that is an id in the path."""
    described = {"name": name, "in": "path", "required": True, "description": says}
    return {**described, "schema": id_schema(), "example": example}


def _a(resource: ResourceType) -> str:
    return f"a{'n' if resource.label[0] in 'AEIOU' else ''} {resource.label}"


def _plural(resource: ResourceType) -> str:
    label = resource.label
    return f"{label[:-1]}ies" if label.endswith("y") else label if label.endswith("s") else f"{label}s"


def id_schema() -> Json:
    """Return the schema of ids."""
    return {"type": "string", "pattern": f"^{OBJECT_ID.pattern}$"}


def _ids_schema() -> Json:
    one = r"((?!\.{1,2}(;|$))[A-Za-z0-9._-]{1,64})?"
    return {"type": "string", "pattern": f"^{one}(;{one})*$"}


def _tag(resource: ResourceType) -> str:
    return resource.name.capitalize()


def _context(resource: ResourceType) -> list[Json]:
    if not resource.in_company:
        return []
    says = "The id of the company that the request is about."
    return [
        {
            "name": "context",
            "in": "query",
            "required": True,
            "description": says,
            "schema": id_schema(),
            "example": COMPANY,
        }
    ]


def _paging(most: int) -> list[Json]:
    page = {"type": "integer", "minimum": 0, "maximum": MAX_PAGE, "default": 0}
    size = {"type": "integer", "minimum": 1, "maximum": most, "default": DEFAULT_PAGE_SIZE}
    return [
        query_parameter("page", "Which page, from 0.", page),
        query_parameter("pageSize", "How many on a page.", size),
    ]


def _listing(resource: ResourceType) -> list[Json]:
    flag = {"type": "boolean", "default": False}
    others = query_parameter(
        "includeOthers", "Whether the ids and names of other companies' ACTIVE ones are listed too.", flag
    )
    return [
        *_paging(MAX_PAGE_SIZE),
        query_parameter("id", "Only these objects: ids, separated by semicolons.", _ids_schema()),
        query_parameter("includeHidden", "Whether HIDDEN objects are listed.", flag),
        *([others] if resource.names_are_public else []),
    ]


def query_parameter(name: str, says: str, schema: Json) -> Json:
    """Return a parameter of the query that may be left out."""
    return {"name": name, "in": "query", "description": says, "schema": schema}


def _preconditions() -> list[Json]:
    says = "The ETag of the version that is written over; another one is 412."
    text = {"type": "string"}
    return [{"name": "If-Match", "in": "header", "description": says, "schema": text}]
