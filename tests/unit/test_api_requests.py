"""What the resource API does with requests that are broken, unwelcome or badly timed."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from service.api import api_openapi
from service.api.answers import MAX_MESSAGES
from service.api.resources import MAX_BODY_BYTES
from service.api.types import TYPES
from service.http.openapi import openapi_document
from streams.domain.errors import LogUnavailableError, RegistryBehindError
from streams.domain.registry_state import Found, RegistryState
from streams.log.embedded import EmbeddedLog
from streams.log.port import Appended, Chunk, Log
from streams.registry import LAG_LIMIT_S
from streams.topics import REGISTRY_EVENTS
from tests.support.api_listener import ApiNode, api_node, embedded_log
from tests.support.engine_faults import FaultyLog
from tests.support.nodes import ADMIN_TOKEN, Answer, Caller


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[ApiNode]:
    async with embedded_log(tmp_path) as log, api_node(log) as node:
        yield node


def codes(answer: Answer, status: int) -> list[str]:
    assert answer.status == status, answer.body
    assert answer.headers["Content-Type"] == "application/json"
    assert re.fullmatch("req_[0-9a-f]{16}", answer.headers["Paket-Request-Id"])
    return [message["code"].removeprefix("error.") for message in answer.json["errors"]]


@pytest.mark.parametrize(
    ("authorization", "challenge"),
    [
        (None, 'Bearer realm="upnext"'),
        ("", 'Bearer realm="upnext"'),
        (f"Basic {ADMIN_TOKEN}", 'Bearer realm="upnext"'),
        (ADMIN_TOKEN, 'Bearer realm="upnext"'),
        ("Bearer", 'Bearer realm="upnext", error="invalid_token"'),
        ("Bearer ", 'Bearer realm="upnext", error="invalid_token"'),
        ("Bearer wrong", 'Bearer realm="upnext", error="invalid_token"'),
        (f"Bearer {ADMIN_TOKEN}x", 'Bearer realm="upnext", error="invalid_token"'),
        ("Bearer \u00e6", 'Bearer realm="upnext", error="invalid_token"'),
    ],
)
async def test_bad_credentials(node: ApiNode, authorization: str | None, challenge: str) -> None:
    """Without the token there is nothing to see, not even which paths there are; how to come back is said."""
    caller = Caller(node.http, node.url, {} if authorization is None else {"Authorization": authorization})
    for method, path in (("GET", "/api/v1/companies"), ("POST", "/api/v1/companies"), ("GET", "/api/v1/nothing")):
        answer = await caller.call(method, path)
        assert codes(answer, 401) == ["unauthorized"]
        assert answer.headers["WWW-Authenticate"] == challenge


async def test_the_scheme_s_case_does_not_count(node: ApiNode) -> None:
    """`bearer` is `Bearer` (RFC 9110, 11.1)."""
    caller = Caller(node.http, node.url, {"Authorization": f"bEARER {ADMIN_TOKEN}"})
    assert (await caller.call("GET", "/api/v1/companies")).status == 200


async def test_a_client_of_a_tenant_is_a_stranger(node: ApiNode) -> None:
    """The credentials of `/v1` are none here."""
    company = (await node.admin.ok("POST", "/api/v1/companies", {"name": "C"})).json["id"]
    app = (await node.admin.ok("POST", f"/api/v1/apps?context={company}", {"name": "A"})).json["id"]
    made = await node.admin.ok("POST", f"/api/v1/clients?context={company}", {"name": "K", "tenant": app})
    caller = Caller(node.http, node.url, {"Authorization": f"Bearer {made.json['secretKey']}"})
    assert codes(await caller.call("GET", "/api/v1/companies"), 401) == ["unauthorized"]


@pytest.mark.parametrize(
    "path",
    ["/api", "/api/", "/api/v1", "/api/v1/", "/api/v1/nothing", "/api/v1/companies/", "/api/v1/companies/a/b",
     "/api/v2/companies", "/api/v1//companies", "/api/v1/Companies", "/api/v1/companies/a/events/b"],
)  # fmt: skip
async def test_unknown_paths(node: ApiNode, path: str) -> None:
    """A path that is not there is 404, in the shape of this API."""
    for method in ("GET", "POST", "DELETE", "OPTIONS"):
        assert codes(await node.admin.call(method, path), 404) == ["path.not.found"]


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "text/plain", "application/json", "odd"])
async def test_bodies_are_json_whatever_they_are_called(node: ApiNode, content_type: str) -> None:
    """Command-line clients send a form type along with JSON."""
    answer = await node.admin.call(
        "POST", "/api/v1/companies", data=b'{"name":"C"}', headers={"Content-Type": content_type}
    )
    assert answer.status == 200


BROKEN_JSON = [
    b"",
    b"nonsense",
    b"name=C",
    b"{",
    b'{"name":"C"} x',
    b'{"name":"C","name":"D"}',
    b'[{"name":"C","name":"D"}]',
    b'{"name":NaN}',
    b'{"name":-Infinity}',
    b'{"name":"\\ud800"}',
    b'[{"name":"\\ud800"}]',
    b'{"name":"\\u0000"}',
    b'{"name":"\xff"}',
    b"[" * 100_000,
    b"[" * 9 + b"]" * 9,
    b'{"a":' * 9 + b"1" + b"}" * 9,
    b"null",
    b"1",
    b'"text"',
    b"[1]",
    b'[{"name":"C"},null]',
    b"[[]]",
]


async def test_strict_json(node: ApiNode) -> None:
    """What is no object or list of objects in strict JSON is 400, and nothing is written."""
    events = await node.events()
    for body in BROKEN_JSON:
        assert codes(await node.admin.call("POST", "/api/v1/companies", data=body), 400) == ["invalid.json"], body
    for body in (*BROKEN_JSON, b"[]", b'[{"name":"C"}]'):
        assert codes(await node.admin.call("PUT", "/api/v1/companies/a", data=body), 400) == ["invalid.json"], body
    assert await node.events() == events


async def test_large_bodies(node: ApiNode) -> None:
    """A body of more than 1 MiB is 413, whether its length is declared or not; one of just as much is read."""
    fits = b'{"name":"C"}'.ljust(MAX_BODY_BYTES)
    headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
    address: Any = node.address("/api/v1/companies")
    for sent, status in ((fits, 200), (fits + b" ", 413)):
        for body in (io.BytesIO(sent), _pieces(sent)):
            async with node.http.post(address, data=body, headers=headers) as answer:
                told = Answer(answer.status, dict(answer.headers), await answer.read())
                assert told.status == status
                assert status == 200 or codes(told, status) == ["body.too.large"]


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 1 << 16):
        yield body[start : start + (1 << 16)]


async def test_objects_too_large_together(node: ApiNode) -> None:
    """A request whose objects fit into its body, but not into one record, is 413 and writes nothing."""
    company = (await node.admin.ok("POST", "/api/v1/companies", {"name": "C"})).json["id"]
    path = f"/api/v1/apps?context={company}"
    body = [{"name": "A", "description": "x" * 4096} for _ in range(240)]
    made = (await node.admin.ok("POST", path, body)).json
    events = await node.events()
    more = [{"name": "A", "description": "x" * 4096} for _ in range(250)]
    assert codes(await node.admin.call("POST", path, more), 413) == ["body.too.large"]
    hidden = [{"id": one["id"], "objectState": "HIDDEN"} for one in made]
    assert (await node.admin.call("POST", path, hidden)).status == 200
    assert await node.events() == events + 1


async def test_a_slow_body(node: ApiNode) -> None:
    """A body that does not come in time is 400; the listener goes on."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(node.url.rsplit(":", 1)[1]))
    head = ["POST /api/v1/companies HTTP/1.1", "Host: a", f"Authorization: Bearer {ADMIN_TOKEN}", "Content-Length: 9"]
    writer.write("\r\n".join([*head, "", "{"]).encode())
    async with asyncio.timeout(10):
        assert (await reader.readline()).startswith(b"HTTP/1.1 400")
    writer.close()
    await writer.wait_closed()
    assert (await node.admin.call("GET", "/api/v1/companies")).status == 200


