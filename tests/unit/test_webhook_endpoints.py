"""Who is told of what, as the registry says."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from service.adapters.vault import Vault
from service.adapters.webhook_endpoints import RegistryEndpoints
from service.api.webhook_endpoints import OVERLAP_MS
from streams.domain.ids import Kind, known_id
from streams.domain.notices import NOTICE_TYPES, NoticeType
from tests.support.api_listener import KEY, ApiNode, Clock, api_node, embedded_log

ADDED: NoticeType = "context.session.context_added"
VERSION = "2024-02-16"


@dataclass
class Setting:
    """A company with an app, a platform and a client of each."""

    node: ApiNode
    endpoints: RegistryEndpoints
    clock: Clock
    company: str
    ids: dict[str, str] = field(default_factory=dict)

    async def write(self, kind: str, body: Any, object_id: str = "", action: str = "") -> Any:
        context = "" if kind == "companies" else f"?context={self.company}"
        path = f"/api/v1/{kind}{object_id and '/'}{object_id}{action and '/'}{action}{context}"
        return (await self.node.admin.ok("POST", path, body)).json

    async def endpoint(self, client: str, **more: Any) -> Any:
        body = {"client": self.ids[client], "endpointUrl": "https://hooks.example/e", **more}
        return await self.write("webhookendpoints", body)

    def told(self, type_: NoticeType = ADDED, app: str = "app") -> list[str]:
        return [target.endpoint for target in self.endpoints.of(known_id(Kind.APP, self.ids[app]), type_)]


@pytest.fixture
async def setting(tmp_path: Path) -> AsyncIterator[Setting]:
    clock = Clock()
    async with embedded_log(tmp_path) as log, api_node(log, clock) as node:
        vault = Vault(KEY.derive(b"secrets"))
        endpoints = RegistryEndpoints(node.registry, vault, lambda: clock.now_s() * 1_000, os.urandom)
        made = Setting(
            node, endpoints, clock, (await node.admin.ok("POST", "/api/v1/companies", {"name": "C"})).json["id"]
        )
        for name, kind in (("app", "apps"), ("other", "apps"), ("platform", "platforms")):
            made.ids[name] = (await made.write(kind, {"name": name}))["id"]
            client = await made.write("clients", {"name": name, "tenant": {"id": made.ids[name]}})
            made.ids[f"{name}'s"] = client["id"]
        yield made


async def test_endpoints_of_the_app(setting: Setting) -> None:
    """Those of its clients, for the types that they hear of; not another app's, nor a platform's."""
    every = await setting.endpoint("app's")
    one = await setting.endpoint("app's", eventTypes=["context.list.item_hidden"], ordered=True)
    await setting.endpoint("other's")
    await setting.endpoint("platform's")
    assert setting.told() == [every["id"]]
    assert set(setting.told("context.list.item_hidden")) == {every["id"], one["id"]}
    assert all(every["id"] in setting.told(type_) for type_ in NOTICE_TYPES)
    app = known_id(Kind.APP, setting.ids["app"])
    targets = {target.endpoint: target for target in setting.endpoints.of(app, "context.list.item_hidden")}
    assert (targets[one["id"]].ordered, targets[every["id"]].ordered) == (True, False)
    assert targets[one["id"]].version == VERSION
    await setting.write("clients", {"defaultVersion": "2026-11-01"}, setting.ids["app's"])
    assert {target.version for target in setting.endpoints.of(app, ADDED)} == {"2026-11-01"}


@pytest.mark.parametrize("what", ["webhookendpoints", "clients", "apps", "companies"])
@pytest.mark.parametrize("state", ["INACTIVE", "HIDDEN"])
async def test_what_is_switched_off(setting: Setting, what: str, state: str) -> None:
    """An endpoint, its client, its app and their company must all be ACTIVE, to be told and to be sent anything."""
    made = await setting.endpoint("app's")
    ids = {"webhookendpoints": made["id"], "clients": setting.ids["app's"], "apps": setting.ids["app"]}
    object_id = ids.get(what, setting.company)
    assert setting.told() == [made["id"]]
    assert setting.endpoints.find(made["id"]) is not None
    await setting.write(what, {"objectState": state}, object_id)
    assert (setting.told(), setting.endpoints.find(made["id"])) == ([], None)
    await setting.write(what, {"objectState": "ACTIVE"}, object_id)
    assert setting.told() == [made["id"]]


async def test_secrets(setting: Setting) -> None:
    """The one that is shown, and for 24 hours after a roll the one before it."""
    made = await setting.endpoint("app's")
    found = setting.endpoints.find(made["id"])
    assert found == ("https://hooks.example/e", [made["secret"]])
    rolled = await setting.write("webhookendpoints", {}, made["id"], "roll")
    found = setting.endpoints.find(made["id"])
    assert found is not None
    assert found.secrets == [rolled["secret"], made["secret"]]
    setting.clock.ahead_s += OVERLAP_MS / 1_000 + 1
    found = setting.endpoints.find(made["id"])
    assert found is not None
    assert found.secrets == [rolled["secret"]]
    assert setting.endpoints.find("nobody") is None


async def test_an_endpoint_that_is_gone_is_switched_off(setting: Setting) -> None:
    """As if somebody had done so; once, and it can be switched on again."""
    made = await setting.endpoint("app's")
    url = made["endpointUrl"]
    events = await setting.node.events()
    await setting.endpoints.disable(made["id"], f"{url}/earlier")  # it has moved since
    assert await setting.node.events() == events
    await setting.endpoints.disable(made["id"], url)
    events = await setting.node.events()
    await setting.endpoints.disable(made["id"], url)
    await setting.endpoints.disable("nobody", url)
    assert await setting.node.events() == events
    path = f"/api/v1/webhookendpoints/{made['id']}?context={setting.company}"
    shown = (await setting.node.admin.ok("GET", path)).json
    assert (shown["objectState"], shown["endpointUrl"], shown["updateUser"]["id"]) == (
        "INACTIVE",
        made["endpointUrl"],
        "service",
    )
    await setting.write("webhookendpoints", {"objectState": "ACTIVE"}, made["id"])
    assert setting.told() == [made["id"]]


async def test_a_secret_that_cannot_be_opened(setting: Setting) -> None:
    """Nothing is sent unsigned."""
    made = await setting.endpoint("app's")
    other = RegistryEndpoints(setting.node.registry, Vault(bytes(32)), lambda: 0, os.urandom)
    assert other.find(made["id"]) == (made["endpointUrl"], [])
    await other.caught_up()
