"""The history of objects: who changed what when, as it was written."""

from __future__ import annotations

import hashlib
import random
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest

from streams.domain.errors import LogUnavailableError
from streams.log.embedded import EmbeddedLog
from streams.log.port import Record
from streams.topics import REGISTRY_EVENTS
from tests.support.api_listener import ApiNode, api_node, embedded_log
from tests.support.api_types import CASES, PLANTED
from tests.support.api_worlds import World, made_world, refusal
from tests.support.nodes import Answer


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[ApiNode]:
    async with embedded_log(tmp_path) as log, api_node(log) as node:
        yield node


@pytest.fixture(params=CASES, ids=lambda case: case.name)
async def world(request: pytest.FixtureRequest, node: ApiNode) -> World:
    return await made_world(node, request.param)


async def events(world: World, object_id: str, query: str = "") -> Any:
    answer = await world.call("GET", f"{object_id}/events", query=query)
    assert answer.status == 200, answer.body
    return answer.json


async def test_history_is_what_was_written(world: World) -> None:
    """Each write that changed something is there once, newest first, with its time, user, request and fields."""
    body = world.body(**world.valid)
    written = [await world.call("POST", body=body)]
    made = written[0].json
    steps: list[dict[str, Any]] = [{"name": world.named("Other")}, {"objectState": "INACTIVE"}, {}]
    steps += [{name: value} for name in world.valid for value in (made[name], _empty(world, name))]
    written += [await world.call("PUT", made["id"], step) for step in steps]
    written = _changed(written)
    page = await events(world, made["id"])
    assert (page["page"], page["pageSize"], page["totalCount"]) == (0, 100, len(written))
    shown = []
    for event, answer in zip(page["results"], written[::-1], strict=True):
        assert list(event) == ["time", "user", "requestId", "version", "changes"]
        assert event["time"] == answer.json["updateTime"]
        assert event["user"] == {"id": "superuser", "url": "/api/v1/users/superuser"}
        assert event["requestId"] == answer.headers["Paket-Request-Id"]
        shown.append(event["version"])
    assert shown == list(range(len(written), 0, -1))
    _compare(world, page["results"][::-1], [answer.json for answer in written])


def _changed(written: list[Answer]) -> list[Answer]:
    """Return the answers to what was written, without those that changed nothing."""
    kept, versions = [], set()
    for answer in written:
        version = {name.lower(): value for name, value in answer.headers.items()}["etag"]
        if version not in versions:
            kept.append(answer)
        versions.add(version)
    return kept


def _empty(world: World, name: str) -> Any:
    declared = next(field for field in world.resource.fields if field.name == name)
    return list(declared.empty) if isinstance(declared.empty, tuple) else declared.empty


def _compare(world: World, results: list[Any], objects: list[Any]) -> None:
    """Insist that the changes lead from each object to the next, and name nothing else."""
    names = {"name", "objectState", *(field.name for field in world.resource.fields)}
    for number, (event, after) in enumerate(zip(results, objects, strict=True)):
        for name, change in event["changes"].items():
            assert list(change) == ["from", "to"]
            assert name in names
            assert change["to"] == after[name]
            assert change["from"] == (objects[number - 1][name] if number else None)
        if number:
            different = {name for name in names if objects[number - 1].get(name) != after.get(name)}
            assert set(event["changes"]) == different


async def test_pages_of_history(world: World) -> None:
    """History is paged like every list, from the newest version to the first."""
    made = await world.make()
    for number in range(6):
        await world.call("PUT", made["id"], {"name": world.named(f"N{number}")})
    whole = await events(world, made["id"])
    for size in (1, 2, 3, 7, 100):
        for number in range(8):
            page = await events(world, made["id"], f"page={number}&pageSize={size}")
            assert page["results"] == whole["results"][number * size :][:size]
            assert (page["page"], page["pageSize"], page["totalCount"]) == (number, size, 7)
    for query in ("page=-1", "pageSize=0", "pageSize=101"):
        refusal(await world.call("GET", f"{made['id']}/events", query=query), 400)


