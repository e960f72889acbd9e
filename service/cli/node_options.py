"""Where the node is and who asks: the options that the commands for the resource API have in common."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from service.cli.node_calls import NodeCalls, NodeError

T = TypeVar("T")
Command = TypeVar("Command", bound=Callable[..., Any])

TOKEN_VARIABLE = "UPNEXT_TOKEN"  # noqa: S105 - the variable's name is no secret
ADMIN_TOKEN_VARIABLE = "UPNEXT_ADMIN_TOKEN"  # noqa: S105 - nor is this


def node_options(command: Command) -> Command:
    """Give a command the options `url` and `token_file`."""
    with_file = click.option(
        "--token-file",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help=f"Read the token from this file; from the variable {TOKEN_VARIABLE} if not given.",
    )(command)
    return click.option(
        "--url",
        envvar="UPNEXT_URL",
        default="http://127.0.0.1:8080",
        show_default=True,
        help="Where the node's API is.  [UPNEXT_URL]",
    )(with_file)


def format_option(command: Command) -> Command:
    """Give a command the option `output`."""
    return click.option(
        "--output",
        "-o",
        type=click.Choice(["table", "json", "yaml"]),
        default="table",
        show_default=True,
        help="For people, or for programs.",
    )(command)


def data_option(command: Command) -> Command:
    """Give a command the option `data`: the node's directory, in which its administrator's token is."""
    return click.option(
        "--data",
        type=click.Path(path_type=Path, file_okay=False),
        default=Path("data"),
        show_default=True,
        help="Read the administrator's token from admin.token in this directory, the node's own, where the variable "
        f"{ADMIN_TOKEN_VARIABLE} does not have it.",
    )(command)


def admin_token(data: Path) -> str:
    """Return the administrator's token. It is no argument: every user of the machine sees a process's arguments."""
    given = os.environ.get(ADMIN_TOKEN_VARIABLE, "").strip()
    otherwise = f"set {ADMIN_TOKEN_VARIABLE}, or give the node's --data"
    return given or token_in(data / "admin.token", "administrator's token", otherwise)


def with_node(url: str, token_file: Path | None, ask: Callable[[NodeCalls], Awaitable[T]]) -> T:
    """Return what *ask* returns of the node."""

    async def run() -> T:
        async with NodeCalls(url, token) as node:
            return await ask(node)

    token = _token(token_file)
    return asyncio.run(run())


def _token(file: Path | None) -> str:
    """Return the token. It is no argument: every user of the machine sees a process's arguments."""
    if file is None:
        token = os.environ.get(TOKEN_VARIABLE, "").strip()
        if not token:
            raise click.UsageError(f"Give --token-file, or set {TOKEN_VARIABLE}: the token of a user, or an API key.")
        return token
    return token_in(file, "token", "give another --token-file")


def token_in(file: Path, what: str, otherwise: str) -> str:
    """Return the token that a file holds; where it holds none, say *what* is missing, and what to do *otherwise*."""
    try:
        token = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeError) as error:
        raise NodeError(f"There is no {what} in {file}: {otherwise}.") from error
    if not token:
        raise NodeError(f"There is no {what} in {file}: {otherwise}.")
    return token
