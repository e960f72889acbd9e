"""Every convention of the resource API, for every type."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.api.params import MAX_PAGE_SIZE
from service.api.types import TYPES
from streams.domain.ids import Kind, Mode, id_text
from tests.support.api_listener import KEY, ApiNode, api_node, embedded_log
from tests.support.api_types import CASES, PLANTED
from tests.support.api_worlds import World, etag, made_world, refusal

ALLOW = "GET, HEAD, OPTIONS, POST, PUT"
ENVELOPE = ["id", "url", "name", "objectState", "createTime", "createUser", "updateTime", "updateUser"]
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[ApiNode]:
    async with embedded_log(tmp_path) as log, api_node(log) as node:
        yield node


@pytest.fixture(params=CASES, ids=lambda case: case.name)
async def world(request: pytest.FixtureRequest, node: ApiNode) -> World:
    return await made_world(node, request.param)


@pytest.fixture(params=[*CASES, *PLANTED], ids=lambda case: case.name)
async def any_world(request: pytest.FixtureRequest, node: ApiNode) -> World:
    """Of any type, also one that callers only read."""
    return await made_world(node, request.param)


def test_every_type_is_tested() -> None:
    """No type is left out of this suite."""
    assert {case.name for case in (*CASES, *PLANTED)} == {resource.name for resource in TYPES}
    assert {case.name for case in PLANTED} == {resource.name for resource in TYPES if not resource.creatable}


async def test_create_and_read(world: World) -> None:
    """A new object is answered as stored, with everything that every object has, and read again like that."""
    answer = await world.call("POST", body=world.body("Ærlig 🎬"))
    made = answer.json
    expected = [*ENVELOPE[:3], "company", *ENVELOPE[3:]] if world.type.in_company else ENVELOPE
    assert list(made)[: len(expected)] == expected
    assert (made["name"], made["objectState"]) == (world.named("Ærlig 🎬"), "ACTIVE")
    assert made["url"] == f"/api/v1/{world.type.name}/{made['id']}"
    assert TIME.fullmatch(made["createTime"])
    assert made["updateTime"] == made["createTime"]
    assert made["createUser"] == made["updateUser"] == {"id": "superuser", "url": "/api/v1/users/superuser"}
    if world.type.in_company:
        assert made["company"] == {"id": world.company, "url": f"/api/v1/companies/{world.company}"}
    assert etag(answer) == '"1"'
    again = await world.call("GET", made["id"])
    assert etag(again) == '"1"'
    assert again.json == {name: value for name, value in made.items() if name not in world.resource.shown_once}


@pytest.mark.parametrize("method", ["PUT", "POST"])
async def test_update(world: World, method: str) -> None:
    """PUT and POST of an object change what is given, and nothing else."""
    made = await world.make(**world.valid)
    answer = await world.call(method, made["id"], {"name": world.named("Other")})
    assert answer.status == 200
    assert etag(answer) == '"2"'
    before = await world.read(made["id"])
    assert answer.json == before
    assert before["name"] == world.named("Other")
    assert before["createTime"] == made["createTime"]
    for name, value in world.valid.items():
        assert before[name] == value
    changed = await world.call(method, made["id"], {"objectState": "INACTIVE"})
    assert changed.json["name"] == world.named("Other")
    assert changed.json["objectState"] == "INACTIVE"


@pytest.mark.parametrize("method", ["PUT", "POST"])
async def test_create_with_an_id(world: World, method: str) -> None:
    """An id of the caller's choice makes the object; where the service makes the ids, an unknown one is absent."""
    if world.type.minted:
        minted = id_text(Kind(world.type.minted), bytes(17))
        for unknown in ("mine", minted):
            await world.refused(404, "object.not.found", method, unknown, world.body())
            await world.refused(404, "object.not.found", method, "", [world.body(id=unknown)])
        return
    for object_id in ("mine", "A.b_c-9", "x" * 64):
        body = world.body()
        made = await world.call(method, object_id, body)
        assert made.status == 200
        assert made.json["id"] == object_id
        listed = await world.call(method, "", [{**body, "id": object_id, "name": world.named("Other")}])
        assert [one["id"] for one in listed.json] == [object_id]
        assert (await world.read(object_id))["name"] == world.named("Other")


