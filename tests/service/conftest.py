"""One real node on each log, and callers made in it through its own API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.kafka import Broker
from tests.support.listener import basic
from tests.support.nodes import Caller, Deployment, NodeProcess

LOOPBACK = {"UPNEXT_WEBHOOKS_ALLOW_LOOPBACK": "true"}
PAST = {"UPNEXT_PAST_READS": "true", "UPNEXT_PAST_READS_PER_CLIENT": "0"}
"""Lists as they were for clients, as often as they like."""
LOGS = [pytest.param("embedded", id="embedded"), pytest.param("kafka", id="kafka", marks=pytest.mark.kafka)]


@pytest.fixture(scope="session", params=LOGS)
def shared_node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """A node that tests share: they make tenants of their own in it, and never stop it."""
    directory = tmp_path_factory.mktemp(f"shared-{request.param}")
    broker = None
    if request.param == "kafka":
        broker = Broker(directory / "broker")
        broker.start()
    node = NodeProcess(directory / "node", kafka=broker.bootstrap if broker else None, env=PAST)
    try:
        asyncio.run(node.start())
        yield node
        assert node.terminate() == 0, node.tail()
    finally:
        node.kill()
        if broker is not None:
            broker.stop()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(20), auto_decompress=False) as session:
        yield session


@pytest.fixture
def deployment(shared_node: NodeProcess, http: aiohttp.ClientSession) -> Deployment:
    return Deployment(shared_node, http)


@dataclass
class Pair:
    """An app and a platform that want to work together, with the ids of one context and one session."""

    deployment: Deployment
    app: Caller
    platform: Caller
    context: str
    session: str
    company: str
    """That both are tenants of."""

    @property
    def context_path(self) -> str:
        return f"/v1/contexts/upnext/{self.context}"

    @property
    def session_path(self) -> str:
        return f"/v1/sessions/upnext/{self.session}"

    async def attach(self) -> str:
        """Attach the context to the session; return the position."""
        body = {"app_id": self.app.tenant, "context_id": self.context}
        return (await self.platform.ok("PUT", self.session_path, body)).position

    async def configure(self, kind: str, body: Any) -> Any:
        """Write objects of a type of the pair's company; return them as they are then."""
        path = f"/api/v1/{kind}?context={self.company}"
        return (await self.deployment.admin.ok("POST", path, body)).json

    async def be_told(self, *urls: str, **more: Any) -> list[dict[str, Any]]:
        """Make webhook endpoints of the app; return them, with their secrets."""
        clients = (await self.deployment.admin.ok("GET", f"/api/v1/clients?context={self.company}")).json["results"]
        client = next(one["id"] for one in clients if one["clientId"] == self.app.client_id)
        endpoints = [{"client": client, "endpointUrl": url, **more} for url in urls]
        made: list[dict[str, Any]] = await self.configure("webhookendpoints", endpoints)
        return made

    async def tell(self, **values: Any) -> str:
        """Have the platform ask for these values, and make a link of them and of each item; have the app tell them."""
        link = "app://" + "/".join(f"{{{{{name}}}}}" for name in (*values, "content_id"))
        asked: list[dict[str, Any]] = [
            *({"name": name, "kind": "REQUESTED", "required": True} for name in values),
            {"name": "link", "kind": "COMPUTED", "template": link, "escape": "URL", "valueType": "URL"},
        ]
        await self.configure("platformattributes", [{"platform": self.platform.tenant, **one} for one in asked])
        told = {"app": self.app.tenant, "platform": self.platform.tenant, "values": values}
        return str((await self.configure("platformvalues", told))["id"])


async def make_pair(deployment: Deployment) -> Pair:
    company = await deployment.company()
    app = await deployment.tenant("apps", company)
    platform = await deployment.tenant("platforms", company)
    context = (await app.ok("POST", "/v1/contexts")).json["context_id"]
    session = (await platform.ok("POST", "/v1/sessions")).json["session_id"]
    return Pair(deployment, app, platform, context, session, company)


async def client_of(deployment: Deployment, tenant: str, company: str, **more: Any) -> tuple[Caller, Caller]:
    """Make a client of a tenant; return it with its live key, and with its test key."""
    body = {"name": "client", "tenant": {"id": tenant}, **more}
    made = (await deployment.admin.ok("POST", f"/api/v1/clients?context={company}", body)).json
    url = deployment.node.url
    live, test = (
        Caller(deployment.http, url, {"Authorization": basic(made["clientId"], key)}, tenant, made["clientId"], key)
        for key in (made["secretKey"], made["testSecretKey"])
    )
    return live, test


@pytest.fixture
async def pair(deployment: Deployment) -> Pair:
    return await make_pair(deployment)


@dataclass
class OwnNode:
    """A node that its test may stop, kill and start again, with a log of its own."""

    node: NodeProcess
    broker: Broker | None
    directory: Path

    def another(self, name: str, *flags: str, **env: str) -> NodeProcess:
        """Return a node on the same log with another data directory (Kafka) or the same one (embedded)."""
        directory = self.directory / name if self.broker else self.node.directory
        return NodeProcess(directory, *flags, kafka=self.node.kafka, env=env)


@pytest.fixture(params=LOGS)
def own_node(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OwnNode]:
    broker = None
    if request.param == "kafka":
        broker = Broker(tmp_path / "broker")
        broker.start()
    node = NodeProcess(tmp_path / "node", kafka=broker.bootstrap if broker else None)
    try:
        yield OwnNode(node, broker, tmp_path)
    finally:
        node.kill()
        if broker is not None:
            broker.stop()


Connect = Callable[[NodeProcess], Deployment]


@pytest.fixture
def connect(http: aiohttp.ClientSession) -> Connect:
    return lambda node: Deployment(node, http)
