"""The OpenAPI document, built from what the routes are built from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import msgspec

from service.http import bulks, contexts, explain, past_operations, sessions, status
from service.http.idempotency import HEADER as IDEMPOTENCY_KEY
from service.http.idempotency import METHODS as KEYED
from service.http.idempotency import REPLAYED
from service.http.moments import MAX_MOMENT_CHARS, TIME
from service.http.openapi_examples import CONTEXT, SESSION, examples, of_errors, of_struct
from service.http.openapi_headers import HEADERS, OF_CALLERS, OF_REQUESTS, PARAMETERS
from service.http.openapi_schemas import CONTENT_ID, components, reference, whatever
from service.http.openapi_signatures import BASIC
from service.http.openapi_versions import OF_DOCUMENT, of_requests, versions_info
from service.http.params import DEFAULT_PAGE
from service.http.problems import (
    PROBLEMS,
    AddressError,
    ForbiddenError,
    InvalidKeyError,
    InvalidVersionError,
    KeyInProgressError,
    KeyReusedError,
    MalformedJsonError,
    MalformedRequestError,
    ScopeError,
    SignatureError,
    TooLargeError,
    TooManyFailuresError,
    TooManyRequestsError,
    UnauthorizedError,
    UnsupportedMediaTypeError,
)
from service.http.routes import Operation, Parameter
from service.http.versions.known import VERSIONS
from service.http.versions.version import HEADER as VERSION_HEADER
from service.http.versions.version import Version
from streams.domain.errors import (
    InvalidPositionError,
    LogUnavailableError,
    OverloadedError,
    RegistryBehindError,
    ViewUnavailableError,
)
from streams.domain.ids import Kind

Json = dict[str, Any]

PATH = "/openapi.json"
_TEXT: Json = {"type": "string"}
OPERATIONS: tuple[Operation, ...] = (
    status.STATUS,
    *contexts.OPERATIONS,
    *bulks.OPERATIONS,
    *sessions.OPERATIONS,
    *past_operations.OPERATIONS,
    explain.EXPLAIN,
)

_DESCRIPTION = (
    "Publishers write what their users are to watch next; platforms read one merged, chronological list. "
    "A path that is not here is 404 `unknown_path`, a method that is not here 405 `method_not_allowed` with `Allow`. "
    "Ids are opaque; one that is malformed, forged or another tenant's is as good as absent."
)
_EVERY_PROBLEM = (
    UnauthorizedError,
    SignatureError,
    AddressError,
    ScopeError,
    TooManyRequestsError,
    TooManyFailuresError,
    MalformedRequestError,
    TooLargeError,
    InvalidVersionError,
    InvalidPositionError,
    RegistryBehindError,
    OverloadedError,
)
_STATUSES = {
    200: "Success", 204: "Success", 304: "The reader has this page", 400: "Malformed or invalid",
    401: "No good credentials, or no good signature", 403: "Not for this tenant, from this address, or with this token",
    404: "Absent", 409: "Conflict", 413: "Too large", 415: "Not JSON", 429: "Too often",
    500: "An error of the service", 503: "Not available now",
}  # fmt: skip
_MOMENT: Json = {
    "schema": {
        "type": "string",
        "maxLength": MAX_MOMENT_CHARS,
        "anyOf": [{"pattern": f"^{TIME}$"}, {"pattern": "^[A-Za-z0-9_-]+$"}],
    },
    "example": "2024-02-16T04:41:06.000Z",
}
_PARAMETERS: Mapping[str, Json] = {
    **dict.fromkeys(("as_of", "from", "to"), _MOMENT),
    "context_id": {"description": "A context. `CX` and 41 digits.", "schema": _TEXT, "example": CONTEXT},
    "session_id": {"description": "A session. `SN` and 41 digits.", "schema": _TEXT, "example": SESSION},
    "content_id": {
        "description": "An item, percent-encoded: `/` as `%2F`.",
        "schema": CONTENT_ID,
        "example": "nosferatu",
    },
}


def openapi_document(more: Mapping[str, Any], version: Version = VERSIONS.first) -> Json:
    """
    Return the document as JSON values.

    Args:
        more: `paths` and `components` of routes that are declared elsewhere.
        version: Of `/v1`. Its operations are the same in each, and so are the names of what they answer.
    """
    merged = {name: {**part, **more.get("components", {}).get(name, {})} for name, part in _components(version).items()}
    others = {name: part for name, part in more.get("components", {}).items() if name not in merged}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "UpNext",
            "version": version.name,
            "description": _DESCRIPTION,
            "x-versions": versions_info(),
        },
        "security": [{"basic": []}, {"token": []}],
        "paths": {**_paths(), **more.get("paths", {})},
        "components": {**merged, **others},
    }


@cache
def _paths() -> Mapping[str, Json]:
    paths: dict[str, Json] = defaultdict(dict)
    for operation in OPERATIONS:
        paths[operation.path][operation.method.lower()] = _operation(operation)
        if operation.method == "GET":
            paths[operation.path]["head"] = _without_bodies(_operation(operation))
    paths[PATH] = {"get": _document_operation(), "head": _without_bodies(_document_operation())}
    for path, item in paths.items():
        item["options"] = _options(path)
    return paths


@cache
def _components(version: Version) -> Mapping[str, Json]:
    return {
        "securitySchemes": {
            "basic": {"type": "http", "scheme": "basic", "description": BASIC},
            "token": {
                "type": "http",
                "scheme": "bearer",
                "description": "A client's access token, which `POST /api/authenticate` gives.",
            },
        },
        "headers": HEADERS,
        "parameters": {**PARAMETERS, VERSION_HEADER: of_requests(version)},
        "schemas": components(OPERATIONS, version),
        "examples": examples(version),
    }


def _operation(operation: Operation) -> Json:
    parameters = [_path_parameter(name) for name in _path_names(operation.path)]
    of_keys = (IDEMPOTENCY_KEY,) if operation.method in KEYED else ()
    parameters += [{"$ref": f"#/components/parameters/{name}"} for name in (*OF_REQUESTS, *of_keys)]
    if operation.largest_page:
        parameters += _page_parameters(operation.largest_page)
    parameters += [_query_parameter(parameter) for parameter in operation.query]
    described: Json = {
        "operationId": operation.id,
        "summary": operation.summary,
        "description": operation.says,
        "tags": [_tag(operation)],
        "parameters": parameters,
        "responses": _responses(operation),
    }
    if operation.body is not None:
        described["requestBody"] = {
            "required": operation.body_required,
            "description": f"At most {operation.body_limit // 1024} KiB.",
            "content": {"application/json": _content(operation.body)},
        }
    return described


def _content(kind: type[msgspec.Struct]) -> Json:
    return {"schema": reference(kind), "examples": of_struct(kind)}


def _tag(operation: Operation) -> str:
    return {None: "Core", Kind.APP: "Contexts", Kind.PLATFORM: "Sessions"}[operation.tenant]


def _path_names(path: str) -> Iterable[str]:
    return (part[1:-1] for part in path.split("/") if part.startswith("{"))


def _path_parameter(name: str) -> Json:
    return {"name": name, "in": "path", "required": True, **_PARAMETERS[name]}


def _query_parameter(parameter: Parameter) -> Json:
    return {"in": "query", **_PARAMETERS[parameter.name], **parameter._asdict()}


def _page_parameters(largest: int) -> list[Json]:
    limit = {"type": "integer", "minimum": 1, "maximum": largest, "default": DEFAULT_PAGE}
    return [
        {
            "name": "limit",
            "in": "query",
            "description": "Entries in the answer, at most.",
            "schema": limit,
            "example": 20,
        },
        {
            "name": "next_key",
            "in": "query",
            "description": "Index of the first entry, as the page before said.",
            "schema": {"type": "integer", "minimum": 0, "maximum": 2**31 - 1, "default": 0},
            "example": 0,
        },
        {"$ref": "#/components/parameters/If-None-Match"},
    ]


def _responses(operation: Operation) -> Json:
    names = ["Paket-Request-Id", *OF_CALLERS]
    if operation.writes or operation.largest_page:
        names.append("Paket-Position")
    if operation.method in KEYED:
        names.append(REPLAYED)
    if operation.largest_page:
        names += ["ETag", "Paket-View", "Age"]
    responses: Json = {str(operation.success): _response(operation.success, names)}
    if operation.answer is not None:
        responses[str(operation.success)]["content"] = {"application/json": _content(operation.answer)}
    if operation.largest_page:
        responses["304"] = _response(304, names)
    return {**responses, **_error_responses(operation)}


def _response(answered: int, headers: Iterable[str]) -> Json:
    return {
        "description": _STATUSES[answered],
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in headers},
    }


def _error_responses(operation: Operation) -> Json:
    """Return the errors by status, each with the codes that this operation's answers can have."""
    kinds: list[type[BaseException]] = [*_EVERY_PROBLEM, *operation.problems, Exception]
    if operation.tenant is not None:
        kinds.append(ForbiddenError)
    if operation.body is not None:
        kinds += [UnsupportedMediaTypeError, MalformedJsonError]
    if operation.method in KEYED:
        kinds += [InvalidKeyError, KeyInProgressError, KeyReusedError, ViewUnavailableError, LogUnavailableError]
    codes: dict[int, list[str]] = defaultdict(list)
    for kind in kinds:
        problem = PROBLEMS[kind]
        if problem.code not in codes[problem.status]:
            codes[problem.status].append(problem.code)
    return {str(answered): _error_response(answered, of_status) for answered, of_status in sorted(codes.items())}