async def test_minted_ids(world: World) -> None:
    """Apps' and platforms' ids are the deployment's own, made for their company; others are just ids."""
    made = await world.make()
    if world.type.minted:
        kind = Kind(world.type.minted)
        raw = int(made["id"][2:]).to_bytes(17, "big")
        assert made["id"] == id_text(kind, raw)
        assert KEY.id_keys.verify(kind, Mode.LIVE, world.company.encode(), raw)
    else:
        assert re.fullmatch("[0-9a-f]{16}", made["id"])


async def test_an_id_outside_the_alphabet(world: World) -> None:
    """An id that cannot be one is 400, whatever is asked of it."""
    for object_id in ("a%20b", "a%2Fb", "%C3%A6", "%FF", "x" * 65, "a;b", "a~b", "a%00"):
        for method in ("GET", "PUT", "POST"):
            body = None if method == "GET" else world.body()
            await world.refused(400, "id.invalid", method, object_id, body)


async def test_an_id_in_a_body_outside_the_alphabet(world: World) -> None:
    """An id in a body is held to the same alphabet."""
    outside: list[object] = ["", ".", "..", "a b", "a/b", "x" * 65, 1, None, [], {}]
    for object_id in outside:
        await world.refused(400, "id.invalid", "POST", "", world.body(id=object_id))
        await world.refused(400, "id.invalid", "POST", "", [world.body(id=object_id)])


async def test_an_id_that_is_not_the_path_s(world: World) -> None:
    """A body that names another object than the path is refused; one that names the same is not."""
    made = await world.make()
    await world.refused(400, "id.mismatch", "PUT", made["id"], world.body(id="other"))
    assert (await world.call("PUT", made["id"], {"id": made["id"]})).status == 200


@pytest.mark.parametrize("method", ["PUT", "POST"])
async def test_the_same_again_changes_nothing(world: World, method: str) -> None:
    """The same call again, or the object as it was read, writes no event and leaves the version."""
    first = world.body(**world.valid)
    made = (await world.call("POST", body=first)).json
    events = await world.node.events()
    shown = await world.read(made["id"])
    for body in (first, {}, {"name": world.named("Name")}, shown):
        answer = await world.call(method, made["id"], body)
        assert answer.status == 200, answer.body
        assert etag(answer) == '"1"'
        assert answer.json == shown
    listed = await world.call(method, "", [shown])
    assert listed.json == [shown]
    assert await world.node.events() == events


async def test_a_list_is_one_transaction(world: World) -> None:
    """A list is created and updated as a whole, in one event, and answered in its order."""
    first = await world.make("First")
    events = await world.node.events()
    body = [world.body("B"), {"id": first["id"], "name": world.named("Changed")}, world.body("A")]
    answer = await world.call("PUT", body=body)
    assert [one["name"] for one in answer.json] == [world.named(name) for name in ("B", "Changed", "A")]
    assert etag(answer) is None
    assert await world.node.events() == events + 1
    assert (await world.list())["totalCount"] == 3
    assert {one["updateTime"] for one in answer.json} == {answer.json[0]["createTime"]}
    assert (await world.call("POST", body=[])).json == []
    assert await world.node.events() == events + 1


async def test_one_broken_object_and_nothing_is_stored(world: World) -> None:
    """One broken object of a list and none of them is stored; each message says which one it is about."""
    body = [world.body("Good"), {**world.body(), "name": 1, "objectState": "GONE"}, world.body(nonsense=1)]
    messages = await world.refused(400, "field.wrong.type", "POST", "", body)
    told = [(message["params"]["index"], message["params"]["field"]) for message in messages]
    assert told == [("1", "name"), ("1", "objectState"), ("2", "nonsense")]
    assert (await world.list())["totalCount"] == 0


