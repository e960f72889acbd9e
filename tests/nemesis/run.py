"""One run: a deployment, a household that uses it, faults, and the checker."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp

from service.http.positions import PositionTokens
from streams.keys import read_master_key
from tests.nemesis.clients import Availability, Balance, Client, Clients, http_session
from tests.nemesis.deployment import GUEST, Deployment, End
from tests.nemesis.faults import Nemesis
from tests.nemesis.finish import finish
from tests.nemesis.history import Call, History, Mark, Outcome, Write
from tests.nemesis.household import Context, Household
from tests.nemesis.platforms import Platform
from tests.nemesis.publishers import Publisher
from tests.nemesis.readers import Reader
from tests.nemesis.report import Report
from tests.nemesis.schedule import schedule
from tests.nemesis.testers import Tester
from tests.nemesis.webhooks import Endpoints, endpoints
from tests.support.nodes import MASTER_KEY, Caller
from tests.support.nodes import Deployment as Registry
from tests.support.signing import over_body

CONTEXTS, SESSIONS = 48, 16
ATTACHED = 5
READERS, TESTERS = 8, 2
WRITES_PER_S, COMMANDS_PER_S, READS_PER_S, TESTS_PER_S = 160, 10, 80, 2
_REASONS = ("this node was away for too long", "IO error", "Corruption")
"""Why nodes may end by themselves, by their last lines: another has what was theirs, or their disk is damaged."""


async def run(seed: int, seconds: float, directory: Path) -> Report:
    """Run it all, and return what was found."""
    began_s = time.monotonic()

    def now_s() -> float:
        return time.monotonic() - began_s

    source = random.Random(seed)
    deployment = Deployment(directory, now_s)
    _end_in_order()
    try:
        await deployment.start()
        print(f"{now_s():7.1f} s  all is ready", flush=True)
        async with endpoints(random.Random(seed)) as hooks, _clients(deployment, source) as shared:
            household = await _household(deployment, shared, source, hooks)
            nemesis = Nemesis(deployment)
            began_faults_s = now_s()
            async with asyncio.TaskGroup() as group:
                for task in _tasks(shared, household, source):
                    group.create_task(task)
                await nemesis.run(schedule(seed, seconds))
                await asyncio.sleep(max(0.0, began_faults_s + seconds - now_s()))
                shared.stop.set()
            lasted_s = now_s() - began_faults_s
            print(f"{now_s():7.1f} s  no more faults", flush=True)
            for what in ("reads", "writes", "commands", "keyed"):
                print(f"{now_s():7.1f} s  {what} {getattr(shared, what)}", flush=True)
            print(f"{now_s():7.1f} s  503s: {dict(shared.refusals)}", flush=True)
            wrong = await finish(deployment, shared, household)
            wrong += await hooks.check(*await deployment.read_log())
            print(f"{now_s():7.1f} s  webhooks: {len(hooks.ids)} events, {len(hooks.accepted)} taken", flush=True)
        wrong += _unexpected(deployment.ends)
        wrong += await deployment.stop()
        print(f"{now_s():7.1f} s  checked", flush=True)
        faults = {kind.value: count for kind, count in nemesis.made.items()}
        return Report.of(seed, lasted_s, shared, faults, len(deployment.ends), wrong)
    finally:
        deployment.kill()


def _end_in_order() -> None:
    """Have whoever ends the run end what it has started as well."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


@asynccontextmanager
async def _clients(deployment: Deployment, source: random.Random) -> AsyncIterator[Clients]:
    now_s = deployment.now_s
    nodes = [node.process for node in deployment.nodes[:GUEST]]
    async with http_session() as http:
        yield Clients(
            http,
            Balance(nodes, random.Random(source.random()), now_s),
            PositionTokens(read_master_key(MASTER_KEY).positions_key, deployment.cluster.id),
            History(),
            Availability(now_s),
            Availability(now_s),
            Availability(now_s),
            Availability(now_s),
            random.Random(source.random()),
            now_s,
        )


