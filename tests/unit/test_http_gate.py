"""What holds for every request to the public listener: who may call what, how, and in which order rules count."""

from __future__ import annotations

import asyncio
import re
from base64 import b64encode
from collections.abc import AsyncIterator

import orjson
import pytest

from service.http import contexts, sessions, status
from service.http.bodies import MAX_BODY_BYTES, MAX_ITEM_BYTES
from service.http.routes import Operation
from streams.domain.errors import (
    LogUnavailableError,
    OverloadedError,
    RegistryBehindError,
    UnavailableError,
    ViewBehindError,
    ViewUnavailableError,
)
from streams.domain.ids import Kind
from tests.support.listener import Listener, basic, checked_error, names, problem, public_listener, same_bytes
from tests.support.nodes import Caller, item

OPERATIONS: tuple[Operation, ...] = (status.STATUS, *contexts.OPERATIONS, *sessions.OPERATIONS)
METHODS = {"GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"}


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    async with public_listener() as listener:
        yield listener


async def path_of(listener: Listener, template: str) -> str:
    """Return *template* with ids that are good."""
    values = {"context_id": await listener.context(), "session_id": await listener.session(), "content_id": "c1"}
    return template.format(**values)


def caller_of(listener: Listener, operation: Operation) -> Caller:
    return listener.platform if operation.tenant is Kind.PLATFORM else listener.app


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Basic",
        "Basic ",
        "Basic !!!",
        "Basic \u00e6",
        "Bearer sk_app",
        f"Bearer {b64encode(b'0000000000000001:sk_app').decode()}",
        f"Basic{b64encode(b'0000000000000001:sk_app').decode()}",
        f"Basic {b64encode(b'0000000000000001').decode()}",
        f"Basic {b64encode(b':sk_app').decode()}",
        f"Basic {b64encode(b'0000000000000001:').decode()}",
        f"Basic {b64encode(b'0000000000000001:sk_ap').decode()}",
        f"Basic {b64encode(b'0000000000000001:sk_app ').decode()}",
        f"Basic {b64encode(b'0000000000000001:sk_app').decode()} x",
        f"Basic {b64encode(bytes([255, 254, 58, 255])).decode()}",
        basic("0000000000000009", "sk_app"),
        basic("0000000000000001", "test_sk_app"),
    ],
)
async def test_bad_credentials(listener: Listener, authorization: str | None) -> None:
    """Whatever is wrong with them: the same 401, on any path."""
    headers = {} if authorization is None else {"Authorization": authorization}
    caller = Caller(listener.http, listener.app.url, headers)
    first = await listener.nobody.call("GET", "/v1")
    for method, path in (("GET", "/v1"), ("PUT", "/v1/contexts/upnext/x"), ("GET", "/nothing"), ("PATCH", "/v1")):
        answer = await caller.call(method, path)
        assert problem(answer, 401) == "invalid_credentials"
        assert answer.headers["WWW-Authenticate"] == 'Basic realm="paket", charset="UTF-8"'
        assert same_bytes(answer) == same_bytes(first)
    assert listener.recorded == 0


async def test_good_credentials(listener: Listener) -> None:
    """The scheme is read in any case; the status names the client and its tenant."""
    for scheme in ("Basic", "basic", "BASIC"):
        authorization = listener.app.headers["Authorization"].replace("Basic", scheme)
        answer = await Caller(listener.http, listener.app.url, {"Authorization": authorization}).ok("GET", "/v1")
        assert answer.json == {
            "message": "The API is healthy!",
            "client_id": listener.app.client_id,
            "app_id": listener.app.tenant,
        }
    answer = await listener.platform.ok("GET", "/v1")
    assert answer.json == {
        "message": "The API is healthy!",
        "client_id": listener.platform.client_id,
        "platform_id": listener.platform.tenant,
    }


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/v1/", "/v2", "/V1", "//v1", "/v1/contexts/", "/v1/contexts/upnext", "/v1/contexts/upnext/"),
        *("/v1/contexts/upnext/x/", "/v1/contexts/upnext/x/y/z", "/v1/contexts/upnext/x/sessions/y", "/v1//contexts"),
        *("/v1/sessions/upnext/x/contexts/", "/v1/sessions/upnext/x/y/z", "/v1/./contexts", "/v1/%63ontexts", "/v1;x"),
    ],
)
async def test_unknown_paths(listener: Listener, path: str) -> None:
    """There is nothing, whatever the method and the body; paths are not cleaned up to mean something else."""
    for caller in (listener.app, listener.platform):
        for method in ("GET", "PUT", "POST", "DELETE", "PATCH"):
            assert problem(await caller.call(method, path, data=b"{"), 404) == "unknown_path"


