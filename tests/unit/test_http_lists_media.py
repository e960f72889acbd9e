"""What platforms are shown with items, and whether apps may be attached, as it is configured at that moment."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from service.api.assets import FILES
from service.http.schemas import AppMediaOut
from tests.support.api_listener import MEDIA_URL, ApiNode, api_node, embedded_log
from tests.support.blobs import png
from tests.support.listener import basic, problem
from tests.support.nodes import Answer, Caller, item
from tests.support.uploads import upload


@dataclass
class Setting:
    """An app in one company, two platforms in another, and a session of each with a context of the app."""

    node: ApiNode
    ours: str
    theirs: str
    app: Caller
    platforms: list[Caller]
    context: str
    sessions: list[str]

    @property
    def platform(self) -> Caller:
        return self.platforms[0]

    async def admin(self, method: str, path: str, body: Any = None, *, of: str | None = None) -> Answer:
        """Call in a company's context; in the platforms' where none is named."""
        return await self.node.admin.call(method, f"/api/v1/{path}?context={of or self.theirs}", body)

    async def configured(self, path: str, body: Any, *, of: str | None = None) -> Any:
        answer = await self.admin("POST", path, body, of=of)
        assert answer.status == 200, answer.body
        return answer.json

    async def asked(self, *attributes: dict[str, Any], of: int = 0) -> Any:
        """Give a platform attributes: computed ones have a template."""
        platform = self.platforms[of].tenant
        kinds = [{"kind": "COMPUTED" if "template" in one else "REQUESTED"} for one in attributes]
        body = [{"platform": platform, **kind, **one} for kind, one in zip(kinds, attributes, strict=True)]
        return await self.configured("platformattributes", body)

    async def told(self, of: int = 0, **values: Any) -> Any:
        body = {"app": self.app.tenant, "platform": self.platforms[of].tenant, "values": values}
        return await self.configured("platformvalues", body, of=self.ours)

    async def put(self, content_id: str, **more: Any) -> None:
        body = {name: value for name, value in item(content_id, **more).items() if value is not None}
        await self.app.ok("PUT", f"/v1/contexts/upnext/{self.context}", body)

    async def attach(self, of: int = 0) -> Answer:
        body = {"app_id": self.app.tenant, "context_id": self.context}
        return await self.platforms[of].call("PUT", f"/v1/sessions/upnext/{self.sessions[of]}", body)

    async def read(self, of: int = 0, known: str = "") -> Answer:
        headers = {"If-None-Match": known} if known else {}
        return await self.platforms[of].call("GET", f"/v1/sessions/upnext/{self.sessions[of]}", headers=headers)

    async def data(self, of: int = 0) -> list[Any]:
        """Return what the items' `platform_data` are, newest first."""
        return [entry["platform_data"] for entry in (await self.read(of)).json["items"]]


async def client(node: ApiNode, kind: str, company: str, name: str) -> Caller:
    tenant = (await node.admin.ok("POST", f"/api/v1/{kind}?context={company}", {"name": name})).json["id"]
    body = {"name": "client", "tenant": {"id": tenant}}
    made = (await node.admin.ok("POST", f"/api/v1/clients?context={company}", body)).json
    return Caller(node.http, node.url, {"Authorization": basic(made["clientId"], made["secretKey"])}, tenant)


@pytest.fixture
async def setting(tmp_path: Path) -> AsyncIterator[Setting]:
    async with embedded_log(tmp_path) as log, api_node(log) as node:
        companies = (await node.admin.ok("POST", "/api/v1/companies", [{"name": "O"}, {"name": "T"}])).json
        ours, theirs = (one["id"] for one in companies)
        app = await client(node, "apps", ours, "A")
        platforms = [await client(node, "platforms", theirs, name) for name in ("P", "Q")]
        context = (await app.ok("POST", "/v1/contexts")).json["context_id"]
        sessions = [(await one.ok("POST", "/v1/sessions")).json["session_id"] for one in platforms]
        made = Setting(node, ours, theirs, app, platforms, context, sessions)
        for number in (0, 1):
            assert (await made.attach(number)).status == 200
        yield made


async def test_app_media(setting: Setting) -> None:
    """Each file that was uploaded and is served is in all lists of its app, from the next read on."""
    await setting.put("a")
    before = await setting.read()
    assert before.json["items"][0]["app_media"] == {}
    expected = {}
    for file in FILES:
        content = png(file.width, file.height, (10, 20, 30, 0) if file.is_transparent else (10, 20, 30))
        made = await upload(setting.node.admin, setting.ours, setting.app.tenant, file.name, content)
        assert made.status == 200, made.body
        expected[file.key] = f"{MEDIA_URL}/media/{setting.app.tenant}/{file.name}.png"
        assert made.json["media"] == expected[file.key].removeprefix(MEDIA_URL)
    assert list(expected) == list(AppMediaOut.__struct_fields__)
    for number in (0, 1):
        after = await setting.read(number, before.headers["ETag"])
        assert (after.status, after.json["items"][0]["app_media"]) == (200, expected)
        assert list(after.json["items"][0]["app_media"]) == [file.key for file in FILES]
    published = (await setting.app.ok("GET", f"/v1/contexts/upnext/{setting.context}")).json
    assert "app_media" not in published["items"][0]
    hidden = await setting.admin(
        "POST", f"assets/{setting.app.tenant}.tile_1x", {"objectState": "HIDDEN"}, of=setting.ours
    )
    assert hidden.status == 200
    del expected["tile_1x"]
    assert (await setting.read()).json["items"][0]["app_media"] == expected
    # As whoever asks for the files is answered.
    await setting.node.admin.ok("POST", f"/api/v1/companies/{setting.ours}", {"objectState": "HIDDEN"})
    assert (await setting.read()).json["items"][0]["app_media"] == {}


