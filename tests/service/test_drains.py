"""Too much at once, and too slowly: refused in time, in a bounded part of memory, and nobody else notices."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import pytest

from service.http.positions import PositionTokens
from service.listeners import connection_limits
from streams.domain.ids import Kind, parse_id
from streams.domain.positions import ContextPosition
from streams.keys import MasterKey
from streams.log.embedded_directory import DATABASE
from tests.service.conftest import Connect, Pair, make_pair
from tests.service.test_bad_days import metric
from tests.support.kafka import Broker
from tests.support.nodes import MASTER_KEY, Answer, Caller, Deployment, NodeProcess, item

HALF_REQUESTS = 1_000
CLOSED_S = 10.0
"""Within this time a half request must be over: an aim of the product's, hence without a margin."""
MANY = 900
"""Requests at once; a client may make twice as many in a burst."""
SLOW_READERS = 150
LARGE_ITEMS = 200
MIB = 1 << 20


@pytest.fixture(scope="module", autouse=True)
def many_files() -> None:
    """Let this process have as many connections as it may."""
    connection_limits()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    node = NodeProcess(tmp_path_factory.mktemp("drains") / "node", "--partitions", "2")
    try:
        asyncio.run(node.start())
        yield node
        assert node.terminate() == 0, node.tail()
    finally:
        node.kill()


@pytest.fixture
async def pair(node: NodeProcess, http: aiohttp.ClientSession) -> Pair:
    return await make_pair(Deployment(node, http))


@asynccontextmanager
async def grows_by_less(node: NodeProcess, most_bytes: int) -> AsyncIterator[None]:
    """Look at the node's memory all the time."""
    before = largest = await metric(node, "process_resident_memory_bytes")
    over = asyncio.Event()

    async def look() -> None:
        nonlocal largest
        while not over.is_set():
            largest = max(largest, await metric(node, "process_resident_memory_bytes"))
            await asyncio.wait({asyncio.create_task(over.wait())}, timeout=0.2)

    looking = asyncio.create_task(look())
    try:
        yield
    finally:
        over.set()
        await looking
    print(f"memory grew by {(largest - before) / MIB:.0f} MiB")
    assert largest - before < most_bytes


async def at_once(count: int, call: Callable[[int], Awaitable[Answer]]) -> tuple[list[Answer], float]:
    """Make many calls at once; return their answers, and how long the slowest took."""
    began = time.monotonic()
    answers = await asyncio.gather(*(call(n) for n in range(count)))
    return answers, time.monotonic() - began


def many_connections(caller: Caller, http: aiohttp.ClientSession) -> Caller:
    return Caller(http, caller.url, caller.headers, caller.tenant, caller.client_id, caller.secret)


