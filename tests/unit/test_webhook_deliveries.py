"""Webhook deliveries, whoever has them: listed, found, and sent again."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st

from service.adapters.forward import HopPool
from service.http.forward import PREFIX
from service.http.forward_deliveries import DeliveriesThere, DeliveryCallsOfNodes
from service.webhooks.deliveries import (
    DeliveryId,
    FoundDelivery,
    Wanted,
    parse_delivery_id,
)
from streams.domain.errors import LogUnavailableError, ViewUnavailableError
from streams.domain.ids import Kind, id_text
from streams.domain.nodes import NodeSaid
from tests.support.deliveries import CONTEXT, NOW_MS, DeliveriesWorld
from tests.support.turns import turns_of_others

KEY = bytes(range(32))
HALVES = ([0, 2], [1, 3])


async def ids_of(world: DeliveriesWorld, *endpoints: str, **wanted: object) -> list[tuple[int, str]]:
    found = await world.all.listed(Wanted([*endpoints], **wanted))  # type: ignore[arg-type]
    return [(one.partition, one.event) for one in found.ids]


@given(st.integers(0, 99_999), st.binary(min_size=16, max_size=16), st.binary(min_size=8, max_size=8))
def test_ids_are_read_as_they_are_written(partition: int, event: bytes, endpoint: bytes) -> None:
    """They are ids of objects: of their characters, and not too long."""
    wanted = DeliveryId(partition, event.hex(), endpoint.hex())
    assert parse_delivery_id(wanted.text) == wanted
    assert len(wanted.text) <= 64


EVENT, HASH = "0" * 32, "0" * 16


@pytest.mark.parametrize(
    "text",
    [
        *("", "resend", "1", "1-", f"1-{EVENT}-", f"01-{EVENT}-{HASH}", f"1-{EVENT[1:]}-{HASH}", f"-1-{EVENT}-{HASH}"),
        *(f"1-{EVENT[1:]}A-{HASH}", f"1-{EVENT}-{HASH}-", f"111111-{EVENT}-{HASH}", f"\u0661-{EVENT}-{HASH}"),
    ],
)
def test_what_is_no_id(text: str) -> None:
    """Whatever is written in another way."""
    assert parse_delivery_id(text) is None


async def test_a_list_has_all_nodes_deliveries() -> None:
    """Newest first, of the endpoints that are asked for, whatever node has them."""
    world = DeliveriesWorld(*HALVES)
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    planned = []
    for number in range(60):
        partition, endpoint = chance.randrange(4), chance.choice(["a", "b", "c"])
        event = await world.plan(partition, endpoint, at_ms=NOW_MS + number)
        planned.append((partition, event, endpoint))
    for wanted in (["a"], ["a", "b"], ["c", "b", "a"], ["d"]):
        expected = [(partition, event) for partition, event, endpoint in planned[::-1] if endpoint in wanted]
        assert await ids_of(world, *wanted) == expected
    assert await world.all.listed(Wanted(["d"])) == ([], None)


async def test_lists_of_some() -> None:
    """By what became of them, and by when they were planned: from a time on, and before another."""
    world = DeliveriesWorld(*HALVES)
    events = [await world.plan(number % 4, "a", at_ms=NOW_MS + number) for number in range(9)]
    for number, outcome in ((3, "DELIVERED"), (5, "FAILED"), (6, "DELIVERED"), (7, "PENDING")):
        await world.attempt(number % 4, events[number], "a", outcome)  # type: ignore[arg-type]

    async def numbers(**wanted: object) -> list[int]:
        return [events.index(event) for _, event in await ids_of(world, "a", **wanted)]

    assert await numbers(status="DELIVERED") == [6, 3]
    assert await numbers(status="FAILED") == [5]
    assert await numbers(status="PENDING") == [8, 7, 4, 2, 1, 0]
    assert await numbers(from_ms=NOW_MS + 2, to_ms=NOW_MS + 5) == [4, 3, 2]
    assert await numbers(from_ms=NOW_MS + 5, to_ms=NOW_MS + 5) == []
    assert await numbers(to_ms=1) == []
    assert await numbers(status="PENDING", to_ms=NOW_MS + 4) == [2, 1, 0]


async def test_a_list_says_how_far_it_goes() -> None:
    """Where a node does not look at all of them, all that were planned since a time are there, and no others."""
    looked_at = 100
    world = DeliveriesWorld(*HALVES, looked_at=looked_at)
    planned = [
        (NOW_MS + number, partition, await world.plan(partition, "a", at_ms=NOW_MS + number))
        for number in range(4 * looked_at)
        for partition in [0 if number % 8 else 1]
    ]
    found = await world.all.listed(Wanted(["a"]))
    assert found.since_ms is not None
    since_ms = found.since_ms
    expected = [(partition, event) for at_ms, partition, event in planned[::-1] if at_ms > since_ms]
    assert [(one.partition, one.event) for one in found.ids] == expected
    assert len(expected) >= looked_at
    # What is asked for from there on goes on without a gap.
    rest = await world.all.listed(Wanted(["a"], to_ms=since_ms + 1))
    assert (rest.ids[0].partition, rest.ids[0].event) == planned[len(planned) - len(expected) - 1][1:]


async def test_a_list_has_so_many_at_most() -> None:
    """The newest; of those that were planned together none where not all."""
    world = DeliveriesWorld(range(4), most=5)
    for number, count in enumerate((3, 2, 3, 1)):
        for _ in range(count):
            await world.plan(number, "a", at_ms=NOW_MS + number)
    found = await world.all.listed(Wanted(["a"]))
    assert [one.partition for one in found.ids] == [3, 2, 2, 2]
    assert found.since_ms == NOW_MS + 1


async def test_a_list_is_whole_or_not_at_all() -> None:
    """Where nobody is known to have a partition, or who is said to have it does not, there is none."""
    for owners in ({0: "", 1: "1", 2: ""}, {0: "", 1: "1", 2: "", 3: ""}, {0: "", 1: "1", 2: "1", 3: "1"}):
        world = DeliveriesWorld(*HALVES)
        await world.plan(0, "a")
        world.owners.owners = owners
        with pytest.raises(ViewUnavailableError):
            await world.all.listed(Wanted(["a"]))


async def test_find() -> None:
    """In the order that is asked for; what is unknown, of no partition, or of no endpoint of the event is left out."""
    world = DeliveriesWorld(*HALVES)
    events = [await world.plan(partition, "a", "b", at_ms=NOW_MS + partition) for partition in range(4)]
    ids = [one for endpoint in ("a", "b") for one in (await world.all.listed(Wanted([endpoint]))).ids]
    assert len(set(ids)) == 8
    random.shuffle(ids)
    unknown = [
        DeliveryId(1, "0" * 32, ids[0].endpoint),
        DeliveryId(4, events[0], ids[0].endpoint),
        DeliveryId(0, events[0], "0" * 16),
        DeliveryId(0, events[1], ids[0].endpoint),
    ]
    found = await world.all.find([*ids[:4], *unknown, *ids[4:]])
    assert [one.id for one in found] == [one.text for one in ids]
    assert {(one.delivery.event, one.delivery.endpoint) for one in found} == {(e, x) for e in events for x in "ab"}
    assert [one.planned_ms - NOW_MS for one in found] == [one.partition for one in ids]


async def test_what_is_sent_again_begins_anew() -> None:
    """Whatever became of it, and on whatever node; what is unknown is left out."""
    world = DeliveriesWorld(*HALVES)
    events = [await world.plan(partition, "a") for partition in range(4)]
    for partition, outcome in ((0, "DELIVERED"), (1, "FAILED")):
        await world.attempt(partition, events[partition], "a", outcome)  # type: ignore[arg-type]
    ids = (await world.all.listed(Wanted(["a"]))).ids
    assert await world.all.resend([*ids, DeliveryId(3, "0" * 32, ids[0].endpoint)]) == 4
    found = await world.all.find(ids)
    assert {(one.delivery.status, one.delivery.tries) for one in found} == {("PENDING", 0)}
    assert sum(one.delivery.made for one in found) == 2


async def test_many_are_sent_again_in_their_order() -> None:
    """More than one node is asked for at a time."""
    world = DeliveriesWorld([0], [1, 2, 3])
    for number in range(450):
        await world.plan(1, "a", at_ms=NOW_MS + number)
    ids = (await world.all.listed(Wanted(["a"]))).ids[::-1]
    world.nodes[1].appended.clear()
    assert await world.all.resend(ids) == 450
    assert [event.event for event in world.nodes[1].appended] == [one.event for one in ids]  # type: ignore[union-attr]


async def test_what_is_not_known_to_be_sent_again() -> None:
    """Is unknown, whether the log did not say so or the fold; but not where the partition was not there before."""
    world = DeliveriesWorld(range(4))
    await world.plan(0, "a")
    ids = (await world.all.listed(Wanted(["a"]))).ids
    queues = world.nodes[0]
    queues.log_is_away = True
    with pytest.raises(LogUnavailableError):
        await world.all.resend(ids)
    queues.log_is_away, queues.is_folding = False, False
    with pytest.raises(LogUnavailableError):
        await world.all.resend(ids)
    queues.is_folding = True
    del queues.partitions[0]
    with pytest.raises(ViewUnavailableError):
        await world.all.resend(ids)


@asynccontextmanager
async def another_node(
    world: DeliveriesWorld, key: bytes = KEY, *, is_gone: bool = False
) -> AsyncIterator[tuple[DeliveriesThere, list[str]]]:
    """Run a node's internal listener; yield its deliveries as others see them, and who could not be reached."""
    calls = DeliveryCallsOfNodes(world.own[0], KEY, "there")
    app = web.Application()
    app.router.add_post(f"{PREFIX}{{path:/.*}}", calls.answer)
    server = TestServer(app, host="127.0.0.1")
    await server.start_server()
    hop, doubted = HopPool(key), list[str]()
    said = NodeSaid(name="there", url=str(server.make_url("")).rstrip("/"), roles=("streams",), view="v1")
    if is_gone:
        await server.close()
    try:
        yield DeliveriesThere(hop, said, doubted.append), doubted
    finally:
        await hop.close()
        await server.close()


