"""Real nodes, as processes of their own, and the companies, apps and platforms that use them over HTTP."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import orjson

from tests.support import planted_node
from tests.support.bugs import VARIABLE
from tests.support.ports import free_port

ADMIN_TOKEN = "admin-token-of-the-tests-0123456789"
MASTER_KEY = "7f" * 32
START_S = 60.0
_LIMITED = """
import os, resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
os.execv(sys.argv[2], sys.argv[2:])
"""


class NodeProcess:
    """`upnext serve` in a process of its own, on ports that stay the same over restarts."""

    def __init__(self, directory: Path, *flags: str, kafka: str | None = None, env: Mapping[str, str] = {}) -> None:
        self.directory = directory
        self.port, self.internal_port = free_port(), free_port()
        self.kafka, self.flags = kafka, flags
        self.env = {
            **os.environ,
            "UPNEXT_ADMIN_TOKEN": ADMIN_TOKEN,
            "UPNEXT_MASTER_KEY": MASTER_KEY,
            # One client of a test does what thousands do elsewhere: it is counted, and not refused.
            "UPNEXT_READS_PER_CLIENT": "1000000",
            "UPNEXT_WRITES_PER_CLIENT": "1000000",
            **env,
        }
        self.process: subprocess.Popen[bytes] | None = None
        self.file_limit: int | None = None
        """The largest file that the process may write, in bytes: a disk that is full."""
        directory.mkdir(parents=True, exist_ok=True)
        self.output = directory.parent / f"{directory.name}.log"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def internal_url(self) -> str:
        return f"http://127.0.0.1:{self.internal_port}"

    def command(self) -> list[str]:
        program = [str(Path(sys.executable).with_name("upnext"))]
        if bug := self.env.get(VARIABLE):
            program = [sys.executable, planted_node.__file__, bug]
        flags = ["--data", str(self.directory), "--listen", f"127.0.0.1:{self.port}"]
        flags += ["--internal", f"127.0.0.1:{self.internal_port}", *self.flags]
        return [*program, "serve", *flags, *(["--kafka", self.kafka] if self.kafka else [])]

    def spawn(self) -> subprocess.Popen[bytes]:
        with self.output.open("ab") as output:
            command = self.command()
            if self.file_limit is not None:
                command = [sys.executable, "-c", _LIMITED, str(self.file_limit), *command]
            self.process = subprocess.Popen(command, stdout=output, stderr=output, env=self.env)
        return self.process

    async def start(self) -> Self:
        """Start the process and return once it is ready."""
        process = self.spawn()
        end = time.monotonic() + START_S
        async with aiohttp.ClientSession() as http:
            while time.monotonic() < end:
                if process.poll() is not None:
                    break
                if await _answers(http, f"{self.internal_url}/health/ready"):
                    return self
                time.sleep(0.02)  # noqa: ASYNC251 - a bounded poll of another process
        msg = f"the node did not become ready (exit status {process.poll()}):\n{self.tail()}"
        self.kill()
        raise AssertionError(msg)

    def tail(self, size: int = 4_000) -> str:
        return self.output.read_text(errors="replace")[-size:] if self.output.exists() else ""

    def kill(self) -> None:
        """End the process with SIGKILL, where there is one, frozen or not."""
        if self.process is not None:
            self._end(signal.SIGKILL, limit_s=10)

    def terminate(self, limit_s: float = 30) -> int:
        """Ask the process to stop and return its exit status."""
        return self._end(signal.SIGTERM, limit_s)

    def _end(self, how: signal.Signals, limit_s: float) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(limit_s)

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.kill()


async def _answers(http: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with http.get(url, timeout=aiohttp.ClientTimeout(2)) as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False


@dataclass(frozen=True)
class Answer:
    """What came back for one call."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def position(self) -> str:
        return self.headers["Paket-Position"]

    @property
    def code(self) -> str:
        return str(self.json["error"]["code"])


@dataclass
class Caller:
    """One client of one tenant, or the administrator."""

    http: aiohttp.ClientSession
    url: str
    headers: dict[str, str]
    tenant: str = ""
    client_id: str = ""
    secret: str = ""

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        after: str = "",
        headers: Mapping[str, str] = {},
        data: bytes | None = None,
    ) -> Answer:
        sent = {**self.headers, **headers}
        if body is not None:
            data = orjson.dumps(body)
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        if after:
            sent["Paket-Position"] = after
        # aiohttp's client warns of large bodies that are sent at one go.
        sending = None if data is None else io.BytesIO(data)
        async with self.http.request(method, yarl_raw(self.url + path), data=sending, headers=sent) as answer:
            return Answer(answer.status, answer.headers, await answer.read())

    async def ok(self, method: str, path: str, body: Any = None, **more: Any) -> Answer:
        """Call, and insist on a 2xx."""
        answer = await self.call(method, path, body, **more)
        assert 200 <= answer.status < 300, (method, path, answer.status, answer.body)
        return answer


def yarl_raw(url: str) -> Any:
    """Return *url* as it stands, its percent-encoding untouched."""
    from yarl import URL  # noqa: PLC0415 - aiohttp's own

    return URL(url, encoded=True)


@dataclass
class Deployment:
    """A node's registry and the callers made in it."""

    node: NodeProcess
    http: aiohttp.ClientSession
    names: int = field(default=0)

    @property
    def admin(self) -> Caller:
        return Caller(self.http, self.node.url, {"Authorization": f"Bearer {ADMIN_TOKEN}"})

    async def company(self, name: str = "Company") -> str:
        answer = await self.admin.ok("POST", "/api/v1/companies", {"name": name})
        return str(_one(answer.json)["id"])

    async def tenant(self, kind: str, company: str, name: str = "Tenant") -> Caller:
        """Make an app or a platform (*kind*: `apps` or `platforms`) with a client, and return its caller."""
        made = _one((await self.admin.ok("POST", f"/api/v1/{kind}?context={company}", {"name": name})).json)
        return await self.client(made["id"], company)

    async def client(self, tenant: str, company: str, **more: Any) -> Caller:
        body = {"name": "client", "tenant": {"id": tenant}, **more}
        made = _one((await self.admin.ok("POST", f"/api/v1/clients?context={company}", body)).json)
        pair = f"{made['clientId']}:{made['secretKey']}"
        basic = f"Basic {b64encode(pair.encode()).decode()}"
        return Caller(self.http, self.node.url, {"Authorization": basic}, tenant, made["clientId"], made["secretKey"])


def _one(answer: Any) -> dict[str, Any]:
    return dict(answer[0] if isinstance(answer, list) else answer)


def item(content_id: str = "c1", **more: Any) -> dict[str, Any]:
    """Return a valid item body."""
    return {
        "content_id": content_id,
        "media_type": "movie",
        "action": "up_next_continue",
        "title": f"Title of {content_id}",
        "description": "A film about a list.",
        "poster_art_uri": "https://media.example/poster.png",
        "poster_art_aspect_ratio": "aspect_ratio_16_9",
        "position": 10,
        "duration": 5400,
        **more,
    }
