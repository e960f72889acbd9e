"""Clients: secrets that are shown once, and what they let in."""

from __future__ import annotations

import gc
import hashlib
import hmac
import re
from base64 import b64encode
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from service.adapters.tenants import RegistryTenants
from service.http.auth import authenticate
from service.http.problems import UnauthorizedError
from service.ports import Client
from streams.domain.ids import AppId, Kind, known_id
from streams.topics import REGISTRY_EVENTS
from tests.support.api_listener import ApiNode, api_node, embedded_log
from tests.support.nodes import Caller


@dataclass
class Setting:
    """A company with an app and a platform."""

    node: ApiNode
    company: str
    app: str
    platform: str

    async def make(self, tenant: Any, **more: Any) -> Any:
        body = {"name": "K", "tenant": tenant, **more}
        return (await self.node.admin.ok("POST", f"/api/v1/clients?context={self.company}", body)).json

    async def set_state(self, what: str, object_id: str, state: str) -> None:
        context = "" if what == "companies" else f"?context={self.company}"
        await self.node.admin.ok("POST", f"/api/v1/{what}/{object_id}{context}", {"objectState": state})

    async def error(self, path: str, body: Any, status: int) -> Any:
        answer = await self.node.admin.call("POST", path, body)
        assert answer.status == status, answer.body
        return answer.json["errors"]


@pytest.fixture
async def setting(tmp_path: Path) -> AsyncIterator[Setting]:
    async with embedded_log(tmp_path) as log, api_node(log) as node:
        company = (await node.admin.ok("POST", "/api/v1/companies", {"name": "C"})).json["id"]
        app = (await node.admin.ok("POST", f"/api/v1/apps?context={company}", {"name": "A"})).json["id"]
        platform = (await node.admin.ok("POST", f"/api/v1/platforms?context={company}", {"name": "P"})).json["id"]
        yield Setting(node, company, app, platform)


async def test_secrets_are_shown_once(setting: Setting) -> None:
    """The keys of a new client are long, random and answered once; afterwards nothing knows them."""
    made, other = await setting.make(setting.app), await setting.make(setting.app)
    assert re.fullmatch("[0-9a-f]{16}", made["clientId"])
    assert re.fullmatch(r"sk_[A-Za-z0-9_-]{44}", made["secretKey"])
    assert re.fullmatch(r"test_sk_[A-Za-z0-9_-]{44}", made["testSecretKey"])
    assert len({made["secretKey"][3:], made["testSecretKey"][8:], other["secretKey"][3:]}) == 3
    path = f"/api/v1/clients/{made['id']}?context={setting.company}"
    for answer in (
        await setting.node.admin.ok("GET", path),
        await setting.node.admin.ok("PUT", path, {"name": "Other"}),
        await setting.node.admin.ok("GET", f"/api/v1/clients?context={setting.company}"),
    ):
        assert made["secretKey"][8:].encode() not in answer.body
        assert made["testSecretKey"][12:].encode() not in answer.body
        assert hashlib.sha256(made["secretKey"].encode()).hexdigest().encode() not in answer.body


async def test_secrets_are_not_in_the_log(setting: Setting) -> None:
    """The log holds hashes of keys and no keys."""
    made = await setting.make(setting.app)
    log, end = setting.node.log, await setting.node.events()
    chunks = [chunk async for chunk in log.read(REGISTRY_EVENTS, 0, 0, end)]
    whole = b"".join(record.value or b"" for chunk in chunks for record in chunk.records)
    assert hashlib.sha256(made["secretKey"].encode()).hexdigest().encode() in whole
    for name in ("secretKey", "testSecretKey"):
        assert made[name][12:].encode() not in whole


async def test_what_may_be_known_of_keys(setting: Setting) -> None:
    """A key is known by its prefix, its kind and its times."""
    made = await setting.make(setting.app)
    times = {"created": made["createTime"], "expires": None, "lastUsed": None}
    assert made["keys"] == [
        {"prefix": made["secretKey"][:7], "kind": "LIVE", **times},
        {"prefix": made["testSecretKey"][:12], "kind": "TEST", **times},
    ]


