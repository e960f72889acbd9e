"""Webhook deliveries in the resource API: who sees which, how they are asked for, and how they are sent again."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from streams.domain.times import iso_ms
from tests.support.api_listener import ApiNode, api_node, embedded_log
from tests.support.api_worlds import etag, refusal
from tests.support.deliveries import NOW_MS, DeliveriesWorld
from tests.support.nodes import Answer, Caller
from tests.support.people import logged_in, make_company, make_user

PATH = "/api/v1/webhookdeliveries"
FIELDS = [
    *("id", "url", "name", "company", "objectState", "createTime", "createUser", "updateTime", "updateUser"),
    *("endpoint", "eventId", "eventType", "status", "attempts", "nextAttempt"),
]


@dataclass
class Setting:
    """A node, and two companies with an endpoint each."""

    node: ApiNode
    world: DeliveriesWorld
    company: str
    other: str
    endpoint: str
    others_endpoint: str

    async def call(self, method: str, path: str = "", body: Any = None, **more: Any) -> Answer:
        caller: Caller = more.pop("caller", self.node.admin)
        query = more.pop("query", "")
        context = more.pop("context", self.company)
        return await caller.call(method, f"{PATH}{path}?context={context}{query}", body, **more)

    async def ids(self, query: str = "", **more: Any) -> list[str]:
        answer = await self.call("GET", query=query, **more)
        assert answer.status == 200, answer.body
        return [one["eventId"].removeprefix("evt_") for one in answer.json["results"]]


async def endpoint_of(node: ApiNode, company: str) -> str:
    context = f"?context={company}"
    app = (await node.admin.ok("POST", f"/api/v1/apps{context}", {"name": "A"})).json["id"]
    client = (await node.admin.ok("POST", f"/api/v1/clients{context}", {"name": "K", "tenant": app})).json["id"]
    body = {"client": client, "endpointUrl": "https://hooks.example.com/"}
    made = (await node.admin.ok("POST", f"/api/v1/webhookendpoints{context}", body)).json
    return str(made["id"])


@pytest.fixture
async def setting(tmp_path: Path) -> AsyncIterator[Setting]:
    world = DeliveriesWorld([0, 2], [1, 3], most=50)
    async with embedded_log(tmp_path / "log") as log, api_node(log, deliveries=world) as node:
        company, other = await make_company(node, "acme"), await make_company(node, "other")
        yield Setting(node, world, company, other, await endpoint_of(node, company), await endpoint_of(node, other))


async def test_a_delivery_as_it_is_answered(setting: Setting) -> None:
    """With every field that an object has, its attempts, and an entity tag of what has been done about it."""
    event = await setting.world.plan(1, setting.endpoint)
    await setting.world.attempt(1, event, setting.endpoint, "PENDING")
    (shown,) = (await setting.call("GET")).json["results"]
    assert list(shown) == FIELDS
    assert re.fullmatch(rf"1-{event}-[0-9a-f]{{16}}", shown["id"])
    assert shown["url"] == f"{PATH}/{shown['id']}"
    assert shown["company"]["id"] == setting.company
    assert shown["endpoint"] == {"id": setting.endpoint, "url": f"/api/v1/webhookendpoints/{setting.endpoint}"}
    assert (shown["eventId"], shown["eventType"]) == (f"evt_{event}", "context.list.item_hidden")
    assert (shown["status"], shown["objectState"], shown["name"]) == ("PENDING", "ACTIVE", "")
    assert shown["attempts"] == [{"time": iso_ms(NOW_MS + 10), "status": 503, "error": None, "durationMs": 12}]
    assert shown["nextAttempt"] == iso_ms(NOW_MS + 5_000)
    assert (shown["createTime"], shown["updateTime"]) == (iso_ms(NOW_MS), iso_ms(NOW_MS + 10))

    one = f"/{shown['id']}"
    read = await setting.call("GET", one)
    assert read.json == shown
    assert (await setting.call("GET", one, headers={"If-None-Match": etag(read) or ""})).status == 304
    head = await setting.call("HEAD", one)
    assert (head.status, head.body, etag(head)) == (200, b"", etag(read))
    await setting.world.attempt(1, event, setting.endpoint, "DELIVERED", 2)
    later = await setting.call("GET", one, headers={"If-None-Match": etag(read) or ""})
    assert (later.json["status"], later.json["nextAttempt"]) == ("DELIVERED", None)
    assert [attempt["status"] for attempt in later.json["attempts"]] == [503, 204]


async def test_lists(setting: Setting) -> None:
    """Newest first, by page, and of some alone."""
    world, endpoint = setting.world, setting.endpoint
    second = await endpoint_of(setting.node, setting.company)
    events = [await world.plan(n % 4, second if n == 4 else endpoint, at_ms=NOW_MS + n) for n in range(6)]
    await world.attempt(2, events[2], endpoint, "FAILED")
    newest = events[::-1]
    page = (await setting.call("GET", query="&pageSize=4&page=1")).json
    assert {name: page[name] for name in page if name != "results"} == {
        "page": 1, "pageSize": 4, "totalCount": 6, "since": None
    }  # fmt: skip
    assert await setting.ids() == newest
    assert await setting.ids("&pageSize=4") == newest[:4]
    assert await setting.ids("&pageSize=4&page=1") == newest[4:]
    assert await setting.ids("&pageSize=4&page=9") == []
    assert await setting.ids(f"&endpoint={second}") == [events[4]]
    assert await setting.ids(f"&endpoint={endpoint};absent") == [one for one in newest if one != events[4]]
    assert await setting.ids("&endpoint=absent") == await setting.ids("&endpoint=") == []
    assert await setting.ids("&status=FAILED") == [events[2]]
    assert await setting.ids(f"&from={iso_ms(NOW_MS + 2)}&to={iso_ms(NOW_MS + 4)}") == [events[3], events[2]]
    assert await setting.ids("&from=1110-02-27T11:11:20.3Z&to=9999-12-31T23:59:59Z") == newest
    assert await setting.ids("&to=1969-12-31T23:59:59Z") == []
    every = [one["id"] for one in (await setting.call("GET")).json["results"]]
    some = sorted((every[1], every[4]))
    found = (await setting.call("GET", query=f"&id={';'.join(some)};absent")).json
    assert ([one["id"] for one in found["results"]], found["totalCount"]) == (some, 2)
    await setting.node.admin.ok(
        "POST", f"/api/v1/webhookendpoints/{second}?context={setting.company}", {"objectState": "HIDDEN"}
    )
    assert events[4] not in await setting.ids()
    assert await setting.ids("&includeHidden=true") == newest
    assert await setting.ids(f"&endpoint={second}") == [events[4]]


async def test_long_lists_go_on(setting: Setting) -> None:
    """A list says since when it has all; `to` goes on from there, without a gap and without a repeat."""
    events = [await setting.world.plan(n % 4, setting.endpoint, at_ms=NOW_MS + n) for n in range(120)]
    seen: list[str] = []
    query = ""
    for count in (50, 50, 20):
        answer = (await setting.call("GET", query=query)).json
        assert answer["totalCount"] == count
        seen += [one["eventId"].removeprefix("evt_") for one in answer["results"]]
        query = f"&to={answer['since']}"
    assert answer["since"] is None
    assert seen == events[::-1]


async def test_broken_parameters(setting: Setting) -> None:
    """All at once."""
    query = "&status=LOST&from=yesterday&to=2026-01-01T00:00:00&to=2026-01-01T00:00:00Z"
    messages = refusal(await setting.call("GET", query=query), 400)
    assert [message["params"]["parameter"] for message in messages] == ["from", "to", "status"]
    for query in ("&page=-1", "&pageSize=1001", "&includeHidden=2", "&id=a!"):
        refusal(await setting.call("GET", query=query), 400)


async def test_sent_again(setting: Setting) -> None:
    """One, whatever became of it; it is answered as it is then."""
    event = await setting.world.plan(3, setting.endpoint)
    await setting.world.attempt(3, event, setting.endpoint, "DELIVERED")
    (shown,) = (await setting.call("GET")).json["results"]
    again = await setting.call("POST", f"/{shown['id']}/resend")
    assert (again.status, again.json["status"]) == (200, "PENDING")
    assert again.json["attempts"] == shown["attempts"]
    assert again.json == (await setting.call("GET", f"/{shown['id']}")).json


async def test_all_of_some_time_sent_again(setting: Setting) -> None:
    """To one endpoint, oldest first; others are left alone."""
    world, endpoint = setting.world, setting.endpoint
    second = await endpoint_of(setting.node, setting.company)
    events = [await world.plan(0, endpoint, second, at_ms=NOW_MS + n) for n in range(6)]
    for event in events:
        await world.attempt(0, event, endpoint, "DELIVERED")
        await world.attempt(0, event, second, "DELIVERED")
    world.nodes[0].appended.clear()
    body = {"endpoint": endpoint, "from": iso_ms(NOW_MS + 1), "to": iso_ms(NOW_MS + 4)}
    assert (await setting.call("POST", "/resend", body)).json == {"count": 3}
    assert [event.event for event in world.nodes[0].appended] == events[1:4]  # type: ignore[union-attr]
    assert await setting.ids("&status=PENDING") == events[1:4][::-1]
    assert (await setting.call("POST", "/resend", {**body, "endpoint": {"id": endpoint}})).json == {"count": 3}
    assert (await setting.call("POST", "/resend", {**body, "to": body["from"]})).json == {"count": 0}


async def test_too_many_are_not_sent_again(setting: Setting) -> None:
    """Nothing is, rather than some of it."""
    for number in range(51):
        await setting.world.plan(0, setting.endpoint, at_ms=NOW_MS + number)
    before = setting.world.nodes[0].offset
    body = {"endpoint": setting.endpoint, "from": iso_ms(NOW_MS), "to": iso_ms(NOW_MS + 51)}
    (message,) = refusal(await setting.call("POST", "/resend", body), 400)
    assert message["code"] == "error.deliveries.too.many"
    assert setting.world.nodes[0].offset == before
    assert (await setting.call("POST", "/resend", {**body, "to": iso_ms(NOW_MS + 50)})).json == {"count": 50}


async def test_broken_ranges(setting: Setting) -> None:
    """All that is wrong at once; another company's endpoint is as good as absent."""
    good = {"endpoint": setting.endpoint, "from": iso_ms(NOW_MS), "to": iso_ms(NOW_MS + 1)}
    codes = {
        "field.required": {},
        "field.unknown": {**good, "a": 1},
        "field.format": {**good, "from": "soon"},
        "field.wrong.type": {**good, "endpoint": 1},
        "referenced.object.not.found": {**good, "endpoint": setting.others_endpoint},
    }
    for code, body in codes.items():
        messages = refusal(await setting.call("POST", "/resend", body), 400)
        assert {message["code"] for message in messages} == {f"error.{code}"}
    assert len(refusal(await setting.call("POST", "/resend", {}), 400)) == 3
    assert len(refusal(await setting.call("POST", "/resend", {"endpoint": "x", "from": 1, "to": 2, "b": 3}), 400)) == 4
    for text in (b"", b"[]", b"nonsense"):
        refusal(await setting.call("POST", "/resend", data=text), 400)