@pytest.fixture
async def wide() -> AsyncIterator[aiohttp.ClientSession]:
    """A session with a connection for each request, however many there are."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(60)) as session:
        yield session


async def p99_s(pair: Pair, over: Callable[[], bool], least: int = 100) -> float:
    """Write and read one after another until it is over; return how long 99 of 100 took at most."""
    took: list[float] = []
    while len(took) < least or not over():
        for method, body in (("PUT", item("others")), ("GET", None)):
            began = time.perf_counter()
            await pair.app.ok(method, pair.context_path, body)
            took.append(time.perf_counter() - began)
            await asyncio.sleep(0.005)
    return sorted(took)[len(took) * 99 // 100]


async def test_half_requests_are_closed_and_cost_others_nothing(node: NodeProcess, pair: Pair) -> None:
    """A thousand connections with half a head or half a body: over in 10 s, while others write and read as before."""
    before = await p99_s(pair, lambda: True)
    authorization = pair.app.headers["Authorization"]
    line = f"PUT {pair.context_path} HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\n"
    halves = [line, f'{line}Content-Type: application/json\r\nContent-Length: 500\r\n\r\n{{"content_id":']

    async def half(n: int) -> float:
        reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
        began = time.monotonic()
        writer.write(halves[n % 2].encode())
        with suppress(ConnectionResetError):
            got = await reader.read()
            assert not got or got.startswith(b"HTTP/1.1 400 "), got
        writer.close()
        return time.monotonic() - began

    async with grows_by_less(node, 200 * MIB):
        halving = asyncio.gather(*(half(n) for n in range(HALF_REQUESTS)))
        beside = await p99_s(pair, halving.done)
        took = await halving
    print(f"closed in {max(took):.1f} s; p99 of others {before * 1000:.1f} ms before, {beside * 1000:.1f} ms beside")
    assert max(took) < CLOSED_S
    assert beside < max(10 * before, 0.25)


async def large_list(pair: Pair) -> None:
    """Fill the context with a list of 3 MB."""
    text, uri = "€" * 3_500, f"https://m.example/{'y' * 1_500}"
    for n in range(LARGE_ITEMS):
        await pair.app.ok("PUT", pair.context_path, item(f"c{n}", description=text, poster_art_uri=uri))


async def test_answers_that_nobody_reads_take_bounded_memory(node: NodeProcess, pair: Pair) -> None:
    """Half a gigabyte of lists is asked for and not read; who does read gets them."""
    await large_list(pair)
    authorization = pair.app.headers["Authorization"]
    request = f"GET {pair.context_path}?limit=200 HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\n\r\n"
    loop = asyncio.get_running_loop()
    slow: list[socket.socket] = []
    try:
        async with grows_by_less(node, 250 * MIB):
            for _ in range(SLOW_READERS):
                slow.append(socket.socket())
                slow[-1].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
                slow[-1].setblocking(False)
                await loop.sock_connect(slow[-1], ("127.0.0.1", node.port))
                await loop.sock_sendall(slow[-1], request.encode())
            async with asyncio.timeout(30):
                while not await metric(node, 'upnext_http_connections_cut_total{reason="unsent"}'):
                    await asyncio.sleep(0.05)
            page = await pair.app.ok("GET", f"{pair.context_path}?limit=200")
            assert len(page.json["items"]) == LARGE_ITEMS
    finally:
        for one in slow:
            one.close()


async def test_more_reads_than_may_wait_are_refused_at_once(
    node: NodeProcess, pair: Pair, wide: aiohttp.ClientSession
) -> None:
    """Of a client a hundred wait for what is not there yet, for 2 s; the others hear at once that they should not."""
    database = sqlite3.connect(f"{(node.directory / 'log' / DATABASE).as_uri()}?mode=ro", uri=True)
    (log_id,) = database.execute("SELECT value FROM log WHERE name = 'id'").fetchone()
    database.close()
    raw = parse_id(Kind.CONTEXT, pair.context)
    assert raw is not None
    tokens = PositionTokens(MasterKey(bytes.fromhex(MASTER_KEY)).positions_key, log_id)
    after = tokens.write(ContextPosition(raw, 1 << 30))
    app = many_connections(pair.app, wide)
    async with grows_by_less(node, 200 * MIB):
        answers, slowest_s = await at_once(MANY, lambda _: app.call("GET", pair.context_path, after=after))
    codes = Counter(answer.code for answer in answers)
    print(f"{codes}, the slowest in {slowest_s:.1f} s")
    assert set(codes) == {"overloaded", "view_behind"}
    assert codes["overloaded"] >= MANY // 2
    assert all(answer.status == 503 and int(answer.headers["Retry-After"]) > 0 for answer in answers)
    assert (await pair.app.ok("GET", pair.context_path)).json["total"] == 0


@pytest.mark.kafka
@pytest.mark.timeout(180)
async def test_writes_to_a_broker_that_stands_still_are_refused_in_time(
    tmp_path: Path, connect: Connect, wide: aiohttp.ClientSession
) -> None:
    """Hundreds at once: each is a 503 when its time is over, lists go on meanwhile, and then all goes on by itself."""
    broker = Broker(tmp_path / "broker")
    broker.start()
    node = NodeProcess(tmp_path / "node", "--partitions", "2", kafka=broker.bootstrap)
    try:
        await node.start()
        pair = await make_pair(connect(node))
        known = (await pair.app.ok("PUT", pair.context_path, item("known"))).position
        await pair.app.ok("GET", pair.context_path, after=known)
        app = many_connections(pair.app, wide)
        broker.pause()
        async with grows_by_less(node, 200 * MIB):
            text = "x" * 4_000
            writing = asyncio.create_task(
                at_once(MANY, lambda n: app.call("PUT", pair.context_path, item(f"c{n}", description=text)))
            )
            while not writing.done():
                assert (await pair.app.ok("GET", pair.context_path, after=known)).json["total"] == 1
                await asyncio.sleep(0.1)
            answers, slowest_s = await writing
        print(f"{Counter(answer.code for answer in answers)}, the slowest in {slowest_s:.1f} s")
        assert {answer.status for answer in answers} == {503}
        assert all(int(answer.headers["Retry-After"]) > 0 for answer in answers)
        assert slowest_s < 5 * 5
        broker.resume()
        async with asyncio.timeout(60):
            while (await pair.app.call("PUT", pair.context_path, item("again"))).status != 200:
                await asyncio.sleep(0.1)
        written = (await pair.app.ok("PUT", pair.context_path, item("again"))).position
        page = await pair.app.ok("GET", f"{pair.context_path}?limit=200", after=written)
        assert page.json["items"][0]["content_id"] == "again"
        assert node.terminate() == 0, node.tail()
    finally:
        node.kill()
        broker.stop()
