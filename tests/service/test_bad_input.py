"""Whatever a client sends, it gets a documented error in the one shape, and nothing is recorded."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.service.conftest import Pair
from tests.support.nodes import item

GOOD = (
    b'{"content_id":"x","media_type":"movie","action":"up_next_next","title":"t","description":"",'
    b'"poster_art_uri":"https://m.example/p.png","poster_art_aspect_ratio":"aspect_ratio_1_1","duration":1%s}'
)

BODIES: dict[str, bytes] = {
    "nothing": b"",
    "not json": b"{",
    "two values": b"{} {}",
    "a list": b"[]",
    "a number": b"7",
    "null": b"null",
    "a duplicate key": GOOD % b',"duration":2',
    "a duplicate key, escaped": GOOD % b',"durati\\u006fn":2',
    "NaN": GOOD % b',"position":NaN',
    "Infinity": GOOD % b',"position":Infinity',
    "a float": GOOD % b',"position":1.0',
    "an exponent": GOOD % b',"position":1E0',
    "a huge number": GOOD % (b',"position":' + b"9" * 5_000),
    "2^31": GOOD % b',"position":2147483648',
    "a negative": GOOD % b',"position":-1',
    "a null": GOOD % b',"preview_video_uri":null',
    "an unknown field": GOOD % b',"nonsense":1',
    "deep nesting": b'{"a":' * 2_000 + b"1" + b"}" * 2_000,
    "invalid utf-8": GOOD % b',"preview_video_uri":"https://m.example/\xff"',
    "a lone surrogate": GOOD % b',"preview_video_uri":"https://m.example/\\ud800"',
    "NUL": GOOD % b',"preview_video_uri":"https://m.example/\\u0000"',
    "a BOM": b"\xef\xbb\xbf" + GOOD % b"",
    "utf-16": (GOOD % b"").decode().encode("utf-16"),
    "a string for a bool": GOOD % b',"hidden":"true"',
    "an ftp uri": (GOOD % b"").replace(b"https", b"ftp"),
    "a movie with a season": GOOD % b',"season":1',
}


async def nothing_recorded(pair: Pair) -> None:
    written = await pair.app.ok("PUT", pair.context_path, item("marker"))
    page = await pair.app.ok("GET", pair.context_path, after=written.position)
    assert [entry["content_id"] for entry in page.json["items"]] == ["marker"]


def check_shape(body: Any, request_id: str) -> None:
    assert set(body) == {"error"}
    error = body["error"]
    assert set(error) == {"type", "code", "message", "params", "request_id"}
    assert error["request_id"] == request_id
    for param in error["params"]:
        assert set(param) == {"name", "code", "message"}


async def test_every_broken_body_is_a_400(pair: Pair) -> None:
    """And none of them is in the list."""
    for name, body in BODIES.items():
        answer = await pair.app.call("PUT", pair.context_path, data=body)
        assert answer.status == 400, (name, answer.status, answer.body)
        check_shape(answer.json, answer.headers["Paket-Request-Id"])
    await nothing_recorded(pair)


async def test_all_broken_fields_are_named_at_once(pair: Pair) -> None:
    """One answer says everything that is wrong."""
    body = {"content_id": "", "media_type": "series", "action": "up_next_continue", "title": "x" * 513, "nonsense": 1}
    answer = await pair.app.call("PUT", pair.context_path, body)
    assert answer.status == 400
    names = {param["name"] for param in answer.json["error"]["params"]}
    assert names >= {"content_id", "media_type", "title", "nonsense", "description", "poster_art_uri", "duration"}


async def test_too_large(pair: Pair) -> None:
    """An item is at most 16 KiB, a body at most 64 KiB."""
    for size in (17 * 1024, 65 * 1024, 3 * 1024 * 1024):
        answer = await pair.app.call("PUT", pair.context_path, data=b'{"title":"' + b"x" * size + b'"}')
        assert answer.status == 413, (size, answer.status)
        check_shape(answer.json, answer.headers["Paket-Request-Id"])
    await nothing_recorded(pair)


async def test_another_content_type(pair: Pair) -> None:
    """Bodies are JSON and say so."""
    answer = await pair.app.call("PUT", pair.context_path, data=b"a=b", headers={"Content-Type": "text/plain"})
    assert answer.status == 415


@pytest.mark.parametrize(
    "path", ["/v1/contexts/upnext/{}/%2E%2E", "/v1/contexts/upnext/{}/..", "/v1/contexts/upnext/{}/a%00b"]
)
async def test_ids_that_are_no_ids(pair: Pair, path: str) -> None:
    """Dots and control characters in a path delete nothing and break nothing."""
    answer = await pair.app.call("DELETE", path.format(pair.context))
    assert answer.status in (204, 400, 404, 405), answer.status
    await nothing_recorded(pair)


PUT = b"PUT %(path)s HTTP/1.1\r\nHost: x\r\nAuthorization: %(auth)s\r\n"
TYPE = b"Content-Type: application/json\r\n"
RAW: dict[str, bytes] = {
    "no http at all": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\r\n\r\n",
    "a bad version": b"GET / HTTP/9.9\r\n\r\n",
    "a body cut off": PUT + TYPE + b"Content-Length: 500\r\n\r\n{",
    "two lengths": PUT + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
    "a broken chunk": PUT + TYPE + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n",
    "a huge header": b"GET /v1 HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
    "a NUL in a header": b"GET /v1 HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n",
}


async def test_broken_http(pair: Pair) -> None:
    """The node answers 4xx or hangs up; the next client notices nothing; no answer is HTML."""
    node = pair.deployment.node
    fill = {b"path": pair.context_path.encode(), b"auth": pair.app.headers["Authorization"].encode()}
    for name, sent in RAW.items():
        reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
        writer.write(sent % fill if b"%(" in sent else sent)
        await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
        got = await asyncio.wait_for(reader.read(), 30)
        writer.close()
        assert not got or got.split(b" ", 2)[1][:1] == b"4", (name, got[:200])
        assert b"<html" not in got.lower(), (name, got)
        assert b"Traceback" not in got, (name, got)
    await nothing_recorded(pair)
