"""Questions about the past to a node's internal listener, for commands."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import click
import msgspec

from service.cli.node_options import admin_token
from streams.domain.errors import UpNextError

Command = TypeVar("Command", bound=Callable[..., Any])

_LIMIT_S = 150.0
"""More than a node reads the log for, twice."""


class PastError(UpNextError):
    """The past cannot be shown; the message says why."""


def internal_option(command: Command) -> Command:
    """Give a command the option `url`: of the internal listener of any node."""
    return click.option(
        "--url",
        default="http://127.0.0.1:8081",
        show_default=True,
        help="Where the internal listener of any node is.",
    )(command)


def asked(url: str, data: Path, what: str, **query: str | None) -> bytes:
    """Return what a node says of the past, as JSON; raise `PastError` where it does not."""
    return asyncio.run(_asked(f"{url.rstrip('/')}/past/{what}", admin_token(data), query))


async def _asked(url: str, token: str, query: dict[str, str | None]) -> bytes:
    given = {name: value for name, value in query.items() if value is not None}
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(_LIMIT_S)) as http,
            http.get(url, params=given, headers={"Authorization": f"Bearer {token}"}) as answer,
        ):
            body = await answer.read()
            if answer.status != 200:
                raise PastError(_refusal(answer.status, body))
            return body
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise PastError(f"No node answers at {url} ({error}): give its internal listener with --url.") from error


def _refusal(status: int, body: bytes) -> str:
    try:
        error = msgspec.json.decode(body)["error"]
        faults = "".join(f" {param['name']}: {param['message']}" for param in error["params"])
        return f"The node refuses with {status}: {error['message']}{faults}"
    except (msgspec.DecodeError, KeyError, TypeError):
        return f"The node refuses with {status}: is this its internal listener, and has it started?"
