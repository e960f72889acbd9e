"""`upnext serve` as a process: what it says on its way, and how it stops."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import orjson

from tests.support.ports import free_port

UPNEXT = str(Path(sys.executable).with_name("upnext"))
BARE = {name: text for name, text in os.environ.items() if not name.startswith("UPNEXT_")}


def last_line(text: str) -> str:
    return text.rstrip().splitlines()[-1]


class Serving:
    """`upnext serve` in a directory of its own."""

    def __init__(self, directory: Path, *flags: str) -> None:
        self.data = directory / "data"
        self.port, self.internal_port = free_port(), free_port()
        self.output = directory / "output"
        words = [UPNEXT, "serve", "--data", str(self.data), "--listen", f"127.0.0.1:{self.port}"]
        words += ["--internal", f"127.0.0.1:{self.internal_port}", *flags]
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(words, env=BARE, stdout=output, stderr=output)

    @property
    def said(self) -> str:
        return self.output.read_text()

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Return once the condition holds; it is tried again and again for 30 s, while the process runs."""
        end = time.monotonic() + 30
        while not condition():
            assert self.process.poll() is None, self.said
            assert time.monotonic() < end, self.said
            time.sleep(0.02)

    def answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@contextmanager
def serving(directory: Path, *flags: str) -> Iterator[Serving]:
    node = Serving(directory, *flags)
    try:
        yield node
    finally:
        if node.process.poll() is None:
            node.process.kill()
        node.process.wait(10)


def test_serve_as_people_see_it(tmp_path: Path) -> None:
    """Where it is, where the token is, that it is ready, that it stopped; secrets are the owner's alone."""
    with serving(tmp_path, "--log-format", "text") as node:
        node.wait_until(lambda: "ready, " in node.said)
        assert f"http://127.0.0.1:{node.port}" in node.said
        assert f"http://127.0.0.1:{node.internal_port}/health/ready" in node.said
        token = node.data / "admin.token"
        assert f"admin token  {token}" in node.said
        for secret in (token, node.data / "master.key"):
            assert secret.stat().st_mode & 0o777 == 0o600
            assert secret.read_text().strip() not in node.said
        node.process.send_signal(signal.SIGINT)
        assert node.process.wait(30) == 0, node.said
    assert last_line(node.said) == "stopped"
    assert "Traceback" not in node.said


async def test_serve_as_machines_see_it(tmp_path: Path) -> None:
    """Every line is JSON, the token opens the API, SIGTERM ends it with status 0, and the next start finds it all."""
    for _ in range(2):
        with serving(tmp_path) as node:
            node.wait_until(lambda: "node_ready" in node.said)
            headers = {"Authorization": f"Bearer {(node.data / 'admin.token').read_text().strip()}"}
            async with (
                aiohttp.ClientSession() as http,
                http.get(f"http://127.0.0.1:{node.port}/api/v1/companies", headers=headers) as answer,
            ):
                assert answer.status == 200
            node.process.terminate()
            assert node.process.wait(30) == 0, node.said
        events = [orjson.loads(line) for line in node.said.splitlines()]
        stages = [event["event"] for event in events if event["logger"] == "upnext"]
        # A busy machine may need longer than a second, and says what it waits for.
        stages = [stage for stage in stages if stage != "node_recovering"]
        assert stages == ["node_starting", "node_listening", "node_ready", "node_stopping", "node_stopped"]


BODY = b'{"name":"Late"}'


async def begun_request(node: Serving) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Send a request but for the end of its body; return once the node has read its head."""
    token = (node.data / "admin.token").read_text().strip()
    reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
    head = f"POST /api/v1/companies HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: {len(BODY)}"
    writer.write(head.encode() + b"\r\n\r\n" + BODY[:5])
    await writer.drain()
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{node.port}/openapi.json") as later:
        assert later.status == 200
    return reader, writer


async def test_requests_under_way_finish(tmp_path: Path) -> None:
    """A client that has begun to send is answered, while nobody else is let in; then the process ends."""
    with serving(tmp_path) as node:
        node.wait_until(lambda: "node_ready" in node.said)
        reader, writer = await begun_request(node)
        node.process.terminate()
        node.wait_until(lambda: not node.answers())
        writer.write(BODY[5:])
        await writer.drain()
        assert await asyncio.wait_for(reader.readline(), 20) == b"HTTP/1.1 200 OK\r\n"
        writer.close()
        assert node.process.wait(30) == 0, node.said


def _has_ended(node: Serving, asked: signal.Signals) -> bool:
    """Ask the process to end, and say whether it has."""
    node.process.send_signal(asked)
    return node.process.poll() is not None


async def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    """Somebody who asks twice does not want to wait for a client that never ends its request."""
    with serving(tmp_path) as node:
        node.wait_until(lambda: "node_ready" in node.said)
        _, writer = await begun_request(node)
        node.process.terminate()
        node.wait_until(lambda: not node.answers())
        # What comes within half a second is one signal, said twice.
        node.wait_until(lambda: _has_ended(node, signal.SIGINT))
        assert node.process.wait(5) == 128 + signal.SIGINT
        writer.close()
    assert last_line(node.said) == "upnext: ended by a second SIGINT"


def test_a_stop_while_the_brokers_are_awaited(tmp_path: Path) -> None:
    """Whoever waits for what does not come can be stopped, and says until then what it waits for."""
    with serving(tmp_path, "--kafka", f"127.0.0.1:{free_port()}", "--log-format", "text") as node:
        node.wait_until(lambda: "/health/ready" in node.said)
        assert not node.answers()
        node.process.terminate()
        assert node.process.wait(30) == 0, node.said
