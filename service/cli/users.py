"""`upnext users`: the people who configure a node that runs."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import NamedTuple

import click

from service.api.people import MAX_PASSWORD_CHARS, MIN_PASSWORD_CHARS
from service.cli.node_calls import NodeCalls
from service.cli.node_options import admin_token, data_option
from streams.domain.errors import UpNextError


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
@data_option
def create(
    username: str,
    company: str | None,
    new_company: str | None,
    role: str,
    name: str,
    url: str,
    data: Path,
) -> None:
    """
    Make the user USERNAME, an e-mail address.

    The password is asked for, or read from standard input where that is no terminal: the first line of it.
    """
    if (company is None) == (new_company is None):
        raise click.UsageError("Give either --company with the id of one that is there, or --new-company with a name.")
    admin = admin_token(data)
    new_user = NewUser(username, _password(), name or username, role, company, new_company)
    made = asyncio.run(_create(url, admin, new_user))
    click.echo(f"user {made['id']} ({username}) is {role} of company {made['company']}")


def _password() -> str:
    if sys.stdin.isatty():
        password = str(click.prompt("Password", hide_input=True, confirmation_prompt=True))
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if not MIN_PASSWORD_CHARS <= len(password) <= MAX_PASSWORD_CHARS:
        raise UsersError(f"A password has {MIN_PASSWORD_CHARS} to {MAX_PASSWORD_CHARS} characters: choose another one.")
    return password


async def _create(url: str, token: str, user: NewUser) -> dict[str, str]:
    """Make the user, and the company where there is none; return their ids."""
    async with NodeCalls(url, token) as node:
        company = user.company
        if company is None:
            company = str((await node.write_one("companies", {"name": user.new_company}))["id"])
        body = {
            "username": user.username,
            "password": user.password,
            "name": user.name,
            "roles": [{"company": company, "role": user.role}],
        }
        made = await node.write_one("users", body, context=company)
        return {"id": str(made["id"]), "company": company}
