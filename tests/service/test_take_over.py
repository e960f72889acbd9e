"""Three nodes on one Kafka, of which one is killed or frozen: how soon its lists are read, and folded into, again."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.service.oracle import Household
from tests.support.fleets import Fleet, fleet_in
from tests.support.kafka import Broker
from tests.support.nodes import Answer, Caller, NodeProcess, item

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

PARTITIONS = 6
SESSION_S = 6.0
"""With the group: who is silent for so long is taken for gone."""
READ_AGAIN_S = 1.0
FROZEN_READ_AGAIN_S = 1.5
"""Nobody refuses a connection: whoever asks has to wait until it is likely that nothing will come."""
FOLDED_AGAIN_S = 10.0
FROZEN_FOLDED_AGAIN_S = SESSION_S + 2
MARGIN_S = 5.0
"""What a machine under load may add to each bound. What was measured is printed."""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with Broker(tmp_path_factory.mktemp("take-over") / "broker") as broker:
        yield broker


@pytest.fixture
async def fleet(tmp_path: Path, broker: Broker, http: aiohttp.ClientSession) -> AsyncIterator[Fleet]:
    """Three nodes, each with partitions of its own and copies of others'."""
    async with fleet_in(tmp_path, broker, http, "abc", PARTITIONS) as fleet:
        yield fleet


async def household_of(fleet: Fleet, seed: int) -> Household:
    """Return one whose sessions and contexts are spread over the nodes, each context with one item."""
    household = await Household.make(fleet, seed=seed, contexts=6, sessions=9)
    await household.attach_all()
    for context in household.contexts:
        context.position = (await context.app.ok("PUT", context.path, item("oldest"))).position
        context.items["oldest"] = "Title of oldest"
    await household.check()
    return household


async def copied(fleet: Fleet) -> None:
    """Return once every partition of each table has a copy that can be read, and is seen by every node."""
    async with asyncio.timeout(60):
        for node in fleet.nodes:
            while True:
                async with fleet.http.get(f"{node.internal_url}/nodes") as answer:
                    nodes = (await answer.json())["nodes"]
                if all(
                    {n for one in nodes for n in one[held]} == {*range(PARTITIONS)}
                    for held in ("contexts", "sessions", "context_copies", "session_copies")
                ):
                    break
                await asyncio.sleep(0.05)


async def until_ok(caller: Caller, method: str, path: str, body: object = None, *, after: str = "") -> Answer:
    """Repeat a call until it succeeds; nothing but 503 and lost connections may come before."""
    while True:
        try:
            answer = await caller.call(method, path, body, after=after)
        except (aiohttp.ClientError, OSError):
            continue
        if answer.status == 200:
            return answer
        assert answer.status == 503, (answer.status, answer.body)


async def read_again(household: Household, fleet: Fleet) -> None:
    """Return once every node that is left has answered with every session's whole list."""
    for node in fleet.nodes:
        caller = at(node, household.platform)
        for session in household.sessions:
            items = (await until_ok(caller, "GET", f"/v1/sessions/upnext/{session}")).json["items"]
            oldest = [entry["context_id"] for entry in items if entry["content_id"] == "oldest"]
            assert sorted(oldest) == sorted(context.id for context in household.contexts)


async def folded_again(household: Household, fleet: Fleet) -> None:
    """Return once an item that is written to each context from now on is in every session's list."""
    node = fleet.nodes[0]
    for context in household.contexts:
        written = await until_ok(at(node, context.app), "PUT", context.path, item("newest", title="Written meanwhile"))
        context.position, context.items["newest"] = written.position, "Written meanwhile"
    positions = ",".join(context.position for context in household.contexts)
    for session in household.sessions:
        path = f"/v1/sessions/upnext/{session}"
        answer = await until_ok(at(node, household.platform), "GET", path, after=positions)
        assert answer.json["total"] == 2 * len(household.contexts), answer.body


def at(node: NodeProcess, caller: Caller) -> Caller:
    """Return the same client, who calls one node."""
    return Caller(caller.http, node.url, caller.headers, caller.tenant, caller.client_id, caller.secret)


async def took(what: str, work: Awaitable[None]) -> float:
    """Return how long it took, in seconds, and print it."""
    began = time.monotonic()
    async with asyncio.timeout(60):
        await work
    seconds = time.monotonic() - began
    print(f"{what}: {seconds:.2f} s")
    return seconds


@pytest.mark.parametrize(
    ("how", "read_again_s", "folded_again_s"),
    [
        pytest.param(signal.SIGKILL, READ_AGAIN_S, FOLDED_AGAIN_S, id="killed"),
        pytest.param(signal.SIGSTOP, FROZEN_READ_AGAIN_S, FROZEN_FOLDED_AGAIN_S, id="frozen"),
    ],
)
async def test_what_one_of_three_had(fleet: Fleet, how: int, read_again_s: float, folded_again_s: float) -> None:
    """Its lists are read from copies at once; its partitions are folded by the others once the group knows."""
    household = await household_of(fleet, seed=int(how))
    await copied(fleet)
    gone = fleet.nodes.pop()
    assert gone.process is not None
    gone.process.send_signal(how)
    reads, folds = await asyncio.gather(
        took("every list read", read_again(household, fleet)),
        took("every list has what is new", folded_again(household, fleet)),
    )
    assert reads < read_again_s + MARGIN_S
    assert folds < folded_again_s + MARGIN_S
    gone.process.send_signal(signal.SIGCONT)
    await household.check()
    for node in fleet.nodes:
        assert node.process is not None
        assert node.process.poll() is None, node.tail()