@pytest.mark.parametrize("path", sorted({operation.path for operation in OPERATIONS}))
async def test_methods(listener: Listener, path: str) -> None:
    """A path takes its own methods, says so in `Allow`, and OPTIONS says so to everyone."""
    own = {operation.method: operation for operation in OPERATIONS if operation.path == path}
    allowed = ", ".join(sorted({*own, "OPTIONS", *(["HEAD"] if "GET" in own else [])}))
    url = await path_of(listener, path)
    for caller in (listener.nobody, listener.app):
        answer = await caller.call("OPTIONS", url)
        assert (answer.status, answer.headers["Allow"], answer.body) == (204, allowed, b"")
        assert "Content-Type" not in answer.headers
    before = listener.recorded
    for method in sorted(METHODS - {*allowed.split(", ")}):
        # A wrong method counts before a wrong tenant.
        for caller in (listener.app, listener.platform):
            answer = await caller.call(method, url)
            assert answer.status == 405
            assert method == "HEAD" or problem(answer, 405) == "method_not_allowed"
            assert answer.headers["Allow"] == allowed
    assert listener.recorded == before


@pytest.mark.parametrize("path", sorted({op.path for op in OPERATIONS if op.method == "GET"}))
async def test_head(listener: Listener, path: str) -> None:
    """HEAD answers as GET does, without the body."""
    operation = next(op for op in OPERATIONS if op.path == path and op.method == "GET")
    caller = caller_of(listener, operation)
    context, session = await listener.context(), await listener.session()
    await listener.attach(session, context)
    await listener.app.ok("PUT", f"/v1/contexts/upnext/{context}", item())
    url = path.format(context_id=context, session_id=session)
    got, head = await caller.ok("GET", url), await caller.ok("HEAD", url)
    assert (head.status, head.body) == (200, b"")
    for name in set(got.headers) - {"Paket-Request-Id", "Date", "RateLimit"}:
        assert head.headers[name] == got.headers[name], name
    assert int(head.headers["Content-Length"]) == len(got.body)
    missing = await caller.call("HEAD", url + "/x/y/z")
    assert (missing.status, missing.body) == (404, b"")


@pytest.mark.parametrize("operation", [op for op in OPERATIONS if op.tenant], ids=lambda op: op.id)
async def test_the_other_tenant(listener: Listener, operation: Operation) -> None:
    """A platform has no contexts and an app no sessions; it hears so before anything is read."""
    other = listener.app if operation.tenant is Kind.PLATFORM else listener.platform
    url = await path_of(listener, operation.path)
    before = listener.recorded
    large = b"x" * (MAX_BODY_BYTES + 1)
    for body in (b"", b"{}", large):
        assert problem(await other.call(operation.method, url, data=body), 403) == "wrong_tenant"
    assert listener.recorded == before


