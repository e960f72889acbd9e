"""Versions of `/v1`: which one answers, what each alters, and how one ends."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import msgspec
import pytest

from service.api import clients
from service.http import schemas
from service.http.versions import newest, v2026_11_01
from service.http.versions.known import VERSIONS
from service.http.versions.version import Change, Ending, Versions
from tests.support.api_listener import api_node, embedded_log
from tests.support.listener import Listener, basic, problem, public_listener
from tests.support.nodes import Answer, Caller, item

FIRST, NEWEST = "2024-02-16", "2026-11-01"
VERSION = "Paket-Version"


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    async with public_listener() as listener:
        yield listener


def in_version(caller: Caller, version: str) -> Caller:
    return Caller(caller.http, caller.url, {**caller.headers, VERSION: version}, caller.tenant, caller.client_id)


def with_default(listener: Listener, name: str, version: str) -> None:
    """Give the client a default version."""
    client_id = listener.callers[name].client_id
    digest, client = listener.world.clients[client_id]
    listener.world.clients[client_id] = digest, client._replace(version=version)


async def filled(listener: Listener, items: int) -> tuple[str, str]:
    """Return the paths of a context of so many items, and of a session that has it and another one."""
    context, session = await listener.context(), await listener.session()
    for n in range(items):
        await listener.app.ok("PUT", f"/v1/contexts/upnext/{context}", item(f"c{n}"))
    for one in (context, await listener.context()):
        await listener.attach(session, one)
    return f"/v1/contexts/upnext/{context}", f"/v1/sessions/upnext/{session}"


def test_which_there_are() -> None:
    """The first one is the contract's; and none is to end."""
    assert VERSIONS.names == (FIRST, NEWEST)
    assert VERSIONS.first.name == FIRST
    assert [version.ending for version in VERSIONS] == [None, None]
    assert list(VERSIONS.names) == sorted(VERSIONS.names)


def test_the_page_that_tells_of_them() -> None:
    """Has each, and what it alters, in the words of the program."""
    page = (Path(__file__).parents[2] / "docs/versions.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\d{4}-\d{2}-\d{2})` \| (.+) \|$", page, re.MULTILINE))
    assert list(rows) == list(VERSIONS.names)
    assert rows[NEWEST] == next(version.says for version in VERSIONS if version.name == NEWEST)


async def test_which_one_answers(listener: Listener) -> None:
    """The one that is named, else the client's default, else the first; the answer says which it was."""
    assert (await listener.app.ok("GET", "/v1")).headers[VERSION] == FIRST
    for version in (FIRST, NEWEST):
        assert (await in_version(listener.app, version).ok("GET", "/v1")).headers[VERSION] == version
    with_default(listener, "app", NEWEST)
    context, _ = await filled(listener, 1)
    assert "page" in (await listener.app.ok("GET", context)).json
    assert (await listener.app.ok("GET", "/v1")).headers[VERSION] == NEWEST
    assert "total" in (await in_version(listener.app, FIRST).ok("GET", context)).json
    assert (await listener.platform.ok("GET", "/v1")).headers[VERSION] == FIRST


@pytest.mark.parametrize("version", ["2024-02-17", "latest", "", "2024-2-16", "2024-02-16, 2026-11-01", "2024-02-16 x"])
async def test_no_such_version(listener: Listener, version: str) -> None:
    """400, which says which there are; it counts after the media type and before positions, bodies and ids."""
    context, _ = await filled(listener, 1)
    caller, recorded = in_version(listener.app, version), listener.recorded
    for method, path, data in (
        ("GET", "/v1", None),
        ("GET", context, None),
        ("PUT", context, b"{"),
        ("GET", "/v1/contexts/upnext/x", None),
    ):
        answer = await caller.call(method, path, data=data, after="x")
        assert problem(answer, 400) == "invalid_version"
        assert answer.json["error"]["message"] == f"There is no such version; there are {FIRST}, {NEWEST}."
    assert problem(await caller.call("PUT", context, data=b"{", headers={"Content-Type": "text/plain"}), 415)
    assert problem(await caller.call("GET", "/v1/sessions/upnext/x"), 403)
    assert problem(await caller.call("GET", "/nothing"), 404)
    assert listener.recorded == recorded


async def test_two_versions_are_none(listener: Listener) -> None:
    """Also where both are the same."""
    headers = [*listener.app.headers.items(), (VERSION, FIRST), (VERSION, FIRST)]
    async with listener.http.get(f"{listener.app.url}/v1", headers=headers) as answer:
        assert answer.status == 400


async def test_a_default_that_is_not_known(listener: Listener) -> None:
    """Set by a newer version of the program: the client is told, rather than answered in another way."""
    with_default(listener, "app", "2999-01-01")
    assert problem(await listener.app.call("GET", "/v1"), 400) == "invalid_version"
    assert (await in_version(listener.app, FIRST).ok("GET", "/v1")).headers[VERSION] == FIRST


