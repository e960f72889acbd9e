"""Objects of several types in one request: all of them or none, whatever they refer to and in whatever order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from service.api.drafts import Given
from service.api.transactions_labels import with_ids, with_labels
from service.api.types import TYPES
from streams.domain.registry_events import ObjectWrite, Transaction
from streams.engine.fatal import Die
from streams.log.embedded import EmbeddedLog
from streams.log.port import Chunk
from streams.registry_codec import encode_registry_event, registry_key
from streams.topics import REGISTRY_EVENTS
from tests.support.api_listener import ApiNode, api_node, embedded_log
from tests.support.nodes import Answer, Caller
from tests.support.people import logged_in, make_company, make_user

PATH = "/api/v1/transactions"
PAIR: list[dict[str, Any]] = [
    {"type": "clients", "company": "acme", "id": "writer", "name": "Writer", "tenant": "$play"},
    {"type": "availabilities", "company": "acme", "id": "on-tv", "app": {"id": "$play"}, "platform": "$tv"},
    {"type": "apps", "context": "acme", "id": "$play", "name": "Play"},
    {"type": "platforms", "company": {"id": "acme"}, "id": "$tv", "name": "TV", "regions": ["NO"]},
    {"type": "companies", "id": "acme", "name": "Acme"},
]
"""Everything refers to what comes later."""


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[ApiNode]:
    async with embedded_log(tmp_path) as log, api_node(log) as node:
        yield node


async def apply(caller: Caller, objects: Any, query: str = "") -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = (await caller.ok("POST", PATH + query, objects)).json["results"]
    return results


async def refused(node: ApiNode, status: int, code: str, objects: Any, caller: Caller | None = None) -> Answer:
    """Insist on this refusal, and that nothing was written."""
    events = await node.events()
    answer = await (caller or node.admin).call("POST", PATH, objects)
    assert answer.status == status, answer.body
    assert answer.json["errors"][0]["code"] == f"error.{code}"
    assert await node.events() == events
    return answer


def actions(results: list[dict[str, Any]]) -> list[str]:
    return [result["action"] for result in results]


async def test_everything_in_one_event(node: ApiNode) -> None:
    """Objects that refer to each other, in any order, are one record of the log, and answered in the order given."""
    events = await node.events()
    results = await apply(node.admin, PAIR)
    assert await node.events() == events + 1
    assert actions(results) == ["CREATED"] * 5
    assert [result["type"] for result in results] == [one["type"] for one in PAIR]
    client, availability, app, platform, company = (result["object"] for result in results)
    assert client["tenant"] == {"id": app["id"], "url": f"/api/v1/apps/{app['id']}"}
    assert (availability["app"]["id"], availability["platform"]["id"]) == (app["id"], platform["id"])
    assert client["company"]["id"] == app["company"]["id"] == company["id"] == "acme"
    assert client["secretKey"].startswith("sk_")
    assert node.tenants.authenticate(client["clientId"], client["secretKey"]) is not None


async def test_the_same_again(node: ApiNode) -> None:
    """A label is the object of that name once it is there: the same request changes nothing, one more field one."""
    first = await apply(node.admin, PAIR)
    events = await node.events()
    again = await apply(node.admin, PAIR)
    assert (actions(again), await node.events()) == (["UNCHANGED"] * 5, events)
    assert [result["id"] for result in again] == [result["id"] for result in first]
    assert "secretKey" not in again[0]["object"]
    more = [*PAIR[:2], {**PAIR[2], "category": "film"}, *PAIR[3:]]
    changed = await apply(node.admin, more)
    assert actions(changed) == ["UNCHANGED", "UNCHANGED", "UPDATED", "UNCHANGED", "UNCHANGED"]
    assert changed[2]["changes"] == {"category": {"from": None, "to": "film"}}
    assert await node.events() == events + 1


async def test_what_would_become(node: ApiNode) -> None:
    """`dryRun=true` says the differences, writes nothing, and says the same every time, for it shows no made ids."""
    events = await node.events()
    would = await apply(node.admin, PAIR, "?dryRun=true")
    assert would == await apply(node.admin, PAIR, "?dryRun=true")
    assert actions(would) == ["CREATED"] * 5
    assert [result["id"] for result in would] == ["writer", "on-tv", "$play", "$tv", "acme"]
    assert would[0]["changes"] == {
        "name": {"from": None, "to": "Writer"},
        "objectState": {"from": None, "to": "ACTIVE"},
        "tenant": {"from": None, "to": {"id": "$play", "url": "/api/v1/apps/$play"}},
    }
    assert all("object" not in result for result in would)
    assert await node.events() == events
    await apply(node.admin, PAIR)
    events = await node.events()
    changed = [*PAIR[:-1], {**PAIR[-1], "name": "Acme Inc.", "country": "NO"}]
    would = await apply(node.admin, changed, "?dryRun=TRUE")
    assert actions(would) == ["UNCHANGED"] * 4 + ["UPDATED"]
    assert would[-1]["changes"] == {
        "name": {"from": "Acme", "to": "Acme Inc."},
        "country": {"from": None, "to": "NO"},
    }
    broken = await node.admin.call("POST", f"{PATH}?dryRun=true", [{**PAIR[-1], "country": "Norway"}])
    assert (broken.status, await node.events()) == (400, events)
    unnamed = await apply(node.admin, {"type": "companies", "name": "N"}, "?dryRun=true")
    assert (unnamed[0]["id"], unnamed[0]["action"]) == (None, "CREATED")


async def test_what_would_not_work(node: ApiNode) -> None:
    """A dry run warns of what the write warns of, as everything in it would be then; it shows no made ids there."""
    objects = [*PAIR[:2], {**PAIR[2], "objectState": "INACTIVE"}, *PAIR[3:]]
    objects.append({"type": "apps", "context": "acme", "name": "Nameless"})
    would = await apply(node.admin, objects, "?dryRun=true")
    assert would == await apply(node.admin, objects, "?dryRun=true")
    done = await apply(node.admin, objects)
    warned = [warnings_of(result) for result in would]
    assert warned == [warnings_of(result["object"]) for result in done]
    assert [bool(codes) for codes in warned] == [True, False, True, False, False, True]
    assert would[0]["validationWarnings"][0]["params"] == {"id": "writer", "tenant": "$play"}
    assert [would[n]["validationWarnings"][0]["params"]["id"] for n in (2, 5)] == ["$play", "(new)"]
    assert would[5]["id"] is None
    mended = await apply(node.admin, [PAIR[0], {**PAIR[2], "objectState": "ACTIVE"}], "?dryRun=true")
    assert [warnings_of(result) for result in mended] == [[], ["warning.app.without.icons"]]


def warnings_of(found: dict[str, Any]) -> list[str]:
    return [message["code"] for message in found.get("validationWarnings", ())]


class LookedUp(dict[str, str]):
    """A dict that nobody walks through: there may be as many labels as there are strings."""

    def __iter__(self) -> Any:
        raise AssertionError

    items = keys = values = __iter__


def test_labels_are_looked_up() -> None:
    """Links and the paths that they lead to have labels in the place of ids, and nothing else is changed."""
    labels = LookedUp({"AP1": "$play"})
    shown = [{"id": "AP1", "url": "/api/v1/apps/AP1", "name": "of AP1", "price": 1}, ["AP1", "AP12", "AP1/", "", None]]
    would = [{"id": "$play", "url": "/api/v1/apps/$play", "name": "of AP1", "price": 1}]
    assert with_labels(shown, labels) == [*would, ["$play", "AP12", "AP1/", "", None]]


def test_links_are_no_trees() -> None:
    """Where a link has no id, whatever it has in its place, nothing stands for it, however deep that is."""
    (clients,) = (resource for resource in TYPES if resource.name == "clients")
    deep: Any = "$play"
    for _ in range(100_000):
        deep = {"id": deep}
    for link, found in ((deep, deep), ({"url": "$play"}, {"url": "$play"}), ({"id": "$play"}, {"id": "AP1"})):
        given = with_ids(Given(None, {"tenant": link}, 0), clients, {"$play": "AP1"})
        assert given.fields["tenant"] is found or given.fields["tenant"] == found


async def test_a_label_without_a_name(node: ApiNode) -> None:
    """What has no name is no object that is there, whatever that is called."""
    company = await make_company(node)
    await node.admin.ok("POST", f"/api/v1/apps?context={company}", {"name": "None"})
    await node.admin.ok("POST", f"/api/v1/apps?context={company}", {"name": "5"})
    app = {"type": "apps", "context": company, "id": "$a"}
    await refused(node, 400, "field.required", [app])
    names: list[Any] = [None, 5, []]
    for name in names:
        await refused(node, 400, "field.wrong.type", [{**app, "name": name}])


class Behind(EmbeddedLog):
    """The embedded log, of which a test can hold back what is new until somebody asks for its end."""

    def __init__(self, directory: Path, die: Die) -> None:
        super().__init__(directory, die)
        self.flows = asyncio.Event()
        self.flows.set()

    async def read(self, topic: str, partition: int, start: int, end: int | None = None) -> AsyncIterator[Chunk]:
        async for chunk in super().read(topic, partition, start, end):
            await self.flows.wait()
            yield chunk

    async def end_offset(self, topic: str, partition: int) -> int:
        self.flows.set()
        return await super().end_offset(topic, partition)


async def test_a_label_of_what_another_node_has_just_made(tmp_path: Path) -> None:
    """A node that has not read of an object yet makes no second one of its name."""
    async with embedded_log(tmp_path, Behind) as log, api_node(log) as node:
        assert isinstance(log, Behind)
        company = await make_company(node)
        write = ObjectWrite(type="apps", id="AP1", version=0, company=company, name="A", fields={})
        event = Transaction(id="0" * 32, user="ann", objects=(write,))
        log.flows.clear()
        await log.append(REGISTRY_EVENTS, 0, registry_key(event), encode_registry_event(event))
        (result,) = await apply(node.admin, {"type": "apps", "context": company, "id": "$a", "name": "A"})
        assert (result["id"], result["action"]) == ("AP1", "UNCHANGED")


async def test_the_same_at_once(node: ApiNode) -> None:
    """Whoever writes the same request at the same time, on whichever node, makes everything once; all hear of it."""
    async with api_node(node.log) as other:
        for number in range(5):
            name = f"Acme{number}"
            objects = [{**one, "name": name} if one["type"] == "apps" else one for one in PAIR[2:]]
            answers = await asyncio.gather(*(apply(one.admin, objects) for one in (node, other) * 4))
            assert len({results[0]["id"] for results in answers}) == 1
            assert sorted(actions(results)[0] for results in answers) == ["CREATED", *["UNCHANGED"] * 7]
    apps = (await node.admin.ok("GET", "/api/v1/apps?context=acme")).json
    assert [app["name"] for app in apps["results"]] == [f"Acme{number}" for number in range(5)]


async def test_what_is_no_longer_found_by_its_label(node: ApiNode) -> None:
    """An object that was renamed or is HIDDEN is in nobody's way; one that was otherwise changed is still the one."""
    company = await make_company(node)
    app = {"type": "apps", "context": company, "id": "$a", "name": "A"}
    made = []
    for change in ({"name": "B"}, {"objectState": "HIDDEN"}, {"category": "film"}):
        (result,) = await apply(node.admin, app)
        made.append(result["id"])
        await node.admin.ok("POST", f"/api/v1/apps/{result['id']}?context={company}", change)
    stored = node.registry.state.find("apps", made[-1])
    assert stored is not None
    assert [one.value for one in stored.unique] == [f"{company}:A"]
    assert len(set(made)) == len(made)
    assert actions(await apply(node.admin, app)) == ["UNCHANGED"]