async def test_the_order_in_which_rules_count(listener: Listener) -> None:
    """Everything is wrong with this request; mended one by one, the next wrong is what is said."""
    own, foreign = await listener.context(), await listener.context("other_app")
    good = "Basic " + listener.app.headers["Authorization"].split()[1]
    headers = {"Authorization": "Basic x", "Content-Type": "text/plain", "Paket-Position": "x"}
    request = {"method": "PATCH", "path": "/v1/contexts/upnext", "data": b"{" * (MAX_ITEM_BYTES + 1)}
    steps: list[tuple[int, str, dict[str, object], dict[str, str]]] = [
        (401, "invalid_credentials", {}, {"Authorization": listener.platform.headers["Authorization"]}),
        (404, "unknown_path", {"path": f"/v1/contexts/upnext/{foreign}"}, {}),
        (405, "method_not_allowed", {"method": "PUT"}, {}),
        (403, "wrong_tenant", {}, {"Authorization": good}),
        (413, "body_too_large", {"data": b"{"}, {}),
        (415, "unsupported_media_type", {}, {"Content-Type": "application/json"}),
        (400, "invalid_position", {}, {"Paket-Position": ""}),
        (400, "invalid_position", {}, {"Paket-Position": "GONE"}),
        (400, "invalid_json", {"data": b"{}"}, {}),
        (404, "not_found", {"path": f"/v1/contexts/upnext/{own}"}, {}),
        (400, "invalid_fields", {}, {}),
    ]
    before = listener.recorded
    for expected, code, mended, mended_headers in steps:
        if headers["Paket-Position"] == "GONE":
            del headers["Paket-Position"]
            headers["Paket-Position"] = (await listener.app.ok("PUT", f"/v1/contexts/upnext/{own}", item())).headers[
                "Paket-Position"
            ]
            before = listener.recorded
        caller = Caller(listener.http, listener.app.url, {})
        answer = await caller.call(**request, headers=headers)  # type: ignore[arg-type]
        assert problem(answer, expected) == code
        request |= mended  # type: ignore[arg-type]
        headers |= mended_headers
    assert listener.recorded == before


@pytest.mark.parametrize(
    ("declared", "accepted"),
    [
        ("application/json", True),
        ("application/json; charset=utf-8", True),
        ('Application/JSON;charset="UTF-8"', True),
        ("application/json; profile=x", True),
        (None, False),
        ("", False),
        ("text/plain", False),
        ("text/json", False),
        ("application/x-www-form-urlencoded", False),
        ("application/jsonx", False),
        ("application/json; charset=latin-1", False),
        ("application/json, text/plain", False),
    ],
)
async def test_content_types(listener: Listener, declared: str | None, *, accepted: bool) -> None:
    """Bodies are JSON in UTF-8 and say so; where there is none, nothing is to be said."""
    context = await listener.context()
    body = (
        b'{"content_id":"c","media_type":"movie","action":"up_next_next","title":"t","description":"",'
        b'"poster_art_uri":"https://m.example/p.png","poster_art_aspect_ratio":"aspect_ratio_1_1","duration":1}'
    )
    lines = [f"PUT /v1/contexts/upnext/{context} HTTP/1.1", "Host: x", "Connection: close"]
    lines += [f"Authorization: {listener.app.headers['Authorization']}", f"Content-Length: {len(body)}"]
    lines += [] if declared is None else [f"Content-Type: {declared}"]
    answer = await listener.raw("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
    assert answer.startswith(b"HTTP/1.1 200 " if accepted else b"HTTP/1.1 415 "), answer


async def test_compressed_bodies(listener: Listener) -> None:
    """They are refused, not unpacked."""
    url = f"/v1/contexts/upnext/{await listener.context()}"
    headers = {"Content-Encoding": "gzip"}
    assert problem(await listener.app.call("PUT", url, item(), headers=headers), 415) == "unsupported_media_type"


async def test_bodies_where_none_is_needed(listener: Listener) -> None:
    """GET and DELETE ignore theirs; POST takes none, or an empty object."""
    context = await listener.context()
    for method in ("GET", "DELETE"):
        path = f"/v1/contexts/upnext/{context}" + ("/c" if method == "DELETE" else "")
        await listener.app.ok(method, path, data=b"{nonsense", headers={"Content-Type": "text/plain"})
    await listener.app.ok("POST", "/v1/contexts", {})
    answer = await listener.app.call("POST", "/v1/contexts", {"context_id": "mine"})
    assert (problem(answer, 400), names(answer)) == ("invalid_fields", ["context_id"])
    assert problem(await listener.app.call("POST", "/v1/contexts", data=b"[]"), 400) == "invalid_json"
    missing = await listener.app.call("PUT", f"/v1/contexts/upnext/{context}")
    assert problem(missing, 400) == "invalid_json"


@pytest.mark.parametrize("chunked", [False, True])
async def test_sizes(listener: Listener, *, chunked: bool) -> None:
    """An item has up to 16 KiB, any other body 64 KiB, to the byte, whether its length is said or not."""
    context, session = await listener.context(), await listener.session()
    body = item()
    for caller, path, most, fields in (
        (listener.app, f"/v1/contexts/upnext/{context}", MAX_ITEM_BYTES, body),
        (
            listener.platform,
            f"/v1/sessions/upnext/{session}",
            MAX_BODY_BYTES,
            {"app_id": listener.app.tenant, "context_id": context},
        ),
    ):
        fits = orjson.dumps(fields).ljust(most)
        for sent, expected in ((fits, 200), (fits + b" ", 413)):
            head = f"PUT {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
            head += f"Authorization: {caller.headers['Authorization']}\r\n"
            if chunked:
                data = (
                    b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (sent[:1000], sent[1000:])) + b"0\r\n\r\n"
                )
                head += "Transfer-Encoding: chunked\r\n\r\n"
            else:
                data = sent
                head += f"Content-Length: {len(sent)}\r\n\r\n"
            answer = await listener.raw(head.encode() + data)
            assert answer.startswith(b"HTTP/1.1 %d " % expected), answer[:200]


