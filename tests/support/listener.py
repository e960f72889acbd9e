"""The public listener on a real socket, over an honest world in memory, and the callers that it knows."""

from __future__ import annotations

import asyncio
import re
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson
from aiohttp import web
from prometheus_client import CollectorRegistry

from service.http.app import build_public_app
from service.http.connection_limits import LIMITS, ConnectionLimits
from service.http.connections import Runner
from service.http.deps import Deps
from service.http.positions import PositionTokens
from service.http.rate_limits import RateLimits, Rates
from streams.domain.ids import ContextId, IdKeys, Kind, Mode, SessionId, id_text, parse_id
from tests.support.fakes import ContextViewsFake, ExplainerFake, PairsFake, PastFake, SessionViewsFake, World
from tests.support.idempotency import remembered
from tests.support.nodes import Answer, Caller

LOG_ID = "log-of-the-tests"
POSITIONS_KEY = b"p" * 32
IDS = IdKeys(b"i" * 32)
TENANTS = {"app": Kind.APP, "other_app": Kind.APP, "platform": Kind.PLATFORM, "other_platform": Kind.PLATFORM}


@dataclass
class Listener:
    """A listener, its world, and one client of each tenant."""

    world: World
    http: aiohttp.ClientSession
    port: int
    tokens: PositionTokens
    callers: dict[str, Caller]

    @property
    def app(self) -> Caller:
        return self.callers["app"]

    @property
    def platform(self) -> Caller:
        return self.callers["platform"]

    @property
    def nobody(self) -> Caller:
        return Caller(self.http, self.app.url, {})

    @property
    def recorded(self) -> int:
        """How many events there are."""
        return len(self.world.context_events) + len(self.world.session_events)

    async def context(self, of: str = "app") -> str:
        """Make a context of that app."""
        return str((await self.callers[of].ok("POST", "/v1/contexts")).json["context_id"])

    async def session(self, of: str = "platform") -> str:
        """Make a session of that platform."""
        return str((await self.callers[of].ok("POST", "/v1/sessions")).json["session_id"])

    async def attach(self, session: str, context: str, of: str = "app") -> Answer:
        """Attach a context of that app to a session of the platform."""
        body = {"app_id": self.callers[of].tenant, "context_id": context}
        return await self.platform.ok("PUT", f"/v1/sessions/upnext/{session}", body)

    async def raw(self, sent: bytes, *, whole: bool = True, rest: bytes = b"") -> bytes:
        """
        Send bytes, and return what is answered until the listener closes the connection, or else the one answer.

        *rest* is sent once that is there: for the rest of a body that was refused the listener waits.
        """
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(sent)
            await writer.drain()
            async with asyncio.timeout(30):
                if whole:
                    return await reader.read()
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"\r\nContent-Length: (\d+)", head)
                assert length is not None
                body = await reader.readexactly(int(length[1]))
                writer.write(rest)
                return head + body
        finally:
            writer.close()


@asynccontextmanager
async def public_listener(connections: ConnectionLimits = LIMITS, **more: Any) -> AsyncIterator[Listener]:
    """Run a listener on a free port of loopback; *more* is for its `Deps`."""
    world = World()
    metrics = CollectorRegistry()
    deps = Deps(
        **{
            "log_id": LOG_ID,
            "positions_key": POSITIONS_KEY,
            "ids": IDS,
            "tenants": world,
            "pairs": PairsFake(world),
            "events": world,
            "session_commands": world,
            "keyed": remembered(metrics),
            "context_views": ContextViewsFake(world),
            "session_views": SessionViewsFake(world),
            "explainer": ExplainerFake(world),
            "past": PastFake(world),
            "metrics": metrics,
            # Tests fail on purpose, and more often than anybody does by mistake.
            "limits": RateLimits(Rates(failures=0, past=0)),
            **more,
        }
    )
    runner = Runner(build_public_app(deps), deps.entropy, limits=connections)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = int(runner.addresses[0][1])
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(30), auto_decompress=False) as http:
        callers = {name: _caller(world, http, port, name) for name in TENANTS}
        try:
            yield Listener(world, http, port, PositionTokens(POSITIONS_KEY, LOG_ID), callers)
        finally:
            await http.close()
            await runner.cleanup()


def _caller(world: World, http: aiohttp.ClientSession, port: int, name: str) -> Caller:
    number = list(TENANTS).index(name) + 1
    kind = TENANTS[name]
    tenant = IDS.mint(kind, Mode.LIVE, b"company", now_s=1_700_000_000, entropy=number.to_bytes(7, "big"))
    client_id, secret = f"{number:016x}", f"sk_{name}"
    world.add_client(kind, tenant, client_id, secret)
    url = f"http://127.0.0.1:{port}"
    return Caller(http, url, {"Authorization": basic(client_id, secret)}, id_text(kind, tenant), client_id, secret)


def basic(client_id: str, secret: str) -> str:
    """Return the `Authorization` header of a client."""
    return f"Basic {b64encode(f'{client_id}:{secret}'.encode()).decode()}"


def raw_context(text: str) -> ContextId:
    """Return the raw id of a context's."""
    raw = parse_id(Kind.CONTEXT, text)
    assert raw is not None
    return ContextId(raw)


def raw_session(text: str) -> SessionId:
    """Return the raw id of a session's."""
    raw = parse_id(Kind.SESSION, text)
    assert raw is not None
    return SessionId(raw)


def problem(answer: Answer, status: int) -> str:
    """Return the code of an error that has *status* and the one shape."""
    assert answer.status == status, (answer.status, answer.body)
    assert answer.headers["Content-Type"] == "application/json"
    return checked_error(answer.body, answer.headers["Paket-Request-Id"])


def checked_error(body: bytes, request_id: str) -> str:
    """Return the code of an error's *body*, which has the one shape."""
    assert re.fullmatch("req_[0-9a-f]{16}", request_id)
    (error,) = orjson.loads(body).values()
    assert list(error) == ["type", "code", "message", "params", "request_id"]
    assert error["request_id"] == request_id
    assert all(list(param) == ["name", "code", "message"] for param in error["params"])
    # A field without a name is an unknown one like others.
    assert all(isinstance(param["name"], str) and param["code"] and param["message"] for param in error["params"])
    assert isinstance(error["message"], str)
    assert error["message"]
    return str(error["code"])


def names(answer: Answer) -> list[str]:
    """Return the names of the fields that an error says are broken."""
    return [param["name"] for param in answer.json["error"]["params"]]


def same_bytes(answer: Answer) -> tuple[int, list[str], bytes]:
    """Return what of an answer must not differ from another's: all but the request id, the date and its order."""
    request_id = answer.headers["Paket-Request-Id"].encode()
    return answer.status, sorted(answer.headers), answer.body.replace(request_id, b"")