async def test_more_than_fits(node: ApiNode) -> None:
    """What is too large together, with all that objects have already, is refused by a dry run as by the write."""
    company = await make_company(node)
    large: list[dict[str, Any]] = []
    for _ in range(2):
        apps = [{"name": "A", "description": "é" * 4_096}] * 80
        large += (await node.admin.ok("POST", f"/api/v1/apps?context={company}", apps)).json
    named = [{"type": "apps", "context": company, "id": app["id"], "category": "film"} for app in large]
    answers = [await node.admin.call("POST", PATH + query, named) for query in ("?dryRun=true", "")]
    assert [answer.status for answer in answers] == [413, 413]
    assert answers[0].json == answers[1].json
    assert actions(await apply(node.admin, named[:80], "?dryRun=true")) == ["UPDATED"] * 80


async def test_one_broken_object(node: ApiNode) -> None:
    """Nothing is stored, and every message says which object it is about."""
    answer = await refused(
        node, 400, "field.required", [*PAIR, {"type": "licenses", "context": "acme", "app": "$play"}]
    )
    assert {message["params"]["index"] for message in answer.json["errors"]} == {"5"}
    await refused(node, 400, "referenced.object.not.found", [{**PAIR[0], "tenant": "AP1"}, PAIR[2], PAIR[4]])
    await refused(node, 400, "field.wrong.type", [{**PAIR[0], "tenant": "$absent"}, PAIR[4]])
    await apply(node.admin, [*PAIR, {"type": "users", "id": "ann", "username": "ann@example.org", "roles": []}])
    await refused(node, 409, "duplicate", [{"type": "users", "username": "ann@example.org", "roles": []}])
    await refused(node, 409, "duplicate", [{**PAIR[1], "id": "another"}, *PAIR[2:4]])