async def test_the_path_of_history(world: World) -> None:
    """History is only read, of an object that is there and that the context's company sees."""
    made = await world.make()
    path = f"{made['id']}/events"
    for method in ("POST", "PUT", "DELETE"):
        answer = await world.call(method, path, {})
        refusal(answer, 405)
        assert answer.headers["Allow"] == "GET, HEAD, OPTIONS"
    head = await world.call("HEAD", path)
    assert (head.status, head.body) == (200, b"")
    refusal(await world.call("GET", "absent/events"), 404)
    await world.call("PUT", made["id"], {"objectState": "HIDDEN"})
    assert (await events(world, made["id"]))["totalCount"] == 2
    if world.type.in_company:
        other = (await world.node.admin.ok("POST", "/api/v1/companies", {"name": "D"})).json["id"]
        refusal(await world.call("GET", path, company=other), 404)
        refusal(await world.node.admin.call("GET", f"/api/v1/{world.type.name}/{path}"), 400)


@pytest.mark.parametrize("case", PLANTED, ids=lambda case: case.name)
async def test_history_of_what_the_service_writes(node: ApiNode, case: Any) -> None:
    """What callers only read has a history too."""
    world = await made_world(node, case)
    made = await world.make("N")
    (event,) = (await events(world, made["id"]))["results"]
    assert (event["requestId"], event["version"], event["user"]["id"]) == (None, 1, "service")
    assert event["changes"] == {"name": {"from": None, "to": "N"}, "objectState": {"from": None, "to": "ACTIVE"}}


async def test_secrets_are_never_in_it(node: ApiNode) -> None:
    """History says that a password, a key or a secret changed, and never what it was or is, not even its hash."""
    admin = node.admin
    company = (await admin.ok("POST", "/api/v1/companies", {"name": "C"})).json["id"]
    body = {"username": "ann@a.example", "roles": [], "password": "correct horse battery"}
    user = (await admin.ok("POST", "/api/v1/users", body)).json
    await admin.ok("POST", f"/api/v1/users/{user['id']}", {"password": "battery staple horse"})
    app = (await admin.ok("POST", f"/api/v1/apps?context={company}", {"name": "A"})).json["id"]
    client = (await admin.ok("POST", f"/api/v1/clients?context={company}", {"name": "K", "tenant": app})).json
    rolled = (await admin.ok("POST", f"/api/v1/clients/{client['id']}/roll?context={company}", {"key": "LIVE"})).json
    hook = {"client": client["id"], "endpointUrl": "https://a.example/"}
    endpoint = (await admin.ok("POST", f"/api/v1/webhookendpoints?context={company}", hook)).json
    path = f"/api/v1/webhookendpoints/{endpoint['id']}"
    again = (await admin.ok("POST", f"{path}/roll?context={company}", {})).json
    histories = [
        await admin.ok("GET", f"/api/v1/users/{user['id']}/events"),
        await admin.ok("GET", f"/api/v1/clients/{client['id']}/events?context={company}"),
        await admin.ok("GET", f"{path}/events?context={company}"),
    ]
    clear = [client["secretKey"], client["testSecretKey"], rolled["secretKey"], endpoint["secret"], again["secret"]]
    for secret in (*clear, "correct horse battery", "battery staple horse"):
        for history in histories:
            assert secret.encode() not in history.body
            assert hashlib.sha256(secret.encode()).hexdigest().encode() not in history.body
            assert b"argon2" not in history.body
    newest = histories[0].json["results"][0]["changes"]
    assert newest == {"password": {"from": "********", "to": "********"}}
    first = histories[0].json["results"][1]["changes"]
    assert first["password"] == {"from": None, "to": "********"}
    keys = histories[1].json["results"][0]["changes"]["keys"]
    assert [len(keys[side]) for side in ("from", "to")] == [2, 3]
    assert histories[2].json["results"][0]["changes"] == {}


