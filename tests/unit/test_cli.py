"""The command line, as a process of its own: what it prints, with which status it ends, and how it stops."""

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
import pytest

from service.cli.process import is_bug
from service.data_directory import held
from streams.domain.errors import LogUnavailableError, RefusedStartError
from tests.support.nodes import free_port

UPNEXT = str(Path(sys.executable).with_name("upnext"))
BARE = {name: text for name, text in os.environ.items() if not name.startswith("UPNEXT_")}


def upnext(*words: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run(
        [UPNEXT, *words], env={**BARE, **(env or {})}, capture_output=True, text=True, timeout=60, check=False
    )


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


def test_version_and_help() -> None:
    """Both are there, and need no node."""
    assert upnext("--version").stdout.startswith("upnext ")
    said = upnext("--help").stdout
    assert all(command in said for command in ("config", "demo", "serve", "topics"))
    assert "--kafka-security-protocol" in upnext("serve", "--help").stdout


def test_no_such_flag() -> None:
    """A word that nobody knows is a usage error: status 2."""
    assert upnext("serve", "--no-such-flag").returncode == 2
    assert upnext("no-such-command").returncode == 2


def test_a_broken_setting() -> None:
    """One line on standard error, status 1, no traceback."""
    done = upnext("serve", "--partitions", "0", env={"UPNEXT_NONSENSE": "1"})
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("upnext: UPNEXT_NONSENSE is no setting")
    assert "--partitions must be an integer from 1 to 1024, not '0'." in done.stderr


def test_config() -> None:
    """What is in force and where it comes from, secrets masked."""
    done = upnext("config", "--partitions", "4", env={"UPNEXT_MASTER_KEY": "5a" * 32})
    assert done.returncode == 0
    assert "5a5a" not in done.stdout
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert "partitions = 4 # --partitions" in lines
    assert "# master_key = ******** # UPNEXT_MASTER_KEY" in lines
    assert 'listen = "127.0.0.1:8080" # default' in lines


def test_topics_on_the_embedded_log(tmp_path: Path) -> None:
    """Checked, created, created again, checked again, and refused with other partitions."""
    data = ("--data", str(tmp_path / "data"))
    before = upnext("topics", "check", *data)
    assert (before.returncode, (tmp_path / "data").exists()) == (1, False)
    assert "upnext topics create" in last_line(before.stderr)
    created = upnext("topics", "create", *data)
    assert (created.returncode, created.stdout.count("created ")) == (0, 8)
    assert upnext("topics", "create", *data).stdout == "All topics are there.\n"
    assert upnext("topics", "check", *data).returncode == 0
    other = upnext("topics", "check", *data, "--partitions", "3")
    assert other.returncode == 1
    assert "start with --partitions 8" in last_line(other.stderr)


def test_topics_of_a_running_node(tmp_path: Path) -> None:
    """The embedded log is one process's."""
    with held(tmp_path):
        done = upnext("topics", "create", "--data", str(tmp_path))
    assert done.returncode == 1
    assert f"in use by another process ({os.getpid()})" in last_line(done.stderr)


def test_a_data_directory_that_cannot_be(tmp_path: Path) -> None:
    """It is named, with what to do."""
    (tmp_path / "file").touch()
    done = upnext("serve", "--data", str(tmp_path / "file" / "data"))
    assert done.returncode == 1
    assert "give one that this user may write to" in last_line(done.stderr)


def test_a_directory_is_held_by_one(tmp_path: Path) -> None:
    """And free again once it was let go."""
    with held(tmp_path), pytest.raises(RefusedStartError, match="in use by another process"), held(tmp_path):
        pass
    with held(tmp_path):
        pass


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
            node.wait_until(lambda node=node: "node_ready" in node.said)  # type: ignore[misc]
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


async def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    """Somebody who asks twice does not want to wait for a client that never ends its request."""
    with serving(tmp_path) as node:
        node.wait_until(lambda: "node_ready" in node.said)
        _, writer = await begun_request(node)
        node.process.terminate()
        node.wait_until(lambda: not node.answers())
        node.process.send_signal(signal.SIGINT)
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


@pytest.mark.parametrize(
    ("error", "fatal"),
    [
        (ValueError("a bug"), True),
        (KeyError("x"), True),
        (ConnectionResetError(), False),
        (LogUnavailableError(), False),
    ],
)
async def test_what_a_task_may_end_with(error: Exception, fatal: bool) -> None:
    """A peer that is gone is no bug; whatever nobody thought of is."""

    async def end() -> None:
        raise error

    task = asyncio.create_task(end())
    await asyncio.wait([task])
    assert is_bug({"message": "never retrieved", "exception": task.exception(), "task": task}) is fatal


async def test_what_a_client_brings_about_is_never_fatal() -> None:
    """The tasks of aiohttp's connections, and protocols, are reachable from outside."""

    class RequestHandler:
        async def start(self) -> None:
            raise ValueError

    RequestHandler.start.__qualname__ = "RequestHandler.start"
    task = asyncio.create_task(RequestHandler().start())
    await asyncio.wait([task])
    assert not is_bug({"message": "never retrieved", "exception": task.exception(), "task": task})
    assert not is_bug({"message": "data_received() failed", "exception": ValueError(), "protocol": object()})