async def test_what_refers_by_name(node: ApiNode) -> None:
    """A template and values are judged by all that the transaction makes, and then all of it is written, or nothing."""
    link = {"kind": "COMPUTED", "template": "{{asked}}/{{content_id}}"}
    ours: dict[str, Any] = {"company": "acme", "platform": "$tv"}
    values = {"type": "platformvalues", "id": "values", **ours, "app": "$play", "values": {"asked": "x"}}
    told = [
        values,
        {"type": "platformattributes", "id": "link", "name": "link", **ours, **link},
        {"type": "platformattributes", "id": "asked", "name": "asked", "kind": "REQUESTED", "required": True, **ours},
    ]
    broken = await refused(node, 400, "value.missing", [*PAIR, {**values, "values": {}}, *told[1:]])
    assert broken.json["errors"][0]["params"]["index"] == str(len(PAIR))
    await refused(node, 400, "template.unknown", [*PAIR, *told[:2]])
    preview = await apply(node.admin, [*PAIR, *told], "?dryRun=true")
    results = await apply(node.admin, [*PAIR, *told])
    assert actions(results) == actions(preview) == ["CREATED"] * (len(PAIR) + len(told))
    assert all("validationWarnings" not in result["object"] for result in results[len(PAIR) :])


async def test_what_is_no_transaction(node: ApiNode) -> None:
    """Types that nobody writes, contexts that are missing, ids that are given twice."""
    company = await make_company(node)
    app = {"type": "apps", "context": company, "id": "$a", "name": "A"}
    await refused(node, 400, "type.unknown", [{"name": "N"}])
    await refused(node, 400, "type.unknown", [{"type": "credentials", "name": "N"}])
    await refused(node, 400, "type.unknown", [{"type": "webhookdeliveries", "context": company, "name": "N"}])
    await refused(node, 400, "context.required", [{"type": "apps", "name": "N"}])
    await refused(node, 403, "context.forbidden", [{"type": "apps", "context": "absent", "name": "N"}])
    await refused(node, 400, "id.invalid", [{"type": "companies", "id": "$c", "name": "N"}])
    await refused(node, 400, "id.repeated", [app, {**app, "name": "B"}])
    await refused(node, 400, "id.repeated", [app, {**app, "id": "$b"}])
    await refused(node, 400, "id.repeated", [{"type": "companies", "id": "c", "name": "N"}] * 2)
    await refused(node, 400, "invalid.json", ["apps"])
    (made,) = await apply(node.admin, app)
    await refused(node, 400, "id.repeated", [app, {**app, "id": made["id"]}])
    await node.admin.ok("POST", f"/api/v1/apps?context={company}", {"name": "A"})
    await refused(node, 409, "label.ambiguous", [app])
    await refused(node, 404, "object.not.found", [{**app, "id": "AP0"}])
    assert (await node.admin.call("POST", PATH, [], headers={"If-Match": "*"})).status == 400
    assert (await node.admin.call("GET", PATH)).status == 405
    assert (await node.admin.call("OPTIONS", PATH)).headers["Allow"] == "OPTIONS, POST"
    assert (await apply(node.admin, [])) == []


