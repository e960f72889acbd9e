"""Test keys: everything is checked as for live ones, nothing is recorded, and lists are always the same."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from service.http.calls import Call, Handler
from service.http.openapi import OPERATIONS, openapi_document
from service.http.routes import Operation
from service.http.versions.known import VERSIONS
from service.http.versions.version import Version
from streams.domain.errors import LogUnavailableError, ViewUnavailableError
from streams.domain.ids import Kind, Mode
from tests.support.listener import (
    IDS,
    Listener,
    basic,
    names,
    problem,
    public_listener,
    raw_context,
    raw_session,
    same_bytes,
)
from tests.support.nodes import Answer, Caller, item
from tests.unit.test_http_openapi import check_object, resolved

TYPE = "Paket-Response-Type"


@dataclass
class Setting:
    """A listener, and for its app and its platform a client that shows a test key."""

    listener: Listener
    app: Caller
    platform: Caller
    context: str
    session: str
    recorded: int = 0
    """Events that its test writes with live keys."""

    @property
    def context_path(self) -> str:
        return f"/v1/contexts/upnext/{self.context}"

    @property
    def session_path(self) -> str:
        return f"/v1/sessions/upnext/{self.session}"


def with_test_key(listener: Listener, live: Caller, number: int) -> Caller:
    client_id, secret = f"{number:016x}", f"test_sk_{number}"
    _, client = listener.world.clients[live.client_id]
    listener.world.add_client(client.tenant_kind, client.tenant, client_id, secret, live=False)
    return Caller(listener.http, live.url, {"Authorization": basic(client_id, secret)}, live.tenant, client_id, secret)


class NotAsked:
    """Another node, which no test key's call may go to."""

    async def answer(self, call: Call, place: Kind, handle: Handler) -> None:
        assert call.client.live, (place, handle)


@pytest.fixture
async def setting() -> AsyncIterator[Setting]:
    async with public_listener(elsewhere=NotAsked()) as listener:
        app, platform = with_test_key(listener, listener.app, 101), with_test_key(listener, listener.platform, 102)
        context = (await app.ok("POST", "/v1/contexts")).json["context_id"]
        session = (await platform.ok("POST", "/v1/sessions")).json["session_id"]
        made = Setting(listener, app, platform, context, session)
        yield made
        assert listener.recorded == made.recorded


def calls_of(setting: Setting) -> dict[str, tuple[str, Any]]:
    """Return for each operation a path that is good, and a body."""
    values = {"context_id": setting.context, "session_id": setting.session, "content_id": "c1"}
    bodies: dict[str, Any] = {
        "putItem": item(),
        "putItems": {"items": [item(), {}]},
        "replaceItems": {"items": [item()]},
        "putItemsOfContexts": {"contexts": [{"context_id": setting.context, "items": [item(), {}]}]},
        "attachContext": {"app_id": setting.app.tenant, "context_id": setting.context},
        "hideItem": {"content_id": "test-movie-1", "action": "hide"},
    }
    return {op.id: (f"{op.path.format(**values)}{query_of(op)}", bodies.get(op.id)) for op in OPERATIONS}


def query_of(operation: Operation) -> str:
    """Return what an operation must be asked with."""
    known = {"content_id": "test-movie-1", "from": "2024-02-16T00:00:00Z"}
    required = [f"{parameter.name}={known[parameter.name]}" for parameter in operation.query if parameter.required]
    return f"?{'&'.join(required)}" if required else ""


