"""Damaged lists are found, and repaired while publishers write and platforms read."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from streams.domain.ids import ContextId, Kind, SessionId, known_id
from tests.service.conftest import Connect, OwnNode, Pair, make_pair
from tests.support.harm import harm_context, harm_session
from tests.support.nodes import ADMIN_TOKEN, NodeProcess, item

ITEMS = 40


async def upnext(node: NodeProcess, *arguments: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        *(str(Path(sys.executable).with_name("upnext")), *arguments, "--url", node.internal_url),
        env={**os.environ, "UPNEXT_ADMIN_TOKEN": ADMIN_TOKEN},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), 60)
    print(said.decode())
    return process.returncode, said.decode()


async def audited(node: NodeProcess) -> tuple[int | None, str]:
    return await upnext(node, "audit", "--all", "--rate", "1000")


def harm(node: NodeProcess, pair: Pair) -> None:
    harm_context(node.directory, ContextId(known_id(Kind.CONTEXT, pair.context)))
    harm_session(node.directory, SessionId(known_id(Kind.SESSION, pair.session)))


class Writer:
    """Writes items of a context one after the other, and reads both lists after each: no read fails."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.titles: dict[str, str] = {}
        """Content id → title of what was acknowledged, oldest first."""
        self.position = ""
        self.written = 0

    async def write(self, content_id: str) -> None:
        title = f"Title {self.written} of {content_id}"
        self.written += 1
        written = await self.pair.app.ok("PUT", self.pair.context_path, item(content_id, title=title))
        self.titles.pop(content_id, None)
        self.titles[content_id] = title
        self.position = written.position

    async def read(self, after: str = "") -> list[list[dict[str, Any]]]:
        """Return the items of the context's list, and of the session's."""
        pair = self.pair
        lists = (pair.app, pair.context_path), (pair.platform, pair.session_path)
        return [(await who.ok("GET", f"{path}?limit=200", after=after)).json["items"] for who, path in lists]

    async def go_on(self, until: asyncio.Event) -> None:
        while not until.is_set():
            await self.write(f"busy{self.written % 7}")
            await self.read(self.position)

    async def check(self) -> None:
        expected = list(self.titles.items())[::-1]
        for items in await self.read(self.position):
            assert [(one["content_id"], one["title"]) for one in items] == expected


async def made(own_node: OwnNode, connect: Connect) -> Writer:
    pair = await make_pair(connect(own_node.node))
    await pair.attach()
    writer = Writer(pair)
    for n in range(ITEMS):
        await writer.write(f"c{n:02}")
    await writer.check()
    return writer


async def test_repaired_while_in_use(own_node: OwnNode, connect: Connect) -> None:
    """An audit finds both lists and says what repairs them; a dry run changes nothing; then both are right."""
    node = own_node.node
    await node.start()
    writer = await made(own_node, connect)
    pair = writer.pair
    assert node.terminate() == 0
    harm(node, pair)
    await node.start()

    status, said = await audited(node)
    assert status == 1
    assert f"upnext context repair {pair.context}" in said
    assert f"upnext session repair --contexts {pair.session}" in said
    status, said = await upnext(node, "context", "repair", pair.context, "--dry-run")
    assert status == 1
    for name, what in (
        ("c39", "is in the log, and was not here"),
        ("c38", "was in another place"),
        ("c00", "was another"),
        ("ghost", "is not in the log, and was here"),
    ):
        assert f"{name} of {pair.context} {what}\n" in said
    status, said = await upnext(node, "session", "repair", pair.session, "--dry-run")
    assert (status, "ghost" in said) == (1, True)
    assert (await audited(node))[0] == 1

    tags = [
        (await who.ok("GET", path)).headers["ETag"]
        for who, path in ((pair.app, pair.context_path), (pair.platform, pair.session_path))
    ]
    repaired = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(writer.go_on(repaired))
        before = writer.written
        status, said = await upnext(node, "session", "repair", "--contexts", pair.session)
        assert status == 0, said
        assert "was repaired" in said
        while writer.written < before + 5:
            await asyncio.sleep(0.01)
        repaired.set()
    await writer.check()
    for tag, (who, path) in zip(tags, ((pair.app, pair.context_path), (pair.platform, pair.session_path)), strict=True):
        assert (await who.call("GET", path, headers={"If-None-Match": tag})).status == 200
    status, said = await audited(node)
    assert status == 0, said
    for what in ("context", "session"):
        status, said = await upnext(node, what, "repair", getattr(pair, what))
        assert (status, "is what its events give" in said) == (0, True)
    async with pair.deployment.http.get(f"{node.internal_url}/metrics") as answer:
        metrics = await answer.text()
    for of in ("context", "session"):
        for outcome in ("repaired", "unchanged"):
            assert f'upnext_repairs_total{{of="{of}",outcome="{outcome}"}} 1.0' in metrics

    # And what a node has that restores its tables from the changelogs.
    assert node.terminate() == 0
    shutil.rmtree(node.directory / "tables")
    await node.start()
    await writer.check()
    assert (await audited(node))[0] == 0


@pytest.mark.long
async def test_a_node_that_dies_while_it_repairs(own_node: OwnNode, connect: Connect) -> None:
    """Whenever it is killed: what was not repaired is found again, and is repaired by the next attempt."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    node = own_node.node
    await node.start()
    writer = await made(own_node, connect)
    pair = writer.pair
    for _ in range(4):
        assert node.terminate() == 0
        harm(node, pair)
        await node.start()
        repairing = asyncio.create_task(upnext(node, "session", "repair", "--contexts", pair.session))
        await asyncio.sleep(chance.uniform(0.3, 1.2))  # until it is killed
        node.kill()
        await repairing
        await node.start()
        status, said = await upnext(node, "session", "repair", "--contexts", pair.session)
        assert status == 0, said
        await writer.write("again")
        await writer.check()
        status, said = await audited(node)
        assert status == 0, said


async def test_who_may_repair_what(own_node: OwnNode, connect: Connect) -> None:
    """Only the super user, and only what there may be."""
    async with own_node.node as node:
        pair = await make_pair(connect(node))
        http = pair.deployment.http
        bearer = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
        for path, headers, status in (
            (f"context?of={pair.context}", {}, 401),
            (f"context?of={pair.context}", bearer, 200),
            (f"session?of={pair.context}", bearer, 404),
            (f"webhook?of={pair.context}", bearer, 404),
            (f"session?of={pair.session}&dry_run=maybe", bearer, 400),
            (f"session?of={pair.session}&view=upnext-v9", bearer, 404),
            (f"session?of={pair.session}&view=upnext-v1", bearer, 200),
        ):
            async with http.post(f"{node.internal_url}/repair/{path}", headers=headers) as answer:
                assert answer.status == status, path
        assert node.terminate() == 0