async def test_one_object_twice_in_a_list(world: World) -> None:
    """A list names each object once."""
    made = await world.make()
    twice = [{"id": made["id"], "name": world.named("A")}, {"id": made["id"], "name": world.named("B")}]
    await world.refused(400, "id.repeated", "POST", "", twice)


async def test_too_many_objects(world: World) -> None:
    """A request holds at most 1,000 objects, and they must fit into one record."""
    await world.refused(413, "body.too.large", "POST", "", [{}] * 1_001)


async def test_all_broken_fields_at_once(world: World) -> None:
    """Every broken field is named, in one answer."""
    body = {
        "name": 1,
        "objectState": "GONE",
        "nonsense": 1,
        **{name: bad[0] for name, bad in world.type.broken.items()},
    }
    messages = await world.refused(400, "field.wrong.type", "POST", "", body)
    named = {message["params"]["field"] for message in messages if "field" in message["params"]}
    assert named == {"name", "objectState", "nonsense", *world.type.broken}


async def test_a_name_is_required(world: World) -> None:
    """A new object has a name of as many characters as its type allows, and keeps one; or it may do without."""
    most = world.resource.name_kind.most
    nameless = {name: value for name, value in world.body().items() if name != "name"}
    if not world.type.name_required:
        made = (await world.call("POST", body=nameless)).json
        assert made["name"] == ""
        assert (await world.call("POST", made["id"], {"name": "x"})).json["name"] == "x"
        assert (await world.call("POST", made["id"], {"name": ""})).json["name"] == ""
    else:
        await world.refused(400, "field.required", "POST", "", nameless)
        await world.refused(400, "field.length", "POST", "", {**nameless, "name": ""})
        made = (await world.call("POST", body={**nameless, "name": "x" * most})).json
    for name, code in (("x" * (most + 1), "length"), (None, "wrong.type"), (1, "wrong.type")):
        await world.refused(400, f"field.{code}", "POST", "", {**nameless, "name": name})
        await world.refused(400, f"field.{code}", "POST", made["id"], {"name": name})


async def test_fields_are_stored(world: World) -> None:
    """Each optional field is absent, stored, replaced and cleared again, in whatever way its kind allows."""
    made = await world.make()
    for name, value in world.valid.items():
        empty = made[name]
        answer = await world.call("POST", made["id"], {name: value})
        assert answer.json[name] == value, name
        assert (await world.read(made["id"]))[name] == value
        cleared = await world.call("POST", made["id"], {name: empty})
        assert cleared.status == 200, (name, cleared.body)
        assert cleared.json[name] == empty


async def test_broken_fields(world: World) -> None:
    """Every value that a field does not take is refused, at creation and later."""
    made = await world.make()
    for name, values in world.type.broken.items():
        for value in values:
            for target, body in (("", world.body(**{name: value})), (made["id"], {name: value})):
                answer = await world.call("POST", target, body)
                (message,) = refusal(answer, 400)
                assert message["type"] == "ValidationErrorMessage"
                assert message["params"]["field"] == name, (name, value)
    assert (await world.read(made["id"]))["updateTime"] == made["updateTime"]


async def test_read_only_fields(world: World) -> None:
    """What the service sets cannot be set; sent back as it was read, it is no fault."""
    made = await world.make()
    shown = await world.read(made["id"])
    for name in world.type.read_only:
        assert (await world.call("POST", made["id"], {name: shown[name]})).status == 200
        await world.refused(400, "field.read.only", "POST", made["id"], {name: ["other"]})
        await world.refused(400, "field.read.only", "POST", "", {**world.body(), name: ["other"]})
    late = {**shown, "updateTime": "2020-01-01T00:00:00.000Z", "createUser": {"id": "me"}, "url": "elsewhere"}
    assert (await world.call("PUT", made["id"], late)).json == shown


