"""The composition root of the node: where every real thing is built, started in order, and stopped in the other."""

from __future__ import annotations

import asyncio
import gc
import os
import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from aiohttp import web
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from service.adapters.blobs import CachedBlobs
from service.adapters.blobs_settings import blob_store
from service.adapters.health import NodeHealth
from service.adapters.kafka import kafka_config
from service.adapters.media import RegistryMedia
from service.adapters.node_metrics import NodeCollector
from service.adapters.pairs import RegistryPairs
from service.adapters.passwords import PasswordPool
from service.adapters.tenants import RegistryTenants
from service.adapters.vault import Vault
from service.api import Identity, RateLimits, Rates, RevokedTokens, Tokens, api_openapi, build_api_routes
from service.api.key_uses import KeyUses
from service.commands.keyed import KeyIds
from service.data_directory import held
from service.deliveries import deliveries_of_all, delivering
from service.forwarding import forwarding
from service.http.app import build_public_app
from service.http.connections import Runner
from service.http.deps import Deps, now_s
from service.http.forward_keys import KeysHere
from service.http.idempotency import KeyedCalls, KeyMetrics
from service.http.internal import OtherNodes, build_internal_app
from service.http.internal_connections import InternalRunner
from service.http.media import MediaFiles
from service.http.past import Past
from service.http.positions import PositionTokens
from service.http.repairs import Repairs
from service.http.views import ViewPages
from service.limits import limits_of
from service.listeners import bound, connection_limits, internal_limits, port_refused, public_url, where
from service.settings import Settings
from service.stages import Listening, Ready, Recovering, Starting, Stopped, Stopping, Tell
from service.webhooks.deliveries_everywhere import AllDeliveries
from streams.domain.errors import RefusedStartError
from streams.engine.fatal import Die
from streams.keys import MasterKey, keep_secret, load_master_key
from streams.node import Node, NodeConfig

ADMIN_TOKEN_FILE = "admin.token"  # noqa: S105 - the file's name is no secret
_REQUESTS_LIMIT_S = 10.0
"""For so long requests under way may go on once the node was asked to stop."""
_STOP_LIMIT_S = 15.0
"""For so long the log and the processors may take to finish."""
_POLL_S = 0.1
_TELL_EVERY_S = 1.0
"""So often at most people hear what a node waits for: a start of less is not worth a word."""


def admin_token(data: Path, given: str | None) -> str:
    """Return the super user's token: the one *given*, or the one kept beside the data, made at the first start."""
    if given is not None:
        return given
    token = keep_secret(data / ADMIN_TOKEN_FILE, secrets.token_urlsafe(32))
    if not token:
        raise RefusedStartError(f"{data / ADMIN_TOKEN_FILE} is empty: remove it, and the next start makes another.")
    return token