async def test_what_cannot_be_known_now(setting: Setting) -> None:
    """Without a partition there is no list, nor its deliveries; without the log nobody knows what is sent again."""
    event = await setting.world.plan(1, setting.endpoint)
    (shown,) = (await setting.call("GET")).json["results"]
    setting.world.nodes[1].log_is_away = True
    answer = await setting.call("POST", f"/{shown['id']}/resend")
    (message,) = refusal(answer, 503)
    assert message["code"] == "error.log.unavailable"
    assert "Retry-After" in answer.headers
    setting.world.owners.owners.pop(1)
    for path in ("", f"/{shown['id']}"):
        answer = await setting.call("GET", path)
        assert answer.status == 503, event
        assert "Retry-After" in answer.headers


async def test_paths_and_methods(setting: Setting) -> None:
    """They are read, and sent again; nobody writes them, and they have no history."""
    await setting.world.plan(1, setting.endpoint)
    (shown,) = (await setting.call("GET")).json["results"]
    one = f"/{shown['id']}"
    allowed = {"": "GET, HEAD, OPTIONS", one: "GET, HEAD, OPTIONS", "/resend": "OPTIONS, POST"}
    for path, allow in {**allowed, f"{one}/resend": "OPTIONS, POST"}.items():
        assert (await setting.call("OPTIONS", path)).headers["Allow"] == allow
        for method in {"GET", "POST", "PUT", "DELETE"} - set(allow.split(", ")):
            assert (await setting.call(method, path, {})).status == 405, (method, path)
    assert (await setting.call("GET", f"{one}/events")).status == 404
    for absent in ("/absent", one[:-1] + ("0" if one[-1] != "0" else "1"), f"/9{one[2:]}"):
        assert (await setting.call("GET", absent)).status == 404
        assert (await setting.call("POST", f"{absent}/resend")).status == 404


