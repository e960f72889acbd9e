"""Clients of a deployment of several nodes, as its users' are: they know all addresses, and go by those that answer."""

from __future__ import annotations

import asyncio
import io
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import aiohttp
import orjson

from service.http.positions import PositionTokens
from streams.domain.positions import Position
from tests.nemesis.history import History
from tests.support.nodes import NodeProcess, yarl_raw
from tests.support.signing import over_body, over_message

AVOIDED_S = 1.0
"""For how long a node is not asked that did not answer, where there are others: as a load balancer does it."""
LIMIT_S = 10.0
"""For how long a client waits for an answer. A command may take 2 s to its positions, 4.5 s to its verdict."""
_CONNECT_LIMIT_S = 2.0


class RefusedError(Exception):
    """Nobody listens there: nothing was sent."""


class LostError(Exception):
    """No answer came: what was asked for may be done."""


class Reply(NamedTuple):
    """What came back for one call."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def code(self) -> str:
        """The error's code; nothing for HEAD, which has no body."""
        return str(self.json["error"]["code"]) if self.body else ""

    @property
    def request_id(self) -> str:
        return self.headers.get("Paket-Request-Id", "")


def http_session() -> aiohttp.ClientSession:
    """Return what sends requests: as often as it is told, for a PUT that it repeats by itself would be there twice."""
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(LIMIT_S, sock_connect=_CONNECT_LIMIT_S),
        auto_decompress=False,
    )
    session._retry_connection = False
    return session


class Balance:
    """Which node is asked next."""

    def __init__(self, nodes: Sequence[NodeProcess], source: random.Random, now_s: Callable[[], float]) -> None:
        self._nodes, self._random, self._now_s = nodes, source, now_s
        self._avoided: dict[str, float] = {}

    def pick(self) -> str:
        """Return the address of a node."""
        now_s = self._now_s()
        urls = [node.url for node in self._nodes]
        good = [url for url in urls if self._avoided.get(url, 0) <= now_s]
        return self._random.choice(good or urls)

    def avoid(self, url: str) -> None:
        """Ask others for a while."""
        self._avoided[url] = self._now_s() + AVOIDED_S


@dataclass
class Availability:
    """For how long something could not be had, for any one list or context."""

    now_s: Callable[[], float]
    longest_s: float = 0.0
    where: str = ""
    at_s: float = 0.0
    failures: int = 0
    _since: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        return (
            f"failed {self.failures} times, longest for {self.longest_s:.1f} s from {self.at_s:.1f} s on: {self.where}"
        )

    def failed(self, what: str, began_s: float) -> None:
        """Note that it could not be had."""
        self.failures += 1
        self._since.setdefault(what, began_s)

    def is_away(self, what: str) -> bool:
        """Say whether it could not be had when it was last tried."""
        return what in self._since

    def had(self, what: str) -> None:
        """Note that it could."""
        since = self._since.pop(what, None)
        if since is not None and (lasted_s := self.now_s() - since) > self.longest_s:
            self.longest_s, self.where, self.at_s = lasted_s, what, since


@dataclass
class Clients:
    """What all clients of a run share."""

    http: aiohttp.ClientSession
    balance: Balance
    tokens: PositionTokens
    history: History
    reads: Availability
    writes: Availability
    """Writes that need the log and nothing else."""
    commands: Availability
    """Writes that need a partition's owner as well."""
    keyed: Availability
    """Writes with an idempotency key: those of a node that was lost with one are in progress for 20 s."""
    random: random.Random
    now_s: Callable[[], float]
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    refusals: Counter[str] = field(default_factory=Counter)
    """503s, by method and code."""

    def wrong(self, what: str) -> None:
        """Note what was wrong at first sight."""
        if len(self.history.wrong) < 100:
            print(f"wrong: {what}", flush=True)
            self.history.wrong.append(f"at {self.now_s():.2f} s: {what}")

    def position(self, reply: Reply) -> Position | None:
        """Return where an answer says that it is."""
        token = reply.headers.get("Paket-Position")
        return None if token is None else self.tokens.read(token)

    async def pause(self, mean_s: float) -> None:
        """Wait for a time that is drawn, or until the run ends."""
        try:
            await asyncio.wait_for(self.stop.wait(), self.random.expovariate(1 / mean_s))
        except TimeoutError:
            return


@dataclass(frozen=True)
class Client:
    """One client of one tenant."""

    shared: Clients
    authorization: str
    tenant: str
    client_id: str = ""
    secret: str = ""
    """What it signs its requests with, in either way; empty: it does not."""

    async def call(
        self, method: str, path: str, body: Any = None, *, after: Sequence[str] = (), known: str = "", key: str = ""
    ) -> Reply:
        """
        Send one request to one node.

        Args:
            method: As in HTTP.
            path: As in HTTP.
            body: What is sent as JSON, None for nothing.
            after: The positions that it is not to be answered from before.
            known: The ETag of what the client has.
            key: The idempotency key; empty for none.

        Raises:
            RefusedError: Nothing was sent.
            LostError: No answer came.
        """
        shared = self.shared
        headers = {"Authorization": self.authorization}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if after:
            headers["Paket-Position"] = ",".join(after)
        if known:
            headers["If-None-Match"] = known
        if key:
            headers["Idempotency-Key"] = key
        data = b"" if body is None else orjson.dumps(body)
        url = shared.balance.pick()
        if self.secret:
            headers = self._signed(method, url + path, data, headers)
        sent = io.BytesIO(data) if data else None
        try:
            async with shared.http.request(method, yarl_raw(url + path), data=sent, headers=headers) as answer:
                reply = Reply(answer.status, answer.headers, await answer.read())
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            shared.balance.avoid(url)
            raise RefusedError(url) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            shared.balance.avoid(url)
            raise LostError(url) from error
        self._look(f"{method} {path} of {url}", reply)
        return reply

    def _signed(self, method: str, url: str, data: bytes, headers: dict[str, str]) -> dict[str, str]:
        """Return the headers and those of a signature: over time and body, or over the message, with a nonce."""
        if self.shared.random.random() < 0.5:
            return headers | over_body(self.secret, data)
        covers = ("@method", "@target-uri", *(("content-digest",) if data else ()))
        nonce = f"{self.shared.random.getrandbits(128):032x}"
        return over_message(self.client_id, self.secret, method, url, data, covers=covers, headers=headers, nonce=nonce)

    def _look(self, what: str, reply: Reply) -> None:
        """Note what no answer may be."""
        said = f"{what} was answered {reply.status}"
        if not reply.request_id:
            self.shared.wrong(f"{said} without a request id: {reply.headers}")
        if reply.status >= 500 and reply.status != 503:
            self.shared.wrong(f"{said}: {reply.body!r}")
        if reply.status == 503:
            self.shared.refusals[f"{what.split(maxsplit=1)[0]} {reply.code}"] += 1
        if reply.status == 503 and not reply.headers.get("Retry-After", "").isdigit():
            self.shared.wrong(f"{said} without Retry-After: {reply.headers}")