async def test_a_flood_of_unknown_fields(node: ApiNode) -> None:
    """A body of nothing but broken fields is not answered with many times its size."""
    body = {f"f{number}" + "x" * 100: 1 for number in range(5_000)}
    answer = await node.admin.call("POST", "/api/v1/companies", body)
    assert len(codes(answer, 400)) == MAX_MESSAGES
    assert len(answer.body) < 50_000


class Away(EmbeddedLog):
    """The embedded log, which a test can make refuse what is appended."""

    is_away = False

    async def append(self, topic: str, partition: int, key: bytes, value: bytes | None) -> Appended:
        if self.is_away:
            raise LogUnavailableError
        return await super().append(topic, partition, key, value)


async def test_the_log_away(tmp_path: Path) -> None:
    """While the log does not answer, writes are 503 and worth another try; lists and idle repeats are still served."""
    async with embedded_log(tmp_path, Away) as log, api_node(log) as node:
        assert isinstance(log, Away)
        company = (await node.admin.ok("POST", "/api/v1/companies", {"name": "C"})).json["id"]
        log.is_away = True
        await _only_writes_fail(node, company)


async def _only_writes_fail(node: ApiNode, company: str) -> None:
    answer = await node.admin.call("POST", "/api/v1/companies", {"name": "D"})
    assert codes(answer, 503) == ["log.unavailable"]
    assert int(answer.headers["Retry-After"]) >= 1
    assert (await node.admin.ok("GET", "/api/v1/companies")).json["totalCount"] == 1
    assert (await node.admin.call("PUT", f"/api/v1/companies/{company}", {"name": "C"})).status == 200