async def test_secrets_cannot_be_chosen(setting: Setting) -> None:
    """Keys and client ids are made by the service alone."""
    path = f"/api/v1/clients?context={setting.company}"
    for name in ("secretKey", "testSecretKey", "clientId", "keys"):
        body = {"name": "K", "tenant": setting.app, name: "chosen"}
        (message,) = await setting.error(path, body, 400)
        assert (message["code"], message["params"]) == ("error.field.read.only", {"field": name})


async def test_tenants_as_links(setting: Setting) -> None:
    """A tenant is given by its id, alone or in an object, and answered as a link."""
    for kind, tenant in (("apps", setting.app), ("platforms", setting.platform)):
        link = {"id": tenant, "url": f"/api/v1/{kind}/{tenant}"}
        for given in (tenant, {"id": tenant}, link):
            assert (await setting.make(given))["tenant"] == link


async def test_a_tenant_is_required_and_stays(setting: Setting) -> None:
    """A client has one tenant, for ever."""
    path = f"/api/v1/clients?context={setting.company}"
    (message,) = await setting.error(path, {"name": "K"}, 400)
    assert (message["code"], message["params"]["field"]) == ("error.field.required", "tenant")
    broken_tenants: list[object] = [1, None, {}, {"id": 1}, [], "a b", {"url": "/api/v1/apps/x"}]
    for broken in broken_tenants:
        (message,) = await setting.error(path, {"name": "K", "tenant": broken}, 400)
        assert message["params"]["field"] == "tenant"
    made = await setting.make(setting.app)
    one = f"/api/v1/clients/{made['id']}?context={setting.company}"
    (message,) = await setting.error(one, {"tenant": setting.platform}, 400)
    assert message["code"] == "error.field.immutable"


async def test_a_tenant_that_is_not_there(setting: Setting) -> None:
    """A client refers to an app or platform of its own company that is there and not HIDDEN."""
    admin = setting.node.admin
    other = (await admin.ok("POST", "/api/v1/companies", {"name": "D"})).json["id"]
    foreign = (await admin.ok("POST", f"/api/v1/apps?context={other}", {"name": "A"})).json["id"]
    hidden = (await admin.ok("POST", f"/api/v1/apps?context={setting.company}", {"name": "H"})).json["id"]
    await setting.set_state("apps", hidden, "HIDDEN")
    events = await setting.node.events()
    for tenant in ("absent", foreign, hidden, setting.company):
        path = f"/api/v1/clients?context={setting.company}"
        (message,) = await setting.error(path, {"name": "K", "tenant": {"id": tenant}}, 400)
        assert message == {
            "type": "ErrorMessage",
            "code": "error.referenced.object.not.found",
            "text": "Referenced object {{type}} {{id}} not found",
            "params": {"type": "App or Platform", "id": tenant, "field": "tenant"},
        }
    assert await setting.node.events() == events


async def test_a_client_whose_tenant_was_hidden(setting: Setting) -> None:
    """What was referred to before stays; the client can be read and changed, and says what keeps it from working."""
    made = await setting.make(setting.app)
    assert "validationWarnings" not in made
    await setting.set_state("apps", setting.app, "HIDDEN")
    path = f"/api/v1/clients/{made['id']}?context={setting.company}"
    shown = (await setting.node.admin.ok("GET", path)).json
    (warning,) = shown["validationWarnings"]
    assert (warning["type"], warning["code"]) == ("ValidationWarningMessage", "warning.client.tenant.not.active")
    assert (await setting.node.admin.ok("PUT", path, {**shown, "name": "Other"})).json["name"] == "Other"


async def test_a_change_holds_at_once(setting: Setting) -> None:
    """An INACTIVE or HIDDEN client, tenant or company cannot authenticate from the answer on, and can again later."""
    made = await setting.make(setting.app)
    caller = _caller(setting.node, made)
    assert (await caller.call("GET", "/v1")).json["app_id"] == setting.app
    parts = (("clients", made["id"]), ("apps", setting.app), ("companies", setting.company))
    for what, object_id in parts:
        for state in ("INACTIVE", "HIDDEN"):
            await setting.set_state(what, object_id, state)
            assert (await caller.call("GET", "/v1")).status == 401, what
            await setting.set_state(what, object_id, "ACTIVE")
            assert (await caller.call("GET", "/v1")).status == 200, what