@pytest.mark.parametrize("role", ["VIEWER", "EDITOR", "ADMIN"])
async def test_who_may_do_what(setting: Setting, role: str) -> None:
    """Everybody of a company reads, editors send again; of other companies' deliveries nobody hears anything."""
    node, world = setting.node, setting.world
    await make_user(node, "ann", {setting.company: role})
    caller = await logged_in(node, "ann")
    await world.plan(0, setting.endpoint)
    await world.plan(1, setting.others_endpoint)
    (own,) = (await setting.call("GET")).json["results"]
    (foreign,) = (await setting.call("GET", context=setting.other)).json["results"]
    listed = (await setting.call("GET", caller=caller)).json
    assert [one["id"] for one in listed["results"]] == [own["id"]]
    assert (await setting.call("GET", query=f"&id={own['id']};{foreign['id']}", caller=caller)).json["totalCount"] == 1
    assert await setting.ids(f"&endpoint={setting.others_endpoint}", caller=caller) == []
    body = {"endpoint": setting.endpoint, "from": iso_ms(0), "to": iso_ms(NOW_MS + 1)}
    may = 403 if role == "VIEWER" else 200
    assert (await setting.call("GET", f"/{own['id']}", caller=caller)).status == 200
    assert (await setting.call("POST", f"/{own['id']}/resend", caller=caller)).status == may
    assert (await setting.call("POST", "/resend", body, caller=caller)).status == may
    absent = await setting.call("GET", "/absent", caller=caller)
    away = await setting.call("GET", f"/{foreign['id']}", caller=caller)
    assert away.status == absent.status == 404
    assert away.body == absent.body.replace(b"absent", foreign["id"].encode())
    assert (await setting.call("POST", f"/{foreign['id']}/resend", caller=caller)).status == (
        403 if role == "VIEWER" else 404
    )
    for path, method in (("", "GET"), (f"/{foreign['id']}", "GET"), ("/resend", "POST")):
        answer = await setting.call(
            method, path, body if method == "POST" else None, context=setting.other, caller=caller
        )
        assert answer.status == 403
