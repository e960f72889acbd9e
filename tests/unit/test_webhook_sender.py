"""What is sent to publishers' endpoints: to whom it goes, to whom it never does, and what comes of it."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from email.utils import formatdate
from pathlib import Path
from time import time
from typing import Any

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.test_utils import TestServer

from service.networks import Address
from service.webhooks.hosts import fault_of
from service.webhooks.names import SystemNames
from service.webhooks.sender import Sent, WebhookSender
from tests.support.certificates import Authority

CORPUS: dict[str, Any] = json.loads((Path(__file__).parent / "data" / "evil_urls.json").read_text(encoding="utf-8"))
WRITTEN = [url for urls in CORPUS["written"].values() for url in urls]
RESOLVED: dict[str, list[str]] = CORPUS["resolved"]
NAME = "hooks.example.com"


class Names(AbstractResolver):
    """Leads each name to the addresses that the test says, on the port of the test's own listener."""

    def __init__(self, addresses: Mapping[str, Sequence[str]] | None = None, port: int = 0) -> None:
        self.addresses, self.port = addresses or {}, port
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        _ = family
        self.asked.append(host)
        if host not in self.addresses:
            raise OSError(None, "there is no such name")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=self.port or port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self.addresses[host]
        ]

    async def close(self) -> None:
        """Nothing is kept."""


class Connects:
    """Where this process has tried to connect to, while somebody looks: Python itself tells."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.looks = False
        sys.addaudithook(self._heard)

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.looks and event == "socket.connect":
            self.seen.append(arguments[1])


CONNECTS = Connects()
"""One for all tests: a hook cannot be taken away again."""


@contextmanager
def connects() -> Iterator[list[Any]]:
    """Yield the list of all addresses that are connected to within."""
    CONNECTS.seen, CONNECTS.looks = [], True
    try:
        yield CONNECTS.seen
    finally:
        CONNECTS.looks = False


class Listener:
    """Counts who connects to it, on a port of 127.0.0.1 and, where there is one, of ::1."""

    def __init__(self) -> None:
        self.connections = 0
        self.port = 0

    def _heard(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        writer.close()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        async with await asyncio.start_server(self._heard, "127.0.0.1", 0) as server:
            self.port = server.sockets[0].getsockname()[1]
            if not socket.has_ipv6:
                yield
                return
            async with await asyncio.start_server(self._heard, "::1", self.port):
                yield


@asynccontextmanager
async def sending(**options: Any) -> AsyncIterator[WebhookSender]:
    sender = WebhookSender(**{"allows_loopback": False, "resolver": Names(), **options})
    try:
        yield sender
    finally:
        await sender.close()


@asynccontextmanager
async def endpoint(handler: Any, tls: ssl.SSLContext | None = None) -> AsyncIterator[TestServer]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    server = TestServer(app, host="127.0.0.1")
    await server.start_server(ssl=tls)
    try:
        yield server
    finally:
        await server.close()


def answering(status: int = 200, **headers: str) -> Any:
    """Return a handler that always answers the same."""

    async def handler(_request: web.Request) -> web.Response:
        return web.Response(status=status, headers={name.replace("_", "-"): text for name, text in headers.items()})

    return handler


async def post(sender: WebhookSender, url: Any, body: bytes = b"{}", **headers: str) -> Sent:
    return await asyncio.wait_for(sender.send(str(url), body, headers), 20)


def on_port(url: str, port: int) -> str:
    """Return *url*, with the listener's port where it has none."""
    scheme, separator, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    has_port = ":" in host.rpartition("]")[2]
    return url if has_port or not separator or not host else f"{scheme}://{host}:{port}{slash}{path}"


def test_the_corpus_is_what_it_should_be() -> None:
    """It has more than 60 URLs, each once."""
    assert len({*WRITTEN, *RESOLVED}) == len(WRITTEN) + len(RESOLVED) >= 120


async def test_evil_urls_are_never_connected_to() -> None:
    """Not one attempt to connect, be it to their own port or to that of somebody who listens on this machine."""
    listener = Listener()
    async with listener.listening():
        names = Names(port=listener.port)
        with connects() as seen:
            async with sending(resolver=names) as sender:
                for url in [*WRITTEN, *(on_port(written, listener.port) for written in WRITTEN)]:
                    assert fault_of(url, allows_loopback=False) is not None, url
                    sent = await post(sender, url)
                    assert (sent.status, sent.error) == (None, "url_refused"), url
        assert (seen, names.asked, listener.connections) == ([], [], 0)