async def _household(deployment: Deployment, shared: Clients, source: random.Random, hooks: Endpoints) -> Household:
    """Make all that there is, and attach a few contexts to each session."""
    registry = Registry(deployment.nodes[0].process, shared.http)
    company = await registry.company("Nemesis")
    tenants = [await registry.tenant("apps", company, f"App {n}") for n in range(2)]
    for app, ordered in zip(tenants, (False, True), strict=True):
        await hooks.make(registry, company, app, ordered=ordered)
    callers = [await registry.tenant("platforms", company, f"Platform {n}") for n in range(2)]
    for strict in (tenants[0], callers[0]):
        await registry.admin.ok("POST", await _path(registry, company, strict), {"signaturesRequired": True})
    apps, platforms = [await _clients_of(deployment, shared, two) for two in (tenants, callers)]
    household = Household(list(await asyncio.gather(*(_context(apps[n % 2]) for n in range(CONTEXTS)))), [])
    tested = [[await _test_key(registry, company, caller) for caller in two] for two in (tenants, callers)]
    testing_apps, testing_platforms = [await _clients_of(deployment, shared, two) for two in tested]
    household.testers += zip(testing_apps, testing_platforms, strict=True)
    for n in range(SESSIONS):
        made = await Platform(shared, household, n, n, 0).make(platforms[n % 2])
        assert made is not None
        household.sessions.append(made)
    await asyncio.gather(*(_attach(shared, household, n, source.getrandbits(32)) for n in range(SESSIONS)))
    return household


async def _attach(shared: Clients, household: Household, place: int, seed: int) -> None:
    """Attach a few contexts to a session."""
    platform = Platform(shared, household, place, seed, 0)
    for context in random.Random(seed).sample(household.contexts, ATTACHED):
        await platform.attach(context)


async def _path(registry: Registry, company: str, caller: Caller, more: str = "") -> str:
    """Return the path of a client in the registry, or of *more* of it."""
    listed = (await registry.admin.ok("GET", f"/api/v1/clients?context={company}")).json["results"]
    (found,) = [one["id"] for one in listed if one["clientId"] == caller.client_id]
    return f"/api/v1/clients/{found}{more}?context={company}"


async def _test_key(registry: Registry, company: str, caller: Caller) -> Caller:
    """Return the same client with a test key."""
    path = await _path(registry, company, caller, "/roll")
    made = (await registry.admin.ok("POST", path, {"key": "TEST", "overlapHours": 0})).json
    basic = aiohttp.BasicAuth(caller.client_id, made["testSecretKey"]).encode()
    return replace(caller, headers={"Authorization": basic}, secret=made["testSecretKey"])


async def _clients_of(deployment: Deployment, shared: Clients, callers: list[Caller]) -> list[Client]:
    """Return them as clients, the first of which signs, as it must."""
    return [await _client(deployment, shared, caller, signs=n == 0) for n, caller in enumerate(callers)]


async def _client(deployment: Deployment, shared: Clients, caller: Caller, *, signs: bool) -> Client:
    """Return a client that every node has heard of."""
    for node in deployment.nodes[:GUEST]:
        asking = replace(caller, url=node.process.url)
        while (await asking.call("GET", "/v1", headers=over_body(caller.secret))).status != 200:
            await asyncio.sleep(0.02)
    return Client(
        shared, caller.headers["Authorization"], caller.tenant, caller.client_id, caller.secret if signs else ""
    )


async def _context(app: Client) -> Context:
    """Make a context, and see it folded: whatever has it attached later has at least that it was made."""
    shared, began_s = app.shared, app.shared.now_s()
    made = await app.call("POST", "/v1/contexts")
    context = Context(made.json["context_id"], app, made.headers["Paket-Position"])
    mark = Mark(Call.CREATE_CONTEXT, context.id, "")
    write = Write(mark, Outcome.ACKNOWLEDGED, began_s, shared.now_s(), made.request_id, made.status)
    write.position = shared.position(made)
    shared.history.writes.append(write)
    reply = await app.call("GET", context.path, after=[context.position])
    assert reply.status == 200, reply
    return context


def _tasks(shared: Clients, household: Household, source: random.Random) -> list[Coroutine[Any, Any, None]]:
    """Return what all clients do until the run ends."""
    seed = partial(source.getrandbits, 32)
    publishers = [Publisher(shared, household, each, seed(), CONTEXTS / WRITES_PER_S) for each in household.contexts]
    platforms = [Platform(shared, household, n, seed(), SESSIONS / COMMANDS_PER_S) for n in range(SESSIONS)]
    readers = [Reader(f"reader {n}", shared, household, seed(), READERS / READS_PER_S) for n in range(READERS)]
    testers = [Tester(shared, *pair, seed(), TESTERS / TESTS_PER_S) for pair in household.testers]
    return [
        *(tester.run() for tester in testers),
        *(publisher.run() for publisher in publishers),
        *(platform.run() for platform in platforms),
        *(reader.run() for reader in readers),
    ]


def _unexpected(ends: list[End]) -> list[str]:
    """Return the ends of nodes for which no fault has given a reason."""
    return [
        f"a node ended: {end}" for end in ends if not end.disk_full and not any(r in end.last_line for r in _REASONS)
    ]
