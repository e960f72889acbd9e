"""What commands say where a node does not answer as it should: above all, whether it may have done what was asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from click.testing import CliRunner, Result

from service.cli import main
from service.cli.node_calls import NodeCalls, NodeError
from tests.support.ports import free_port

UNKNOWN = "Whether it was done is not known."


@asynccontextmanager
async def answering(answer: bytes, *, hangs: bool = False) -> AsyncIterator[str]:
    """Answer every request with these bytes, then close, or never."""
    end = asyncio.Event()

    async def answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if b"Content-Length: " in head:
            await reader.readexactly(int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0]))
        writer.write(answer)
        if hangs:
            await end.wait()
        writer.close()

    server = await asyncio.start_server(answered, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        end.set()
        server.close()


def answer_of(status: int, body: bytes, *, lacks: int = 0, more: str = "") -> bytes:
    """Return an answer, of which so many bytes are missing."""
    head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body) + lacks}\r\n{more}Connection: close\r\n\r\n"
    return head.encode() + body


async def said(url: str, *, writes: bool) -> str:
    async with NodeCalls(url, "token", limit_s=0.5) as calls:
        with pytest.raises(NodeError) as failure:
            await (calls.write("companies", {"name": "A"}) if writes else calls.all_of("companies"))
    return str(failure.value)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        answer_of(500, b""),
        answer_of(502, b"<html>"),
        answer_of(504, b"<html>"),
        answer_of(200, b"{}", lacks=1),
        answer_of(200, b"<html>"),
        answer_of(200, b"[]"),
        answer_of(200, b'"\xff"'),
    ],
    ids=["nothing", "500", "502", "504", "broken-off", "html", "a-list", "no-text"],
)
async def test_a_write_that_may_have_been_done(answer: bytes) -> None:
    """Where the node may have been asked, that is said of what is written, and not of what is read."""
    async with answering(answer) as url:
        assert (await said(url, writes=True)).endswith(UNKNOWN)
        assert UNKNOWN not in await said(url, writes=False)


async def test_no_answer_in_time() -> None:
    """Neither is it known of what was asked and is not answered."""
    async with answering(b"", hangs=True) as url:
        assert (await said(url, writes=True)).endswith(UNKNOWN)


async def test_a_write_that_was_not_done() -> None:
    """Where nobody could be asked, or the node refuses, it is known: it was not done."""
    elsewhere = answer_of(302, b"", more="Location: /elsewhere\r\n")
    async with answering(answer_of(404, b"{}")) as refuses, answering(elsewhere) as sends_away:
        for url in (f"http://127.0.0.1:{free_port()}", "http://", "nothing", refuses, sends_away):
            assert UNKNOWN not in await said(url, writes=True), url


async def applied(results: object) -> Result:
    async with answering(answer_of(200, json.dumps(results).encode())) as url:
        env = {"UPNEXT_URL": url, "UPNEXT_TOKEN": "token"}
        typed = "{type: companies, name: A}"
        return await asyncio.to_thread(CliRunner().invoke, main, ["apply", "-f", "-"], input=typed, env=env)


async def test_results_of_types_that_the_command_does_not_know() -> None:
    """What a newer node made of them is said, and the keys of all others are printed."""
    of_types: tuple[tuple[str, dict[str, str]], ...] = (("wonders", {}), ("clients", {"secretKey": "sk_1"}))
    made = [{"type": kind, "id": "1", "action": "CREATED", "object": {"name": "A", **more}} for kind, more in of_types]
    result = await applied({"results": made})
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        'created    wonders 1 "A"',
        'created    clients 1 "A"',
        "    secretKey: sk_1",
    ]


async def test_results_that_are_none() -> None:
    """One last line says what is wrong, and that it is not known."""
    result = await applied({"outcome": "fine"})
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines()[-1].endswith(UNKNOWN)
