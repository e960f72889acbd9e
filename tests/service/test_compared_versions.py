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
from tests.support.nodes import ADMIN_TOKEN, Deployment, NodeProcess, item

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


async def built(node: NodeProcess) -> None:
    """Have the next version folded beside the live one."""
    headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
    async with aiohttp.ClientSession() as http, asyncio.timeout(30):
        async with http.post(f"{node.internal_url}/views/start", headers=headers) as answer:
            assert answer.status == 200, await answer.text()
        while True:
            async with http.get(f"{node.internal_url}/views") as answer:
                view = (await answer.json())["views"][-1]
            if view["isWhole"] and not view["unserved"] and not view["lag"]:
                return
            await asyncio.sleep(0.1)


async def compared(made: Path, directory: Path, **env: str) -> tuple[int, dict[str, Any], str]:
    """Have a node fold the next version in a copy of *made*; return its comparison: exit status, answer, words."""
    shutil.copytree(made, directory)
    async with NodeProcess(directory, *FLAGS, env=env) as node:
        await built(node)
        done = await upnext(node, "rebuild", "compare", "--json", "--url", node.internal_url)
        assert node.terminate() == 0, node.tail()
    return done.returncode, json.loads(done.stdout), done.stderr


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
    status, said, words = await compared(made, tmp_path / "wrong", **{VARIABLE: bug.name})
    assert status == 1, said
    assert "lists differ" in words
    shown = {
        (name, event["type"])
        for one in said["differences"]
        for name, events in [(one["what"], one["events"]), *((of["contentId"], of["events"]) for of in one["items"])]
        for event in events
    }
    assert any(bug.shows in name and event == bug.event for name, event in shown), json.dumps(said, indent=1)