async def test_a_registry_that_is_behind(node: ApiNode) -> None:
    """A node whose registry lags too far behind answers nothing: a revoked token must not live on."""
    registry = node.registry
    registry._ends.append((1 << 40, registry._clock_s() - LAG_LIMIT_S - 1))
    with pytest.raises(RegistryBehindError):
        registry.ensure_fresh()
    answer = await node.admin.call("GET", "/api/v1/companies")
    assert codes(answer, 503) == ["registry.behind"]
    assert int(answer.headers["Retry-After"]) >= 1


class Broken(RegistryState):
    def page(self, type_name: str, company: str | None, start: int, limit: int, *, with_hidden: bool) -> Found:
        msg = f"a secret of the inside: {type_name} {company} {start} {limit} {with_hidden}"
        raise RuntimeError(msg)


async def test_a_failure_of_our_own(node: ApiNode) -> None:
    """A bug is 500 in shape, without a word of where it is."""
    node.registry.state = Broken()
    answer = await node.admin.call("GET", "/api/v1/companies")
    assert codes(answer, 500) == ["internal.error"]
    assert b"secret" not in answer.body


class Late(FaultyLog):
    """A log whose follower gets nothing more until somebody asks for its end."""

    def __init__(self, log: Log) -> None:
        super().__init__(log)
        self.flows = asyncio.Event()
        self.flows.set()

    async def end_offset(self, topic: str, partition: int) -> int:
        self.flows.set()
        return await super().end_offset(topic, partition)

    async def read(self, topic: str, partition: int, start: int, end: int | None = None) -> AsyncIterator[Chunk]:
        async for chunk in super().read(topic, partition, start, end):
            await self.flows.wait()
            yield chunk


async def test_a_node_that_is_late_looks_again(node: ApiNode) -> None:
    """What was made on one node is a context, an object and a tenant on a late one; what was changed is not undone."""
    late = Late(node.log)
    async with api_node(late) as other:
        late.flows.clear()
        company = (await node.admin.ok("POST", "/api/v1/companies", {"name": "C"})).json["id"]
        assert (await other.admin.ok("GET", f"/api/v1/apps?context={company}")).json["totalCount"] == 0
        late.flows.clear()
        app = (await node.admin.ok("POST", f"/api/v1/apps?context={company}", {"name": "A"})).json["id"]
        assert (await other.admin.call("GET", f"/api/v1/apps/{app}?context={company}")).status == 200
        late.flows.clear()
        app = (await node.admin.ok("POST", f"/api/v1/apps?context={company}", {"name": "B"})).json["id"]
        body = {"name": "K", "tenant": app}
        assert (await other.admin.call("POST", f"/api/v1/clients?context={company}", body)).status == 200
        late.flows.clear()
        await node.admin.ok("POST", f"/api/v1/apps/{app}?context={company}", {"name": "C"})
        changed = await other.admin.ok("POST", f"/api/v1/apps/{app}?context={company}", {"description": "D"})
        assert (changed.json["name"], changed.json["description"]) == ("C", "D")


async def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    """What was configured is answered alike by another process on the same log."""
    async with embedded_log(tmp_path) as log, api_node(log) as node:
        await node.admin.ok("POST", "/api/v1/companies", [{"name": name} for name in "abc"])
        before = await node.admin.ok("GET", "/api/v1/companies")
    async with embedded_log(tmp_path) as log, api_node(log) as node:
        assert (await node.admin.ok("GET", "/api/v1/companies")).body == before.body


async def test_the_log_says_who_and_why(node: ApiNode) -> None:
    """A write's event bears the user and the request's id."""
    answer = await node.admin.ok("POST", "/api/v1/companies", {"name": "C"})
    chunks = [chunk async for chunk in node.log.read(REGISTRY_EVENTS, 0, 0, await node.events())]
    event = orjson.loads(chunks[-1].records[-1].value or b"")
    assert event["type"] == "registry.transaction.v1"
    assert event["user"] == "superuser"
    assert event["request"] == answer.headers["Paket-Request-Id"]


async def test_the_document(node: ApiNode) -> None:
    """The OpenAPI document has every path and method that there is, and all that it refers to."""
    document = openapi_document(api_openapi())
    served = (await node.admin.call("GET", "/openapi.json")).json
    assert served == orjson.loads(orjson.dumps(document))
    paths = {path: set(item) for path, item in document["paths"].items() if path.startswith("/api/v1/")}
    for template, methods in paths.items():
        answer = await node.admin.call("OPTIONS", template.replace("{id}", "x"))
        assert answer.headers["Allow"] == ", ".join(sorted(method.upper() for method in methods)), template
    for resource in TYPES:
        assert {f"/api/v1/{resource.name}{more}" for more in ("", "/{id}", "/{id}/events")} <= {*paths}
    assert "/api/v1/clients/{id}/roll" in paths
    for reference in set(re.findall(r'"\$ref":"#/([^"]+)"', orjson.dumps(document).decode())):
        part: Any = document
        for key in reference.split("/"):
            part = part[key]
    operations = [operation["operationId"] for item in document["paths"].values() for operation in item.values()]
    assert len(set(operations)) == len(operations)
