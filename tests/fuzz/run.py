"""Runs schemathesis against a node."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import aiohttp
import msgspec

from tests.fuzz.world import VARIABLE, configuration, make_world
from tests.support.nodes import Deployment, NodeProcess

ROOT = Path(__file__).parents[2]
V1, API = "^/v1", "^/(api|media|openapi)"
UNLIMITED = {
    f"UPNEXT_{name}": "0"
    for name in ("API_REQUESTS_PER_ADDRESS", "API_REQUESTS_PER_TOKEN", "FAILURES_PER_ADDRESS", "PAST_READS_PER_CLIENT")
} | {"UPNEXT_PAST_READS": "true"}
"""What a node is started with: there is one caller, who fails on purpose, and nothing is seen while that is refused."""
_ANSWERED = re.compile(r'^upnext_http_requests_total\{.*status="(\d+)".*\} (\S+)$', re.MULTILINE)


class Plan(NamedTuple):
    """What is tried."""

    paths: str
    """A regular expression of those that are called."""
    phases: str
    flags: Sequence[str]


class Report(NamedTuple):
    """What came of it."""

    status: int
    """The exit status of schemathesis: 0 where it has found nothing."""
    printed: str
    answered: Mapping[str, int]
    """How many requests the node has answered meanwhile, by status."""


async def fuzz(node: NodeProcess, directory: Path, plan: Plan, seed: int) -> Report:
    """Try to find a request that a node does not answer as its document says."""
    async with aiohttp.ClientSession() as http:
        world = await make_world(Deployment(node, http))
        before = await _answered(http, node)
        known, settings = directory / "world.json", directory / "schemathesis.toml"
        known.write_bytes(msgspec.json.encode(world))
        settings.write_text(configuration(world))
        command = [
            str(Path(sys.executable).with_name("schemathesis")),
            *("--config-file", str(settings), "--no-color", "run", f"{node.url}/openapi.json"),
            *("--include-path-regex", plan.paths, "--phases", plan.phases, "--checks", "all", "--seed", str(seed)),
            *("--continue-on-failure", "--no-shrink", "--generation-database", "none", "--warnings", "off"),
            *plan.flags,
        ]
        status, printed = await _run(command, {VARIABLE: str(known), "PYTHONPATH": str(ROOT)}, directory)
        return Report(status, printed, await _answered(http, node) - before)


async def _run(command: Sequence[str], environment: Mapping[str, str], directory: Path) -> tuple[int, str]:
    running = await asyncio.create_subprocess_exec(
        *command,
        cwd=directory,
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        printed, _ = await running.communicate()
    finally:
        if running.returncode is None:
            running.kill()
            await running.wait()
    return running.returncode or 0, printed.decode(errors="replace")


async def _answered(http: aiohttp.ClientSession, node: NodeProcess) -> Counter[str]:
    async with http.get(f"{node.internal_url}/metrics") as answer:
        metrics = await answer.text()
    answered: Counter[str] = Counter()
    for status, count in _ANSWERED.findall(metrics):
        answered[status] += int(float(count))
    return answered