async def test_object_states(world: World) -> None:
    """INACTIVE is visible; HIDDEN is left out of lists unless asked for, and answered by id; both can be undone."""
    made = await world.make()
    for state, listed in (("INACTIVE", 1), ("HIDDEN", 0), ("ACTIVE", 1)):
        assert (await world.call("POST", made["id"], {"objectState": state})).json["objectState"] == state
        assert (await world.list())["totalCount"] == listed
        assert (await world.list(f"id={made['id']}"))["totalCount"] == listed
        shown = await world.list(f"includeHidden=true&id={made['id']}")
        assert [one["objectState"] for one in shown["results"]] == [state]
        assert (await world.read(made["id"]))["objectState"] == state
        assert (await world.call("HEAD", made["id"])).status == 200
    await world.refused(400, "field.choice", "POST", made["id"], {"objectState": "DELETED"})
    await world.refused(400, "field.choice", "POST", made["id"], {"objectState": None})


async def test_pages(any_world: World) -> None:
    """Lists are by name, ties by id, in pages; past the end there is nothing."""
    world = any_world
    names = ["b", "a", "c", "a", "B", "ø"]
    made = [await world.make(name) for name in names]
    expected = [one["id"] for one in sorted(made, key=lambda one: (one["name"], one["id"]))]
    whole = await world.list()
    assert list(whole) == ["page", "pageSize", "totalCount", "results"]
    assert (whole["page"], whole["pageSize"], whole["totalCount"]) == (0, 100, 6)
    assert [one["id"] for one in whole["results"]] == expected
    for number in range(4):
        page = await world.list(f"page={number}&pageSize=4")
        assert (page["page"], page["pageSize"], page["totalCount"]) == (number, 4, 6)
        assert [one["id"] for one in page["results"]] == expected[number * 4 :][:4]
    assert (await world.list(f"pageSize={MAX_PAGE_SIZE}"))["totalCount"] == 6


BROKEN_PARAMETERS = [
    *["page=-1", "page=a", "page=", "page=1&page=2", "page=99999999999", "pageSize=0", "pageSize=1001", "pageSize=1.0"],
    *["includeHidden=yes", "includeHidden=", "id=a%20b", "id=a;%2F;b"],
]


async def test_broken_parameters(any_world: World) -> None:
    """A parameter that cannot be read is 400."""
    world = any_world
    for query in BROKEN_PARAMETERS:
        await world.refused(400, "parameter.invalid", "GET", query=query)


async def test_all_broken_parameters_at_once(any_world: World) -> None:
    """Every broken parameter is named, in one answer."""
    world = any_world
    messages = await world.refused(400, "parameter.invalid", "GET", query="page=x&pageSize=0&includeHidden=1&id=%20")
    assert [message["params"]["parameter"] for message in messages] == ["page", "pageSize", "id", "includeHidden"]


async def test_a_list_of_just_these(any_world: World) -> None:
    """`?id=a;b;c` is a list of just these, in the usual order; unknown ones are left out."""
    world = any_world
    made = [await world.make(name) for name in "cab"]
    ids = [one["id"] for one in made]
    for separator in (";", "%3B", "&id="):
        found = await world.list(f"id={ids[0]}{separator}{ids[1]}{separator}unknown")
        assert [one["id"] for one in found["results"]] == [ids[1], ids[0]]
    assert (await world.list("id=unknown"))["totalCount"] == 0


async def test_head(any_world: World) -> None:
    """HEAD says whether an object is there, without a body."""
    world = any_world
    made = await world.make()
    there = await world.call("HEAD", made["id"])
    assert (there.status, there.body, etag(there)) == (200, b"", '"1"')
    absent = await world.call("HEAD", "absent")
    assert (absent.status, absent.body) == (404, b"")
    assert (await world.call("HEAD")).status == 200