@pytest.mark.parametrize("version", [*VERSIONS], ids=lambda version: version.name)
async def test_every_call(setting: Setting, version: Version) -> None:
    """Each is answered with the status and the schema that live ones get, says that it is a test, records nothing."""
    document, headers = openapi_document({}, version), {"Paket-Version": version.name}
    for operation in OPERATIONS:
        caller = setting.platform if operation.tenant is Kind.PLATFORM else setting.app
        path, body = calls_of(setting)[operation.id]
        answer = await caller.ok(operation.method, path, body, headers=headers)
        assert (answer.status, answer.headers[TYPE]) == (operation.success, "Test")
        if operation.answer is not None:
            msgspec.json.decode(answer.body, type=version.answer(operation.answer))
            responses = document["paths"][operation.path][operation.method.lower()]["responses"]
            schema = responses[str(answer.status)]["content"]["application/json"]["schema"]
            check_object(document, resolved(document, schema["$ref"]), answer.json)
        assert ("Paket-Position" in answer.headers) == (operation.writes or operation.largest_page > 0)
        if operation.method == "GET":
            head = await caller.ok("HEAD", path)
            assert (head.body, head.headers[TYPE]) == (b"", "Test")
    live = await setting.listener.app.ok("GET", "/v1")
    assert TYPE not in live.headers


async def test_without_a_log(setting: Setting) -> None:
    """Nothing is asked of the log, of tables or of other nodes."""
    for name in ("write_context", "write_session", "write_sessions", "execute"):
        setting.listener.world.fail(name, LogUnavailableError())
    for name in ("context_page", "session_page", "subscriptions", "contexts", "holds", "explain", "past"):
        setting.listener.world.fail(name, ViewUnavailableError())
    await test_every_call(setting, VERSIONS.first)


async def test_lists(setting: Setting) -> None:
    """Always the same three items, newest first, in pages like others; a platform sees whose they are."""
    path = setting.session_path
    first = (await setting.platform.ok("GET", path)).json
    assert (first["total"], len(first["items"])) == (3, 3)
    assert "next_key" not in first
    updated = [entry["updated_at"] for entry in first["items"]]
    assert updated == sorted(updated, reverse=True)
    await setting.platform.ok("PUT", f"{path}/{setting.context}", {"content_id": "test-movie-1", "action": "hide"})
    assert (await setting.platform.ok("GET", path)).json == first
    page = (await setting.platform.ok("GET", f"{path}?limit=2")).json
    assert (page["items"], page["next_key"]) == (first["items"][:2], 2)
    assert (await setting.platform.ok("GET", f"{path}?next_key=2&limit=2")).json["items"] == first["items"][2:]
    assert (await setting.platform.ok("GET", f"{path}?next_key=3")).json == {"total": 3, "items": []}
    attached = (await setting.platform.ok("GET", f"{path}/contexts")).json
    pairs = [(entry["app_id"], entry["context_id"]) for entry in attached["items"]]
    assert pairs == [(entry["app_id"], entry["context_id"]) for entry in first["items"]]
    assert {entry["session_id"] for entry in attached["items"]} == {setting.session}
    one = (await setting.platform.ok("GET", f"{path}/{pairs[1][1]}")).json
    assert {(entry["app_id"], entry["context_id"]) for entry in one["items"]} == {pairs[1]}
    own = (await setting.platform.ok("GET", f"{path}/{setting.context}")).json
    assert {entry["context_id"] for entry in own["items"]} == {setting.context}


async def test_a_publishers_list(setting: Setting) -> None:
    """The same items, in its own context and of its own app, whatever it wrote."""
    await setting.app.ok("PUT", setting.context_path, item("mine"))
    listed = (await setting.app.ok("GET", setting.context_path)).json
    assert {(entry["app_id"], entry["context_id"]) for entry in listed["items"]} == {
        (setting.app.tenant, setting.context)
    }
    shown = {"app_id", "context_id", "platform_data", "app_media"}
    merged = (await setting.platform.ok("GET", setting.session_path)).json
    assert [{key: entry[key] for key in entry.keys() - shown} for entry in listed["items"]] == [
        {key: entry[key] for key in entry.keys() - shown} for entry in merged["items"]
    ]


def kinds_of(entries: list[Any]) -> set[str]:
    return {entry["media_type"] for entry in entries}


