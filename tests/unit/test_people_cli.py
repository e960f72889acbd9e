"""`upnext users create`: the first user of a deployment, made on a node that runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer
from click.testing import CliRunner, Result

from service.cli import main
from tests.support.api_listener import ApiNode, api_node, embedded_log
from tests.support.nodes import ADMIN_TOKEN
from tests.support.people import PASSWORD, log_in, logged_in, make_company


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[ApiNode]:
    async with embedded_log(tmp_path / "log") as log, api_node(log) as node:
        yield node


@pytest.fixture
async def http_server() -> AsyncIterator[str]:
    """The URL of something that answers everything with an empty object."""

    async def answer(_: web.BaseRequest) -> web.Response:
        return web.json_response({})

    async with RawTestServer(answer) as server:
        yield str(server.make_url(""))


async def create(node: ApiNode, *words: str, typed: str = f"{PASSWORD}\n", token: str | None = ADMIN_TOKEN) -> Result:
    """Run the command in a thread, while the node answers it."""
    env = {"UPNEXT_ADMIN_TOKEN": token}
    command = ["users", "create", "ann@example.org", "--url", node.url, *words]
    return await asyncio.to_thread(CliRunner().invoke, main, command, input=typed, env=env)


async def test_the_first_user(node: ApiNode) -> None:
    """A user and a company are made in one go, and the user administers it."""
    done = await create(node, "--new-company", "Ours")
    assert done.exit_code == 0, done.output
    (company,) = (await node.admin.ok("GET", "/api/v1/companies")).json["results"]
    (user,) = (await node.admin.ok("GET", "/api/v1/users")).json["results"]
    assert done.stdout == f"user {user['id']} (ann@example.org) is ADMIN of company {company['id']}\n"
    assert (company["name"], user["name"]) == ("Ours", "ann@example.org")
    ann = await logged_in(node, "ann")
    assert (await ann.call("POST", f"/api/v1/apps?context={company['id']}", {"name": "A"})).status == 200
    assert PASSWORD not in done.output


async def test_a_user_of_a_company_that_is_there(node: ApiNode, tmp_path: Path) -> None:
    """The token may come from the node's own directory, the password is the first line, and the role is any."""
    company = await make_company(node)
    (tmp_path / "admin.token").write_text(f"{ADMIN_TOKEN}\n")
    words = ("--company", company, "--role", "VIEWER", "--name", "Ann", "--data", str(tmp_path))
    done = await create(node, *words, typed=f"{PASSWORD}\r\nmore\n", token=None)
    assert done.exit_code == 0, done.output
    (user,) = (await node.admin.ok("GET", "/api/v1/users")).json["results"]
    assert (user["name"], user["roles"][0]["role"]) == ("Ann", "VIEWER")
    assert (await log_in(node, "ann")).status == 200


async def test_what_answers_is_no_node(http_server: str) -> None:
    """An answer without an id is not taken for a user's, and nobody is told that there is one."""
    command = ["users", "create", "ann@example.org", "--url", http_server, "--company", "acme"]
    env = {"UPNEXT_ADMIN_TOKEN": ADMIN_TOKEN}
    done = await asyncio.to_thread(CliRunner().invoke, main, command, input=f"{PASSWORD}\n", env=env)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "is no node of UpNext. Whether it was done is not known" in done.stderr.splitlines()[-1]


async def test_what_cannot_be_made(node: ApiNode, tmp_path: Path) -> None:
    """Whatever is wrong is one last line that says it, and a status that is not 0."""
    company = await make_company(node)
    here = ("--company", company)
    nowhere = str(tmp_path / "nowhere")
    for words, more, said in (
        ((), {}, "Give either --company"),
        (("--company", company, "--new-company", "N"), {}, "Give either --company"),
        (here, {"typed": "short\n"}, "A password has 12 to 1024 characters"),
        (here, {"typed": ""}, "A password has 12 to 1024 characters"),
        (here, {"token": "wrong"}, "The node refuses with 401"),
        (here, {"token": "wr\u00f8ng\n"}, "The node refuses with 401"),
        ((*here, "--data", nowhere), {"token": None}, "There is no administrator's token in"),
        ((*here, "--token", ADMIN_TOKEN), {}, "No such option"),
        (("--company", "absent"), {}, "Referenced object Company absent not found"),
        ((*here, "--url", "http://127.0.0.1:1"), {}, "does not answer"),
        ((*here, "--url", "nonsense"), {}, "does not answer"),
    ):
        done = await create(node, *words, **more)
        assert done.exit_code != 0, done.output
        assert said in done.stderr.splitlines()[-1], done.output
    assert (await create(node, *here)).exit_code == 0
    again = await create(node, *here)
    assert (again.exit_code, "Another User has this username" in again.stderr) == (1, True)