async def test_what_was_refused_is_no_history(node: ApiNode) -> None:
    """A transaction that the fold refused stands in the log, and changed nothing."""
    async with api_node(node.log) as other:
        made = (await node.admin.ok("POST", "/api/v1/companies", {"name": "C"})).json
        await other.registry.catch_up()
        stale = node.registry.state.find("companies", made["id"])
        assert stale is not None
        names = [f"N{number}" for number in range(10)]
        for number, name in enumerate(names):
            await (node, other)[number % 2].admin.ok("POST", f"/api/v1/companies/{made['id']}", {"name": name})
        both = [await one.admin.ok("GET", f"/api/v1/companies/{made['id']}/events") for one in (node, other)]
        assert both[0].body == both[1].body
        told = [event["changes"]["name"]["to"] for event in both[0].json["results"]]
        assert told == ["C", *names][::-1]


async def test_history_against_a_model(tmp_path: Path) -> None:
    """After many writes of many objects, in lists and alone, and a restart, each history is what was written."""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    model: dict[str, list[str]] = {}
    async with embedded_log(tmp_path) as log, api_node(log) as node:
        for number in range(120):
            ids = rng.sample([f"c{n}" for n in range(12)], rng.choice([1, 1, 1, 3]))
            body = [{"id": one, "name": f"{one} {number}"} for one in ids]
            await node.admin.ok("POST", "/api/v1/companies", body)
            for one in body:
                model.setdefault(one["id"], []).append(one["name"])
        before = await _names(node, model)
    assert before == {object_id: names[::-1] for object_id, names in model.items()}
    async with embedded_log(tmp_path) as log, api_node(log) as node:
        assert await _names(node, model) == before


async def _names(node: ApiNode, ids: Any) -> dict[str, list[str]]:
    found = {}
    for object_id in ids:
        page = (await node.admin.ok("GET", f"/api/v1/companies/{object_id}/events?pageSize=100")).json
        found[object_id] = [event["changes"]["name"]["to"] for event in page["results"]]
    return found


class Away(EmbeddedLog):
    """The embedded log, which a test can make refuse to read what is asked for by its place."""

    is_away = False

    def read_at(self, topic: str, partition: int, offsets: Sequence[int]) -> AsyncIterator[Record]:
        if self.is_away:
            raise LogUnavailableError
        return super().read_at(topic, partition, offsets)


async def test_the_log_away(tmp_path: Path) -> None:
    """History is read from the log: where that does not answer, it is 503."""
    async with embedded_log(tmp_path, Away) as log, api_node(log) as node:
        assert isinstance(log, Away)
        made = (await node.admin.ok("POST", "/api/v1/companies", {"name": "C"})).json
        log.is_away = True
        answer = await node.admin.call("GET", f"/api/v1/companies/{made['id']}/events")
        assert refusal(answer, 503)[0]["code"] == "error.log.unavailable"
        assert int(answer.headers["Retry-After"]) >= 1


async def test_what_is_gone_from_the_log(node: ApiNode) -> None:
    """A version whose record can no longer be read is left out, and those after it are compared with the one before."""
    made = (await node.admin.ok("POST", "/api/v1/companies", {"name": "C"})).json
    for name in ("D", "E"):
        await node.admin.ok("POST", f"/api/v1/companies/{made['id']}", {"name": name})
    chunks = [chunk async for chunk in node.log.read(REGISTRY_EVENTS, 0, 0, await node.events())]
    records = [record for chunk in chunks for record in chunk.records]
    gone = next(record for record in records if record.value and b'"D"' in record.value)
    assert orjson.loads(gone.value or b"")["objects"][0]["name"] == "D"
    companies = node.registry.state._entries["companies"]
    entry = companies[made["id"]]
    companies[made["id"]] = msgspec.structs.replace(entry, earlier=entry.earlier[:8] + bytes(8))
    results = (await node.admin.ok("GET", f"/api/v1/companies/{made['id']}/events")).json["results"]
    assert [event["version"] for event in results] == [3, 1]
    assert results[0]["changes"] == {"name": {"from": "C", "to": "E"}}
