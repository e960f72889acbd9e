"""The node as the demo sees it: HTTP calls that are made again while it is away."""

from __future__ import annotations

import asyncio
import time
from base64 import b64encode
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import aiohttp
import msgspec
from yarl import URL

from streams.domain.errors import UpNextError

Notice = Callable[[str], None]
"""Tells the person at the terminal something in one line."""

_PASSING = frozenset({429, 502, 503, 504})
"""Statuses that pass: the node is busy, is recovering, or has lost its log."""
_LIMIT_S = 10.0
_PAUSES_S = (0.25, 0.5, 1.0, 2.0)


class DemoError(UpNextError):
    """The demo cannot go on; the message says what to do."""


class Credentials(NamedTuple):
    """What a client shows to the node."""

    client_id: str
    secret: str

    @property
    def header(self) -> str:
        """The value of `Authorization`."""
        return "Basic " + b64encode(f"{self.client_id}:{self.secret}".encode()).decode()


class Reply(NamedTuple):
    """What came back for one call."""

    status: int
    position: str
    """Where in the log the call's write went; empty where it wrote nothing."""
    body: bytes

    def read(self) -> Any:
        """Return the body's JSON."""
        return msgspec.json.decode(self.body)


class Remote:
    """Calls one node; whatever passes by itself is waited for, with a word to the person at the terminal."""

    def __init__(self, http: aiohttp.ClientSession, url: str, notice: Notice) -> None:
        """Take the connection pool, the node's URL without a slash at its end, and who hears of what is waited for."""
        self.url = url
        self.repeats = 0
        self._http, self._notice = http, notice

    async def call(
        self,
        method: str,
        path: str,
        authorization: str,
        body: object = None,
        *,
        after: str = "",
        accept: Collection[int] = (),
        patience_s: float = 60.0,
    ) -> Reply:
        """
        Call the node until it answers.

        Args:
            method: The HTTP method.
            path: The path with its query, percent-encoded.
            authorization: The header of that name.
            body: Sent as JSON, if there is one.
            after: The position that the answer must not be from before.
            accept: Statuses beyond 2xx that are answers.
            patience_s: For how long a node that is away is waited for.

        Raises:
            DemoError: The node was away for longer, or its answer is not one that passes.
        """
        headers = {"Authorization": authorization, **({"Paket-Position": after} if after else {})}
        data = None
        if body is not None:
            data, headers["Content-Type"] = msgspec.json.encode(body), "application/json"
        end = time.monotonic() + patience_s
        pauses = _pauses()
        while True:
            reply = await self._try(method, path, headers, data)
            if isinstance(reply, Reply) and (200 <= reply.status < 300 or reply.status in accept):
                return reply
            if isinstance(reply, Reply) and reply.status not in _PASSING:
                raise DemoError(_refusal(self.url, method, path, reply))
            trouble = reply if isinstance(reply, str) else f"it answers {reply.status} {_code(reply)}"
            pause_s = next(pauses)
            if time.monotonic() + pause_s > end:
                raise DemoError(f"The node at {self.url} was not there for {patience_s:.0f} s: {trouble}.")
            self.repeats += 1
            self._notice(f"The node is away ({trouble}); trying again in {pause_s:g} s.")
            await asyncio.sleep(pause_s)

    async def _try(self, method: str, path: str, headers: Mapping[str, str], data: bytes | None) -> Reply | str:
        """Return the reply, or what kept it from coming."""
        url = URL(self.url + path, encoded=True)
        limit = aiohttp.ClientTimeout(_LIMIT_S)
        try:
            async with self._http.request(method, url, data=data, headers=headers, timeout=limit) as answer:
                return Reply(answer.status, answer.headers.get("Paket-Position", ""), await answer.read())
        except TimeoutError:
            return f"no answer within {_LIMIT_S:.0f} s"
        except aiohttp.ClientConnectorError as error:
            return (error.os_error.strerror or "no connection").lower()
        except (aiohttp.ClientError, OSError) as error:
            return f"the connection broke off, {type(error).__name__}"


async def wait_for_node(remote: Remote, *, patience_s: float, tell: Notice) -> None:
    """
    Return once the node answers anything at all.

    Raises:
        DemoError: It did not within *patience_s*, or what answers is not a node.
    """
    end = time.monotonic() + patience_s
    said = 0.0
    while True:
        try:
            reply = await remote.call("GET", "/openapi.json", "", patience_s=0, accept=range(300, 500))
        except DemoError:
            pass
        else:
            return _check_is_node(remote.url, reply)
        now = time.monotonic()
        if now >= end:
            raise DemoError(f"No node answers at {remote.url}: start one with `upnext serve`, or give its --url.")
        if now - said >= 5:
            said = now
            tell(f"Waiting for the node at {remote.url} ({end - now:.0f} s more)")
        await asyncio.sleep(0.25)


def _check_is_node(url: str, reply: Reply) -> None:
    with suppress(msgspec.DecodeError):
        if isinstance(reply.read(), dict):
            return
    raise DemoError(f"What answers at {url} is no UpNext node: give another --url.")


def _pauses() -> Iterator[float]:
    yield from _PAUSES_S
    while True:
        yield _PAUSES_S[-1]


def _code(reply: Reply) -> str:
    """Return the code of an error of `/v1`, or of `/api`; empty where there is none."""
    with suppress(msgspec.DecodeError, KeyError, TypeError, IndexError):
        problem = reply.read()
        return str(problem["error"]["code"] if "error" in problem else problem["errors"][0]["code"])
    return ""


def _refusal(url: str, method: str, path: str, reply: Reply) -> str:
    match reply.status:
        case 401 if path.startswith("/api/"):
            otherwise = "set the right one as UPNEXT_ADMIN_TOKEN, or give its --data"
            return f"The node at {url} refuses the administrator's token: {otherwise}."
        case 401:
            return "The node does not know the demo's clients any more: start the demo again."
        case _:
            said = _code(reply) or reply.body[:200].decode(errors="replace")
            return f"{method} {path} was answered with {reply.status} {said}."