async def test_the_first_version(listener: Listener) -> None:
    """Lists have `total`, `next_key` where there is more, and `items`: in these bytes."""
    context, session = await filled(listener, 2)
    for caller, path in (
        (listener.app, context),
        (listener.platform, session),
        (listener.platform, f"{session}/contexts"),
    ):
        answer = await caller.ok("GET", f"{path}?limit=1")
        assert answer.body.startswith(b'{"total":2,"next_key":1,"items":[{"')
        assert answer.body.endswith(b"}]}")
        rest = await caller.ok("GET", f"{path}?limit=1&next_key=1")
        assert rest.body.startswith(b'{"total":2,"items":[{"')
        assert (await caller.ok("GET", f"{path}?next_key=2")).body == b'{"total":2,"items":[]}'
        assert same(answer, await in_version(caller, FIRST).ok("GET", f"{path}?limit=1"))


def same(one: Answer, other: Answer) -> bool:
    return (one.body, one.headers["ETag"]) == (other.body, other.headers["ETag"])


async def test_lists_say_how_to_go_on(listener: Listener) -> None:
    """2026-11-01: the query of the next page, with the same limit, until there is none; the items are the same."""
    context, session = await filled(listener, 5)
    for caller, path, total in (
        (listener.app, context, 5),
        (listener.platform, session, 5),
        (listener.platform, f"{session}/contexts", 2),
    ):
        before = (await caller.ok("GET", path)).json
        url, items, pages = f"{path}?limit=2", [], 0
        while url:
            page = (await in_version(caller, NEWEST).ok("GET", url)).json
            assert list(page) == ["items", "page"]
            assert list(page["page"]) == ["total", "next"]
            assert page["page"]["total"] == total
            items += page["items"]
            pages += 1
            url = page["page"]["next"] and urljoin(url, page["page"]["next"])
        assert items == before["items"]
        assert pages == (total + 1) // 2
    past = await in_version(listener.app, NEWEST).ok("GET", f"{context}?next_key=9")
    assert past.body == b'{"items":[],"page":{"total":5,"next":null}}'


async def test_what_is_known_in_one_version(listener: Listener) -> None:
    """Is not known in another: the tags of one list in two versions differ."""
    context, session = await filled(listener, 1)
    for caller, path in (
        (listener.app, context),
        (listener.platform, session),
        (listener.platform, f"{session}/contexts"),
    ):
        tags = {
            version: (await in_version(caller, version).ok("GET", path)).headers["ETag"] for version in VERSIONS.names
        }
        assert len(set(tags.values())) == len(tags)
        for version in VERSIONS.names:
            for of, tag in tags.items():
                answer = await in_version(caller, version).call("GET", path, headers={"If-None-Match": tag})
                assert answer.status == (304 if of == version else 200)
                assert answer.headers[VERSION] == version


@pytest.mark.parametrize(
    ("newer", "older"),
    [
        (schemas.ContextListOut, v2026_11_01.ContextListOut),
        (schemas.SessionListOut, v2026_11_01.SessionListOut),
        (schemas.SessionContextsOut, v2026_11_01.SessionContextsOut),
    ],
)
async def test_answers_are_what_each_version_declares(
    listener: Listener, newer: type[msgspec.Struct], older: type[msgspec.Struct]
) -> None:
    """Each list can be read as its version says, and as the other says it cannot."""
    context, session = await filled(listener, 1)
    caller, path = {
        "ContextListOut": (listener.app, context),
        "SessionListOut": (listener.platform, session),
        "SessionContextsOut": (listener.platform, f"{session}/contexts"),
    }[newer.__name__]
    for version, kind, other in ((FIRST, older, newer), (NEWEST, newer, older)):
        body = (await in_version(caller, version).ok("GET", path)).body
        msgspec.json.decode(body, type=kind)
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(body, type=other)
        found = VERSIONS.find(version)
        assert found is not None
        assert found.answer(newer) is kind


async def test_the_document_of_each(listener: Listener) -> None:
    """`/openapi.json` lists them, and describes the one that is asked for; the first where none is."""
    usual = (await listener.nobody.ok("GET", "/openapi.json")).json
    assert [version["version"] for version in usual["info"]["x-versions"]] == [FIRST, NEWEST]
    assert all(version["description"] for version in usual["info"]["x-versions"])
    documents = {name: await listener.nobody.ok("GET", f"/openapi.json?version={name}") for name in VERSIONS.names}
    assert documents[FIRST].json == usual
    for name, answer in documents.items():
        assert answer.json["info"]["version"] == name
        for kind in ("ContextList", "SessionList", "SessionContexts"):
            schema = answer.json["components"]["schemas"][kind]
            assert ("page" in schema["required"]) == (name == NEWEST)
            assert ("next_key" in schema["properties"]) == (name == FIRST)
    for query in ("?version=latest", "?version=", f"?version={FIRST}&version={FIRST}"):
        refused = await listener.nobody.call("GET", f"/openapi.json{query}")
        assert problem(refused, 400) == "invalid_version"


