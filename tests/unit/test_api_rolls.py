"""Keys of clients that are rolled: what lets in, until when, and what may be known of them."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from service.api.clients import MAX_KEYS
from service.http.auth import authenticate
from service.http.problems import UnauthorizedError
from tests.support.api_listener import ApiNode, Clock, api_node, embedded_log
from tests.support.macs import new_macs
from tests.support.nodes import Answer

HOUR_S = 3_600


@dataclass
class Setting:
    """A client of an app, on a node whose clock can be put forward."""

    node: ApiNode
    clock: Clock
    company: str
    made: Any

    @property
    def path(self) -> str:
        return f"/api/v1/clients/{self.made['id']}"

    async def roll(self, body: Any, **more: Any) -> Answer:
        return await self.node.admin.call("POST", f"{self.path}/roll?context={self.company}", body, **more)

    async def rolled(self, key: str = "LIVE", **more: Any) -> Any:
        answer = await self.roll({"key": key, **more})
        assert answer.status == 200, answer.body
        return answer.json

    async def keys(self) -> Any:
        return (await self.node.admin.ok("GET", f"{self.path}?context={self.company}")).json["keys"]

    def lets_in(self, secret: str, node: ApiNode | None = None) -> bool:
        """Say whether a node takes this key, as one that may have taken it before."""
        header = b64encode(f"{self.made['clientId']}:{secret}".encode()).decode()
        try:
            authenticate((node or self.node).tenants, f"Basic {header}")
        except UnauthorizedError:
            return False
        return True


@pytest.fixture
async def setting(tmp_path: Path) -> AsyncIterator[Setting]:
    clock = Clock()
    async with embedded_log(tmp_path) as log, api_node(log, clock) as node:
        company = (await node.admin.ok("POST", "/api/v1/companies", {"name": "C"})).json["id"]
        app = (await node.admin.ok("POST", f"/api/v1/apps?context={company}", {"name": "A"})).json["id"]
        body = {"name": "K", "tenant": app}
        made = (await node.admin.ok("POST", f"/api/v1/clients?context={company}", body)).json
        yield Setting(node, clock, company, made)


@pytest.mark.parametrize(("more", "hours"), [({}, 24), ({"overlapHours": 72}, 72), ({"overlapHours": 1}, 1)])
@pytest.mark.parametrize(("kind", "name"), [("LIVE", "secretKey"), ("TEST", "testSecretKey")])
async def test_the_old_key_is_good_until_the_overlap_ends(
    setting: Setting, kind: str, name: str, more: Any, hours: int
) -> None:
    """A roll makes a key of its kind, shown once; the one before ends with the overlap, the other kind's never does."""
    rolled = await setting.rolled(kind, **more)
    other = {"LIVE": "testSecretKey", "TEST": "secretKey"}[kind]
    assert other not in rolled
    old, new = setting.made[name], rolled[name]
    assert new != old
    assert new.startswith(old[:-44])
    assert new.encode() not in (await setting.node.admin.ok("GET", f"{setting.path}?context={setting.company}")).body
    assert setting.lets_in(old)
    assert setting.lets_in(new)
    setting.clock.ahead_s = hours * HOUR_S - 60
    assert setting.lets_in(old)
    setting.clock.ahead_s = hours * HOUR_S + 60
    assert not setting.lets_in(old)
    assert setting.lets_in(new)
    assert setting.lets_in(setting.made[other])


async def test_an_overlap_of_nothing(setting: Setting) -> None:
    """With an overlap of 0 every older key of the kind ends at once, also one that an earlier roll had left."""
    first = await setting.rolled(overlapHours=72)
    second = await setting.rolled(overlapHours=0)
    assert not setting.lets_in(setting.made["secretKey"])
    assert not setting.lets_in(first["secretKey"])
    assert setting.lets_in(second["secretKey"])
    assert setting.lets_in(setting.made["testSecretKey"])
    assert [key["prefix"] for key in await setting.keys()] == [
        setting.made["testSecretKey"][:12],
        second["secretKey"][:7],
    ]


async def test_a_longer_overlap_does_not_lengthen_a_shorter_one(setting: Setting) -> None:
    """A key that is to end soon ends then, whatever later rolls say."""
    await setting.rolled(overlapHours=1)
    await setting.rolled(overlapHours=72)
    setting.clock.ahead_s = 2 * HOUR_S
    assert not setting.lets_in(setting.made["secretKey"])


async def test_what_may_be_known_of_rolled_keys(setting: Setting) -> None:
    """Each key is shown with its times; one that has ended is gone with the next roll."""
    rolled = await setting.rolled()
    test, old, new = sorted(await setting.keys(), key=lambda key: (key["kind"] == "LIVE", key["expires"] is None))
    assert rolled["keys"] == await setting.keys()
    assert (test["kind"], test["expires"]) == ("TEST", None)
    assert (old["prefix"], new["prefix"]) == (setting.made["secretKey"][:7], rolled["secretKey"][:7])
    assert old["created"] == setting.made["createTime"]
    assert new["created"] <= old["expires"]
    assert new["expires"] is None
    setting.clock.ahead_s = 25 * HOUR_S
    await setting.rolled("TEST")
    assert old not in await setting.keys()