async def test_lists_are_plausible(setting: Setting) -> None:
    """They have what clients must be able to show: films and episodes, a hidden one, with and without a preview."""
    entries = (await setting.platform.ok("GET", setting.session_path)).json["items"]
    assert kinds_of(entries) == {"movie", "tv_episode"}
    assert {entry["hidden"] for entry in entries} == {False, True}
    assert {"preview_video_uri" in entry for entry in entries} == {False, True}
    writable = item().keys() | {"season", "episode", "preview_video_uri", "hidden"}
    for entry in entries:
        body = {name: value for name, value in entry.items() if name in writable}
        await setting.app.ok("PUT", setting.context_path, body)


async def test_etags(setting: Setting) -> None:
    """A page that a reader has is a 304, which is a test's too."""
    for caller, path in ((setting.app, setting.context_path), (setting.platform, setting.session_path)):
        etag = (await caller.ok("GET", path)).headers["ETag"]
        known = await caller.call("GET", path, headers={"If-None-Match": etag})
        assert (known.status, known.headers[TYPE]) == (304, "Test")


async def test_positions(setting: Setting) -> None:
    """A write's position is one that reads take, of either mode, and nobody waits for it."""
    written = await setting.app.ok("PUT", setting.context_path, item())
    created = await setting.platform.ok("POST", "/v1/sessions")
    listed = await setting.platform.ok("GET", setting.session_path)
    both = f"{written.position},{created.position},{listed.position}"
    await setting.app.ok("GET", setting.context_path, after=both)
    await setting.platform.ok("GET", setting.session_path, after=both)
    other = await setting.platform.call("GET", setting.session_path, after="x")
    assert problem(other, 400) == "invalid_position"
    context, session = f"CX{1:041d}", f"SN{1:041d}"
    live = setting.listener
    assert problem(await live.app.call("GET", f"/v1/contexts/upnext/{context}", after=both), 404) == "not_found"
    assert problem(await live.platform.call("GET", f"/v1/sessions/upnext/{session}", after=both), 404) == "not_found"


async def test_an_attachment_is_always_the_same(setting: Setting) -> None:
    """Attached again, it has the same time; a context of an app that is not there is absent."""
    body = {"app_id": setting.app.tenant, "context_id": setting.context}
    first = await setting.platform.ok("PUT", setting.session_path, body)
    assert first.json == (await setting.platform.ok("PUT", setting.session_path, body)).json
    assert {first.json[name] for name in ("app_id", "context_id", "session_id")} == {*body.values(), setting.session}
    theirs = {**body, "app_id": setting.listener.callers["other_app"].tenant}
    assert problem(await setting.platform.call("PUT", setting.session_path, theirs), 404) == "not_found"


async def test_ids_are_of_their_mode(setting: Setting) -> None:
    """What a test key made is absent to live ones, and the other way round; of another tenant, to all."""
    live = setting.listener
    live_context, live_session = await live.context(), await live.session()
    assert IDS.verify(Kind.CONTEXT, Mode.TEST, live.world.tenant_of(live.app.client_id), raw_context(setting.context))
    assert IDS.verify(
        Kind.SESSION, Mode.TEST, live.world.tenant_of(live.platform.client_id), raw_session(setting.session)
    )
    app, platform = setting.app.tenant, setting.platform
    foreign = (
        with_test_key(live, live.callers["other_app"], 103),
        with_test_key(live, live.callers["other_platform"], 104),
    )
    calls: list[tuple[Caller, str, str, Any]] = [
        (live.app, "PUT", setting.context_path, item()),
        (live.app, "GET", setting.context_path, None),
        (foreign[0], "GET", setting.context_path, None),
        (live.platform, "GET", setting.session_path, None),
        (foreign[1], "GET", setting.session_path, None),
        (setting.app, "PUT", f"/v1/contexts/upnext/{live_context}", item()),
        (setting.app, "DELETE", f"/v1/contexts/upnext/{live_context}/sessions", None),
        (platform, "GET", f"/v1/sessions/upnext/{live_session}", None),
        (platform, "DELETE", f"/v1/sessions/upnext/{live_session}", None),
        (platform, "PUT", setting.session_path, {"app_id": app, "context_id": live_context}),
        (live.platform, "PUT", f"/v1/sessions/upnext/{live_session}", {"app_id": app, "context_id": setting.context}),
    ]
    setting.recorded = live.recorded
    for caller, method, path, body in calls:
        assert problem(await caller.call(method, path, body), 404) == "not_found", (method, path)


