"""A disk that said that it had synced, and had not: a node that has more than its log says so, and serves nothing."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from tests.service.conftest import Connect, make_pair
from tests.support.nodes import NodeProcess, item

LIMIT_S = 60.0


async def test_tables_that_are_ahead_of_the_log_are_noticed(tmp_path: Path, connect: Connect) -> None:
    """The log has lost its end, and the tables have not: the node says so and ends, until the log has what it had."""
    node = NodeProcess(tmp_path / "node", "--partitions", "1")
    log, earlier, later = node.directory / "log", tmp_path / "earlier", tmp_path / "later"
    try:
        await node.start()
        pair = await make_pair(connect(node))
        await pair.app.ok("PUT", pair.context_path, item("synced"))
        assert node.terminate() == 0, node.tail()
        shutil.copytree(log, earlier)
        await node.start()
        written = await pair.app.ok("PUT", pair.context_path, item("never on the disk"))
        before = await pair.app.ok("GET", pair.context_path, after=written.position)
        assert node.terminate() == 0, node.tail()
        log.rename(later)
        shutil.copytree(earlier, log)
        status = await asyncio.to_thread(node.spawn().wait, LIMIT_S)
        assert status in (1, 70), node.tail()
        assert "lost" in node.tail().strip().splitlines()[-1], node.tail()
        shutil.rmtree(log)
        later.rename(log)
        await node.start()
        assert (await pair.app.ok("GET", pair.context_path, after=written.position)).body == before.body
        assert node.terminate() == 0, node.tail()
    finally:
        node.kill()