async def test_names_that_lead_to_what_is_private_are_never_connected_to() -> None:
    """As URLs they are good, so what they lead to is judged, each address by itself, when they are called."""
    listener = Listener()
    async with listener.listening():
        names = Names({url.split("/")[2]: addresses for url, addresses in RESOLVED.items()}, listener.port)
        with connects() as seen:
            for allows_loopback in (False, True):
                async with sending(resolver=names, allows_loopback=allows_loopback) as sender:
                    for url in RESOLVED:
                        assert fault_of(url, allows_loopback=allows_loopback) is None, url
                        sent = await post(sender, url)
                        assert (sent.status, sent.error) == (None, "address_refused"), url
        assert len(names.asked) == 2 * len(RESOLVED)
        assert (seen, listener.connections) == ([], 0)


async def test_without_the_check_they_would_be() -> None:
    """So the listener and the hook do count."""
    listener = Listener()
    async with listener.listening():
        with connects() as seen:
            names = Names({NAME: ["127.0.0.1"]}, listener.port)
            async with sending(resolver=names, may_connect=lambda _: True) as sender:
                assert (await post(sender, f"https://{NAME}/")).status is None
        assert seen == [("127.0.0.1", listener.port)]
        assert listener.connections == 1


async def test_what_is_connected_to_is_what_was_checked() -> None:
    """A name that leads to a private address beside a public one is called at the public one alone."""
    listener = Listener()
    asked: list[str] = []

    def may_connect(address: Address) -> bool:
        asked.append(str(address))
        return str(address) == "127.0.0.1"

    async with listener.listening():
        names = Names({NAME: ["10.0.0.1", "::1", "127.0.0.1", "169.254.169.254"]}, listener.port)
        with connects() as seen:
            async with sending(resolver=names, may_connect=may_connect) as sender:
                await post(sender, f"https://{NAME}/")
    assert set(seen) == {("127.0.0.1", listener.port)}
    assert names.asked == [NAME]
    assert "10.0.0.1" in asked


async def test_names_are_judged_at_each_attempt() -> None:
    """A name that leads elsewhere at the next attempt is judged by that, and by nothing that is remembered of it."""
    listener = Listener()
    async with listener.listening():
        names = Names({NAME: ["127.0.0.1"]}, listener.port)
        async with sending(resolver=names, may_connect=lambda address: str(address) == "127.0.0.1") as sender:
            assert (await post(sender, f"https://{NAME}/")).error != "address_refused"
            names.addresses = {NAME: ["127.0.0.2"]}
            with connects() as seen:
                assert (await post(sender, f"https://{NAME}/")).error == "address_refused"
        assert seen == []
    assert listener.connections > 0


async def test_plain_http_goes_to_this_machine_alone() -> None:
    """Where the deployment allows it, and never to whom the name of this machine may lead beside."""
    async with endpoint(answering(204)) as server, sending(allows_loopback=True) as sender:
        assert (await post(sender, server.make_url("/"))).status == 204
        async with sending(allows_loopback=False) as other:
            assert (await post(other, server.make_url("/"))).error == "url_refused"
    async with sending(allows_loopback=True, resolver=Names({"localhost": ["192.0.2.1", "8.8.8.8"]})) as sender:
        with connects() as seen:
            assert (await post(sender, "http://localhost/")).error == "address_refused"
        assert seen == []


async def test_what_arrives() -> None:
    """One POST of just that body, with the headers that were given, on a connection of its own."""
    got: list[tuple[web.BaseRequest, bytes, Any]] = []

    async def handler(request: web.Request) -> web.Response:
        got.append((request, await request.read(), (request.transport or request).get_extra_info("peername")))
        return web.Response(headers={"Set-Cookie": "a=b; Path=/"})

    async with endpoint(handler) as server, sending(allows_loopback=True) as sender:
        for _ in range(2):
            sent = await post(sender, server.make_url("/a%2Fb?c=%2B"), b'{"id": 1}', **{"webhook-id": "evt_1"})
            assert (sent.status, sent.error, sent.retry_after_s) == (200, None, None)
            assert 0 <= sent.duration_ms < 5_000
    (first, body, peer), (second, _, other) = got
    assert (first.method, first.raw_path, body) == ("POST", "/a%2Fb?c=%2B", b'{"id": 1}')
    assert first.headers["webhook-id"] == "evt_1"
    assert first.headers["Content-Type"] == "application/json"
    assert first.headers["Content-Length"] == "9"
    assert "Accept-Encoding" not in first.headers
    assert "Cookie" not in second.headers
    assert peer != other