async def test_platform_data(setting: Setting) -> None:
    """What the app tells the platform that asks, what that makes of it and of each item, and nothing of others."""
    await setting.put("a b/ø", title='T "1" \\', season=1, episode=2, media_type="tv_episode")
    await setting.put("plain", action="up_next_watchlist", position=None)
    await setting.asked(
        {"name": "custom_app_id", "required": True},
        {"name": "age", "valueType": "INTEGER"},
        {"name": "kids", "valueType": "BOOLEAN"},
        {"name": "store", "valueType": "URL"},
        {"name": "not_told"},
        {
            "name": "deep_link",
            "valueType": "URL",
            "template": "app://{{custom_app_id}}/{{content_id}}",
            "escape": "URL",
        },
        {"name": "label", "template": "{{title}} & {{custom_app_id}} 100%b {{age}}"},
        {"name": "place", "valueType": "INTEGER", "template": "{{position}}"},
        {"name": "series", "template": "S{{season}}E{{episode}}"},
        {"name": "needs", "template": "{{not_told}}"},
    )
    assert await setting.data() == [{}, {"place": 10, "series": "S1E2"}]
    await setting.told(custom_app_id="ID 1", age=7, kids=False, store="https://a.example/?a=1&b=ø")
    told = {"age": 7, "custom_app_id": "ID 1", "kids": False, "store": "https://a.example/?a=1&b=ø"}
    assert await setting.data() == [
        {**told, "deep_link": "app://ID%201/plain", "label": "Title of plain & ID 1 100%b 7"},
        {
            **told,
            "deep_link": "app://ID%201/a%20b%2F%C3%B8",
            "label": 'T "1" \\ & ID 1 100%b 7',
            "place": 10,
            "series": "S1E2",
        },
    ]
    assert list((await setting.data())[0]) == sorted((await setting.data())[0])
    assert await setting.data(1) == [{}, {}]


async def test_what_is_configured_is_in_the_next_read(setting: Setting) -> None:
    """With another tag, and no item is written for it; what readers do not see changes nothing."""
    await setting.put("a")
    other = await client(setting.node, "apps", setting.ours, "B")
    theirs = (await other.ok("POST", "/v1/contexts")).json["context_id"]
    await other.ok("PUT", f"/v1/contexts/upnext/{theirs}", item("b"))
    of_other = f"/v1/sessions/upnext/{setting.sessions[0]}/{theirs}"
    await setting.platform.ok(
        "PUT", f"/v1/sessions/upnext/{setting.sessions[0]}", {"app_id": other.tenant, "context_id": theirs}
    )
    asked, link = await setting.asked({"name": "id"}, {"name": "link", "template": "{{id}}:{{content_id}}"})
    values = await setting.told(id="1")
    untouched = (await setting.platform.ok("GET", of_other)).headers["ETag"], (await setting.read(1)).headers["ETag"]
    lists = await setting.read()
    for path, body, of, expected in (
        (f"platformvalues/{values['id']}", {"values": {"id": "2"}}, setting.ours, {"id": "2", "link": "2:a"}),
        (f"platformattributes/{link['id']}", {"template": "{{id}}/{{title}}"}, "", {"id": "2", "link": "2/Title of a"}),
        (f"platformattributes/{link['id']}", {"escape": "URL"}, "", {"id": "2", "link": "2/Title%20of%20a"}),
        (f"platformattributes/{link['id']}", {"objectState": "INACTIVE"}, "", {"id": "2"}),
        (f"platformvalues/{values['id']}", {"objectState": "INACTIVE"}, setting.ours, {}),
        (f"platformattributes/{link['id']}", {"objectState": "ACTIVE", "template": "{{title}}"}, "",
         {"link": "Title%20of%20a"}),
    ):  # fmt: skip
        await setting.configured(path, body, of=of or None)
        before, lists = lists, await setting.read(known=lists.headers["ETag"])
        assert lists.status == 200, path
        (entry,) = [one for one in lists.json["items"] if one["context_id"] == setting.context]
        assert entry["platform_data"] == expected
        assert entry["updated_at"] == before.json["items"][-1]["updated_at"]
        assert (await setting.read(known=lists.headers["ETag"])).status == 304
    # What readers do not see of an app changes no list; what the other platform asks for changes none of this one's.
    await setting.configured(f"apps/{setting.app.tenant}", {"description": "Another."}, of=setting.ours)
    await setting.configured(f"platformattributes/{asked['id']}", {"required": True})
    await setting.asked({"name": "theirs", "template": "{{content_id}}"}, of=1)
    assert (await setting.read(known=lists.headers["ETag"])).status == 304
    assert (await setting.platform.ok("GET", of_other)).headers["ETag"] != untouched[0]
    assert (await setting.read(1)).headers["ETag"] != untouched[1]
    assert await setting.data(1) == [{"theirs": "a"}]


