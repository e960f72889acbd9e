"""What a fold with a bug in it has left in the tables is found by a node without it."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from tests.service.conftest import Connect, OwnNode, make_pair
from tests.support.bugs import VARIABLE
from tests.support.nodes import ADMIN_TOKEN, NodeProcess, item


async def audited(node: NodeProcess) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        *(str(Path(sys.executable).with_name("upnext")), "audit", "--all", "--rate", "1000"),
        *("--url", node.internal_url),
        env={**os.environ, "UPNEXT_ADMIN_TOKEN": ADMIN_TOKEN},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, said.decode()


async def test_a_fold_that_was_wrong(own_node: OwnNode, connect: Connect) -> None:
    """Both lists that it has made are named, with the item, and the exit status is 1; those of others are not."""
    wrong = own_node.another("wrong", **{VARIABLE: "hidden-forgotten"})
    async with wrong:
        pair = await make_pair(connect(wrong))
        attached = await pair.attach()
        await pair.app.ok("PUT", pair.context_path, item("kept"))
        written = await pair.app.ok("PUT", pair.context_path, item("forgotten"))
        hide = {"content_id": "forgotten", "action": "hide"}
        path = f"{pair.session_path}/{pair.context}"
        await pair.platform.ok("PUT", path, hide, after=f"{attached},{written.position}")
        again = await pair.app.ok("PUT", pair.context_path, item("forgotten"))
        other = await make_pair(pair.deployment)
        fine = await other.app.ok("PUT", other.context_path, item("fine"))
        await pair.platform.ok("GET", pair.session_path, after=again.position)
        await other.app.ok("GET", other.context_path, after=fine.position)
        status, said = await audited(wrong)
        assert status == 0, said
        assert wrong.terminate() == 0
    async with own_node.node as node:
        status, said = await audited(node)
        assert status == 1, said
        found = {line.split(":")[0] for line in said.splitlines() if "served, and not in the log" in line}
        assert found == {pair.context, pair.session}, said
        assert "'forgotten'" in said
        assert "'kept'" not in said
        assert node.terminate() == 0