async def serve(settings: Settings, stop: asyncio.Event, tell: Tell, die: Die) -> None:
    """
    Run a node until *stop* is set.

    Args:
        settings: What it is told.
        stop: Set where it is to end: requests under way finish, what was begun is committed.
        tell: Hears how far it is.
        die: Ends the process where going on would do damage.

    Raises:
        RefusedStartError: It must not start; the message says what to do.
    """
    began = time.monotonic()
    # What is entered is left in the other order: clients first, then the node, then health, the ports, the directory.
    async with AsyncExitStack() as open_things:
        claim = _claim(settings, open_things)
        node = Node(_node_config(settings, claim), die)
        health = NodeHealth(node.status)
        metrics = _metrics(health)
        others, views = OtherNodes(), ViewPages(claim.admin_token)
        on_internal = build_internal_app(health.awaited, metrics, others, views)
        internal = InternalRunner(on_internal, metrics, internal_limits())
        await open_things.enter_async_context(_answering(internal, claim.internal, "internal"))
        tell(_starting(settings, claim))
        open_things.push_async_callback(_stop, node, die)
        if await _is_started(node, stop):
            health.started()
            views.started(node.versions)
            passwords = PasswordPool()
            open_things.callback(passwords.close)
            derive, is_alone = claim.key.derive, settings.kafka is None
            deliveries = await open_things.enter_async_context(
                deliveries_of_all(node.webhooks, node.nodes, derive, others)
            )
            alone = _deps(settings, node, claim, passwords, metrics, deliveries)
            deps = await open_things.enter_async_context(
                forwarding(alone, node.nodes, node.keys, derive, others, is_alone=is_alone)
            )
            tokens = PositionTokens(claim.key.positions_key, node.log.id)
            past = Past(node.history, node.audit, node.digests, tokens, claim.admin_token, metrics=metrics)
            others.remember(past)
            others.repair(Repairs(node.repair, claim.admin_token, metrics=metrics))
            vault = Vault(derive(b"secrets"))
            loopback = settings.webhooks_allow_loopback
            await open_things.enter_async_context(
                delivering(node.webhooks, node.registry, vault, metrics, die, allows_loopback=loopback)
            )
            if settings.answers:
                public = Runner(
                    build_public_app(deps), os.urandom, shutdown_limit_s=_REQUESTS_LIMIT_S, limits=connection_limits()
                )
                await open_things.enter_async_context(_answering(public, claim.public, "listen"))
                tell(Listening(f"http://{where(claim.public)}"))
            await _tell_until_ready(health, began, stop, tell)
            _settle()
            await stop.wait()
        health.stopping()
        tell(Stopping())
    tell(Stopped())


class _Claim(NamedTuple):
    """What nobody else has, and what is known before anything is started."""

    key: MasterKey
    admin_token: str
    internal: list[socket.socket]
    public: list[socket.socket]
    """Empty where the node answers no clients."""
    blobs: CachedBlobs


def _claim(settings: Settings, open_things: AsyncExitStack) -> _Claim:
    """Take the data directory, the ports and the secrets; raise `RefusedStartError` where one cannot be had."""
    open_things.enter_context(held(settings.data))
    return _Claim(
        internal=open_things.enter_context(bound(settings.internal, "internal")),
        public=open_things.enter_context(bound(settings.listen, "listen")) if settings.answers else [],
        key=load_master_key(settings.data, settings.master_key),
        admin_token=admin_token(settings.data, settings.admin_token),
        blobs=CachedBlobs(blob_store(settings)),
    )


def _node_config(settings: Settings, claim: _Claim) -> NodeConfig:
    return NodeConfig(
        data=settings.data,
        kafka=kafka_config(settings),
        partitions=settings.partition_count,
        key=claim.key,
        url=_internal_url(settings, claim),
        folds=settings.folds,
        view=settings.view,
        roles=tuple(sorted(role.value for role in settings.roles)),
        stale_reads_max_s=settings.stale_reads_max_s,
        erasure_within_s=settings.erasure_within_s,
        list_cache_bytes=settings.list_cache_mib << 20,
    )


def _internal_url(settings: Settings, claim: _Claim) -> str:
    return settings.internal_url or f"http://{where(claim.internal)}"


def _starting(settings: Settings, claim: _Claim) -> Starting:
    return Starting(
        log=settings.kafka or "embedded",
        data=settings.data,
        partitions=settings.partition_count,
        internal_url=_internal_url(settings, claim),
        token_file=settings.data / ADMIN_TOKEN_FILE if settings.admin_token is None else None,
    )


def _metrics(health: NodeHealth) -> CollectorRegistry:
    metrics = CollectorRegistry()
    metrics.register(NodeCollector(health.status))
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=metrics)
    return metrics