def _error_response(answered: int, codes: Sequence[str], of_callers: Sequence[str] = OF_CALLERS) -> Json:
    more = {401: ["WWW-Authenticate"], 429: ["Retry-After"], 503: ["Retry-After"]}
    names = ["Paket-Request-Id", *of_callers, *more.get(answered, ())]
    narrowed = {"properties": {"error": {"properties": {"code": {"enum": list(codes)}}}}}
    schema = {"allOf": [{"$ref": "#/components/schemas/Error"}, narrowed]}
    content = {"schema": schema, "examples": of_errors(codes)}
    return {**_response(answered, names), "content": {"application/json": content}}


def _without_bodies(described: Json) -> Json:
    """Return a GET as the HEAD of the same path."""
    responses = {
        answered: {name: part for name, part in response.items() if name != "content"}
        for answered, response in described["responses"].items()
    }
    return {**described, "operationId": f"{described['operationId']}Head", "responses": responses}


def _document_operation() -> Json:
    begins = {"openapi": "3.1.0", "info": {"title": "UpNext", "version": VERSIONS.first.name}}
    content = {"schema": {"type": "object"}, "examples": {"begins": {"value": begins}}}
    answer = {**_response(200, ["Paket-Request-Id"]), "content": {"application/json": content}}
    return {
        "operationId": "readOpenapi",
        "summary": "Retrieve this document",
        "description": "For everyone, without credentials. `/docs` shows it to people.",
        "tags": ["Core"],
        "security": [],
        "parameters": [OF_DOCUMENT],
        "responses": {"200": answer, "400": _error_response(400, [PROBLEMS[InvalidVersionError].code], ())},
    }


def _options(path: str) -> Json:
    slug = "".join(part.strip("{}").title().replace("_", "").replace(".", "") for part in path.split("/"))
    return {
        "operationId": f"optionsOf{slug}",
        "summary": "Retrieve the path's methods",
        "description": "For everyone, whatever the path's parameters are.",
        "tags": ["Core"],
        "security": [],
        "parameters": [whatever(_path_parameter(name)) for name in _path_names(path)],
        "responses": {"204": _response(204, ["Paket-Request-Id", "Allow"])},
    }
