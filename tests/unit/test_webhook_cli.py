"""`upnext webhooks deliveries`, `show` and `resend`, against a node: what they print, what they do, how they end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from service.cli import main
from streams.domain.times import iso_ms
from tests.support.api_listener import ApiNode, api_node, embedded_log
from tests.support.deliveries import NOW_MS, DeliveriesWorld
from tests.support.nodes import ADMIN_TOKEN
from tests.support.people import put


@dataclass
class Setting:
    """A node, whose company has an endpoint with five deliveries, of which the first has failed."""

    node: ApiNode
    world: DeliveriesWorld
    events: list[str]

    async def run(self, *words: str, status: int = 0) -> Result:
        """Run a command in a thread, while the node answers it."""
        env = {"UPNEXT_URL": self.node.url, "UPNEXT_TOKEN": ADMIN_TOKEN}
        result = await asyncio.to_thread(CliRunner().invoke, main, ("webhooks", *words), env=env)
        assert result.exit_code == status, result.output
        return result

    async def listed(self, *words: str) -> list[str]:
        """Return the events of a list, newest first."""
        result = await self.run("deliveries", "--context", "acme", "-o", "json", *words)
        return [one["eventId"].removeprefix("evt_") for one in json.loads(result.stdout)]


@pytest.fixture
async def setting(tmp_path: Path) -> AsyncIterator[Setting]:
    world = DeliveriesWorld([0, 2], [1, 3], most=4)
    async with embedded_log(tmp_path / "log") as log, api_node(log, deliveries=world) as node:
        await node.admin.ok("POST", "/api/v1/companies/acme", {"name": "Acme"})
        await put(node, "webhookendpoints", "hooks", {}, company="acme")
        events = [await world.plan(number % 4, "hooks", at_ms=NOW_MS + number) for number in range(5)]
        await world.attempt(0, events[0], "hooks", "FAILED")
        yield Setting(node, world, events)


async def test_deliveries(setting: Setting) -> None:
    """A table for people, all fields for programs; what is left out is said."""
    result = await setting.run("deliveries", "--context", "acme")
    head, first, *rest = result.stdout.splitlines()
    assert head.split() == ["ID", "TIME", "ENDPOINT", "TYPE", "STATUS", "ATTEMPTS", "LAST", "NEXT"]
    assert first.split()[1:] == [
        *(iso_ms(NOW_MS + 4), "hooks", "context.list.item_hidden", "PENDING", "0", "-", iso_ms(NOW_MS + 4)),
    ]
    assert len(rest) == 3
    since = iso_ms(NOW_MS + 1)
    assert result.stderr == f"upnext: there are older ones: give --to {since}\n"
    newest = setting.events[::-1]
    assert await setting.listed() == newest[:4]
    assert await setting.listed("--to", since) == newest[4:]
    assert await setting.listed("--endpoint", "hooks", "--endpoint", "absent", "--limit", "2") == newest[:2]
    assert await setting.listed("--status", "failed") == [setting.events[0]]
    assert await setting.listed("--from", iso_ms(NOW_MS + 3), "--to", iso_ms(NOW_MS + 4)) == [setting.events[3]]
    cut = await setting.run("deliveries", "--context", "acme", "--limit", "3")
    assert cut.stderr == "upnext: there are more than these 3: give a larger --limit\n"
    failed = (await setting.run("deliveries", "--context", "acme", "--status", "FAILED")).stdout.splitlines()[1]
    assert failed.split()[4:] == ["FAILED", "1", "503", "-"]


async def test_show_and_resend_one(setting: Setting) -> None:
    """By its id."""
    result = await setting.run("deliveries", "--context", "acme", "--status", "FAILED", "-o", "json")
    (listed,) = json.loads(result.stdout)
    object_id = listed["id"]
    shown = await setting.run("show", object_id, "--context", "acme")
    assert yaml.safe_load(shown.stdout)["attempts"][0]["status"] == 503
    assert json.loads((await setting.run("show", object_id, "--context", "acme", "-o", "json")).stdout) == listed
    again = await setting.run("resend", object_id, "--context", "acme")
    assert again.stdout == f"sent again: {object_id}\n"
    assert await setting.listed("--status", "FAILED") == []
    absent = await setting.run("show", "absent", "--context", "acme", status=1)
    assert absent.stderr == "upnext: The node refuses with 404: WebhookDelivery absent not found.\n"


async def test_resend_all_of_some_time(setting: Setting) -> None:
    """All three are needed, and nothing beside."""
    times = ("--from", iso_ms(NOW_MS), "--to", iso_ms(NOW_MS + 3))
    again = await setting.run("resend", "--context", "acme", "--endpoint", "hooks", *times)
    assert again.stdout == "sent again: 3\n"
    for words in ((), ("x", "--endpoint", "hooks", *times), ("--endpoint", "hooks"), times, ("x", *times)):
        refused = await setting.run("resend", "--context", "acme", *words, status=2)
        assert "Name deliveries, or give --endpoint, --from and --to." in refused.stderr
