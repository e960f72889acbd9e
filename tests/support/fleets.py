"""Callers of several nodes: they ask one after another until one is responsible."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.hops import Forwarded
from tests.support.kafka import Broker
from tests.support.nodes import ADMIN_TOKEN, Answer, Caller, Deployment, NodeProcess

_AGAIN_S = 0.05
_HEARD_LIMIT_S = 30.0


def is_elsewhere(answer: Answer) -> bool:
    """Say whether a node has answered that the partition is not on it."""
    return answer.status == 503 and answer.code == "view_unavailable"


@dataclass
class FleetCaller(Caller):
    """One client, who knows the addresses of all nodes."""

    nodes: Sequence[NodeProcess] = ()

    async def call(self, method: str, path: str, *args: Any, **more: Any) -> Answer:
        """Call the nodes that run, one after another, until one does not say that another should be asked."""
        lost: Exception | None = None
        answer: Answer | None = None
        for node in self.nodes:
            if node.process is None or node.process.poll() is not None:
                continue
            self.url = node.url
            try:
                answer = await super().call(method, path, *args, **more)
            except (aiohttp.ClientError, OSError) as error:
                lost = error
            else:
                if not is_elsewhere(answer):
                    return answer
        await asyncio.sleep(_AGAIN_S)
        if answer is None:
            raise lost or aiohttp.ClientConnectionError("no node runs")
        return answer

    async def known(self) -> None:
        """Return once every node that runs has heard of the client, which it does within a second."""
        async with asyncio.timeout(_HEARD_LIMIT_S):
            for node in self.nodes:
                while node.process is not None and node.process.poll() is None:
                    self.url = node.url
                    try:
                        if (await Caller.call(self, "GET", "/v1")).status == 200:
                            break
                    except (aiohttp.ClientError, OSError):
                        pass
                    await asyncio.sleep(_AGAIN_S)

    async def where(self, path: str) -> list[int]:
        """Return the statuses with which the nodes answer a read by themselves: 421 where another has the list."""
        answers = [await Forwarded(self.http, self).read(node, path) for node in self.nodes]
        assert all(answer.status in (200, 421) or is_elsewhere(answer) for answer in answers), answers
        return [answer.status for answer in answers]

    async def from_each(self, path: str) -> list[int]:
        """Return the statuses with which the nodes answer a client's read, wherever the list is."""
        statuses = []
        for node in self.nodes:
            self.url = node.url
            answer = await Caller.call(self, "GET", path)
            assert answer.status == 200 or is_elsewhere(answer), (node.url, answer.status, answer.body)
            statuses.append(answer.status)
        return statuses


@asynccontextmanager
async def fleet_in(
    directory: Path,
    broker: Broker,
    http: aiohttp.ClientSession,
    names: str,
    partitions: int,
    *,
    running: int | None = None,
    flags: Sequence[str] = (),
) -> AsyncIterator[Fleet]:
    """Give nodes, one a letter of *names*, each in a directory of its own; the first *running* of them are ready."""
    nodes = [NodeProcess(directory / n, "--partitions", str(partitions), *flags, kafka=broker.bootstrap) for n in names]
    try:
        for node in nodes[:running]:
            await node.start()
        yield Fleet(nodes[0], http, nodes=[*nodes])
    finally:
        for node in nodes:
            node.kill()


@dataclass
class Fleet(Deployment):
    """Several nodes of one deployment; `node` is the one that the registry is written through."""

    nodes: list[NodeProcess] = field(default_factory=list)

    @property
    def admin(self) -> Caller:
        return FleetCaller(self.http, "", {"Authorization": f"Bearer {ADMIN_TOKEN}"}, nodes=self.nodes)

    async def client(self, tenant: str, company: str, **more: Any) -> Caller:
        made = await super().client(tenant, company, **more)
        pair = b64encode(f"{made.client_id}:{made.secret}".encode()).decode()
        headers = {"Authorization": f"Basic {pair}"}
        caller = FleetCaller(self.http, "", headers, tenant, made.client_id, made.secret, nodes=self.nodes)
        await caller.known()
        return caller
