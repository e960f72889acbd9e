"""`upnext users`: the people who configure a node that runs."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import aiohttp
import click
import msgspec
from yarl import URL

from service.api.people import MAX_PASSWORD_CHARS, MIN_PASSWORD_CHARS
from streams.domain.errors import UpNextError

_LIMIT_S = 10.0


class UsersError(UpNextError):
    """The user was not made; the message says what to do."""


class NewUser(NamedTuple):
    """Who is to be made."""

    username: str
    password: str
    name: str
    role: str
    company: str | None
    """The id of one that is there."""
    new_company: str | None
    """The name of one that is to be made."""


@click.group(short_help="Make users.")
def users() -> None:
    """Make the users who configure a node that runs."""


@users.command(short_help="Make a user, the first one too.")
@click.argument("username")
@click.option("--company", help="The id of the company that the user belongs to.")
@click.option("--new-company", metavar="NAME", help="Make a company of this name for the user.")
@click.option(
    "--role", type=click.Choice(["ADMIN", "EDITOR", "VIEWER"]), default="ADMIN", show_default=True, help="In it."
)
@click.option("--name", default="", help="What people call the user; the username if not given.")
@click.option("--url", default="http://127.0.0.1:8080", show_default=True, help="Where the node's API is.")
@click.option("--token", envvar="UPNEXT_ADMIN_TOKEN", help="The administrator's token.  [UPNEXT_ADMIN_TOKEN]")
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("data"),
    show_default=True,
    help="Read the token from admin.token in this directory, the node's own, where --token is not given.",
)
def create(
    username: str,
    company: str | None,
    new_company: str | None,
    role: str,
    name: str,
    url: str,
    token: str | None,
    data: Path,
) -> None:
    """
    Make the user USERNAME, an e-mail address.

    The password is asked for, or read from standard input where that is no terminal: the first line of it.
    """
    if (company is None) == (new_company is None):
        raise click.UsageError("Give either --company with the id of one that is there, or --new-company with a name.")
    admin = (token or _token_in(data)).strip()
    new_user = NewUser(username, _password(), name or username, role, company, new_company)
    made = asyncio.run(_create(url.rstrip("/"), admin, new_user))
    click.echo(f"user {made['id']} ({username}) is {role} of company {made['company']}")


def _password() -> str:
    if sys.stdin.isatty():
        password = str(click.prompt("Password", hide_input=True, confirmation_prompt=True))
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if not MIN_PASSWORD_CHARS <= len(password) <= MAX_PASSWORD_CHARS:
        raise UsersError(f"A password has {MIN_PASSWORD_CHARS} to {MAX_PASSWORD_CHARS} characters: choose another one.")
    return password


def _token_in(data: Path) -> str:
    path = data / "admin.token"
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeError) as error:
        raise UsersError(f"There is no administrator's token in {path}: give --token, or the node's --data.") from error


async def _create(url: str, token: str, user: NewUser) -> dict[str, str]:
    """Make the user, and the company where there is none; return their ids."""
    limit, headers = aiohttp.ClientTimeout(_LIMIT_S), {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(timeout=limit, headers=headers) as http:
        company = user.company
        if company is None:
            company = str((await _post(http, f"{url}/api/v1/companies", {"name": user.new_company}))["id"])
        body = {
            "username": user.username,
            "password": user.password,
            "name": user.name,
            "roles": [{"company": company, "role": user.role}],
        }
        made = await _post(http, f"{url}/api/v1/users?context={quote(company, safe='')}", body)
        return {"id": str(made["id"]), "company": company}


async def _post(http: aiohttp.ClientSession, url: str, body: object) -> dict[str, Any]:
    try:
        async with http.post(URL(url, encoded=True), data=msgspec.json.encode(body)) as answer:
            status, text = answer.status, await answer.read()
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise UsersError(f"The node at {url} does not answer ({error or 'in time'}): is it running there?") from error
    if status != 200:
        raise UsersError(f"The node refuses with {status}: {_reasons(text)}.")
    found: dict[str, Any] = msgspec.json.decode(text)
    return found


def _reasons(body: bytes) -> str:
    """Return what the messages of a refusal say, with their parameters filled in."""
    try:
        return "; ".join(_said(message) for message in msgspec.json.decode(body)["errors"])
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
        return "it does not say why"


def _said(message: dict[str, Any]) -> str:
    text = str(message["text"])
    for name, value in message["params"].items():
        text = text.replace("{{" + name + "}}", str(value))
    return text
