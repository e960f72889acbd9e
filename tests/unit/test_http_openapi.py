"""`/openapi.json` is OpenAPI 3.1, says what the routes are, and what they answer is what it says."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from service.http import bulks, contexts, explain, past_operations, sessions, status
from service.http.openapi import openapi_document
from service.http.problems import PROBLEMS, problem_of
from streams.domain import errors
from streams.domain.ids import Kind
from tests.support.listener import Listener, problem, public_listener
from tests.support.nodes import item

OPERATIONS = (
    status.STATUS,
    *contexts.OPERATIONS,
    *bulks.OPERATIONS,
    *sessions.OPERATIONS,
    *past_operations.OPERATIONS,
    explain.EXPLAIN,
)
VERBS = {"get", "head", "put", "post", "delete", "options"}


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    async with public_listener() as listener:
        yield listener


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return openapi_document({})


def walk(value: Any) -> Iterator[Any]:
    yield value
    match value:
        case dict():
            for inner in value.values():
                yield from walk(inner)
        case list():
            for inner in value:
                yield from walk(inner)


def resolved(document: dict[str, Any], reference: str) -> Any:
    assert reference.startswith("#/")
    found: Any = document
    for part in reference[2:].split("/"):
        found = found[part]
    return found


def described(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


async def test_it_is_there_for_everyone(listener: Listener, document: dict[str, Any]) -> None:
    """Without credentials; read only."""
    answer = await listener.nobody.ok("GET", "/openapi.json")
    assert answer.json == document
    assert answer.headers["Content-Type"] == "application/json"
    head = await listener.nobody.ok("HEAD", "/openapi.json")
    assert (head.body, head.headers["Content-Length"]) == (b"", str(len(answer.body)))
    options = await listener.nobody.call("OPTIONS", "/openapi.json")
    assert (options.status, options.headers["Allow"]) == (204, "GET, HEAD, OPTIONS")
    for method in ("PUT", "POST", "DELETE", "PATCH"):
        refused = await listener.nobody.call(method, "/openapi.json")
        assert problem(refused, 405) == "method_not_allowed"
        assert refused.headers["Allow"] == "GET, HEAD, OPTIONS"


def test_it_is_well_formed(document: dict[str, Any]) -> None:
    """Every reference leads somewhere, ids are unique, and every parameter of a path is declared."""
    assert document["openapi"] == "3.1.0"
    assert set(document["info"]) >= {"title", "version"}
    for value in walk(document):
        if isinstance(value, dict) and isinstance(value.get("$ref"), str):
            resolved(document, value["$ref"])
    ids = [operation["operationId"] for _, _, operation in described(document)]
    assert len(ids) == len(set(ids))
    for path, method, operation in described(document):
        assert method in VERBS
        parameters = [
            resolved(document, parameter["$ref"]) if "$ref" in parameter else parameter
            for parameter in operation.get("parameters", [])
        ]
        in_path = {parameter["name"] for parameter in parameters if parameter["in"] == "path"}
        assert in_path == set(re.findall(r"{(\w+)}", path))
        assert all(parameter["required"] for parameter in parameters if parameter["in"] == "path")
        assert operation["responses"]
        for code, response in operation["responses"].items():
            assert re.fullmatch("[1-5][0-9][0-9]", code)
            assert response["description"]
        assert operation["summary"]


def test_it_is_what_the_routes_are(document: dict[str, Any]) -> None:
    """No path, method or status more or less."""
    routed = {(op.path, op.method.lower()) for op in OPERATIONS} | {("/openapi.json", "get")}
    routed |= {(path, "head") for path, method in routed if method == "get"}
    routed |= {(path, "options") for path, _ in routed}
    assert {(path, method) for path, method, _ in described(document)} == routed
    for operation in OPERATIONS:
        written = document["paths"][operation.path][operation.method.lower()]
        assert str(operation.success) in written["responses"]
        assert {"400", "401", "403", "413", "429", "500", "503"} <= set(written["responses"])
        refusals = written["responses"]["403"]["content"]["application/json"]["schema"]["allOf"][1]
        codes = refusals["properties"]["error"]["properties"]["code"]["enum"]
        assert ("wrong_tenant" in codes) == (operation.tenant is not None)
        assert ("requestBody" in written) == (operation.body is not None)
        assert ("415" in written["responses"]) == (operation.body is not None)
        assert ("304" in written["responses"]) == (operation.largest_page > 0)


async def test_answers_bear_the_headers_that_it_says(listener: Listener, document: dict[str, Any]) -> None:
    """Position, ETag and request id, on each operation's good answer; and nothing that it does not say."""
    context, session = await listener.context(), await listener.session()
    await listener.app.ok("PUT", f"/v1/contexts/upnext/{context}", item())
    await listener.attach(session, context)
    bodies = {
        "putItem": item(),
        "putItems": {"items": [item(), {}]},
        "replaceItems": {"items": [item()]},
        "putItemsOfContexts": {"contexts": [{"context_id": context, "items": [item(), {}]}]},
        "attachContext": {"app_id": listener.app.tenant, "context_id": context},
        "hideItem": {"content_id": "c1", "action": "hide"},
    }
    usual = {"content-length", "content-type", "date", "server"}
    for operation in sorted(OPERATIONS, key=lambda op: (op.id == "deleteSession", op.method == "DELETE", op.id)):
        caller = listener.platform if operation.tenant is Kind.PLATFORM else listener.app
        path = operation.path.format(context_id=context, session_id=session, content_id="x")
        known = {"content_id": "c1", "from": "2024-02-16T00:00:00Z"}
        path += "?" + "&".join(f"{one.name}={known[one.name]}" for one in operation.query if one.required)
        answer = await caller.ok(operation.method, path, bodies.get(operation.id))
        response = document["paths"][operation.path][operation.method.lower()]["responses"][str(answer.status)]
        said, there = ({name.lower() for name in names} for names in (response["headers"], answer.headers))
        assert said - {"paket-view", "age", "paket-response-type", "idempotent-replayed"} <= there <= said | usual, (
            operation.id
        )
        assert ("content" in response) == bool(answer.body)
        if answer.body:
            schema = resolved(document, response["content"]["application/json"]["schema"]["$ref"])
            check_object(document, schema, answer.json)


