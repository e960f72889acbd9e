"""The OpenAPI document is whole: each operation says what it is, with examples that are what they are examples of."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from openapi_spec_validator import OpenAPIV31SpecValidator

from service.api.resource import ResourceType
from service.api.types import TYPES
from service.http.openapi import OPERATIONS, openapi_document
from service.http.openapi_examples import APP, CONTEXT, PLATFORM, SESSION
from service.http.routes import Operation
from service.http.versions.known import VERSIONS
from streams.domain.ids import Kind
from tests.support.api_listener import ApiNode, api_node, document_of_the_api, embedded_log
from tests.support.blobs import png
from tests.support.listener import basic
from tests.support.nodes import Answer, Caller
from tests.support.uploads import BOUNDARY, form

Json = dict[str, Any]
WITHOUT_EXAMPLES = {"image/png"}


@pytest.fixture(scope="module", params=VERSIONS.names)
def document(request: pytest.FixtureRequest) -> Json:
    version = VERSIONS.find(request.param)
    assert version is not None
    # As clients read it: a tuple is a list.
    return dict(json.loads(json.dumps(openapi_document(document_of_the_api(), version))))


def resolved(document: Json, value: Any) -> Any:
    while isinstance(value, dict) and "$ref" in value:
        found: Any = document
        for part in value["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        value = found
    return value


class Described(NamedTuple):
    """One operation of the document."""

    document: Json
    method: str
    path: str
    operation: Json

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    def parameters(self) -> Iterator[Json]:
        for parameter in self.operation.get("parameters", []):
            yield resolved(self.document, parameter)

    def contents(self) -> Iterator[tuple[str, Json]]:
        """Return what is sent and answered, and where."""
        for where, part in (("body", self.operation.get("requestBody", {})), *self.operation["responses"].items()):
            for media_type, content in part.get("content", {}).items():
                if media_type not in WITHOUT_EXAMPLES:
                    yield f"{self.name}: {where}, {media_type}", content

    def examples(self, content: Json) -> list[Any]:
        return [resolved(self.document, example)["value"] for example in content.get("examples", {}).values()]

    def validator(self, content: Json) -> Draft202012Validator:
        schema = {**content["schema"], "components": self.document["components"]}
        return Draft202012Validator(schema, format_checker=FormatChecker())


def operations(document: Json) -> Iterator[Described]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield Described(document, method, path, operation)


def test_it_is_openapi(document: Json) -> None:
    """By the specification's own schema, and its rules beyond it."""
    assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []


def test_each_operation_says_what_it_is(document: Json) -> None:
    """With a summary, a description, and every error that any operation of its kind can answer."""
    for one in operations(document):
        assert one.operation["summary"], one.name
        assert one.operation["description"], one.name
        assert one.operation["tags"], one.name
        if one.method != "options" and one.path.startswith(("/v1", "/api")):
            answered = set(one.operation["responses"])
            needed = {"400", "401", "429", "500", "503"} | ({"413"} if "requestBody" in one.operation else set())
            assert needed <= answered, one.name


def test_nothing_lacks_an_example(document: Json) -> None:
    """Each body, answer, error and header has one, and each parameter that must be given."""
    assert [
        where for one in operations(document) for where, content in one.contents() if not one.examples(content)
    ] == []
    without = [
        f"{one.name}: {parameter['name']}"
        for one in operations(document)
        for parameter in one.parameters()
        if parameter.get("required") and "example" not in parameter
    ]
    assert without == []
    assert [name for name, header in document["components"]["headers"].items() if "example" not in header] == []


def test_examples_are_what_they_are_examples_of(document: Json) -> None:
    """By the schemas beside them."""
    wrong = []
    for one in operations(document):
        for where, content in one.contents():
            validator = one.validator(content)
            for example in one.examples(content):
                wrong += [f"{where}: {error.message}" for error in validator.iter_errors(example)]
        for parameter in one.parameters():
            if "example" in parameter:
                wrong += [error.message for error in one.validator(parameter).iter_errors(parameter["example"])]
    for header in document["components"]["headers"].values():
        wrong += [error.message for error in Draft202012Validator(header["schema"]).iter_errors(header["example"])]
    assert wrong == []


