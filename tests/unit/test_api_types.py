"""What is particular about each type: its secrets, its sides, and what it says of objects that cannot work."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from service.adapters.vault import BrokenSealError, Vault
from service.api.platform_attributes import MAX_ATTRIBUTES
from service.api.webhook_endpoints import SECRET_PURPOSE
from streams.domain.registry import Applied
from streams.domain.registry_events import ObjectWrite, Transaction, UniqueValue
from streams.domain.registry_state import RegistryState, StoredObject
from streams.domain.times import iso_ms
from tests.support.api_listener import KEY, ApiNode, Clock, api_node, embedded_log
from tests.support.nodes import Answer


@dataclass
class Setting:
    """Two companies: one of an app, the other of a platform."""

    node: ApiNode
    clock: Clock
    ours: str
    theirs: str
    app: str
    platform: str

    async def call(self, method: str, path: str, body: Any = None, *, of: str | None = None, **more: Any) -> Answer:
        """Call in a company's context; in ours where none is named."""
        parts = [f"context={of or self.ours}", *([more.pop("query")] if "query" in more else [])]
        return await self.node.admin.call(method, f"/api/v1/{path}?{'&'.join(parts)}", body, **more)

    async def ok(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        answer = await self.call(method, path, body, **more)
        assert answer.status == 200, answer.body
        return answer.json

    async def refused(self, status: int, code: str, path: str, body: Any, **more: Any) -> Any:
        events = await self.node.events()
        answer = await self.call("POST", path, body, **more)
        assert answer.status == status, answer.body
        assert answer.json["errors"][0]["code"] == f"error.{code}"
        assert await self.node.events() == events
        return answer.json["errors"]


@pytest.fixture
async def setting(tmp_path: Path) -> AsyncIterator[Setting]:
    clock = Clock()
    async with embedded_log(tmp_path) as log, api_node(log, clock) as node:
        ours, theirs = [
            one["id"] for one in (await node.admin.ok("POST", "/api/v1/companies", [{"name": "O"}, {"name": "T"}])).json
        ]
        app = (await node.admin.ok("POST", f"/api/v1/apps?context={ours}", {"name": "A"})).json["id"]
        platform = (await node.admin.ok("POST", f"/api/v1/platforms?context={theirs}", {"name": "P"})).json["id"]
        yield Setting(node, clock, ours, theirs, app, platform)


def warned(shown: Any) -> list[str]:
    return [warning["code"].removeprefix("warning.") for warning in shown.get("validationWarnings", [])]


# Users


async def test_a_username_is_one_user_s(setting: Setting) -> None:
    """No two users have one e-mail address, whatever its case, also where they are made at once on two nodes."""
    async with api_node(setting.node.log) as other:
        bodies: list[dict[str, object]] = [
            {"username": name, "roles": []} for name in ("Ann@A.example", "ann@a.example") * 5
        ]
        calls = [
            (setting.node, other)[number % 2].admin.call("POST", "/api/v1/users", body)
            for number, body in enumerate(bodies)
        ]
        answers = await asyncio.gather(*calls)
    assert sorted(answer.status for answer in answers) == [200] + [409] * 9
    (made,) = [answer.json for answer in answers if answer.status == 200]
    assert made["username"] == "ann@a.example"
    (message,) = next(answer.json["errors"] for answer in answers if answer.status == 409)
    assert message["code"] == "error.duplicate"
    assert {"type", "id", "field"} == set(message["params"])
    assert (message["params"]["type"], message["params"]["field"]) == ("User", "username")
    # What is given up may be taken.
    await setting.node.admin.ok("POST", f"/api/v1/users/{made['id']}", {"username": "bob@a.example"})
    await setting.node.admin.ok("POST", "/api/v1/users", {"username": "ann@a.example", "roles": []})


async def test_a_password_is_stored_as_a_hash(setting: Setting) -> None:
    """A password is never answered; the same one again changes nothing, and another one does."""
    body = {"username": "ann@a.example", "roles": [], "password": "correct horse battery"}
    answer = await setting.node.admin.ok("POST", "/api/v1/users", body)
    assert "password" not in answer.json
    assert warned(answer.json) == ["user.without.roles"]
    path = f"/api/v1/users/{answer.json['id']}"
    stored = setting.node.registry.state.find("users", answer.json["id"])
    assert stored is not None
    assert stored.fields["passwordHash"].startswith("$argon2id$")
    events = await setting.node.events()
    await setting.node.admin.ok("PUT", path, body)
    assert await setting.node.events() == events
    await setting.node.admin.ok("PUT", path, {"password": "battery staple horse"})
    assert await setting.node.events() == events + 1
    assert warned((await setting.node.admin.ok("PUT", path, {"password": None})).json)[1:] == ["user.without.password"]


async def test_roles(setting: Setting) -> None:
    """A user's roles are in companies that are there, one in each; one that was there before stays."""
    admin, roles = setting.node.admin, [{"company": setting.ours, "role": "ADMIN"}]
    made = (await admin.ok("POST", "/api/v1/users", {"username": "ann@a.example", "roles": roles})).json
    link = {"id": setting.ours, "url": f"/api/v1/companies/{setting.ours}"}
    assert made["roles"] == [{"company": link, "role": "ADMIN"}]
    path = f"/api/v1/users/{made['id']}"
    for company, params in (("absent", "absent"), (setting.app, setting.app)):
        broken = {"roles": [{"company": company, "role": "ADMIN"}]}
        answer = await admin.call("POST", path, broken)
        assert answer.status == 400
        assert answer.json["errors"][0]["params"] == {"type": "Company", "id": params, "field": "roles"}
    twice = {"roles": [*roles, {"company": link, "role": "VIEWER"}]}
    assert (await admin.call("POST", path, twice)).json["errors"][0]["code"] == "error.field.repeated"
    await admin.ok("POST", f"/api/v1/companies/{setting.ours}", {"objectState": "HIDDEN"})
    more = {"roles": [*made["roles"], {"company": setting.theirs, "role": "VIEWER"}]}
    assert len((await admin.ok("POST", path, more)).json["roles"]) == 2


# API keys


async def test_api_keys(setting: Setting) -> None:
    """A key is shown once, found by its hash, and stands for a user who has a role in its company."""
    admin = setting.node.admin
    roles = [{"company": setting.ours, "role": "EDITOR"}]
    user = (await admin.ok("POST", "/api/v1/users", {"username": "ann@a.example", "roles": roles})).json["id"]
    made = await setting.ok("POST", "apikeys", {"user": user, "expires": "2099-01-01T01:00:00+01:00"})
    key = made["key"]
    assert key.startswith(made["prefix"])
    assert len(key) == len("ak_") + 44
    assert (made["expires"], made["lastUsed"]) == ("2099-01-01T00:00:00.000Z", None)
    stored = setting.node.registry.state.holder(
        "apikeys", UniqueValue("hash", hashlib.sha256(key.encode()).hexdigest())
    )
    assert stored is not None
    assert stored.id == made["id"]
    again = await setting.call("GET", f"apikeys/{made['id']}")
    assert key[7:].encode() not in again.body
    for given in ("key", "hash", "prefix"):
        assert (await setting.call("POST", "apikeys", {"user": user, given: "ak_mine"})).status == 400
    (message,) = await setting.refused(400, "referenced.object.not.found", "apikeys", {"user": user}, of=setting.theirs)
    assert message["params"] == {"type": "User", "id": user, "field": "user"}
    (message,) = await setting.refused(400, "field.required", "apikeys", {})
    assert message["params"] == {"field": "user"}
    await admin.ok("POST", f"/api/v1/users/{user}", {"objectState": "INACTIVE"})
    assert warned(await setting.ok("GET", f"apikeys/{made['id']}")) == ["apikey.user.not.active"]


# Webhook endpoints


async def _client(setting: Setting, tenant: str, of: str) -> str:
    return str((await setting.ok("POST", "clients", {"name": "K", "tenant": tenant}, of=of))["id"])


async def test_webhook_secrets(setting: Setting) -> None:
    """A secret is shown once, kept so that only the deployment reads it, and lives on for a day when it is rolled."""
    client = await _client(setting, setting.app, setting.ours)
    made = await setting.ok("POST", "webhookendpoints", {"client": client, "endpointUrl": "https://a.example/"})
    assert made["secret"].startswith("whsec_")
    vault = Vault(KEY.derive(b"secrets"))
    stored = setting.node.registry.state.find("webhookendpoints", made["id"])
    assert stored is not None
    assert vault.open(stored.fields["secret"], SECRET_PURPOSE) == made["secret"]
    rolled = await setting.ok("POST", f"webhookendpoints/{made['id']}/roll")
    after = setting.node.registry.state.find("webhookendpoints", made["id"])
    assert after is not None
    assert vault.open(after.fields["secret"], SECRET_PURPOSE) == rolled["secret"] != made["secret"]
    assert vault.open(after.fields["rolled"]["secret"], SECRET_PURPOSE) == made["secret"]
    day_ms = 24 * 3_600_000
    least = iso_ms(after.updated_ms + day_ms - 60_000)
    assert least < after.fields["rolled"]["expires"] < iso_ms(after.updated_ms + day_ms + 60_000)
    shown = await setting.call("GET", f"webhookendpoints/{made['id']}")
    for hidden in (made["secret"], rolled["secret"], stored.fields["secret"], after.fields["secret"]):
        assert hidden.encode() not in shown.body
    assert (await setting.call("POST", f"webhookendpoints/{made['id']}/roll", {"key": "LIVE"})).status == 400


async def test_endpoints_that_are_never_called(setting: Setting) -> None:
    """An endpoint says what keeps events from it: a client that is not ACTIVE, or one of a platform."""
    client = await _client(setting, setting.app, setting.ours)
    body = {"client": client, "endpointUrl": "https://a.example/"}
    made = await setting.ok("POST", "webhookendpoints", body)
    assert warned(made) == []
    await setting.ok("POST", f"clients/{client}", {"objectState": "INACTIVE"})
    assert warned(await setting.ok("GET", f"webhookendpoints/{made['id']}")) == ["webhook.client.not.active"]
    of_platform = await _client(setting, setting.platform, setting.theirs)
    body = {"client": of_platform, "endpointUrl": "https://a.example/"}
    made = await setting.ok("POST", "webhookendpoints", body, of=setting.theirs)
    assert warned(made) == ["webhook.client.of.platform"]
    await setting.refused(400, "referenced.object.not.found", "webhookendpoints", body)


async def test_loopback_where_the_deployment_allows_it(setting: Setting) -> None:
    """A node that was told so takes URLs of its own machine in plain HTTP; another one refuses them."""
    client = await _client(setting, setting.app, setting.ours)
    body = {"client": client, "endpointUrl": "http://127.0.0.1:9000/hooks"}
    (message,) = await setting.refused(400, "field.format", "webhookendpoints", body)
    assert message["params"]["field"] == "endpointUrl"
    async with api_node(setting.node.log, allows_loopback=True) as other:
        path = f"/api/v1/webhookendpoints?context={setting.ours}"
        made = await other.admin.ok("POST", path, body)
        assert made.json["endpointUrl"] == body["endpointUrl"]
        assert (await other.admin.call("POST", path, {**body, "endpointUrl": "http://10.0.0.1/"})).status == 400


def test_what_is_sealed() -> None:
    """What was sealed is opened with the same key for the same purpose alone, and only as it was."""
    vault = Vault(KEY.derive(b"secrets"))
    sealed = vault.seal("whsec_ø", "a")
    assert vault.open(sealed, "a") == "whsec_ø"
    assert vault.seal("whsec_ø", "a") != sealed
    for opener, text, purpose in (
        (vault, sealed, "b"),
        (Vault(KEY.derive(b"others")), sealed, "a"),
        (vault, sealed[:-4], "a"),
        (vault, sealed[:-3] + "abc", "a"),
        (vault, "v2." + sealed[3:], "a"),
        (vault, "v1.", "a"),
        (vault, "v1.é", "a"),
        (vault, "", "a"),
    ):
        with pytest.raises(BrokenSealError):
            opener.open(text, purpose)


# What platforms are told of apps


async def test_attributes_have_names_of_their_own(setting: Setting) -> None:
    """A platform has one attribute of a name; another platform may have one like it."""
    attribute = {"name": "custom_app_id", "kind": "REQUESTED", "platform": setting.platform}
    made = await setting.ok("POST", "platformattributes", attribute, of=setting.theirs)
    assert (made["valueType"], made["required"], made["template"], made["escape"]) == ("STRING", False, None, "NONE")
    (message,) = await setting.refused(409, "duplicate", "platformattributes", attribute, of=setting.theirs)
    assert message["params"]["field"] == "platform,name"
    other = await setting.ok("POST", "platforms", {"name": "Q"}, of=setting.theirs)
    await setting.ok("POST", "platformattributes", {**attribute, "platform": other["id"]}, of=setting.theirs)
    for name in ("A", "1a", "a-b", "æ", "a b"):
        broken = {**attribute, "name": name}
        await setting.refused(400, "field.format", "platformattributes", broken, of=setting.theirs)
    computed = await setting.ok(
        "POST", "platformattributes", {**attribute, "name": "link", "kind": "COMPUTED"}, of=setting.theirs
    )
    assert warned(computed) == ["attribute.without.template"]
    idle = await setting.ok("POST", f"platformattributes/{made['id']}", {"template": "a"}, of=setting.theirs)
    assert warned(idle) == ["attribute.template.not.read"]
    await setting.refused(400, "referenced.object.not.found", "platformattributes", attribute)


async def test_values_against_what_is_requested(setting: Setting) -> None:
    """Values that are not what the platform asks for are refused; once it asks for others, they say so and stay."""
    attributes: list[dict[str, object]] = [
        {"name": "text", "kind": "REQUESTED", "required": True},
        {"name": "number", "kind": "REQUESTED", "valueType": "INTEGER"},
        {"name": "url", "kind": "REQUESTED", "valueType": "URL"},
        {"name": "flag", "kind": "REQUESTED", "valueType": "BOOLEAN"},
        {"name": "link", "kind": "COMPUTED", "template": "{{text}}"},
    ]
    body = [{**one, "platform": setting.platform} for one in attributes]
    made = await setting.ok("POST", "platformattributes", body, of=setting.theirs)
    values = {"app": setting.app, "platform": setting.platform}
    (missing,) = await setting.refused(400, "value.missing", "platformvalues", values)
    assert missing["params"] == {"field": "values", "platform": setting.platform, "name": "text"}
    (missing,) = await setting.refused(400, "value.missing", "platformvalues", [values])
    assert missing["params"]["index"] == "0"
    # What is not in use may lack what it likes.
    shown = await setting.ok("POST", "platformvalues", {**values, "objectState": "INACTIVE"})
    path = f"platformvalues/{shown['id']}"
    await setting.refused(400, "value.missing", path, {"objectState": "ACTIVE"})
    good: dict[str, object] = {"text": "a", "number": 3, "url": "app://a", "flag": False}
    assert warned(await setting.ok("POST", path, {"objectState": "ACTIVE", "values": good})) == []
    broken = {"text": 1, "number": True, "url": "nowhere", "flag": "yes"}
    messages = await setting.refused(400, "value.wrong.type", path, {"values": broken})
    assert sorted(message["params"]["name"] for message in messages) == ["flag", "number", "text", "url"]
    found = await setting.ok("POST", path, {"values": {**good, "link": "a", "other": "a"}})
    assert warned(found) == ["value.not.requested"] * 2
    # The platform changes its mind: nobody is kept from changing something else.
    changed = [
        {"id": made[1]["id"], "valueType": "STRING"},
        {"name": "more", "kind": "REQUESTED", "required": True, "platform": setting.platform},
    ]
    await setting.ok("POST", "platformattributes", changed, of=setting.theirs)
    assert sorted(warned(await setting.ok("GET", path)))[:2] == ["value.missing", "value.not.requested"]
    others = await setting.ok("POST", path, {"values": {**good, "flag": True}})
    assert sorted(warned(others)) == ["value.missing", "value.wrong.type"]
    await setting.refused(400, "value.missing", path, {"values": {"number": 3}})
    assert warned(await setting.ok("POST", path, {"values": {**good, "number": "3", "more": "m"}})) == []
    await setting.refused(400, "field.length", path, {"values": {**good, "text": "x" * 2_048, **_LONG}})


_LONG = {f"long_{number}": "x" * 2_000 for number in range(4)}


async def test_templates(setting: Setting) -> None:
    """What a template refers to is there, in whatever order both are written, and stays for as long as it does."""

    def attribute(name: str, template: str | None = None, **more: object) -> dict[str, object]:
        kind = {"kind": "REQUESTED"} if template is None else {"kind": "COMPUTED", "template": template}
        return {"name": name, "platform": setting.platform, **kind, **more}

    async def refused(code: str, body: object, path: str = "platformattributes") -> Any:
        return await setting.refused(400, code, path, body, of=setting.theirs)

    link = attribute("link", "app://{{custom_app_id}}/{{content_id}}")
    (unknown,) = await refused("template.unknown", link)
    assert unknown["params"] == {"field": "template", "attribute": "link", "name": "custom_app_id"}
    (unknown,) = await refused("template.unknown", [attribute("other"), link])
    assert unknown["params"]["index"] == "1"
    made, asked = await setting.ok("POST", "platformattributes", [link, attribute("custom_app_id")], of=setting.theirs)
    assert "validationWarnings" not in made
    for body in (
        {"objectState": "HIDDEN"},
        {"objectState": "INACTIVE"},
        {"name": "another"},
        {"kind": "COMPUTED", "template": "{{link}}"},
    ):
        (broken,) = await refused(
            "template.cycle" if "template" in body else "template.unknown", body, f"platformattributes/{asked['id']}"
        )
        assert broken["params"]["attribute"] in ("link", "custom_app_id")
    for code, template in (
        ("template.malformed", "{{Title}}"),
        ("template.malformed", "a }} b"),
        ("template.cycle", "{{more}}"),
        ("template.too.long", "{{title}}" * 17),
    ):
        await refused(code, attribute("more", template))
    await refused("template.wrong.type", attribute("more", "{{title}}", valueType="INTEGER"))
    more = [attribute(f"one_more_{n}") for n in range(MAX_ATTRIBUTES - 1)]
    await refused("attributes.too.many", more)
    # Both at once may go, and what is not in use may refer to whatever it likes.
    renamed = [{"id": asked["id"], "name": "app"}, {"id": made["id"], "template": "app://{{app}}"}]
    await setting.ok("POST", "platformattributes", renamed, of=setting.theirs)
    await setting.ok(
        "POST", "platformattributes", attribute("idle", "{{nobody}}", objectState="INACTIVE"), of=setting.theirs
    )
    elsewhere = await setting.ok("POST", "platforms", {"name": "Q"}, of=setting.theirs)
    await refused("template.unknown", {**attribute("more", "{{app}}"), "platform": elsewhere["id"]})


async def test_a_template_that_another_node_has_made_possible(setting: Setting) -> None:
    """A node that has not heard yet of an attribute catches up before it says that there is none."""
    async with api_node(setting.node.log) as other:
        for number in range(8):
            asked = {"name": f"asked_{number}", "kind": "REQUESTED", "platform": setting.platform}
            await setting.ok("POST", "platformattributes", asked, of=setting.theirs)
            link = {"name": f"link_{number}", "kind": "COMPUTED", "template": f"{{{{asked_{number}}}}}"}
            path = f"/api/v1/platformattributes?context={setting.theirs}"
            await other.admin.ok("POST", path, {**link, "platform": setting.platform})


async def test_templates_that_break_each_other_at_once(setting: Setting) -> None:
    """Two nodes that each take one half of a circle: whoever reads it is told, and it can be mended."""
    ends = [{"id": name, "name": name, "kind": "REQUESTED", "platform": setting.platform} for name in ("one", "other")]
    await setting.ok("POST", "platformattributes", ends, of=setting.theirs)
    writes = [
        ObjectWrite(
            type="platformattributes",
            id=name,
            version=1,
            company=setting.theirs,
            name=name,
            fields={
                "kind": "COMPUTED",
                "platform": {"type": "platforms", "id": setting.platform},
                "template": f"{{{{{to}}}}}",
            },
            unique=(UniqueValue("platform,name", f"{setting.platform},{name}"),),
        )
        for name, to in (("one", "other"), ("other", "one"))
    ]
    for number, write in enumerate(writes):
        transaction = Transaction(id=f"{number:032}", user="superuser", objects=(write,))
        assert isinstance(await setting.node.registry.transact(transaction), Applied)
    page = await setting.ok("GET", "platformattributes", of=setting.theirs)
    assert sum(len(warned(one)) for one in page["results"]) == 1
    # It was broken before, so that this is no reason to refuse what has nothing to do with it.
    await setting.ok("POST", "platformattributes", {**ends[0], "id": "third", "name": "third"}, of=setting.theirs)
    await setting.ok("POST", "platformattributes/other", {"template": "{{title}}"}, of=setting.theirs)
    page = await setting.ok("GET", "platformattributes", of=setting.theirs)
    assert [warned(one) for one in page["results"]] == [[], [], []]


class Counted(RegistryState):
    """A registry that remembers which types were read from end to end."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[str] = []

    def ordered(self, type_name: str, company: str | None) -> Iterator[StoredObject]:
        self.reads.append(type_name)
        return super().ordered(type_name, company)


async def test_a_page_of_values(setting: Setting) -> None:
    """What a platform asks for is read once for all values of a page, and again once anything has changed."""
    attribute = {"name": "text", "kind": "REQUESTED", "platform": setting.platform}
    made = await setting.ok("POST", "platformattributes", attribute, of=setting.theirs)
    for number in range(5):
        app = await setting.ok("POST", "apps", {"name": f"A{number}"})
        await setting.ok("POST", "platformvalues", {"app": app["id"], "platform": setting.platform})
    state = Counted()
    for entries in setting.node.registry.state.copied():
        for entry in entries:
            state.restore(entry.body, entry.earlier)
    setting.node.registry.state = state
    for required, warnings in ((True, ["value.missing"]), (False, [])):
        await setting.ok("POST", f"platformattributes/{made['id']}", {"required": required}, of=setting.theirs)
        await setting.ok("POST", f"apps/{setting.app}", {"description": f"{required}"})
        state.reads.clear()
        page = await setting.ok("GET", "platformvalues")
        assert [warned(one) for one in page["results"]] == [warnings] * 5
        assert state.reads == ["platformattributes"]


@pytest.mark.parametrize("name", ["platformvalues", "availabilities"])
async def test_one_object_of_a_pair(setting: Setting, name: str) -> None:
    """Of many who make an object of one pair at once, on two nodes, one does."""
    pair = {"app": setting.app, "platform": setting.platform}
    async with api_node(setting.node.log) as other:
        path = f"/api/v1/{name}?context={setting.ours}"
        calls = [(setting.node, other)[number % 2].admin.call("POST", path, pair) for number in range(10)]
        answers = await asyncio.gather(*calls)
    assert sorted(answer.status for answer in answers) == [200] + [409] * 9
    (message,) = next(answer.json["errors"] for answer in answers if answer.status == 409)
    assert (message["code"], message["params"]["field"]) == ("error.duplicate", "app,platform")
    assert (await setting.ok("GET", name))["totalCount"] == 1
    for broken in ({**pair, "app": setting.platform}, {**pair, "platform": setting.app}, {**pair, "app": "absent"}):
        await setting.refused(400, "referenced.object.not.found", name, broken)
    # An app of another company is none, a platform of any company is one.
    await setting.refused(400, "referenced.object.not.found", name, pair, of=setting.theirs)


# Availabilities


async def test_both_sides_see_an_availability(setting: Setting) -> None:
    """An availability is seen by the app's company and the platform's, and by no other, in lists and by its id."""
    made = await setting.ok("POST", "availabilities", {"app": setting.app, "platform": setting.platform})
    third = (await setting.node.admin.ok("POST", "/api/v1/companies", {"name": "3"})).json["id"]
    assert made["company"]["id"] == setting.ours
    for company, count, status in ((setting.ours, 1, 200), (setting.theirs, 1, 200), (third, 0, 404)):
        listed = await setting.ok("GET", "availabilities", of=company)
        assert (listed["totalCount"], listed["results"]) == (count, [made] * count)
        for path in ("", "/events"):
            answer = await setting.call("GET", f"availabilities/{made['id']}{path}", of=company)
            assert answer.status == status
        if status == 404:
            written = await setting.call("POST", f"availabilities/{made['id']}", {"name": "x"}, of=company)
            assert written.status == 404


async def test_only_the_platform_s_side_approves(setting: Setting) -> None:
    """`approved` is set by the platform's company, and all else by the app's; what is not changed may be sent."""
    body = {"app": setting.app, "platform": setting.platform}
    (message,) = await setting.refused(403, "field.forbidden", "availabilities", {**body, "approved": True})
    assert message["params"] == {"field": "approved"}
    made = await setting.ok("POST", "availabilities", {**body, "approved": False})
    path = f"availabilities/{made['id']}"
    await setting.refused(403, "field.forbidden", path, {"approved": True})
    for change in (
        {"regions": ["NO"]},
        {"objectState": "HIDDEN"},
        {"name": "x"},
        {"approved": True, "regions": ["NO"]},
    ):
        await setting.refused(403, "field.forbidden", path, change, of=setting.theirs)
    approved = await setting.ok("PUT", path, {**made, "approved": True}, of=setting.theirs)
    assert approved == {**made, "approved": True, "updateTime": approved["updateTime"]}
    assert approved["company"]["id"] == setting.ours
    regions = await setting.ok("PUT", path, {**approved, "regions": ["NO"]})
    assert (regions["approved"], regions["regions"]) == (True, ["NO"])
    withdrawn = await setting.ok("POST", path, {"approved": False}, of=setting.theirs)
    assert withdrawn["approved"] is False
    (event, *_) = (await setting.ok("GET", f"{path}/events"))["results"]
    assert event["changes"] == {"approved": {"from": True, "to": False}}


async def test_approval_that_is_missing(setting: Setting) -> None:
    """An availability says that it does nothing while a platform that wants to approve has not."""
    body = {"app": setting.app, "platform": setting.platform}
    made = await setting.ok("POST", "availabilities", body)
    assert warned(made) == []
    await setting.ok("POST", f"platforms/{setting.platform}", {"requiresApproval": True}, of=setting.theirs)
    path = f"availabilities/{made['id']}"
    assert warned(await setting.ok("GET", path)) == ["availability.not.approved"]
    assert warned(await setting.ok("POST", path, {"approved": True}, of=setting.theirs)) == []


async def test_platforms_names_are_public(setting: Setting) -> None:
    """Every company may list the ids and names of all ACTIVE platforms, and nothing more of them; no other type's."""
    mine = await setting.ok("POST", "platforms", {"name": "Mine", "objectState": "INACTIVE"})
    assert [one["id"] for one in (await setting.ok("GET", "platforms"))["results"]] == [mine["id"]]
    everyone = await setting.ok("GET", "platforms", query="includeOthers=true")
    theirs = {"id": setting.platform, "url": f"/api/v1/platforms/{setting.platform}", "name": "P"}
    assert everyone["results"] == [mine, theirs]
    assert (await setting.call("GET", f"platforms/{setting.platform}")).status == 404
    await setting.ok("POST", f"platforms/{setting.platform}", {"objectState": "INACTIVE"}, of=setting.theirs)
    for query in ("includeOthers=true", "includeOthers=true&includeHidden=true"):
        assert (await setting.ok("GET", "platforms", query=query))["results"] == [mine]
    apps = await setting.ok("GET", "apps", of=setting.theirs, query="includeOthers=true")
    assert apps["results"] == []


# References under concurrency


async def test_no_reference_to_what_is_being_hidden(setting: Setting) -> None:
    """A client made while its tenant is hidden on another node either came before that, or is refused."""
    async with api_node(setting.node.log) as other:
        for number in range(8):
            app = (await setting.ok("POST", "apps", {"name": str(number)}))["id"]
            await other.registry.catch_up()
            path = f"/api/v1/apps/{app}?context={setting.ours}"
            body = [{"name": "K", "tenant": app}]
            made, hidden = await asyncio.gather(
                setting.call("POST", "clients", body), other.admin.call("POST", path, {"objectState": "HIDDEN"})
            )
            assert hidden.status == 200
            if made.status == 200:
                assert made.json[0]["createTime"] <= hidden.json["updateTime"]
                continue
            assert made.status == 400
            (message,) = made.json["errors"]
            assert message["code"] == "error.referenced.object.not.found"
            assert message["params"]["id"] == app
            assert message["params"]["field"] == "tenant"
