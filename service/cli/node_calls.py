"""Requests to a node's resource API, for commands: one at a time, with a token, and with what went wrong in words."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar
from urllib.parse import quote, urlencode

import aiohttp
import click
import msgspec
from yarl import URL

from streams.domain.errors import UpNextError

API = "/api/v1"
PAGE_SIZE = 1_000
HISTORY_PAGE_SIZE = 100
T = TypeVar("T")

_UNKNOWN = " Whether it was done is not known."
_NOT_SENT = (aiohttp.ClientConnectorError, ValueError)
"""What is raised before anybody was asked: there is no connection, or the URL is none."""
_LIMIT_S = 30.0
_ATTEMPTS = 5
_MOST_WAIT_S = 30.0
"""Somebody who is told to wait for longer hears of it, and decides."""


class NodeError(UpNextError):
    """A node did not do what it was asked for; the message says why."""


class Answer(NamedTuple):
    """What came back."""

    status: int
    body: bytes
    retry_after_s: float


class _Results(msgspec.Struct, frozen=True):
    results: list[dict[str, Any]]


class _Page(_Results, frozen=True, rename="camel"):
    total_count: int


class NodeCalls:
    """Calls one node. To be entered, for it keeps a connection."""

    def __init__(
        self,
        url: str,
        token: str,
        *,
        limit_s: float = _LIMIT_S,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """
        Take the node.

        Args:
            url: Where its API is.
            token: Of a user, an API key, or the administrator's.
            limit_s: For each request.
            sleep: Waits for so many seconds, where the node says so.
        """
        self._url, self._sleep = url.rstrip("/"), sleep
        self._http = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(limit_s), headers={"Authorization": f"Bearer {token}"}
        )

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        """Close the connection."""
        await self._http.close()

    async def read(self, path: str, **query: str | None) -> dict[str, Any]:
        """Return what is at a path below the API's, as `apps/AP1`; wait where the node is not available at once."""
        return await self._call("GET", path, query, None, dict[str, Any])

    async def write(self, path: str, body: object, **query: str | None) -> dict[str, Any]:
        """Post *body* to a path, and return the answer; wait where the node says that there were too many."""
        return await self._call("POST", path, query, msgspec.json.encode(body), dict[str, Any])

    async def write_one(self, path: str, body: object, **query: str | None) -> dict[str, Any]:
        """Post one object as `write` does, and return it as it was stored: it has an `id`."""
        stored = await self.write(path, body, **query)
        if not isinstance(stored.get("id"), str):
            raise NodeError(f"What answers at {self._url} is no node of UpNext.{_UNKNOWN}")
        return stored

    async def write_all(self, path: str, body: object, **query: str | None) -> list[dict[str, Any]]:
        """Post *body* as `write` does, and return what became of each of its objects."""
        return (await self._call("POST", path, query, msgspec.json.encode(body), _Results)).results

    async def all_of(self, path: str, *, page_size: int = PAGE_SIZE, **query: str | None) -> list[dict[str, Any]]:
        """Return all that a list has, page by page."""
        found: list[dict[str, Any]] = []
        page = 0
        while True:
            asked = {**query, "page": str(page), "pageSize": str(page_size)}
            part = await self._call("GET", path, asked, None, _Page)
            found += part.results
            page += 1
            if not part.results or page * page_size >= part.total_count:
                return found

    async def _call(
        self, method: str, path: str, query: Mapping[str, str | None], body: bytes | None, kind: type[T]
    ) -> T:
        unknown = "" if method == "GET" else _UNKNOWN
        given = urlencode({name: value for name, value in query.items() if value is not None})
        url = f"{self._url}{API}/{path}{'?' if given else ''}{given}"
        for attempt in range(_ATTEMPTS):
            answer = await self._ask(method, url, body, unknown)
            if answer.status == 200:
                return self._decoded(answer.body, kind, unknown)
            # What is refused for now was not done. What is not available may have been, so it is only read again.
            may_wait = answer.status == 429 or (answer.status == 503 and method == "GET")
            if not may_wait or attempt == _ATTEMPTS - 1 or answer.retry_after_s > _MOST_WAIT_S:
                break
            click.echo(f"upnext: the node says {answer.status}: waiting for {answer.retry_after_s:g} s", err=True)
            await self._sleep(answer.retry_after_s)
        # Also where something between says so, as 502 and 504 are: the node may have been asked.
        unknown = unknown if answer.status >= 500 else ""
        raise NodeError(f"The node refuses with {answer.status}: {reasons(answer.body)}.{unknown}")

    def _decoded(self, body: bytes, kind: type[T], unknown: str) -> T:
        try:
            return msgspec.json.decode(body, type=kind)
        except ValueError as error:
            raise NodeError(f"What answers at {self._url} is no node of UpNext.{unknown}") from error

    async def _ask(self, method: str, url: str, body: bytes | None, unknown: str) -> Answer:
        # What is posted would be asked for at the other place, and its answer taken for this one's.
        redirects = method == "GET"
        try:
            async with self._http.request(
                method, URL(url, encoded=True), data=body, allow_redirects=redirects
            ) as answer:
                return Answer(answer.status, await answer.read(), _seconds(answer.headers.get("Retry-After")))
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            why = f"({error or 'in time'})"
            unknown = "" if isinstance(error, _NOT_SENT) else unknown
            raise NodeError(f"The node at {self._url} does not answer {why}: is it running there?{unknown}") from error


def part(text: str) -> str:
    """Return *text* as one part of a path, whatever is in it."""
    return quote(text, safe="")


def reasons(body: bytes) -> str:
    """Return what the messages of a refusal say, with their parameters filled in."""
    try:
        return "; ".join(said(message) for message in msgspec.json.decode(body)["errors"])
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
        return "it does not say why"


def said(message: Mapping[str, Any]) -> str:
    """Return what a message says, with its parameters filled in."""
    text = str(message["text"])
    params = message["params"]
    for name, value in params.items():
        text = text.replace("{{" + name + "}}", str(value))
    # Of one object among many, which it is.
    return f"object {int(params['index']) + 1}: {text}" if str(params.get("index", "")).isdigit() else text


def _seconds(retry_after: str | None) -> float:
    return float(retry_after) if retry_after is not None and retry_after.isdigit() else 1.0