async def test_a_body_is_asked_for_only_where_it_is_wanted(listener: Listener) -> None:
    """`Expect: 100-continue` is answered with what is wrong already, else with 100."""
    path = f"/v1/contexts/upnext/{await listener.context()}"
    head = f"PUT {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
    head += "Expect: 100-continue\r\n"
    good = f"Authorization: {listener.app.headers['Authorization']}\r\n"
    refused = await listener.raw((head + "Content-Length: 10\r\n\r\n").encode(), whole=False)
    assert refused.startswith(b"HTTP/1.1 401 ")
    large = await listener.raw((head + good + "Content-Length: 1000000\r\n\r\n").encode(), whole=False)
    assert large.startswith(b"HTTP/1.1 413 ")
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    writer.write((head + good + "Content-Length: 2\r\n\r\n").encode())
    async with asyncio.timeout(30):
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"{}")
        assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
    writer.close()


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET /v1 HTTP/9.9\r\n\r\n",
        b"GET /v1 HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET /v1 HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"GET /v1 HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET /v1 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET /" + b"x" * 10_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v1 HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 40_000 + b"\r\n\r\n",
        b"GET /v1 HTTP/1.1\r\nHost: x\r\n" + b"X: x\r\n" * 200 + b"\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
async def test_what_is_no_http(listener: Listener, sent: bytes) -> None:
    """It is a 400 in the one shape, with a request id, and the connection is closed."""
    answer = await listener.raw(sent)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert re.match(rb"HTTP/1\.[01] 400 ", head), answer[:300]
    assert b"\r\nContent-Type: application/json" in head
    request_id = re.search(rb"\r\nPaket-Request-Id: (\S+)", head)
    assert request_id is not None
    assert checked_error(body, request_id[1].decode()) == "malformed_request"


async def test_a_body_that_is_not_there_in_time() -> None:
    """It is a 400; whoever sends one byte an hour holds nothing up."""
    async with public_listener(body_limit_s=0.05) as listener:
        head = "POST /v1/contexts HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n"
        head += f"Content-Type: application/json\r\nAuthorization: {listener.app.headers['Authorization']}\r\n\r\n"
        answer = await listener.raw(head.encode() + b"{", whole=False, rest=b"}")
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b'"malformed_request"' in answer
        assert listener.recorded == 0


async def test_every_request_has_an_id_of_its_own(listener: Listener) -> None:
    """On every answer, and no two alike; events bear the one of the request that caused them."""
    seen = set()
    context = await listener.context()
    for method, path in (
        ("GET", "/v1"),
        ("OPTIONS", "/v1"),
        ("HEAD", "/v1"),
        ("GET", "/nothing"),
        ("GET", "/openapi.json"),
        ("DELETE", f"/v1/contexts/upnext/{context}/c"),
        ("POST", "/v1/contexts"),
    ):
        answer = await listener.app.call(method, path, headers={"Paket-Request-Id": "req_0123456789abcdef"})
        request_id = answer.headers["Paket-Request-Id"]
        assert re.fullmatch("req_[0-9a-f]{16}", request_id)
        seen.add(request_id)
    assert len(seen) == 7
    assert listener.world.context_events[-1][1].request == request_id
    assert listener.world.context_events[-1][1].client == listener.app.client_id


