"""Readers who watch a switch to another version of the views: who is answered of which, and for how long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.support.nodes import ADMIN_TOKEN, Caller, NodeProcess

PAUSE_S = 0.005
_LIMIT_S = 30.0
_AFTERWARDS = 20
"""So many answers in a row are of the new version before a reader has moved."""


async def ask_views(node: NodeProcess, how: str, **asked: Any) -> None:
    """Have a node begin (`start`), `switch`, go back (`rollback`) or `drop`, and insist that it does."""
    headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.post(f"{node.internal_url}/views/{how}", json=asked) as answer,
    ):
        assert answer.status == 200, await answer.text()


async def version_of(node: NodeProcess, name: str) -> dict[str, Any]:
    """Return what a node says of a version; nothing of one that is not there."""
    async with aiohttp.ClientSession() as http, http.get(f"{node.internal_url}/views") as answer:
        views: list[dict[str, Any]] = (await answer.json())["views"]
    return next((view for view in views if view["name"] == name), {})


async def until_built(node: NodeProcess, name: str, limit_s: float = 60.0) -> None:
    """Return once a version is whole, served everywhere, and has all."""
    async with asyncio.timeout(limit_s):
        while not (view := await version_of(node, name)) or not view["isWhole"] or view["unserved"] or view["lag"]:
            await asyncio.sleep(0.05)


@dataclass
class Watch:
    """
    Lists that nobody writes to, read all the while at each of several nodes; a list's tag names the version.

    Attributes:
        reads: How many there were.
        failed: Statuses that were no 200.
        last_s: When the last answer of the version before came, by any node.
    """

    callers: Sequence[Caller]
    """One for each node."""
    paths: Sequence[str]
    reads: int = 0
    failed: list[int] = field(default_factory=list)
    last_s: float = 0.0

    async def switched(self, node: NodeProcess, how: str) -> float:
        """Switch by a node, and return after how many seconds no node answered as before any more."""
        ready, began = asyncio.Semaphore(0), asyncio.Event()
        async with asyncio.timeout(_LIMIT_S), asyncio.TaskGroup() as readers:
            for caller in self.callers:
                for path in self.paths:
                    readers.create_task(self._read(caller, path, ready, began))
            for _ in range(len(self.callers) * len(self.paths)):
                await ready.acquire()
            began_s = time.monotonic()
            began.set()
            await ask_views(node, how)
        return self.last_s - began_s

    async def _read(self, caller: Caller, path: str, ready: asyncio.Semaphore, began: asyncio.Event) -> None:
        before, after = "", 0
        while after < _AFTERWARDS:
            answer = await caller.call("GET", path)
            self.reads += 1
            if answer.status != 200:
                self.failed.append(answer.status)
            elif not before:
                before = answer.headers["ETag"]
                ready.release()
            elif answer.headers["ETag"] == before:
                after = 0
                if began.is_set():
                    self.last_s = max(self.last_s, time.monotonic())
            else:
                after += 1
            await asyncio.sleep(PAUSE_S)
