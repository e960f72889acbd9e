"""Slow clients: each is waited for within limits, and all together take a bounded part of memory."""

from __future__ import annotations

import asyncio
import resource
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from prometheus_client import CollectorRegistry

from service.http.connection_limits import LIMITS, ConnectionLimits, Unsent
from service.listeners import connection_limits
from tests.support.listener import Listener, checked_error, public_listener
from tests.support.nodes import item

SHORT_S = 0.2
LATE_S = 5.0
"""Far more than `SHORT_S`, and far less than what an idle connection is kept for."""
SMALL_BUFFER = 4_096
ITEM_BYTES = 14_000
ITEMS = 200


def cut(registry: CollectorRegistry, reason: str) -> float:
    return registry.get_sample_value("upnext_http_connections_cut_total", {"reason": reason}) or 0.0


@asynccontextmanager
async def limited(**limits: float) -> AsyncIterator[tuple[Listener, CollectorRegistry]]:
    registry = CollectorRegistry()
    connections = LIMITS._replace(**limits)  # type: ignore[arg-type] # whole numbers where it wants them
    async with public_listener(connections, metrics=registry) as listener:
        yield listener, registry


async def closed(reader: asyncio.StreamReader) -> bytes:
    """Return what comes until the listener has closed the connection."""
    got = b""
    async with asyncio.timeout(LATE_S):
        with suppress(ConnectionResetError):
            while more := await reader.read(1 << 16):
                got += more
    return got


@pytest.mark.parametrize("head", [b"GET /", b"GET /v1 HTTP/1.1\r\n", b"GET /v1 HTTP/1.1\r\nHost: x\r\nX: y"])
async def test_a_head_that_is_not_whole_in_time(head: bytes) -> None:
    """Its connection is closed, whether something still comes now and then or not."""
    for comes in (b"", b"Z"):
        async with limited(head_s=SHORT_S) as (listener, registry):
            reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
            began = time.monotonic()
            writer.write(head)
            closing = asyncio.create_task(closed(reader))
            while not closing.done():
                writer.write(comes)
                await asyncio.wait({closing}, timeout=SHORT_S / 10)
            assert await closing == b""
            assert time.monotonic() - began >= SHORT_S
            assert cut(registry, "head") == 1
            writer.close()


@pytest.mark.parametrize(
    "rest", [b"\r\n", b"Content-Length: 3\r\n\r\nGET", b"Transfer-Encoding: chunked\r\n\r\n1\r\nG\r\n0\r\n\r\n"]
)
async def test_a_head_that_begins_behind_a_whole_request(rest: bytes) -> None:
    """In one write: the first is answered, then the second has its time, and no more; where nothing follows, none."""
    whole = b"GET /v1 HTTP/1.1\r\nHost: x\r\n" + rest
    for following in (b"GET", b"GET /v1 HTTP/1.1\r\nHost: x", b""):
        async with limited(head_s=SHORT_S) as (listener, registry):
            reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
            writer.write(whole + following)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 401 ")
            await reader.readexactly(int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0]))
            if following:
                assert await closed(reader) == b""
                assert cut(registry, "head") == 1
            else:
                await asyncio.sleep(SHORT_S * 1.5)
                writer.write(whole)
                assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 401 ")
                assert cut(registry, "head") == 0
            writer.close()


async def test_a_head_that_is_whole_in_time() -> None:
    """It may come in pieces; between requests nobody has to hurry."""
    async with limited(head_s=SHORT_S) as (listener, registry):
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        for _ in range(3):
            for piece in (b"GET /v1 HT", b"TP/1.1\r\nHost: x", b"\r\n\r\n"):
                writer.write(piece)
                await asyncio.sleep(SHORT_S / 10)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 401 ")
            await reader.readexactly(int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0]))
            await asyncio.sleep(SHORT_S * 1.5)
        assert cut(registry, "head") == 0
        writer.close()


async def test_a_body_that_trickles() -> None:
    """It is refused when its time is over, however much still comes, and nothing more is waited for."""
    async with public_listener(body_limit_s=SHORT_S) as listener:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        authorization = listener.app.headers["Authorization"]
        head = f"POST /v1/contexts HTTP/1.1\r\nHost: x\r\nContent-Length: 2000\r\nAuthorization: {authorization}\r\n"
        writer.write(head.encode() + b"Content-Type: application/json\r\n\r\n")
        began = time.monotonic()
        closing = asyncio.create_task(closed(reader))
        while not closing.done():
            writer.write(b" ")
            await asyncio.wait({closing}, timeout=SHORT_S / 10)
        assert (await closing).startswith(b"HTTP/1.1 400 ")
        assert SHORT_S <= time.monotonic() - began < LIMITS.linger_s
        writer.close()