async def test_absent(any_world: World) -> None:
    """An unknown object is 404, with a message that names its type and id."""
    world = any_world
    (message,) = await world.refused(404, "object.not.found", "GET", "absent")
    assert message["text"] == "{{type}} {{id}} not found"
    assert message["params"] == {"type": world.type.label, "id": "absent"}


async def test_options(any_world: World) -> None:
    """OPTIONS answers 204 with `Allow`, without credentials and without a context."""
    for path in ("", "/x"):
        answer = await any_world.node.admin.call(
            "OPTIONS", f"/api/v1/{any_world.type.name}{path}", headers={"Authorization": ""}
        )
        assert (answer.status, answer.body) == (204, b"")
        assert answer.headers["Allow"] == ALLOW
        assert re.fullmatch("req_[0-9a-f]{16}", answer.headers["Paket-Request-Id"])


async def test_delete(any_world: World) -> None:
    """DELETE is 405, and says that nothing is ever deleted; other methods are 405 too, and writes to what is read."""
    world, made = any_world, await any_world.make()
    for target in (made["id"], ""):
        answer = await world.call("DELETE", target)
        (message,) = refusal(answer, 405)
        assert message["code"] == "error.delete.not.allowed"
        assert "Nothing is ever deleted" in message["text"]
        assert answer.headers["Allow"] == ALLOW
    for target in (made["id"], ""):
        await world.refused(405, "method.not.allowed", "PATCH", target, {})
    await world.read(made["id"])


async def test_context(world: World) -> None:
    """A company's objects are reached in its context alone: without one 400, in no company's 403, in another's 404."""
    made = await world.make()
    node, one = world.node, f"/api/v1/{world.type.name}/{made['id']}"
    if not world.type.in_company:
        assert (await node.admin.call("GET", f"{one}?context=whatever")).status == 200
        return
    other = (await node.admin.ok("POST", "/api/v1/companies", {"name": "Other"})).json["id"]
    for method, body in (("GET", None), ("PUT", {"name": world.named("Stolen")})):
        (message,) = refusal(await node.admin.call(method, one, body), 400)
        assert message["code"] == "error.context.required"
        for broken in ("", "a%20b", f"{other}&context={world.company}"):
            assert (await node.admin.call(method, f"{one}?context={broken}", body)).status == 400
        await world.refused(403, "context.forbidden", method, made["id"], body, company="nobody")
        await world.refused(404, "object.not.found", method, made["id"], body, company=other)
        if world.type.minted:
            await world.refused(404, "object.not.found", method, "absent", {}, company=other)
    assert (await world.call("GET", company=other)).json["totalCount"] == 0
    listed = [{"id": made["id"], "name": world.named("Stolen")}]
    await world.refused(404, "object.not.found", "POST", "", listed, company=other)
    assert (await world.read(made["id"]))["name"] == world.named("Name")


async def test_company_in_a_body(world: World) -> None:
    """An object's company is the request's context; it may be named, and never changed."""
    if not world.type.in_company:
        await world.refused(400, "field.unknown", "POST", "", world.body(company=world.company))
        return
    for company in (world.company, {"id": world.company}):
        assert (await world.make(company=company))["company"]["id"] == world.company
    others: list[object] = ["other", None, {"id": "other"}, 1]
    for other in others:
        await world.refused(400, "field.immutable", "POST", "", world.body(company=other))


async def test_a_hidden_company_gets_no_new_objects(world: World) -> None:
    """A HIDDEN company is as good as absent for new objects; those that it has can still be seen and changed."""
    if not world.type.in_company:
        return
    made = await world.make()
    await world.node.admin.ok("POST", f"/api/v1/companies/{world.company}", {"objectState": "HIDDEN"})
    messages = await world.refused(400, "referenced.object.not.found", "POST", "", world.body())
    expected = {"type": "Company", "id": world.company, "field": "company"}
    assert expected in [message["params"] for message in messages]
    assert (await world.call("POST", made["id"], {"name": world.named("Other")})).status == 200