class Told:
    """What the document tells, sent to a node that is new: ids of the examples are those that the node has made."""

    def __init__(self, document: Json) -> None:
        self._document = document
        self._made: dict[str, str] = {}
        self._by_id = {one.operation["operationId"]: one for one in operations(document)}

    def made(self, example: str, real: str) -> None:
        self._made[example] = real

    def with_real_ids(self, value: Any) -> Any:
        text = json.dumps(value)
        for example, real in self._made.items():
            text = text.replace(example, real)
        return json.loads(text)

    async def send(self, operation_id: str, caller: Caller, name: str = "", **more: Any) -> Answer:
        """Send one of the operation's examples; check that it is answered as the document says."""
        one = self._by_id[operation_id]
        contents = one.operation.get("requestBody", {}).get("content", {})
        bodies = contents.get("application/json", {"examples": {}})["examples"]
        body = resolved(self._document, bodies[name])["value"] if name else None
        path, query = one.path, ""
        for parameter in one.parameters():
            if parameter["in"] == "path":
                path = path.replace(f"{{{parameter['name']}}}", parameter["example"])
            if parameter["in"] == "query" and parameter.get("required"):
                query = f"?{parameter['name']}={parameter['example']}"
        body, path = self.with_real_ids(body), self.with_real_ids(path)
        answer = await caller.call(one.method.upper(), path + query, body, **more)
        response = one.operation["responses"][str(answer.status)]
        assert answer.status in (200, 204), (operation_id, name, answer.status, answer.body)
        content = response.get("content", {}).get("application/json")
        assert (content is not None) == bool(answer.body)
        if content is not None:
            assert [error.message for error in one.validator(content).iter_errors(answer.json)] == []
        return answer

    def bodies(self, operation_id: str) -> list[str]:
        """Return the names of the examples of the operation's body."""
        content = self._by_id[operation_id].operation.get("requestBody", {}).get("content", {})
        return list(content.get("application/json", {"examples": {}})["examples"])

    def operation_id(self, method: str, path: str) -> str:
        return str(self._document["paths"][path][method]["operationId"])

    def answered(self, method: str, path: str) -> Any:
        """Return the first example of a good answer."""
        content = self._document["paths"][path][method]["responses"]["200"]["content"]["application/json"]
        return resolved(self._document, next(iter(content["examples"].values())))["value"]


async def configure(told: Told, node: ApiNode) -> None:
    """Configure all that the examples name, each type after those that it refers to."""
    for resource in TYPES:
        if resource.name == "assets":
            form_type = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
            await told.send("postAssetUpload", node.admin, data=form(("asset", png())), headers=form_type)
        else:
            operation_id = told.operation_id("post", f"/api/v1/{resource.name}")
            for name in told.bodies(operation_id):
                answer = (await told.send(operation_id, node.admin, name)).json
                example = {"apps": APP, "platforms": PLATFORM}.get(resource.name)
                if example is not None and name == "one":
                    told.made(example, answer["id"])


async def read_and_write_each(told: Told, node: ApiNode, resource: ResourceType) -> None:
    every = f"/api/v1/{resource.name}"
    listed = (await told.send(told.operation_id("get", every), node.admin)).json
    read = await told.send(told.operation_id("get", f"{every}/{{id}}"), node.admin)
    assert set(read.json) - {"validationWarnings"} == set(told.answered("get", every)["results"][0])
    assert read.json["id"] in [one["id"] for one in listed["results"]]
    await told.send(told.operation_id("get", f"{every}/{{id}}/events"), node.admin)
    for method in ("put", "post"):
        await told.send(told.operation_id(method, f"{every}/{{id}}"), node.admin, "one")
    for action in resource.actions:
        await told.send(told.operation_id("post", f"{every}/{{id}}/{action.name}"), node.admin, "sent")


async def test_examples_work_in_the_resource_api(document: Json, tmp_path: Path) -> None:
    """Sent one after another to a node that is new, they are taken; and what is answered is what the document says."""
    async with embedded_log(tmp_path) as log, api_node(log) as node:
        told = Told(document)
        await configure(told, node)
        for resource in TYPES:
            await read_and_write_each(told, node, resource)
        for name in ("one", "list"):
            await told.send("postTransactions", node.admin, name)
        nobody = Caller(node.http, node.url, {})
        tokens = (await told.send("postTokens", nobody, "password")).json
        ada = Caller(node.http, node.url, {"Authorization": f"Bearer {tokens['access_token']}"})
        assert (await told.send("postEnrolment", ada)).json["otpauth"].startswith("otpauth://")
        for name in told.bodies("postRevocation"):
            await told.send("postRevocation", ada, name)


FIRST = ("attachContext", "replaceItems", "putItem")
"""What the others need, in this order; what takes it away comes last."""


def order(operation: Operation) -> tuple[bool, bool, int, str]:
    number = FIRST.index(operation.id) if operation.id in FIRST else len(FIRST)
    return operation.id == "deleteSession", operation.method == "DELETE", number, operation.id


async def test_examples_work_in_v1(document: Json, tmp_path: Path) -> None:
    """Sent one after another by an app and a platform that are new, they are taken, likewise."""
    async with embedded_log(tmp_path) as log, api_node(log) as node:
        told = Told(document)
        company = (await node.admin.ok("POST", "/api/v1/companies", {"name": "Acme"})).json["id"]
        callers = {}
        for kind, example in (("apps", APP), ("platforms", PLATFORM)):
            tenant = (await node.admin.ok("POST", f"/api/v1/{kind}?context={company}", {"name": "Acme"})).json["id"]
            told.made(example, tenant)
            body = {"name": "client", "tenant": tenant}
            made = (await node.admin.ok("POST", f"/api/v1/clients?context={company}", body)).json
            key = {"Authorization": basic(made["clientId"], made["secretKey"])}
            callers[kind] = Caller(node.http, node.url, {**key, "Paket-Version": document["info"]["version"]})
        told.made(CONTEXT, (await told.send("createContext", callers["apps"], "nothing")).json["context_id"])
        told.made(SESSION, (await told.send("createSession", callers["platforms"], "nothing")).json["session_id"])
        for operation in sorted(OPERATIONS, key=order):
            caller = callers["platforms" if operation.tenant is Kind.PLATFORM else "apps"]
            for name in told.bodies(operation.id) or [""]:
                await told.send(operation.id, caller, name)