async def test_broken_requests(setting: Setting) -> None:
    """They are refused with the bytes that a live key gets, but for what says that it was a test."""
    live = setting.listener
    live_context, live_session = await live.context(), await live.session()
    setting.recorded = live.recorded
    broken: list[tuple[str, str, dict[str, Any]]] = [
        ("PUT", "{context}", {"data": b"{"}),
        ("PUT", "{context}", {"data": b"[]"}),
        ("PUT", "{context}", {"body": item(title=1, x=2)}),
        ("PUT", "{context}", {"body": item(position=6_000)}),
        ("PUT", "{context}", {"body": item("sessions")}),
        ("PUT", "{context}", {"data": b"x" * 20_000}),
        ("PUT", "{context}", {"body": item(), "headers": {"Content-Type": "text/plain"}}),
        ("PUT", "{context}", {"body": item(), "after": "x"}),
        ("PUT", "{context}", {}),
        ("DELETE", "{context}/%00", {}),
        ("POST", "{context}/items", {"body": {"items": 1}}),
        ("PUT", "{context}/items", {"body": {"items": [item(), {}]}}),
        ("GET", "{context}?limit=0", {}),
        ("GET", "{context}?next_key=x&limit=1000", {}),
        ("POST", "/v1/contexts", {"body": {"x": 1}}),
        ("PATCH", "{context}", {}),
        ("GET", "/v1/nothing", {}),
        ("PUT", "{session}", {"body": {"app_id": 1}}),
        ("PUT", "{session}", {"body": {"app_id": "x", "context_id": "y"}}),
        ("PUT", "{session}/CX", {"body": {"content_id": "x", "action": "hide"}}),
        ("GET", "{session}/CX", {}),
        ("GET", "{session}/contexts?limit=51", {}),
    ]
    for method, template, sent in broken:
        of_app = "session" not in template
        answers: list[Answer] = []
        for caller, context, session in (
            (setting.app if of_app else setting.platform, setting.context, setting.session),
            (live.app if of_app else live.platform, live_context, live_session),
        ):
            paths = {"context": f"/v1/contexts/upnext/{context}", "session": f"/v1/sessions/upnext/{session}"}
            answers.append(await caller.call(method, template.format(**paths), **sent))
        test, of_live = answers
        assert test.headers[TYPE] == "Test"
        test_bytes, live_bytes = same_bytes(test), same_bytes(of_live)
        assert (test_bytes[0], test_bytes[2]) == (live_bytes[0], live_bytes[2]), (method, template)
        assert [name for name in test_bytes[1] if name != TYPE] == live_bytes[1]
    absent = {"content_id": "absent", "action": "hide"}
    answer = await setting.platform.call("PUT", f"{setting.session_path}/{setting.context}", absent)
    assert (problem(answer, 404), names(answer)) == ("not_found", [])


async def test_keys_that_are_none(setting: Setting) -> None:
    """A test key that nobody has is refused as any other, and the answer does not say that it was a test."""
    caller = Caller(setting.listener.http, setting.app.url, {"Authorization": basic(setting.app.client_id, "test_sk_")})
    answer = await caller.call("GET", "/v1")
    assert problem(answer, 401) == "invalid_credentials"
    assert TYPE not in answer.headers