async def test_etags(world: World) -> None:
    """The ETag is the version: a reader who has it gets 304, a writer with a stale one 412."""
    made = await world.make()
    known = await world.call("GET", made["id"], headers={"If-None-Match": '"1"'})
    assert (known.status, known.body) == (304, b"")
    for stale in ('"0"', '"2"', 'W/"1"', "1"):
        messages = await world.refused(
            412, "precondition.failed", "PUT", made["id"], {"name": world.named("X")}, headers={"If-Match": stale}
        )
        assert messages
    answer = await world.call("PUT", made["id"], {"name": world.named("B")}, headers={"If-Match": '"0", "1"'})
    assert (answer.status, etag(answer)) == (200, '"2"')
    assert (await world.call("GET", made["id"], headers={"If-None-Match": '"1"'})).status == 200
    body = {"id": made["id"], "name": world.named("C")}
    await world.refused(412, "precondition.failed", "POST", "", body, headers={"If-Match": '"1"'})
    assert (await world.call("POST", "", body, headers={"If-Match": "*"})).status == 200
    await world.refused(400, "precondition.with.list", "POST", "", [body], headers={"If-Match": '"3"'})


async def test_etags_of_what_is_not_there(world: World) -> None:
    """`If-Match` never makes an object; `If-None-Match: *` makes one and never changes it."""
    if world.type.minted:
        await world.refused(404, "object.not.found", "PUT", "new", world.body(), headers={"If-Match": "*"})
        return
    await world.refused(412, "precondition.failed", "PUT", "new", world.body(), headers={"If-Match": "*"})
    only_new = {"If-None-Match": "*"}
    assert (await world.call("PUT", "new", world.body(), headers=only_new)).status == 200
    await world.refused(412, "precondition.failed", "PUT", "new", world.body("X"), headers=only_new)


async def test_writers_at_once(world: World) -> None:
    """Of writers with one `If-Match`, one wins; without, all are applied, one after the other."""
    made = await world.make()
    match = {"If-Match": '"1"'}
    answers = await asyncio.gather(
        *(world.call("PUT", made["id"], {"name": world.named(f"N{n}")}, headers=match) for n in range(4))
    )
    assert sorted(answer.status for answer in answers) == [200, 412, 412, 412]
    answers = await asyncio.gather(*(world.call("PUT", made["id"], {"name": world.named(f"M{n}")}) for n in range(12)))
    assert {answer.status for answer in answers} == {200}
    assert etag(await world.call("GET", made["id"])) == '"14"'


async def test_what_is_not_obeyed_is_said(world: World) -> None:
    """A field that nothing acts on yet bears a warning wherever it is set."""
    made = await world.make(**world.valid)
    silent = [
        field.name for kind in TYPES if kind.name == world.type.name for field in kind.fields if not field.is_obeyed
    ]
    codes = [
        (warning["code"], warning["params"].get("field"))
        for warning in made.get("validationWarnings", [])
        if warning["type"] == "ValidationWarningMessage"
    ]
    assert [("warning.field.not.obeyed", name) for name in silent] == [c for c in codes if c[1]]
    assert (await world.read(made["id"])).get("validationWarnings") == made.get("validationWarnings")


async def test_another_node_s_object_is_found(world: World) -> None:
    """What one node has just written, another one finds, though its registry had not read it yet."""
    async with api_node(world.node.log) as other:
        there = World(other, world.type, world.pools)
        for number in range(10):
            made = await world.make(f"N{number}")
            assert (await there.read(made["id"]))["name"] == world.named(f"N{number}")
            assert (await there.call("PUT", made["id"], {"name": world.named("Theirs")})).status == 200
            assert (await world.call("PUT", made["id"], {"objectState": "INACTIVE"})).json["name"] == world.named(
                "Theirs"
            )
