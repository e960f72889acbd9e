"""When a client's keys were last used: by the hour, from whichever node saw it, and without a write for each call."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from service.adapters.tenants import RegistryTenants
from service.api.key_uses import KeyUses
from streams.domain.errors import LogUnavailableError
from streams.log.embedded import EmbeddedLog
from streams.log.port import Appended
from streams.topics import REGISTRY_EVENTS
from tests.support.api_listener import ApiNode, Clock, api_node, embedded_log

HOUR_S = 3_600


class Away(EmbeddedLog):
    """The embedded log, which a test can have take no events of the registry."""

    is_away = False

    async def append(self, topic: str, partition: int, key: bytes, value: bytes | None) -> Appended:
        if self.is_away and topic == REGISTRY_EVENTS:
            raise LogUnavailableError("away")
        return await super().append(topic, partition, key, value)


class Tenants:
    """A node's tenants, and what notes the uses of their keys."""

    def __init__(self, node: ApiNode, clock: Clock) -> None:
        self.uses = KeyUses(node.registry, clock.now_s, os.urandom)
        self.tenants = RegistryTenants(node.registry, None, clock.now_s, self.uses.note)


@dataclass
class Setting:
    """Two nodes of one deployment, and a client."""

    log: Away
    nodes: list[ApiNode]
    tenants: list[Tenants]
    clock: Clock
    path: str
    made: Any

    async def call(self, number: int = 0, key: str = "secretKey") -> None:
        """Have the client call one of the nodes."""
        await self.nodes[number].registry.catch_up()
        assert self.tenants[number].tenants.authenticate(self.made["clientId"], self.made[key]) is not None

    async def write(self, *numbers: int) -> int:
        """Have nodes write down what they saw; return how many events that were."""
        before = await self.nodes[0].events()
        for number in numbers:
            await self.nodes[number].registry.catch_up()
            await self.tenants[number].uses.write()
        return await self.nodes[0].events() - before

    async def shown(self) -> Any:
        return (await self.nodes[0].admin.ok("GET", self.path)).json

    async def used(self) -> dict[str, str | None]:
        await self.nodes[0].registry.catch_up()
        return {key["kind"]: key["lastUsed"] for key in (await self.shown())["keys"]}


@pytest.fixture
async def setting(tmp_path: Path) -> AsyncIterator[Setting]:
    clock = Clock()
    # At the beginning of an hour, whenever the test runs.
    clock.ahead_s = HOUR_S - clock.now_s() % HOUR_S
    async with (
        embedded_log(tmp_path, Away) as log,
        api_node(log, clock) as node,
        api_node(log, clock) as other,
    ):
        company = (await node.admin.ok("POST", "/api/v1/companies", {"name": "C"})).json["id"]
        context = f"?context={company}"
        app = (await node.admin.ok("POST", f"/api/v1/apps{context}", {"name": "A"})).json["id"]
        made = (await node.admin.ok("POST", f"/api/v1/clients{context}", {"name": "K", "tenant": app})).json
        tenants = [Tenants(one, clock) for one in (node, other)]
        assert isinstance(log, Away)
        yield Setting(log, [node, other], tenants, clock, f"/api/v1/clients/{made['id']}{context}", made)


def hour_of(text: str | None) -> int:
    assert text is not None
    assert text.endswith(":00:00.000Z")
    return int(text[11:13])


async def test_the_hour_is_written_once(setting: Setting) -> None:
    """However often a key is used in an hour, and on however many nodes, there is one event for it."""
    assert await setting.used() == {"LIVE": None, "TEST": None}
    assert await setting.write(0, 1) == 0
    for _ in range(5):
        await setting.call(0)
        await setting.call(1)
    assert await setting.write(0, 1) == 1
    await setting.call(0)
    await setting.call(1)
    assert await setting.write(0, 1, 0) == 0
    used = await setting.used()
    assert used["TEST"] is None
    first = hour_of(used["LIVE"])
    setting.clock.ahead_s += HOUR_S
    await setting.call(1)
    await setting.call(1, "testSecretKey")
    assert await setting.write(1, 0) == 1
    assert [hour_of(when) for when in (await setting.used()).values()] == [(first + 1) % 24] * 2


async def test_the_client_itself_is_not_changed(setting: Setting) -> None:
    """A use makes no version and no history of the client; what was read before it can be given back."""
    before = await setting.shown()
    await setting.call()
    assert await setting.write(0) == 1
    after = await setting.shown()
    assert after["keys"] != before["keys"]
    assert {**after, "keys": None} == {**before, "keys": None}
    admin, events = setting.nodes[0].admin, await setting.nodes[0].events()
    for given in (before, after):
        assert (await admin.ok("PUT", setting.path, given)).json == after
    broken = {**after, "keys": [{**key, "prefix": "other"} for key in after["keys"]]}
    assert (await admin.call("PUT", setting.path, broken)).status == 400
    assert await setting.nodes[0].events() == events
    history = await admin.ok("GET", setting.path.replace("?", "/events?"))
    assert history.json["totalCount"] == 1


async def test_keys_that_are_gone_are_forgotten(setting: Setting) -> None:
    """A key that was rolled away takes its last use with it; the new one was not used yet."""
    await setting.call()
    await setting.call(0, "testSecretKey")
    await setting.write(0)
    roll = setting.path.replace("?", "/roll?")
    rolled = (await setting.nodes[0].admin.ok("POST", roll, {"key": "LIVE", "overlapHours": 0})).json
    assert (await setting.used())["LIVE"] is None
    setting.made["secretKey"] = rolled["secretKey"]
    setting.clock.ahead_s += HOUR_S
    await setting.call()
    assert await setting.write(0) == 1
    uses = setting.nodes[0].registry.state.find("keyuses", setting.made["id"])
    assert uses is not None
    assert len(uses.fields) == 2
    used = await setting.used()
    assert hour_of(used["LIVE"]) == (hour_of(used["TEST"]) + 1) % 24


async def test_what_cannot_be_written_now_is_written_later(setting: Setting) -> None:
    """While the log takes nothing, uses are kept; they are written when it does."""
    setting.log.is_away = True
    await setting.call()
    assert await setting.write(0) == 0
    setting.log.is_away = False
    assert await setting.write(0) == 1
    assert (await setting.used())["LIVE"] is not None
