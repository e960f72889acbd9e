"""A fold that is not what it was is found by comparing the version that it has made with the live one."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.service.conftest import Pair, make_pair
from tests.service.test_rebuilt_tables import upnext
from tests.support.bugs import VARIABLE
from tests.support.fold_bugs import FOLD_BUGS, FoldBug
from tests.support.kafka import Broker
from tests.support.nodes import Deployment, NodeProcess, item
from tests.support.switches import ask_views, until_built

FLAGS = ("--partitions", "2")


async def a_bit_of_everything(pair: Pair) -> None:
    """Have a context and two sessions in which each rule of the folds has made a difference."""
    app, platform = pair.app, pair.platform
    attached = await pair.attach()
    for name in ("left-out", "removed"):
        await app.ok("PUT", pair.context_path, item(name))
    await app.ok("DELETE", f"{pair.context_path}/removed")
    body = {"items": [item(name) for name in ("removed", "second", "hidden-once")]}
    await app.ok("PUT", f"{pair.context_path}/items", body)
    await app.ok("DELETE", f"{pair.context_path}/removed")
    written = await app.ok("PUT", pair.context_path, item("hidden"))
    for name in ("hidden", "hidden-once"):
        hide = {"content_id": name, "action": "hide"}
        path = f"{pair.session_path}/{pair.context}"
        await platform.ok("PUT", path, hide, after=f"{attached},{written.position}")
    await app.ok("PUT", pair.context_path, item("hidden", title="Another"))
    for ends in (f"/{pair.context}", ""):
        session = (await platform.ok("POST", "/v1/sessions")).json["session_id"]
        attach = {"app_id": app.tenant, "context_id": pair.context}
        await platform.ok("PUT", f"/v1/sessions/upnext/{session}", attach)
        await platform.ok("DELETE", f"/v1/sessions/upnext/{session}{ends}")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a node that is off, and has folded everything as it should."""
    directory = tmp_path_factory.mktemp("made") / "node"

    async def make() -> None:
        async with NodeProcess(directory, *FLAGS) as node, aiohttp.ClientSession() as http:
            await a_bit_of_everything(await make_pair(Deployment(node, http)))
            assert node.terminate() == 0, node.tail()

    asyncio.run(make())
    return directory


async def compared(made: Path, directory: Path, **env: str) -> tuple[int, dict[str, Any], str]:
    """Have a node fold the next version in a copy of *made*; return its comparison: exit status, answer, words."""
    shutil.copytree(made, directory)
    async with NodeProcess(directory, *FLAGS, env=env) as node:
        await ask_views(node, "start")
        await until_built(node, "upnext-v2", 30)
        found = await compared_at(node)
        assert node.terminate() == 0, node.tail()
    return found


async def compared_at(node: NodeProcess) -> tuple[int, dict[str, Any], str]:
    """Have both versions compared; return exit status, answer, words."""
    done = await upnext(node, "rebuild", "compare", "--json", "--url", node.internal_url)
    return done.returncode, json.loads(done.stdout), done.stderr


def is_found(bug: FoldBug, status: int, said: dict[str, Any], words: str) -> None:
    """Check that a comparison has found a bug, and shows an event that made the difference."""
    assert status == 1, said
    assert "lists differ" in words
    shown = {
        (name, event["type"])
        for one in said["differences"]
        for name, events in [(one["what"], one["events"]), *((of["contentId"], of["events"]) for of in one["items"])]
        for event in events
    }
    assert any(bug.shows in name and event == bug.event for name, event in shown), json.dumps(said, indent=1)


@pytest.mark.timeout(60)
async def test_the_same_fold(made: Path, tmp_path: Path) -> None:
    """Nothing differs, byte for byte."""
    status, said, words = await compared(made, tmp_path / "same")
    assert (status, said["differences"]) == (0, []), (said, words)
    assert all(len(set(part["digests"].values())) == 1 for part in said["partitions"])


@pytest.mark.timeout(60)
@pytest.mark.parametrize("bug", FOLD_BUGS.values(), ids=FOLD_BUGS.keys())
async def test_a_fold_with_a_bug(bug: FoldBug, made: Path, tmp_path: Path) -> None:
    """What it has made of the events that were folded without it is found, and shown with an event that did it."""
    is_found(bug, *await compared(made, tmp_path / "wrong", **{VARIABLE: bug.name}))


@pytest.mark.kafka
@pytest.mark.timeout(180)
async def test_folds_with_bugs_on_kafka(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    """One in the contexts' table, one in the sessions': found there, too, where a node of its own builds a version."""
    with Broker(tmp_path / "broker") as broker:
        async with NodeProcess(tmp_path / "live", *FLAGS, kafka=broker.bootstrap) as live:
            await a_bit_of_everything(await make_pair(Deployment(live, http)))
            for n, bug in enumerate((FOLD_BUGS["put-shows-again"], FOLD_BUGS["detach-ignored"]), 2):
                flags = (*FLAGS, "--roles", "streams", "--view", f"v{n}")
                await ask_views(live, "start")
                builder = NodeProcess(tmp_path / bug.name, *flags, kafka=live.kafka, env={VARIABLE: bug.name})
                async with builder:
                    await until_built(live, f"upnext-v{n}")
                    is_found(bug, *await compared_at(live))
                    assert builder.terminate() == 0, builder.tail()
                await ask_views(live, "drop", view=f"upnext-v{n}")
            assert live.terminate() == 0, live.tail()