async def test_another_node_answers_as_this_one_would() -> None:
    """Lists, deliveries and what is sent again, of a list that is larger than others' answers are held."""
    world = DeliveriesWorld(range(4))
    events = [await world.plan(number % 4, "a", at_ms=NOW_MS + number) for number in range(3_000)]
    await world.attempt(0, events[0], "a", "DELIVERED")
    async with another_node(world) as (there, doubted):
        wanted = Wanted(["a"])
        assert await there.listed([0, 1, 2, 3], wanted) == await world.own[0].listed([0, 1, 2, 3], wanted)
        assert len((await there.listed([1], Wanted(["a"], "PENDING", NOW_MS + 4, NOW_MS + 40))).found) == 9
        ids = [*(await world.all.listed(wanted)).ids[-3:], DeliveryId(0, "0" * 32, "0" * 16)]
        found = await there.find(ids)
        assert found == await world.own[0].find(ids)
        assert isinstance(found[-2], FoundDelivery)
        assert found[-1] is None
        assert await there.resend(ids) == 3
        assert (await world.all.find(ids))[-1].delivery.status == "PENDING"
        assert doubted == []


async def test_another_node_that_does_not_answer() -> None:
    """It has the partition no more, its log is away, its key is another, it is gone: never half an answer."""
    world = DeliveriesWorld(range(3))
    await world.plan(0, "a")
    ids = (await world.own[0].listed([0], Wanted(["a"]))).found
    one = parse_delivery_id(ids[0][1])
    assert one is not None
    async with another_node(world) as (there, doubted):
        with pytest.raises(ViewUnavailableError):
            await there.listed([0, 3], Wanted(["a"]))
        with pytest.raises(ViewUnavailableError):
            await there.resend([one._replace(partition=3)])
        world.nodes[0].log_is_away = True
        with pytest.raises(LogUnavailableError):
            await there.resend([one])
        assert doubted == []
    for another in (another_node(world, is_gone=True), another_node(world, key=bytes(32))):
        async with another as (there, doubted):
            with pytest.raises(ViewUnavailableError):
                await there.listed([0], Wanted(["a"]))
            assert doubted == ["there"]


