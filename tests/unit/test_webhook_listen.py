"""`upnext webhooks listen`, as somebody uses it who writes a receiver, and the receivers that the page shows."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from service.webhooks.listener import read
from service.webhooks.signing import new_secret, signed

SECRET, ROLLED = (new_secret(bytes([byte]).__mul__) for byte in (0xFB, 0xFF))
EVENT: dict[str, Any] = {
    "id": "evt_1",
    "object": "event",
    "type": "context.session.context_added",
    "created": 1_796_000_000_123,
    "data": {"title": "Blåbær"},
}
BODY = json.dumps(EVENT).encode()
PAGE = Path(__file__).parents[2] / "docs" / "webhooks.md"


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def headers_of(body: bytes = BODY, secret: str = SECRET, *, event_id: str = "evt_1") -> dict[str, str]:
    return signed(event_id, body, [secret], now_ms())


@asynccontextmanager
async def listening(tmp_path: Path, *options: str) -> AsyncIterator[tuple[str, asyncio.StreamReader]]:
    """Start the command; yield where it listens and what it prints."""
    (tmp_path / "secret").write_text(f"{SECRET}\n", encoding="ascii")
    process = await asyncio.create_subprocess_exec(
        *(Path(sys.executable).with_name("upnext"), "webhooks", "listen", "--listen", "127.0.0.1:0"),
        *("--secret-file", str(tmp_path / "secret"), *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        said = (await asyncio.wait_for(process.stderr.readline(), 30)).decode()
        (url,) = re.findall(r"http://127\.0\.0\.1:\d+/", said)
        yield url, process.stdout
    finally:
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 10) == 0


async def post(url: str, body: bytes = BODY, headers: dict[str, str] | None = None) -> int:
    async with (
        aiohttp.ClientSession() as http,
        http.post(url, data=body, headers=headers_of(body) if headers is None else headers) as answer,
    ):
        return answer.status


async def line(printed: asyncio.StreamReader) -> str:
    return (await asyncio.wait_for(printed.readline(), 10)).decode().rstrip("\n")


@pytest.mark.long
async def test_what_comes_is_verified_and_shown(tmp_path: Path) -> None:
    """A line for each: when it came, id, type, time, and whether it is good; what is not is answered 400."""
    async with listening(tmp_path) as (url, printed):
        assert await post(f"{url}any/path?x=y") == 200
        came, *rest = (await line(printed)).split("  ")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", came)
        assert rest == ["evt_1", "context.session.context_added", "2026-11-30T00:53:20.123Z", "good"]
        assert await post(url, headers=headers_of(secret=ROLLED)) == 400
        assert "bad: Paket-Signature is not made with this secret" in await line(printed)
        assert await post(url, b"\x1b[2J", {}) == 400
        assert (await line(printed)).endswith("  -  -  -  bad: there is no Paket-Signature")


@pytest.mark.long
async def test_how_a_sender_bears_failures_can_be_tried(tmp_path: Path) -> None:
    """With another status, late, and with what has come."""
    async with listening(tmp_path, "--status", "503", "--delay", "0.3", "--body") as (url, printed):
        began = time.monotonic()
        assert await post(url) == 503
        assert time.monotonic() - began >= 0.3
        assert (await line(printed)).endswith("good")
        assert json.loads(await line(printed)) == EVENT


@pytest.mark.parametrize(
    "body",
    [b"", b"nonsense", b"[]", b"1", b"[" * 100_000, b'{"id": null, "created": "x"}', b'{"created": 1e400}', b"\xff"],
)
def test_what_is_no_event(body: bytes) -> None:
    """Whatever comes is told of, not fallen over."""
    for headers in ({}, headers_of(body)):
        received = read(headers, body, SECRET, now_ms())
        assert received.fault is not None
        assert received.created_ms is None


@pytest.mark.parametrize("created", [-1, True, 10**30, 1.5, None])
def test_times_that_are_none(created: object) -> None:
    """The rest is shown all the same."""
    body = json.dumps({**EVENT, "created": created}).encode()
    received = read(headers_of(body), body, SECRET, now_ms())
    assert (received.event_id, received.created_ms, received.fault) == ("evt_1", None, None)


def test_the_id_in_the_head_is_the_events() -> None:
    """Who tells repeats apart by the one or by the other means the same."""
    assert read(headers_of(), BODY, SECRET, now_ms()).fault is None
    received = read(headers_of(event_id="evt_2"), BODY, SECRET, now_ms())
    assert received.fault == "webhook-id is not the event's"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_the_receiver_that_the_page_shows_in_python() -> None:
    """It takes what is signed with either secret, and refuses the rest."""
    by_hand, by_library = blocks("python")
    shown: dict[str, Any] = {}
    exec(by_hand, shown)  # noqa: S102 - what our own page shows
    exec(by_library, shown)  # noqa: S102 - likewise
    both = signed("evt_1", BODY, [SECRET, ROLLED], now_ms())
    for secret in (SECRET, ROLLED):
        assert shown["is_good"](both["Paket-Signature"], BODY, secret)
        assert shown["event_of"](both, BODY, secret) == EVENT
    old = signed("evt_1", BODY, [SECRET], now_ms() - 400_000)
    for headers, body in ((both, BODY + b" "), (headers_of(secret=ROLLED), BODY), (old, BODY)):
        assert not shown["is_good"](headers["Paket-Signature"], body, SECRET)
        with pytest.raises(Exception, match=r"signature|timestamp"):
            shown["event_of"](headers, body, SECRET)
    fake = both["Paket-Signature"].replace("v1=", "v2=").replace("v0=", "v1=")
    for bad in (fake, "", "v1=1", f"{fake.replace('v0', 'v2')},v1=ø", f"{fake},v1=\udcff", "t=\udcff,v1=1"):
        assert not shown["is_good"](bad, BODY, SECRET), bad


@pytest.mark.long
async def test_the_signature_that_the_page_shows_in_the_shell(tmp_path: Path) -> None:
    """It prints whether it is good."""
    (tmp_path / "body").write_bytes(BODY)
    (block,) = [block for block in blocks("sh") if "openssl" in block]
    good = headers_of()["Paket-Signature"]
    for header, printed in ((good, "good\n"), (good.replace("v1=", "v1=0"), "bad\n")):
        process = await asyncio.create_subprocess_exec(
            *("bash", "-e", "-c", f"secret='{SECRET}'\nheader='{header}'\n{block}"),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await asyncio.wait_for(process.communicate(), 30)
        assert output.decode() == printed
