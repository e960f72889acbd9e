"""A client library that was written for another API of the same style works here: only its host is changed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from adnuntius.api import Api, ApiClient
from adnuntius.util import date_to_string, id_reference

from tests.support.api_listener import ApiNode, Clock, api_node, embedded_log
from tests.support.blobs import png
from tests.support.people import PASSWORD, code, make_company, make_user


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[ApiNode]:
    async with embedded_log(tmp_path / "log") as log, api_node(log) as node:
        yield node


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


class Library:
    """The library's clients of our types, on one connection; its calls wait in threads of their own."""

    def __init__(self, node: ApiNode, session: requests.Session, company: str | None = None, **who: Any) -> None:
        who = {"username": "ann@example.org", "password": PASSWORD, **who}
        self.api = Api(location=f"{node.url}/api", context=company, **who)
        self._session = session

    async def __call__(self, type_name: str, method: str, *args: Any, **more: Any) -> Any:
        client = ApiClient(type_name, self.api, session=self._session)
        return await asyncio.to_thread(getattr(client, method), *args, **more)


async def test_what_it_does_with_objects(node: ApiNode, session: requests.Session) -> None:
    """It logs in, creates, gets, lists, updates (and compares), and asks whether something is there."""
    company = await make_company(node)
    await make_user(node, "ann", {company: "ADMIN"})
    library = Library(node, session, company, verify=True)
    app = await library("apps", "post", json={"name": "Play"})
    assert app["name"] == "Play"
    fetched = await library("apps", "get", app["id"])
    updated = await library("apps", "update", {**fetched, "category": "film"})
    assert (updated["category"], updated["name"]) == ("film", "Play")
    client = await library(
        "clients",
        "update",
        {"id": "writer", "name": "Writer", "tenant": id_reference(app)},
        ignore=set(updated) | UNSENT,
    )
    assert client["tenant"] == {"id": app["id"], "url": app["url"]}
    both = await library("apps", "run", [{"name": "B"}, {"name": "A"}])
    assert [one["name"] for one in both] == ["B", "A"]
    page = await library("apps", "query")
    assert [one["name"] for one in page["results"]] == ["A", "B", "Play"]
    ids = ";".join(one["id"] for one in both)
    assert (await library("apps", "query", args={"id": ids, "pageSize": 1, "page": 1}))["totalCount"] == 2
    hidden = {"id": both[0]["id"], "objectState": "HIDDEN"}
    await library("apps", "update", hidden, ignore=set(updated))
    assert (await library("apps", "query"))["totalCount"] == 2
    assert (await library("apps", "query", args={"includeHidden": True}))["totalCount"] == 3
    assert await library("apps", "exists", app["id"]) is True
    assert await library("apps", "exists", "AP0") is False
    assert (await library("apps", "get", app["id"], sub_resource="events"))["totalCount"] == 2
    rolled = await library("clients", "post", "writer", json={"key": "LIVE"}, sub_resource="roll")
    assert rolled["secretKey"].startswith("sk_")


UNSENT = {
    *("clientId", "keys", "secretKey", "testSecretKey", "company", "redirectUris", "grantTypes", "scopes"),
    *("ipAllowList", "signaturesRequired", "defaultVersion", "rateLimit"),
}
"""What a new client has that was not sent."""


async def test_what_it_does_with_errors(node: ApiNode, session: requests.Session) -> None:
    """Refusals are its errors, with the messages."""
    company = await make_company(node)
    await make_user(node, "ann", {company: "VIEWER"})
    library = Library(node, session, company)
    for status, code_said, call in (
        (404, "object.not.found", ("apps", "get", "AP0")),
        (403, "role.forbidden", ("apps", "update", {"id": "AP0", "name": "A"})),
        (405, "delete.not.allowed", ("apps", "delete", "AP0")),
    ):
        with pytest.raises(RuntimeError, match=f"response {status}") as refused:
            await library(*call)
        response: Any = getattr(refused.value, "response", None)
        assert response["errors"][0]["code"] == f"error.{code_said}"
    wrong = Library(node, session, company, password="another password")
    with pytest.raises(RuntimeError, match="authentication failed"):
        await wrong("apps", "query")


async def test_how_it_stays_logged_in(node: ApiNode, session: requests.Session) -> None:
    """After most of an hour it refreshes its token, and goes on."""
    await make_user(node, "ann", {await make_company(node): "VIEWER"})
    library = Library(node, session)
    assert (await library("companies", "query"))["totalCount"] == 1
    before = library.api.authorisation
    library.api.auth_time = time.time() - 55 * 60
    assert (await library("companies", "query"))["totalCount"] == 1
    assert library.api.authorisation != before


async def test_second_factors(node: ApiNode, session: requests.Session) -> None:
    """It asks for a code where the first answer says so."""
    await make_user(node, "ann", {await make_company(node): "VIEWER"})
    first = Library(node, session)
    enrolled = await first("users", "post", "ann", json={}, sub_resource="twofactor")
    uri = enrolled["otpauth"]
    clock = Clock()
    await first("users", "post", "ann", json={"code": code(uri, clock)}, sub_resource="twofactor/confirm")
    library = Library(node, session)
    library.api.two_factor_code_provider = lambda: code(uri, clock, 1)
    assert (await library("companies", "query"))["totalCount"] == 1


async def test_api_keys(node: ApiNode, session: requests.Session) -> None:
    """A key that it makes serves in a token's place, until the time that it writes."""
    company = await make_company(node)
    await make_user(node, "ann", {company: "ADMIN"})
    library = Library(node, session, company)
    expires = date_to_string((datetime.now(UTC) + timedelta(days=1)).replace(tzinfo=None))
    made = await library("apikeys", "post", json={"scopes": ["read"], "expires": expires})
    by_key = Library(node, session, company, username=None, password=None, api_key=made["key"])
    assert (await by_key("apps", "query"))["totalCount"] == 0
    with pytest.raises(RuntimeError, match="response 403"):
        await by_key("apps", "post", json={"name": "A"})


async def test_uploads(node: ApiNode, session: requests.Session, tmp_path: Path) -> None:
    """It sends a file as it sends assets."""
    company = await make_company(node)
    await make_user(node, "ann", {company: "EDITOR"})
    library = Library(node, session, company)
    app = await library("apps", "post", json={"name": "Play"})
    file = tmp_path / "icon.png"
    file.write_bytes(png())
    asset = await library("assets", "upload_resource", app["id"], "icon@1x", str(file), "image/png")
    assert asset["media"] == f"/media/{app['id']}/icon@1x.png"