FAILURES: list[tuple[str, UnavailableError, str, set[str]]] = [
    ("ensure_fresh", RegistryBehindError(), "registry_behind", {op.id for op in OPERATIONS}),
    (
        "write_context",
        LogUnavailableError(),
        "log_unavailable",
        {"createContext", "eraseContext", "putItem", "removeItem", "hideItem"},
    ),
    ("write_session", LogUnavailableError(), "log_unavailable", {"createSession"}),
    ("write_sessions", LogUnavailableError(), "log_unavailable", {"detachContextFromAllSessions"}),
    ("execute", LogUnavailableError(), "log_unavailable", {"attachContext", "deleteSession", "detachContext"}),
    ("execute", ViewUnavailableError(), "view_unavailable", {"attachContext", "deleteSession", "detachContext"}),
    ("execute", ViewBehindError(), "view_behind", {"attachContext", "deleteSession", "detachContext"}),
    ("subscriptions", OverloadedError(), "overloaded", {"detachContextFromAllSessions"}),
    ("context_page", ViewBehindError(), "view_behind", {"readContextList"}),
    ("context_page", ViewUnavailableError(), "view_unavailable", {"readContextList"}),
    ("context_page", OverloadedError(), "overloaded", {"readContextList"}),
    ("session_page", ViewUnavailableError(), "view_unavailable", {"readSessionList", "readSessionContextList"}),
    ("session_page", ViewBehindError(), "view_behind", {"readSessionList", "readSessionContextList"}),
    ("contexts", ViewUnavailableError(), "view_unavailable", {"readSessionContexts"}),
    ("holds", ViewUnavailableError(), "view_unavailable", {"hideItem"}),
    ("holds", OverloadedError(), "overloaded", {"hideItem"}),
]


@pytest.mark.parametrize(("name", "error", "code", "affected"), FAILURES, ids=str)
async def test_what_is_not_available(
    listener: Listener, name: str, error: UnavailableError, code: str, affected: set[str]
) -> None:
    """It is a 503 that says what and when to come back, on what needs it and on nothing else."""
    context, session = await listener.context(), await listener.session()
    url = f"/v1/contexts/upnext/{context}"
    await listener.app.ok("PUT", url, item())
    await listener.attach(session, context)
    bodies = {
        "putItem": item(),
        "attachContext": {"app_id": listener.app.tenant, "context_id": context},
        "hideItem": {"content_id": "c1", "action": "hide"},
    }
    listener.world.fail(name, error)
    unavailable = set()
    # Deleting last, so that what is asked before is there.
    for operation in sorted(OPERATIONS, key=lambda op: (op.id == "deleteSession", op.method == "DELETE", op.id)):
        path = operation.path.format(context_id=context, session_id=session, content_id="c1")
        answer = await caller_of(listener, operation).call(operation.method, path, bodies.get(operation.id))
        if answer.status == 503:
            assert problem(answer, 503) == code
            assert answer.headers["Retry-After"] == str(error.retry_after_s)
            unavailable.add(operation.id)
        else:
            assert answer.status == operation.success, (operation.id, answer.body)
    assert unavailable == affected


async def test_our_own_errors(listener: Listener) -> None:
    """They say nothing of what went wrong inside."""
    listener.world.fail("context_page", RuntimeError("the password is hunter2"))
    answer = await listener.app.call("GET", f"/v1/contexts/upnext/{await listener.context()}")
    assert problem(answer, 500) == "internal_error"
    assert b"hunter2" not in answer.body
    assert b"Traceback" not in answer.body


async def test_a_connection_serves_many_requests(listener: Listener) -> None:
    """Pipelined ones too, in order, errors between them."""
    one = f"GET /v1 HTTP/1.1\r\nHost: x\r\nAuthorization: {listener.app.headers['Authorization']}\r\n\r\n".encode()
    other = b"GET /v1 HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"OPTIONS /v1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = await listener.raw(one + other + one + last)
    assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"200", b"401", b"200", b"204"]


async def test_many_at_once(listener: Listener) -> None:
    """None gets another's answer."""
    contexts = [await listener.context() for _ in range(8)]
    paths = [f"/v1/contexts/upnext/{context}" for context in contexts]
    await asyncio.gather(*(listener.app.ok("PUT", path, item(path[-5:])) for path in paths))
    pages = await asyncio.gather(*(listener.app.ok("GET", path) for path in paths))
    assert [page.json["items"][0]["context_id"] for page in pages] == contexts
