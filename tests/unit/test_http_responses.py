"""What goes out: the same bytes as aiohttp's own responses have, and randomness that is given out once."""

from __future__ import annotations

import asyncio
import random
import re

import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer

from service.http.calls import Answer
from service.http.entropy import DrawnAhead
from service.http.responses import WholeResponse

BODY = b'{"message":"Success"}'
ANSWERS = {
    "body": Answer(200, {"Paket-Position": "p", "Content-Type": "application/json"}, BODY),
    "nothing": Answer(204, {"Allow": "GET, OPTIONS"}),
    "known": Answer(304, {"ETag": '"e"'}),
    "problem": Answer(503, {"Content-Type": "application/json", "Retry-After": "1"}, b"{}"),
    "large": Answer(200, {"Content-Type": "application/json"}, b"x" * 3_000_000),
}


async def answer(request: web.BaseRequest) -> web.StreamResponse:
    """Answer what the path names, as its first part says."""
    _, how, name = request.path.split("/")
    status, headers, body = ANSWERS[name]
    if how == "whole":
        assert body is None or isinstance(body, bytes)
        return WholeResponse(status, headers, body)
    return web.Response(status=status, headers=headers, body=body)


async def exchanged(port: int, sent: bytes) -> bytes:
    """Return all that is answered to *sent*, whose last request ends the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    async with asyncio.timeout(20):
        received = await reader.read()
    writer.close()
    return re.sub(rb"Date: [^\r]+", b"Date:", received)


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
@pytest.mark.parametrize("name", ANSWERS)
async def test_same_bytes(name: str, method: str, version: str) -> None:
    """Whatever the method, the status and the version: first on a connection that is kept, then on one that ends."""
    async with RawTestServer(answer) as server:
        assert server.port is not None
        answered = {}
        for how in ("whole", "aiohttp"):
            line = f"{method} /{how}/{name} HTTP/{version}\r\nHost: h\r\n"
            sent = f"{line}Connection: keep-alive\r\n\r\n{line}Connection: close\r\n\r\n"
            answered[how] = await exchanged(server.port, sent.encode())
    assert answered["whole"] == answered["aiohttp"]
    assert answered["whole"].count(b"HTTP/") == 2


def test_entropy_is_given_out_once() -> None:
    """Draws of any size are what the system gave, in order, and no byte twice."""
    given = random.Random(4)
    drawn = []

    def system(count: int) -> bytes:
        drawn.append(given.randbytes(count))
        return drawn[-1]

    entropy, sizes = DrawnAhead(system), random.Random(5)
    taken = [entropy(sizes.choice((0, 7, 8, 16, 300))) for _ in range(1_000)] + [entropy(10_000)]
    at, whole = 0, b"".join(drawn)
    for some in taken:
        at = whole.index(some, at) + len(some)
    assert len(drawn) < 30
    assert len(entropy(16)) == 16