class Newest(msgspec.Struct):
    c: int


class Middle(msgspec.Struct):
    b: int


class Oldest(msgspec.Struct):
    a: int


def older_list(total: int, _next_key: int | None, _entries: bytes, _query: bytes) -> bytes:
    return b"%d" % total


CHANGES = [
    Change(version="2001-01-01", says="b", list_body_before=older_list, answers_before={Middle: Oldest}),
    Change(version="2002-01-01", says="c", answers_before={Newest: Middle, schemas.MessageOut: schemas.NothingIn}),
]


def test_changes_are_undone_from_the_newest() -> None:
    """Each version is the one after it without what that one has changed."""
    first, middle, last = Versions("2000-01-01", CHANGES, newest.list_body)
    assert [version.name for version in (first, middle, last)] == ["2000-01-01", "2001-01-01", "2002-01-01"]
    assert [version.answer(Newest) for version in (first, middle, last)] == [Oldest, Middle, Newest]
    assert [version.answer(schemas.MessageOut) for version in (first, middle, last)] == [
        *(schemas.NothingIn, schemas.NothingIn),
        schemas.MessageOut,
    ]
    assert first.answer(schemas.PageOut) is schemas.PageOut
    assert [version.list_body for version in (first, middle, last)] == [older_list, newest.list_body, newest.list_body]
    assert [version.tag for version in (first, middle, last)] == ["", "2001-01-01", "2002-01-01"]


def ending(deprecated: datetime, sunset: datetime | None = None) -> Versions:
    changes = [v2026_11_01.CHANGE]
    return Versions(FIRST, changes, newest.list_body, {FIRST: Ending(deprecated=deprecated, sunset=sunset)})


async def test_a_version_that_is_to_end() -> None:
    """Every answer of it says since when it is deprecated, and when it may be gone: errors and lists too."""
    berlin = timezone(timedelta(hours=1))
    versions = ending(datetime(2027, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, 0, 30, tzinfo=berlin))
    async with public_listener(versions=versions) as listener:
        for path in (
            "/v1",
            "/nothing",
            "/v1/sessions/upnext/x",
            "/v1/contexts/upnext/x",
            "/v1/contexts/upnext/x?limit=0",
        ):
            answer = await listener.app.call("GET", path)
            assert answer.headers["Deprecation"] == "@1798761600"
            assert answer.headers["Sunset"] == "Fri, 31 Dec 2027 23:30:00 GMT"
            other = await in_version(listener.app, NEWEST).call("GET", path)
            assert not {"Deprecation", "Sunset"} & set(other.headers)
        assert "Deprecation" not in (await listener.nobody.call("GET", "/v1")).headers
    async with public_listener(versions=ending(datetime(2027, 1, 1, tzinfo=UTC))) as listener:
        answer = await listener.app.ok("GET", "/v1")
        assert answer.headers["Deprecation"] == "@1798761600"
        assert "Sunset" not in answer.headers


async def test_a_version_that_is_gone() -> None:
    """It is not known any more."""
    async with public_listener(versions=Versions(NEWEST, [], newest.list_body)) as listener:
        assert problem(await in_version(listener.app, FIRST).call("GET", "/v1"), 400) == "invalid_version"
        assert (await listener.app.ok("GET", "/v1")).headers[VERSION] == NEWEST


async def test_a_default_that_is_configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of those that there are, without a warning; it holds from the next call on."""
    async with embedded_log(tmp_path) as log, api_node(log) as node:
        company = (await node.admin.ok("POST", "/api/v1/companies", {"name": "C"})).json["id"]
        app = (await node.admin.ok("POST", f"/api/v1/apps?context={company}", {"name": "A"})).json["id"]
        sent: dict[str, Any] = {"name": "K", "tenant": app, "defaultVersion": NEWEST}
        made = (await node.admin.ok("POST", f"/api/v1/clients?context={company}", sent)).json
        assert "validationWarnings" not in made
        own = Caller(node.http, node.url, {"Authorization": basic(made["clientId"], made["secretKey"])})
        assert (await own.ok("GET", "/v1")).headers[VERSION] == NEWEST
        path = f"/api/v1/clients/{made['id']}?context={company}"
        assert (await node.admin.call("PUT", path, {"defaultVersion": "2024-02-17"})).status == 400
        await node.admin.ok("PUT", path, {"defaultVersion": FIRST})
        assert (await own.ok("GET", "/v1")).headers[VERSION] == FIRST
        # What was stored may be known no more, or was anything before there were versions.
        monkeypatch.setattr(clients, "VERSIONS", Versions(NEWEST, [], newest.list_body))
        (warning,) = (await node.admin.ok("GET", path)).json["validationWarnings"]
        assert (warning["code"], warning["params"]["version"]) == ("warning.client.version.unknown", FIRST)