async def test_lists_give_others_their_turn() -> None:
    """However many rows are looked at, everybody else goes on meanwhile."""
    world = DeliveriesWorld(range(4))
    for number in range(3_000):
        await world.plan(0, "a", at_ms=NOW_MS + number)
    assert await turns_of_others(world.all.listed(Wanted(["a"]))) >= 5
    assert await turns_of_others(world.all.listed(Wanted([f"e{number}" for number in range(1_000)]))) >= 20


async def test_what_is_being_erased_is_not_shown() -> None:
    """Neither what was told of a context or session that was erased, nor is it sent again, before it is forgotten."""
    world, session = DeliveriesWorld(*HALVES), id_text(Kind.SESSION, bytes(17))
    of_session = await world.plan(0, "e", data=b'{"session_id":"%b"}' % session.encode())
    other = await world.plan(1, "e")
    before = await world.all.listed(Wanted(["e"]))
    assert {one.event for one in before.ids} == {of_session, other}
    world.nodes[0].being_erased.add(session)
    assert await ids_of(world, "e") == [(1, other)]
    assert await ids_of(world, "e", status="PENDING") == [(1, other)]
    assert [one.delivery.event for one in await world.all.find(before.ids)] == [other]
    assert await world.all.resend(before.ids) == 1
    world.nodes[1].being_erased.add(CONTEXT)
    assert await ids_of(world, "e") == []
    assert await world.all.find(before.ids) == []
