"""Questions about the past to a node's internal listener, or to the log itself, for commands."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import click
import msgspec

from service.cli.node_options import admin_token
from service.cli.topics import check_there, opened_log
from service.http.deps import now_ms
from service.http.past_questions import Questions
from service.http.positions import PositionTokens
from service.http.problems import InvalidFieldsError
from service.setting_sources import load_settings
from service.settings import Settings
from streams.domain.errors import AbsentError, UpNextError
from streams.history import History
from streams.keys import FILE as KEY_FILE
from streams.keys import KEY_BYTES, MasterKey, load_master_key, read_master_key
from streams.refold import Bound, Refold

Command = TypeVar("Command", bound=Callable[..., Any])

_LIMIT_S = 150.0
"""More than a node reads the log for, twice."""


OFFLINE = Bound(10_000_000_000, 24 * 3600.0)
"""Who reads the log of a node that is off waits for nobody: it is read whole."""


UNREACHABLE = "unreachable"


class PastError(UpNextError):
    """
    An operator's call was not answered; the message says why.

    *code* is what the node calls it, where it does, or `UNREACHABLE` where nothing was sent.
    """

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


def internal_option(command: Command) -> Command:
    """Give a command the option `url`: of the internal listener of any node."""
    return click.option(
        "--url",
        default="http://127.0.0.1:8081",
        show_default=True,
        help="Where the internal listener of any node is.",
    )(command)


def offline_option(command: Command) -> Command:
    """Give a command the option `offline`."""
    return click.option(
        "--offline",
        is_flag=True,
        help="Ask no node but the log: the embedded one in --data, whose node is off, or where UPNEXT_KAFKA is.",
    )(command)


def asked(url: str, data: Path, what: str, *, offline: bool = False, **query: str | None) -> bytes:
    """Return what a node, or the log, says of the past, as JSON; raise `PastError` where it does not."""
    if offline:
        given = {name: value for name, value in query.items() if value is not None}
        return asyncio.run(_asked_of_the_log(data, what, given))
    return asyncio.run(_asked(f"{url.rstrip('/')}/past/{what}", admin_token(data), query))


def told(url: str, data: Path, what: str, **query: str | None) -> bytes:
    """Have a node do what is at a path, as `repair/context`; return its answer as `asked` does."""
    return asyncio.run(_asked(f"{url.rstrip('/')}/{what}", admin_token(data), query, "POST"))


async def _asked(url: str, token: str, query: dict[str, str | None], method: str = "GET") -> bytes:
    given = {name: value for name, value in query.items() if value is not None}
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(_LIMIT_S)) as http,
            http.request(method, url, params=given, headers={"Authorization": f"Bearer {token}"}) as answer,
        ):
            body = await answer.read()
            if answer.status != 200:
                raise _refusal(answer.status, body)
            return body
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        code = UNREACHABLE if isinstance(error, aiohttp.ClientConnectorError) else ""
        raise PastError(f"No node answers at {url} ({error}): give its internal listener with --url.", code) from error


def _refusal(status: int, body: bytes) -> PastError:
    try:
        error = msgspec.json.decode(body)["error"]
        faults = "".join(f" {param['name']}: {param['message']}" for param in error["params"])
        return PastError(f"The node refuses with {status}: {error['message']}{faults}", error["code"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return PastError(f"The node refuses with {status}: is this its internal listener, and has it started?")


async def _asked_of_the_log(data: Path, what: str, query: Mapping[str, str]) -> bytes:
    settings = load_settings(None, os.environ, {"data": str(data)}).settings
    check_there(settings)
    async with opened_log(settings) as log:
        # Digests are compared with nobody's here, so they may be keyed with anything.
        history = History(Refold(log, settings.partition_count, hash_key=bytes(32)), bound=OFFLINE)
        tokens = PositionTokens(_key(settings).positions_key, log.id)
        try:
            return msgspec.json.encode(await Questions(history, tokens, now_ms).answer(what, query))
        except InvalidFieldsError as error:
            faults = "; ".join(f"{fault.name}: {fault.message}" for fault in error.faults)
            raise PastError(faults) from error
        except AbsentError as error:
            raise PastError("There is no such session or context, or the session was deleted by then.") from error


def _key(settings: Settings) -> MasterKey:
    """Return the master key; where there is none here, another one, with which no position can be read."""
    if settings.master_key is None and not (settings.data / KEY_FILE).exists():
        return read_master_key(os.urandom(KEY_BYTES).hex())
    return load_master_key(settings.data, settings.master_key)