async def test_proxies_of_the_environment_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is a file with credentials read."""
    listener = Listener()
    async with listener.listening(), endpoint(answering()) as server:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{listener.port}")
        async with sending(allows_loopback=True) as sender:
            assert (await post(sender, server.make_url("/"))).status == 200
        assert listener.connections == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(status: int) -> None:
    """They are answers like others: no success."""
    paths: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        paths.append(request.path)
        return web.Response(status=status, headers={"Location": "/private"})

    async with endpoint(handler) as server, sending(allows_loopback=True) as sender:
        assert (await post(sender, server.make_url("/"))).status == status
    assert paths == ["/"]


@pytest.mark.parametrize(
    ("said", "low", "high"),
    [
        (lambda: "0", 0, 0),
        (lambda: "120", 120, 120),
        (lambda: formatdate(time() + 600, usegmt=True), 500, 600),
        (lambda: formatdate(0, usegmt=True), 0, 0),
    ],
    ids=["now", "seconds", "date", "date that is over"],
)
async def test_retry_after(said: Callable[[], str], low: float, high: float) -> None:
    """In seconds, be it said so or as a date; one that is over is now."""
    text = said()
    async with (
        endpoint(answering(503, Retry_After=text)) as server,
        sending(allows_loopback=True) as sender,
    ):
        sent = await post(sender, server.make_url("/"))
    assert sent.status == 503
    assert sent.retry_after_s is not None
    assert low <= sent.retry_after_s <= high


@pytest.mark.parametrize("text", ["", "-1", "1.5", "soon", "Mon, 99 Foo 2026 00:00:00 GMT", "\u0661"])
async def test_retry_after_that_says_nothing(text: str) -> None:
    """As good as none."""
    async with (
        endpoint(answering(503, Retry_After=text)) as server,
        sending(allows_loopback=True) as sender,
    ):
        assert (await post(sender, server.make_url("/"))).retry_after_s is None


async def test_an_answer_without_end() -> None:
    """Its status counts; of its body a little is read, and no more waited for."""
    written = 0

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal written
        answer = web.StreamResponse(status=202)
        await answer.prepare(request)
        while True:
            await answer.write(b"x" * 65_536)
            written += 65_536

    async with endpoint(handler) as server, sending(allows_loopback=True) as sender:
        assert (await post(sender, server.make_url("/"))).status == 202
    assert written < 32 << 20


async def test_an_answer_that_drips() -> None:
    """A body that comes byte by byte holds nobody up for longer than a second or so."""

    async def handler(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(status=200)
        await answer.prepare(request)
        while True:
            await answer.write(b"x")
            await asyncio.sleep(0.05)

    async with endpoint(handler) as server, sending(allows_loopback=True) as sender:
        began = time()
        assert (await post(sender, server.make_url("/"))).status == 200
        assert time() - began < 5


async def test_who_never_answers() -> None:
    """An attempt ends in time, also where the connection is there, or the head of the answer comes slowly."""
    closed = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        with suppress(OSError):
            while not reader.at_eof():
                writer.write(b"A: b\r\n")
                await writer.drain()
                await asyncio.sleep(0.1)
        writer.close()
        closed.set()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        async with sending(allows_loopback=True, limit_s=0.5) as sender:
            sent = await post(sender, url)
            await asyncio.wait_for(closed.wait(), 10)
    assert (sent.status, sent.error) == (None, "timeout")
    assert 400 <= sent.duration_ms < 5_000


async def test_answers_without_end() -> None:
    """One that says again and again that another one comes is left, long before the time for an attempt is over."""
    closed = asyncio.Event()

    async def continuing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while not writer.is_closing():
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 40)
                await writer.drain()
        closed.set()

    async with await asyncio.start_server(continuing, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        async with sending(allows_loopback=True, limit_s=15) as sender:
            sent = await post(sender, url)
            await asyncio.wait_for(closed.wait(), 10)
    assert (sent.status, sent.error) == (None, "no_answer")


async def test_a_long_body_is_an_answer() -> None:
    """The status counts, however much comes behind it."""

    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=b"x" * (1 << 20))

    async with endpoint(handler) as server, sending(allows_loopback=True) as sender:
        assert (await post(sender, server.make_url("/"))).status == 200


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"b" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 099 X\r\n\r\n",
        b"HTTP/1.1 000 X\r\n\r\n",
    ],
)
async def test_what_is_no_answer(said: bytes) -> None:
    """Closed connections, other protocols, and heads without end."""
    closed = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        closed.set()

    async with await asyncio.start_server(handler, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        async with sending(allows_loopback=True) as sender:
            sent = await post(sender, url)
            await asyncio.wait_for(closed.wait(), 10)
    assert (sent.status, sent.error) == (None, "no_answer")


async def test_nobody_there() -> None:
    """A name that leads nowhere, and a port that nobody listens on."""
    listener = Listener()
    async with listener.listening():
        port = listener.port
    async with sending(allows_loopback=True) as sender:
        assert (await post(sender, f"https://{NAME}/")).error == "name_unknown"
        assert (await post(sender, f"http://127.0.0.1:{port}/")).error == "unreachable"


async def test_certificates_are_verified(tmp_path: Path) -> None:
    """For the name in the URL, which is also what TLS and `Host` ask for, whatever address it has."""
    authority, other = Authority(tmp_path, "authority"), Authority(tmp_path, "other")
    asked: list[Any] = []
    hosts: list[str] = []

    def contexts(ours: Authority) -> tuple[ssl.SSLContext, ssl.SSLContext]:
        serves = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        serves.load_cert_chain(ours.sign("hooks", NAME))
        serves.sni_callback = lambda _socket, name, _context: asked.append(name)
        return serves, ssl.create_default_context(cafile=str(authority.certificate))

    async def handler(request: web.Request) -> web.Response:
        hosts.append(request.host)
        return web.Response()

    async def error(ours: Authority, name: str) -> str | None:
        serves, trusts = contexts(ours)
        async with endpoint(handler, serves) as server:
            names = Names({name: ["127.0.0.1"]}, server.port or 0)
            async with sending(resolver=names, tls=trusts, may_connect=lambda _: True) as sender:
                return (await post(sender, f"https://{name}/")).error

    assert await error(authority, NAME) is None
    assert (asked, hosts) == ([NAME], [NAME])
    assert await error(authority, "another.example.com") == "tls_failed"
    assert await error(other, NAME) == "tls_failed"
    assert hosts == [NAME]
    async with endpoint(handler, contexts(authority)[0]) as server, sending(allows_loopback=True) as sender:
        assert (await post(sender, server.make_url("/"))).error == "tls_failed"


async def test_those_that_hang_hold_back_nobody() -> None:
    """Beside 300 that never answer, one that does is reached at once."""
    hang = asyncio.Event()

    async def handler(request: web.Request) -> web.Response:
        if request.path == "/hangs":
            await hang.wait()
        return web.Response()

    async with endpoint(handler) as server, sending(allows_loopback=True) as sender:
        hanging = [asyncio.create_task(post(sender, server.make_url("/hangs"))) for _ in range(300)]
        good = await post(sender, server.make_url("/answers"))
        assert good.status == 200
        assert not any(task.done() for task in hanging)
        hang.set()
        assert {(await task).status for task in hanging} == {200}


async def test_names_of_the_system() -> None:
    """As anything else on this machine has them; attempts at the same time ask once, later ones anew."""
    async with endpoint(answering()) as server, sending(allows_loopback=True, resolver=None) as sender:
        assert (await post(sender, f"http://localhost:{server.port}/")).status == 200
    names = Names({"localhost": ["127.0.0.1"]})
    async with endpoint(answering()) as server, sending(allows_loopback=True, resolver=names) as sender:
        for asked in (1, 2):
            url = f"http://localhost:{server.port}/"
            assert {sent.status for sent in await asyncio.gather(*[post(sender, url) for _ in range(8)])} == {200}
            assert len(names.asked) == asked


async def test_names_that_nobody_answers_for_hold_back_nobody() -> None:
    """Each keeps a thread for as long as the system waits, but not those that others use."""
    answer = threading.Event()
    names = SystemNames()
    async with endpoint(answering()) as server, sending(allows_loopback=True, resolver=names) as sender:
        hanging = [asyncio.create_task(names._threads.run(answer.wait)) for _ in range(100)]
        assert (await post(sender, f"http://localhost:{server.port}/")).status == 200
        assert await asyncio.to_thread(lambda: not any(task.done() for task in hanging))
        answer.set()
        await asyncio.gather(*hanging)