def _deps(
    settings: Settings,
    node: Node,
    claim: _Claim,
    passwords: PasswordPool,
    metrics: CollectorRegistry,
    deliveries: AllDeliveries,
) -> Deps:
    revoked = RevokedTokens(node.registry)
    tokens = Tokens(claim.key.derive(b"tokens"), now_s, os.urandom, revoked.holds)
    uses = KeyUses(node.registry, time.time, os.urandom)
    tenants = RegistryTenants(node.registry, tokens, note=uses.note)
    identity = Identity(
        admin_token=claim.admin_token,
        tokens=tokens,
        revoked=revoked,
        client_keys=tenants,
        passwords=passwords,
        vault=Vault(claim.key.derive(b"secrets")),
        proxies=settings.trusted_proxies or (),
    )
    return Deps(
        log_id=node.log.id,
        earlier_logs=node.registry.earlier_logs,
        positions_key=claim.key.positions_key,
        ids=claim.key.id_keys,
        tenants=tenants,
        pairs=RegistryPairs(node.registry, public_url(settings, claim.public)),
        events=node.writer,
        session_commands=node.commands,
        keyed=KeyedCalls(
            KeysHere(node.keys),
            KeyIds(claim.key.derive(b"idempotency"), node.log.id),
            KeyMetrics(metrics),
            erased=node.erasing.recent,
        ),
        context_views=node.context_views,
        session_views=node.session_views,
        explainer=node.explainer,
        past=node.past_lists if settings.past_reads else None,
        metrics=metrics,
        proxies=identity.proxies,
        limits=limits_of(settings, node.nodes),
        add_routes=_routes(settings, node, claim, identity, uses, deliveries),
        more_openapi=api_openapi(),
    )


def _routes(
    settings: Settings, node: Node, claim: _Claim, identity: Identity, uses: KeyUses, deliveries: AllDeliveries
) -> Callable[[web.Application], None]:
    rates = Rates(settings.api_requests_per_address, settings.api_requests_per_token)
    add_api = build_api_routes(
        node.registry,
        claim.key.id_keys,
        identity,
        claim.blobs,
        node.dead_letters,
        deliveries,
        limits=RateLimits(rates, identity.proxies, identity.clock_s),
        allows_loopback=settings.webhooks_allow_loopback,
    )
    media = MediaFiles(RegistryMedia(node.registry), claim.blobs, os.urandom)

    def add(app: web.Application) -> None:
        media.add_to(app)
        add_api(app)
        app.cleanup_ctx.append(uses.running)

    return add


@asynccontextmanager
async def _answering(runner: web.BaseRunner, sockets: list[socket.socket], name: str) -> AsyncIterator[None]:
    """Answer on *sockets*, and in the end let the requests under way finish."""
    await runner.setup()
    try:
        for listener in sockets:
            try:
                await web.SockSite(runner, listener).start()
            except OSError as error:
                raise port_refused(where(sockets), name, error) from error
        yield
    finally:
        await runner.cleanup()


async def _is_started(node: Node, stop: asyncio.Event) -> bool:
    """Start the node; say whether it is, or was asked to stop before."""
    starting = asyncio.create_task(node.start(), name="start of the node")
    asked = asyncio.create_task(stop.wait(), name="asked to stop")
    try:
        await asyncio.wait({starting, asked}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            with suppress(asyncio.CancelledError):
                await starting
            return False
        await starting
        return True
    finally:
        asked.cancel()


async def _stop(node: Node, die: Die) -> None:
    try:
        async with asyncio.timeout(_STOP_LIMIT_S):
            await node.stop()
    except TimeoutError:
        die(f"the node did not stop within {_STOP_LIMIT_S:g} s; nothing acknowledged is lost")


def _settle() -> None:
    """
    Leave what is there by now out of garbage collections: it stays.

    With modules, registry and tables in it, a full collection stops the node for 50 ms and more, every half minute.
    """
    gc.collect()
    gc.freeze()


async def _tell_until_ready(health: NodeHealth, began: float, stop: asyncio.Event, tell: Tell) -> None:
    """Tell what is waited for, now and then, until nothing is."""
    told = time.monotonic()
    while waits := health.awaited():
        if time.monotonic() - told >= _TELL_EVERY_S:
            told = time.monotonic()
            tell(Recovering(waits, health.recovered_rows))
        if await _is_set_within(stop, _POLL_S):
            return
    tell(Ready(time.monotonic() - began))


async def _is_set_within(event: asyncio.Event, limit_s: float) -> bool:
    try:
        async with asyncio.timeout(limit_s):
            await event.wait()
    except TimeoutError:
        return False
    return True