def _caller(node: ApiNode, made: Any) -> Caller:
    pair = f"{made['clientId']}:{made['secretKey']}".encode()
    return Caller(node.http, node.url, {"Authorization": f"Basic {b64encode(pair).decode()}"})


async def test_authentication(setting: Setting) -> None:
    """A client is known by its id and any of its keys, and by nothing else."""
    app, platform = await setting.make(setting.app), await setting.make(setting.platform)
    tenants = RegistryTenants(setting.node.registry)
    raw_app, raw_platform = known_id(Kind.APP, setting.app), known_id(Kind.PLATFORM, setting.platform)
    for _ in range(2):
        found = tenants.authenticate(app["clientId"], app["secretKey"])
        assert found is not None
        assert found == Client(app["clientId"], Kind.APP, raw_app, live=True, mac=found.mac)
        found = tenants.authenticate(platform["clientId"], platform["testSecretKey"])
        assert found is not None
        assert found == Client(platform["clientId"], Kind.PLATFORM, raw_platform, live=False, mac=found.mac)
        for client_id, secret in (
            (app["clientId"], platform["secretKey"]),
            (app["clientId"], app["secretKey"] + "x"),
            (app["clientId"], app["secretKey"][:-1]),
            (app["clientId"], ""),
            (app["clientId"], "\ud800"),
            (app["id"], app["secretKey"]),
            ("0" * 16, app["secretKey"]),
            ("", ""),
        ):
            assert tenants.authenticate(client_id, secret) is None


async def test_secrets_are_not_in_memory(setting: Setting) -> None:
    """What a client shows, good or not, is nowhere once it is answered, also where it signs: only hashes are."""
    made = await setting.make(setting.app)
    tenants = RegistryTenants(setting.node.registry)
    good, message = made["secretKey"], b"signed"
    signed = hmac.digest(good.encode(), message, "sha256")

    def call(scheme: str, secret: str) -> bool:
        pair = f"{made['clientId']}:{secret}"
        try:
            client = authenticate(tenants, f"{scheme} {b64encode(pair.encode()).decode()}")
        except UnauthorizedError:
            return False
        return client.mac is not None and client.mac.of(message) == signed

    shown = (("Basic", good, True), ("Basic", good, True), ("Basic", good + "x", False), ("Bearer", good, False))
    pairs = (f"{made['clientId']}:{secret}" for _, secret, _ in shown)
    traces = [good, *(b64encode(pair.encode()).decode() for pair in pairs)]
    before = _with_any(traces)
    for scheme, secret, is_good in shown:
        assert call(scheme, secret) is is_good
    assert _with_any(traces) == before


def _with_any(traces: Collection[str]) -> int:
    """Return how many texts and bytes, of all that the process has, have one of *traces* in them."""
    gc.collect()
    shortest = min(map(len, traces))
    found: set[int] = set()
    seen: set[int] = set()
    left = gc.get_objects()
    while left:
        for held in gc.get_referents(left.pop()):
            if isinstance(held, str | bytes):
                if len(held) < shortest:
                    continue
                text = held if isinstance(held, str) else held.decode("latin-1")
                if any(trace in text for trace in traces):
                    found.add(id(held))
            elif isinstance(held, tuple | dict) and not gc.is_tracked(held) and id(held) not in seen:
                seen.add(id(held))  # the collector leaves alone what holds texts only
                left.append(held)
    return len(found)


async def test_apps(setting: Setting) -> None:
    """An app is one while it and its company are ACTIVE."""
    tenants = RegistryTenants(setting.node.registry)
    app, stranger = AppId(known_id(Kind.APP, setting.app)), AppId(bytes(17))
    assert tenants.is_app(app)
    assert not tenants.is_app(stranger)
    assert not tenants.is_app(AppId(known_id(Kind.PLATFORM, setting.platform)))
    await setting.set_state("apps", setting.app, "INACTIVE")
    assert not tenants.is_app(app)
    await setting.set_state("apps", setting.app, "ACTIVE")
    await setting.set_state("companies", setting.company, "INACTIVE")
    assert not tenants.is_app(app)