async def test_the_context_of_all(node: ApiNode) -> None:
    """The request's context is that of the objects that say none."""
    company = await make_company(node)
    (made,) = await apply(node.admin, {"type": "apps", "name": "A"}, f"?context={company}")
    assert made["object"]["company"]["id"] == company


@pytest.mark.parametrize("query", ["?context=", "?context=..", "?context=acme&context=other"])
async def test_a_context_that_is_none(node: ApiNode, query: str) -> None:
    """It is refused even where no object needs it."""
    answer = await node.admin.call("POST", PATH + query, {"type": "companies", "id": "acme", "name": "Acme"})
    assert answer.status == 400
    assert answer.json["errors"][0]["code"] == "error.parameter.invalid"
    await refused(node, 400, "id.invalid", {"type": "companies", "context": {}, "id": "acme", "name": "Acme"})


async def test_roles_and_scopes(node: ApiNode) -> None:
    """Each object needs what it would need alone; one that the caller may not write keeps all from being written."""
    ours, theirs = await make_company(node), await make_company(node)
    await make_user(node, "ed", {ours: "EDITOR"})
    ed = await logged_in(node, "ed")
    app = {"type": "apps", "context": ours, "name": "A"}
    assert actions(await apply(ed, [app])) == ["CREATED"]
    for code, more in (
        ("role.forbidden", {"type": "clients", "context": ours, "name": "K", "tenant": "$a"}),
        ("context.forbidden", {"type": "apps", "context": theirs, "name": "A"}),
        ("role.forbidden", {"type": "companies", "name": "C"}),
        ("context.forbidden", {"type": "apps", "context": "made-here", "name": "A"}),
    ):
        await refused(node, 403, code, [app, more, {"type": "companies", "id": "made-here", "name": "C"}], ed)
    narrow = await logged_in(node, "ed", scope="licenses:write apps:read")
    await refused(node, 403, "role.forbidden", [app], narrow)
    await refused(node, 403, "role.forbidden", [app], await logged_in(node, "ed", scope="read"))
    assert actions(await apply(await logged_in(node, "ed", scope="apps:write"), [app])) == ["CREATED"]