async def large_list(listener: Listener) -> bytes:
    """Make a list of some megabytes, and return the request that reads it."""
    path = f"/v1/contexts/upnext/{await listener.context()}"
    for n in range(ITEMS):
        text = "x" * 4_000
        uris = dict.fromkeys(("poster_art_uri", "preview_video_uri"), f"https://m.example/{'y' * 1900}")
        await listener.app.ok("PUT", path, item(f"c{n}", description=text, **uris))
    head = f"GET {path}?limit=200 HTTP/1.1\r\nHost: x\r\nAuthorization: {listener.app.headers['Authorization']}\r\n\r\n"
    return head.encode()


async def slow_reader(port: int, request: bytes) -> socket.socket:
    """Send a request over a connection that takes little of the answer, and read nothing."""
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
    slow.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(slow, ("127.0.0.1", port))
    await loop.sock_sendall(slow, request)
    return slow


async def until_cut(registry: CollectorRegistry, reason: str, count: int) -> None:
    async with asyncio.timeout(LATE_S):
        while cut(registry, reason) < count:
            await asyncio.sleep(0.01)


async def test_an_answer_that_is_not_read_in_time() -> None:
    """Who reads it a byte at a time is cut off; others read it whole meanwhile."""
    async with limited(write_s=SHORT_S * 2) as (listener, registry):
        request = await large_list(listener)
        slow = await slow_reader(listener.port, request)
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
            writer.write(request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            assert len(await closed(reader)) > ITEMS * 7_000
            writer.close()
            loop = asyncio.get_running_loop()
            async with asyncio.timeout(LATE_S):
                while cut(registry, "answer") == 0:
                    with suppress(ConnectionResetError):
                        await loop.sock_recv(slow, 1)
                    await asyncio.sleep(0.01)
        finally:
            slow.close()


async def test_what_is_kept_for_slow_readers_is_bounded() -> None:
    """Beyond so much of it, who has waited longest is cut off; the others' answers are still there."""
    async with limited(unsent_bytes=4 << 20) as (listener, registry):
        request = await large_list(listener)
        slow = [await slow_reader(listener.port, request) for _ in range(12)]
        try:
            await until_cut(registry, "unsent", 8)
            assert cut(registry, "unsent") < 12
            reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
            writer.write(request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            assert (await closed(reader)).startswith(b"HTTP/1.1 200 ")
            writer.close()
        finally:
            for one in slow:
                one.close()


async def test_more_connections_than_there_may_be() -> None:
    """What is asked on them is answered 503, in shape, with the time after which to come again; others go on."""
    async with limited(connections=3) as (listener, registry):
        idle = [await asyncio.open_connection("127.0.0.1", listener.port) for _ in range(3)]
        answer = await listener.raw(b"GET /v1 HTTP/1.1\r\nHost: x\r\n\r\n")
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nRetry-After: " in head
        request_id = head.split(b"Paket-Request-Id: ")[1].split(b"\r\n")[0].decode()
        assert checked_error(body, request_id) == "overloaded"
        assert cut(registry, "surplus") == 1
        reader, writer = idle[0]
        writer.write(b"GET /v1 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 401 ")
        for _, one in idle:
            one.close()
        async with asyncio.timeout(LATE_S):
            while not (await listener.raw(b"GET /v1 HTTP/1.1\r\nConnection: close\r\nHost: x\r\n\r\n")).startswith(
                b"HTTP/1.1 401 "
            ):
                await asyncio.sleep(0.01)


def test_who_has_waited_longest_is_cut_off() -> None:
    """In the order in which they began to wait, and no more of them than must be."""
    ended: list[str] = []

    class One:
        def __init__(self, name: str) -> None:
            self.name = name

        def cut_off(self, reason: str) -> None:
            ended.append(f"{self.name} {reason}")

    unsent, one, two, three = Unsent(100), One("1"), One("2"), One("3")
    unsent.add(one, 40)
    unsent.add(two, 40)
    unsent.forget(one)
    unsent.add(one, 50)
    assert (ended, unsent.total_bytes) == ([], 90)
    unsent.add(three, 45)
    assert (ended, unsent.total_bytes) == (["2 unsent"], 95)
    unsent.add(two, 1_000)
    assert (ended[1:], unsent.total_bytes) == (["1 unsent", "3 unsent", "2 unsent"], 0)
    unsent.forget(two)
    assert unsent.total_bytes == 0
    assert ConnectionLimits() == LIMITS


def test_half_of_the_files_are_left() -> None:
    """A node opens as many as it may, and half of them are not for connections: tables need theirs."""
    before, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(before, 512), hard))
        limits = connection_limits()
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        assert files >= min(before, 65_536)
        assert limits.connections == min(LIMITS.connections, files // 2)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, hard))