async def test_an_app_s_own_changes_concern_its_own_lists(setting: Setting) -> None:
    """What one app tells a platform changes no tag of lists without its items, nor of another platform's."""
    await setting.put("a")
    other = await client(setting.node, "apps", setting.ours, "B")
    theirs = (await other.ok("POST", "/v1/contexts")).json["context_id"]
    await other.ok("PUT", f"/v1/contexts/upnext/{theirs}", item("b"))
    session = f"/v1/sessions/upnext/{setting.sessions[0]}"
    await setting.platform.ok("PUT", session, {"app_id": other.tenant, "context_id": theirs})
    await setting.asked({"name": "id"})
    lists = [(setting.platform, session), (setting.platform, f"{session}/{setting.context}")]
    others = [(setting.platform, f"{session}/{theirs}"),
              (setting.platforms[1], f"/v1/sessions/upnext/{setting.sessions[1]}")]  # fmt: skip
    before = [(await caller.ok("GET", path)).headers["ETag"] for caller, path in lists + others]
    await setting.told(id="1")
    after = [(await caller.ok("GET", path)).headers["ETag"] for caller, path in lists + others]
    assert [one == other for one, other in zip(before, after, strict=True)] == [False, False, True, True]


async def test_approval(setting: Setting) -> None:
    """Where a platform requires it, contexts of an app are attached once the platform's side has approved the app."""
    assert (await setting.attach()).status == 200
    await setting.put("a")
    await setting.configured(f"platforms/{setting.platform.tenant}", {"requiresApproval": True})
    assert problem(await setting.attach(), 403) == "app_not_available"
    # What is attached stays, and can be detached; the other platform asks for no approval.
    assert (await setting.read()).json["total"] == 1
    assert (await setting.attach(1)).status == 200
    pair = {"app": setting.app.tenant, "platform": setting.platform.tenant}
    made = await setting.configured("availabilities", pair, of=setting.ours)
    path = f"availabilities/{made['id']}"
    assert problem(await setting.attach(), 403) == "app_not_available"
    await setting.configured(path, {"approved": True})
    assert (await setting.attach()).status == 200
    for state, status in (("INACTIVE", 403), ("ACTIVE", 200)):
        await setting.configured(path, {"objectState": state}, of=setting.ours)
        assert (await setting.attach()).status == status
    await setting.configured(path, {"approved": False})
    session = f"/v1/sessions/upnext/{setting.sessions[0]}"
    assert problem(await setting.attach(), 403) == "app_not_available"
    assert (await setting.read()).json["total"] == 1
    hide = {"content_id": "a", "action": "hide"}
    await setting.platform.ok("PUT", f"{session}/{setting.context}", hide)
    await setting.platform.ok("DELETE", f"{session}/{setting.context}")
    assert problem(await setting.attach(), 403) == "app_not_available"
    # What is not there is not there before anything is said about the app.
    unknown = {"app_id": setting.app.tenant, "context_id": "CX" + "0" * 41}
    assert problem(await setting.platform.call("PUT", session, unknown), 404) == "not_found"
    await setting.configured(f"platforms/{setting.platform.tenant}", {"requiresApproval": False})
    assert (await setting.attach()).status == 200


async def test_regions(setting: Setting) -> None:
    """An app that is limited to countries is on no platform that is in none of them, with approval or without."""
    pair = {"app": setting.app.tenant, "platform": setting.platform.tenant}
    made = await setting.configured("availabilities", {**pair, "regions": ["NO", "SE"]}, of=setting.ours)
    path, platform = f"availabilities/{made['id']}", f"platforms/{setting.platform.tenant}"
    for of_platform, status in (([], 200), (["SE", "DK"], 200), (["DK"], 403)):
        await setting.configured(platform, {"regions": of_platform})
        assert (await setting.attach()).status == status, of_platform
    shown = (await setting.admin("GET", path)).json
    assert [one["code"] for one in shown["validationWarnings"]] == ["warning.availability.without.region"]
    await setting.configured(path, {"approved": True})
    await setting.configured(platform, {"requiresApproval": True})
    assert problem(await setting.attach(), 403) == "app_not_available"
    await setting.configured(path, {"regions": []}, of=setting.ours)
    assert (await setting.attach()).status == 200


async def test_more_than_fits(setting: Setting) -> None:
    """Attributes of an item that are more than an item may be are left out, and the list is a list all the same."""
    await setting.put("a", description="ø" * 4_096)
    await setting.put("b")
    templates = [{"name": f"c{number}", "template": "{{description}}", "escape": "URL"} for number in range(3)]
    await setting.asked(*templates, {"name": "last", "template": "{{content_id}}"})
    short, long = await setting.data()
    assert list(short) == ["c0", "c1", "c2", "last"]
    assert long == {"last": "a"}