async def test_refusals_bear_the_headers_that_it_says(listener: Listener, document: dict[str, Any]) -> None:
    """Of who is known, and of who is not."""
    said = {name.lower() for name in document["paths"]["/v1"]["get"]["responses"]["401"]["headers"]}
    usual = {"content-length", "content-type", "date", "server"}
    unsigned = await listener.app.call("GET", "/v1", headers={"X-Paket-Signature": "x"})
    assert problem(unsigned, 401) == "invalid_signature"
    nobody = await listener.nobody.call("GET", "/v1")
    assert problem(nobody, 401) == "invalid_credentials"
    for answer in (unsigned, nobody):
        assert {name.lower() for name in answer.headers} <= said | usual
    assert "RateLimit" in unsigned.headers


def check_object(document: dict[str, Any], schema: dict[str, Any], value: Any) -> None:
    """Check that *value* has what its schema requires, and nothing that it does not name."""
    assert set(schema["required"]) <= set(value) <= set(schema["properties"])
    for name, inner in value.items():
        declared = schema["properties"][name]
        if declared.get("type") == "array":
            for element in inner:
                check_object(document, resolved(document, declared["items"]["$ref"]), element)
        elif declared.get("type") in ("string", "integer", "boolean", "object"):
            types = {"string": str, "integer": int, "boolean": bool, "object": dict}
            assert type(inner) is types[declared["type"]], name


def leaves(kind: type[BaseException]) -> Iterator[type[BaseException]]:
    below = kind.__subclasses__()
    if not below:
        yield kind
    for inner in below:
        yield from leaves(inner)


INTERNAL = {errors.PoisonError, errors.NewerEventError, errors.FencedError, errors.RefusedStartError}


@pytest.mark.parametrize(
    "kind",
    [
        kind
        for kind in leaves(errors.UpNextError)
        if kind.__module__ in ("streams.domain.errors", "service.http.problems")
    ],
    ids=lambda kind: kind.__name__,
)
def test_every_error_has_a_status(kind: type[BaseException]) -> None:
    """Each leaf is answered as itself or as what it is a kind of; only what never reaches a request is a 500."""
    found = problem_of(kind.__new__(kind))
    assert (found.status == 500) == (kind in INTERNAL)
    assert found.code
    assert found.type.endswith("_error")


def test_codes_are_told_apart() -> None:
    """No two kinds of problems have the same code."""
    codes = [found.code for found in PROBLEMS.values()]
    assert len(codes) == len(set(codes))
    assert {found.status for found in PROBLEMS.values()} == {400, 401, 403, 404, 405, 409, 413, 415, 429, 500, 503}