async def test_several_keys_at_once(setting: Setting) -> None:
    """Rolls with overlaps leave several keys in force; there is a limit, and a way out of it."""
    rolled = [await setting.rolled() for _ in range(MAX_KEYS - 1)]
    secrets = [one["secretKey"] for one in (setting.made, *rolled)]
    assert all(map(setting.lets_in, secrets))
    answer = await setting.roll({"key": "LIVE"})
    assert answer.status == 409
    assert answer.json["errors"][0]["code"] == "error.client.keys"
    last = (await setting.rolled(overlapHours=0))["secretKey"]
    assert [secret for secret in [*secrets, last] if setting.lets_in(secret)] == [last]


async def test_rolls_at_once(setting: Setting) -> None:
    """Of rolls at the same time each makes a key, and none is lost."""
    made = await asyncio.gather(*(setting.rolled() for _ in range(6)))
    assert all(setting.lets_in(one["secretKey"]) for one in made)
    assert len(await setting.keys()) == 8


async def test_a_roll_holds_on_every_node(setting: Setting) -> None:
    """The keys, and when they end, are the same wherever a client calls."""
    async with api_node(setting.node.log, setting.clock) as other:
        rolled = await setting.rolled(overlapHours=1)
        await other.registry.catch_up()
        for ahead_s, old in ((0, True), (2 * HOUR_S, False)):
            setting.clock.ahead_s = ahead_s
            for node in (setting.node, other):
                assert setting.lets_in(setting.made["secretKey"], node) == old
                assert setting.lets_in(rolled["secretKey"], node)


async def test_nothing_is_left_of_a_key_that_has_ended(setting: Setting) -> None:
    """What signs with its secret goes with it."""
    count = new_macs()
    assert setting.lets_in(setting.made["secretKey"])
    assert setting.lets_in(setting.made["testSecretKey"])
    assert count() == 2
    await setting.rolled(overlapHours=0)
    assert not setting.lets_in(setting.made["secretKey"])
    assert setting.lets_in(setting.made["testSecretKey"])
    assert count() == 1


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({}, "required", "key"),
        ({"key": None}, "null", "key"),
        ({"key": "live"}, "choice", "key"),
        ({"key": "LIVE", "overlapHours": 73}, "range", "overlapHours"),
        ({"key": "LIVE", "overlapHours": -1}, "range", "overlapHours"),
        ({"key": "LIVE", "overlapHours": "1"}, "wrong.type", "overlapHours"),
        ({"key": "LIVE", "overlapHours": 1.5}, "wrong.type", "overlapHours"),
        ({"key": "LIVE", "overlapHours": None}, "null", "overlapHours"),
        ({"key": "LIVE", "more": 1}, "unknown", "more"),
    ],
)
async def test_broken_rolls(setting: Setting, body: Any, code: str, field: str) -> None:
    """What is no roll is refused, and changes nothing."""
    events = await setting.node.events()
    answer = await setting.roll(body)
    assert answer.status == 400
    (message,) = answer.json["errors"]
    assert (message["code"], message["params"]["field"]) == (f"error.field.{code}", field)
    assert await setting.node.events() == events


async def test_the_path_of_a_roll(setting: Setting) -> None:
    """A roll is a POST to a client that is there, in its company's context and in the version that is expected."""
    admin, path = setting.node.admin, f"{setting.path}/roll"
    for method in ("GET", "PUT", "DELETE", "PATCH"):
        answer = await admin.call(method, f"{path}?context={setting.company}", {"key": "LIVE"})
        assert (answer.status, answer.headers["Allow"]) == (405, "OPTIONS, POST")
    assert (await admin.call("OPTIONS", path)).headers["Allow"] == "OPTIONS, POST"
    assert (await admin.call("POST", path, {"key": "LIVE"})).status == 400
    other = (await admin.ok("POST", "/api/v1/companies", {"name": "D"})).json["id"]
    assert (await admin.call("POST", f"{path}?context={other}", {"key": "LIVE"})).status == 404
    absent = f"/api/v1/clients/absent/roll?context={setting.company}"
    assert (await admin.call("POST", absent, {"key": "LIVE"})).status == 404
    assert (await admin.call("POST", f"/api/v1/apps/x/roll?context={setting.company}", {"key": "LIVE"})).status == 404
    assert (await setting.roll({"key": "LIVE"}, headers={"If-Match": '"7"'})).status == 412
    assert (await setting.roll({"key": "LIVE"}, headers={"If-Match": '"1"'})).status == 200
