"""A context that is erased on Kafka while others are written to: owners go on, and nothing of it is left."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from tests.service.conftest import Connect, make_pair
from tests.support.kafka import Broker
from tests.support.nodes import NodeProcess, item

LIMIT_S = 120.0
LOOKS_OFTEN = {"log.cleaner.backoff.ms": 100, "log.segment.delete.delay.ms": 0, "log.retention.check.interval.ms": 500}


async def erase(node: NodeProcess, *words: str) -> int:
    """Run `upnext erase` beside the node; return its exit status."""
    status, _ = await erase_said(node, *words)
    return status


async def erase_said(node: NodeProcess, *words: str) -> tuple[int, bytes]:
    """Run `upnext erase` beside the node; return its exit status, and what it says."""
    program = str(Path(sys.executable).with_name("upnext"))
    where = ["--data", str(node.directory), *(["--kafka", node.kafka] if node.kafka else [])]
    done = await asyncio.to_thread(
        subprocess.run, [program, "erase", *words, *where], capture_output=True, timeout=60, env=node.env, check=False
    )
    return done.returncode, done.stdout


@pytest.mark.kafka
@pytest.mark.timeout(300)
async def test_owners_go_on_while_a_context_is_erased(tmp_path: Path, connect: Connect) -> None:
    """Each look appends to the changelogs that they write; then all of it is read again by a node without tables."""
    with Broker(tmp_path / "broker", settings=LOOKS_OFTEN) as broker:
        # Of one partition, so that what is written to is what is compacted.
        flags = "--erasure-within-s", "4", "--partitions", "1"
        first = NodeProcess(tmp_path / "first", *flags, kafka=broker.bootstrap)
        second = NodeProcess(tmp_path / "second", *flags, kafka=broker.bootstrap)
        async with first, asyncio.timeout(LIMIT_S):
            deployment = connect(first)
            gone, kept = await make_pair(deployment), await make_pair(deployment)
            for pair in (gone, kept):
                await pair.attach()
                await pair.app.ok("PUT", pair.context_path, item("a"))
            await gone.app.ok("DELETE", f"/v1/contexts/{gone.context}")
            rounds = 0
            while await erase(first, "receipt", gone.context) or await erase(first, "verify", gone.context):
                await kept.app.ok("PUT", kept.context_path, item("a", title=f"round {rounds}"))
                rounds += 1
            assert rounds > 0
            written = await kept.app.ok("PUT", kept.context_path, item("b"))
            before = await kept.platform.ok("GET", kept.session_path, after=written.position)
            assert first.terminate() == 0, first.tail()
        async with second:
            kept.platform.url = second.url
            after = await kept.platform.ok("GET", kept.session_path, after=written.position)
            assert after.json["items"] == before.json["items"]
            assert second.terminate() == 0, second.tail()
