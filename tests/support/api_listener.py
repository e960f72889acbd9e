"""A real public listener over a real registry on an embedded log; what is behind `/v1` is fake."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import aiohttp
from aiohttp import web
from prometheus_client import CollectorRegistry

from service.adapters.blobs import CachedBlobs
from service.adapters.media import RegistryMedia
from service.adapters.pairs import RegistryPairs
from service.adapters.passwords import Cost, PasswordPool
from service.adapters.tenants import RegistryTenants
from service.adapters.vault import Vault
from service.api import Identity, RateLimits, RevokedTokens, Tokens, api_openapi, build_api_routes
from service.http.app import build_public_app
from service.http.connections import Runner
from service.http.deps import Deps
from service.http.media import MediaFiles
from service.networks import Network
from service.ports import BlobStore
from streams.dead_letters import DeadLetters
from streams.keys import MasterKey
from streams.log.embedded import EmbeddedLog
from streams.log.port import Log
from streams.registry import Registry
from streams.topics import REGISTRY_EVENTS, Kept, TopicSpec
from tests.support.blobs import BlobsFake
from tests.support.deliveries import DeliveriesWorld
from tests.support.fakes import ContextViewsFake, ExplainerFake, PastFake, SessionViewsFake, World
from tests.support.idempotency import remembered
from tests.support.nodes import ADMIN_TOKEN, Caller, yarl_raw

SPEC = TopicSpec(REGISTRY_EVENTS, 1, Kept.FOR_EVER, log_append_time=True)
KEY = MasterKey(bytes(range(32)))
MEDIA_URL = "https://media.example"
PARTITIONS = 8
CHEAP = Cost(memory_kib=8, passes=1)
"""What a hash costs in tests, where nobody steals any."""


class Died(Exception):  # noqa: N818 - no error of the program: what a test's die does instead of ending the process
    pass


def die(reason: str) -> NoReturn:
    raise Died(reason)


class Clock:
    """Time as tests have it: it goes on by itself, and *later* it is by as much as they say."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def now_s(self) -> int:
        return int(time.time() + self.ahead_s)

    def monotonic_s(self) -> float:
        return time.monotonic() + self.ahead_s


@cache
def document_of_the_api() -> Mapping[str, Any]:
    """Return what every node says of the resource API: it takes longer to make than all the rest of a node."""
    return api_openapi()


class ApiNode:
    """One node, as far as the resource API is concerned."""

    def __init__(
        self, log: Log, registry: Registry, tenants: RegistryTenants, http: aiohttp.ClientSession, port: int
    ) -> None:
        self.log, self.registry, self.tenants, self.http = log, registry, tenants, http
        self.url = f"http://127.0.0.1:{port}"

    @property
    def admin(self) -> Caller:
        return Caller(self.http, self.url, {"Authorization": f"Bearer {ADMIN_TOKEN}"})

    async def events(self) -> int:
        """Return how many events the registry's log holds."""
        return await self.log.end_offset(REGISTRY_EVENTS, 0)

    def address(self, path: str) -> object:
        return yarl_raw(self.url + path)


@asynccontextmanager
async def embedded_log(directory: Path, kind: type[EmbeddedLog] = EmbeddedLog) -> AsyncIterator[EmbeddedLog]:
    log = kind(directory, die)
    await log.start()
    try:
        await log.create_topics([SPEC])
        yield log
    finally:
        await log.stop()


@asynccontextmanager
async def api_node(
    log: Log,
    clock: Clock | None = None,
    passwords: PasswordPool | None = None,
    proxies: Sequence[Network] = (),
    *,
    allows_loopback: bool = False,
    blobs: BlobStore | None = None,
    limits: RateLimits | None = None,
    deliveries: DeliveriesWorld | None = None,
) -> AsyncIterator[ApiNode]:
    """Run a node on *log*; several may share one. *clock* is what people's tokens, codes and waits go by."""
    clock = clock or Clock()
    registry = Registry(log, fingerprint=KEY.fingerprint, partitions=PARTITIONS, die=die)
    await registry.start()
    world = World()
    revoked = RevokedTokens(registry)
    tokens = Tokens(KEY.derive(b"tokens"), clock.now_s, os.urandom, revoked.holds)
    tenants = RegistryTenants(registry, tokens, clock.now_s)
    passwords = passwords or PasswordPool(CHEAP)
    identity = Identity(
        admin_token=ADMIN_TOKEN,
        tokens=tokens,
        revoked=revoked,
        client_keys=tenants,
        passwords=passwords,
        vault=Vault(KEY.derive(b"secrets")),
        proxies=proxies,
        clock_s=clock.monotonic_s,
    )
    cached = CachedBlobs(blobs or BlobsFake())
    add_api = build_api_routes(
        registry,
        KEY.id_keys,
        identity,
        cached,
        DeadLetters(log, registry, PARTITIONS, hash_key=KEY.hash_key),
        (deliveries or DeliveriesWorld(range(4))).all,
        now_s=clock.now_s,
        limits=limits,
        body_limit_s=0.5,
        allows_loopback=allows_loopback,
    )

    def add_routes(app: web.Application) -> None:
        MediaFiles(RegistryMedia(registry), cached, os.urandom).add_to(app)
        add_api(app)

    metrics = CollectorRegistry()
    deps = Deps(
        log_id=log.id,
        positions_key=KEY.positions_key,
        ids=KEY.id_keys,
        tenants=tenants,
        pairs=RegistryPairs(registry, MEDIA_URL),
        events=world,
        session_commands=world,
        keyed=remembered(metrics),
        context_views=ContextViewsFake(world),
        session_views=SessionViewsFake(world),
        explainer=ExplainerFake(world),
        past=PastFake(world),
        metrics=metrics,
        proxies=proxies,
        add_routes=add_routes,
        more_openapi=document_of_the_api(),
    )
    runner = Runner(build_public_app(deps), deps.entropy, shutdown_limit_s=1.0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(20)) as http:
            yield ApiNode(log, registry, tenants, http, port)
    finally:
        await runner.cleanup()
        await registry.stop()
        passwords.close()
