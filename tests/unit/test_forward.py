"""A node in front of the one that has the partitions: clients see no difference, whatever happens on the hop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.payload import Payload
from prometheus_client import CollectorRegistry

from service.adapters import forward as pool
from service.adapters.forward import HopPool
from service.http.forward import REFUSED, BrokenHopError, UnreachableError
from service.http.forward_signature import ForwardedCall, signed
from service.http.internal import build_internal_app
from service.http.internal_connections import InternalRunner
from service.ports import Client
from streams.domain.errors import OverloadedError, ViewBehindError, ViewUnavailableError
from streams.domain.ids import Kind
from tests.support.forwarding import KEY, Pair, node_at, pair_of_nodes, read_call, talking
from tests.support.listener import problem
from tests.support.nodes import Answer, Caller, item
from tests.support.ports import free_port

CLIENT = Client("0123456789abcdef", Kind.PLATFORM, b"t" * 17, live=True)
CALL = ForwardedCall("owner", "GET", "/v1/sessions/upnext/x", b"", CLIENT, "req_0123456789abcdef")
COMMAND = CALL._replace(method="DELETE")


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    async with pair_of_nodes() as pair:
        yield pair


@pytest.fixture
async def hops() -> AsyncIterator[HopPool]:
    hops = HopPool(KEY)
    yield hops
    await hops.close()


def at_front(pair: Pair, caller: Caller) -> Caller:
    """Return the same client, who calls the node in front."""
    headers, tenant = caller.headers, caller.tenant
    return Caller(pair.front.http, pair.front.app.url, headers, tenant, caller.client_id, caller.secret)


def seen(answer: Answer) -> tuple[int, list[tuple[str, str]], bytes]:
    """Return all of an answer but its date and its request id."""
    request_id = answer.headers["Paket-Request-Id"]
    headers = [
        (name, value) for name, value in answer.headers.items() if name not in ("Date", "Paket-Request-Id", "RateLimit")
    ]
    return answer.status, headers, answer.body.replace(request_id.encode(), b"")


async def filled(pair: Pair, items: int = 3, **more: Any) -> tuple[str, str, str]:
    """Return the paths of a context with items and of a session that it is attached to, and a position."""
    context, session = await pair.owner.context(), await pair.owner.session()
    position = (await pair.owner.attach(session, context)).position
    for n in range(items):
        position = (await pair.owner.app.ok("PUT", f"/v1/contexts/upnext/{context}", item(f"c{n}", **more))).position
    return f"/v1/contexts/upnext/{context}", f"/v1/sessions/upnext/{session}", position


async def test_a_read_is_the_owners_byte_for_byte(pair: Pair) -> None:
    """Lists, pages, what is known, what is broken, what is absent: in the same bytes under the same headers."""
    context, session, position = await filled(pair)
    of_context = f"{session}/{context.rpartition('/')[2]}"
    app, platform = pair.owner.app, pair.owner.platform
    etag = (await platform.ok("GET", session)).headers["ETag"]
    reads: Sequence[tuple[Caller, str, dict[str, Any]]] = [
        (app, context, {}),
        (app, f"{context}?limit=2", {"after": position}),
        (app, f"{context}?limit=0&next_key=x", {}),
        (app, context, {"after": "nonsense"}),
        (platform, session, {"after": position}),
        (platform, f"{session}?limit=1&next_key=1&more=%C3%BC%2F+", {}),
        (platform, session, {"headers": {"If-None-Match": f'"other", {etag}'}}),
        (platform, session, {"headers": {"If-None-Match": '"other"'}}),
        (platform, f"{session}/contexts", {}),
        (platform, of_context, {}),
        (platform, f"{session}/nonsense", {}),
        (platform, f"{session}/%FF?limit=%FF", {}),
        (pair.owner.callers["other_platform"], session, {}),
        (platform, f"{session[:-1]}{'1' if session[-1] == '0' else '0'}", {}),
    ]
    for caller, path, more in reads:
        for method in ("GET", "HEAD"):
            answers = [await one.call(method, path, **more) for one in (caller, at_front(pair, caller))]
            assert seen(answers[0]) == seen(answers[1]), (method, path)
    # What is wrong before any list is looked at is answered in front: three in the table, each with two methods.
    assert pair.outcome("answered") == 2 * (len(reads) - 3)


async def test_a_read_is_in_the_version_that_was_asked_for(pair: Pair) -> None:
    """By a header, or by the client's default, as the node in front knows it."""
    _, session, position = await filled(pair)
    platform = at_front(pair, pair.owner.platform)
    newer = {"Paket-Version": "2026-11-01"}
    expected = await pair.owner.platform.ok("GET", session, headers=newer)
    assert seen(await platform.ok("GET", session, headers=newer, after=position)) == seen(expected)
    digest, client = pair.owner.world.clients[platform.client_id]
    pair.owner.world.clients[platform.client_id] = digest, client._replace(version="2026-11-01")
    assert seen(await platform.ok("GET", session)) == seen(expected)
    assert "total" in (await platform.ok("GET", session, headers={"Paket-Version": "2024-02-16"})).json
    unknown = await platform.call("GET", session, headers={"Paket-Version": "2024-02-17"})
    assert unknown.status == 400
    assert pair.outcome("answered") == 3


async def test_a_command_is_the_owners(pair: Pair) -> None:
    """Each is done there, once, in the name of the client and of the request, and answered as it is there."""
    context, session, position = await filled(pair)
    app, platform = at_front(pair, pair.owner.app), at_front(pair, pair.owner.platform)
    of_context = f"{session}/{context.rpartition('/')[2]}"
    attach = {"app_id": app.tenant, "context_id": context.rpartition("/")[2]}
    commands: Sequence[tuple[Caller, str, str, Any, int]] = [
        (platform, "PUT", session, attach, 200),
        (platform, "PUT", session, {"app_id": "x"}, 400),
        (platform, "PUT", of_context, {"content_id": "c1", "action": "hide"}, 200),
        (platform, "PUT", of_context, {"content_id": "nothing", "action": "hide"}, 404),
        (platform, "DELETE", of_context, None, 204),
        (app, "DELETE", f"{context}/sessions", None, 204),
        (platform, "DELETE", session, None, 204),
        (platform, "DELETE", session, None, 404),
    ]
    for n, (caller, method, path, body, status) in enumerate(commands, 1):
        before = pair.owner.recorded
        answer = await caller.call(method, path, body, after=position)
        assert answer.status == status, (method, path, answer.body)
        assert pair.outcome("answered") == n
        assert pair.owner.recorded - before <= 1
        if 200 <= status < 300:
            assert answer.position
    event = pair.owner.world.session_events[-1][1]
    assert event.client == platform.client_id
    assert event.request == answer.headers["Paket-Request-Id"]
    assert pair.front.recorded == 0


async def test_a_list_is_read_from_a_copy_where_its_owner_is_away(pair: Pair) -> None:
    """From another node's or one's own; a node that has the owner's part says so; commands wait for a new owner."""
    context, session, position = await filled(pair)
    platform, app = at_front(pair, pair.owner.platform), at_front(pair, pair.owner.app)
    pair.owner_places.has_all = False
    pair.places.owners = [node_at("dead", free_port())]
    pair.places.copiers = [node_at("owner", pair.owner_port)]
    assert problem(await platform.call("GET", session), 503) == "view_unavailable"
    pair.owner_places.has_copies = True
    for caller, path in ((platform, session), (app, context), (platform, f"{session}/contexts")):
        theirs = await (pair.owner.app if caller is app else pair.owner.platform).call("GET", path, after=position)
        assert seen(await caller.call("GET", path, after=position)) == seen(theirs)
    before = pair.owner.recorded
    assert problem(await platform.call("DELETE", session), 503) == "view_unavailable"
    assert problem(await app.call("DELETE", f"{context}/sessions"), 503) == "view_unavailable"
    assert pair.owner.recorded == before
    pair.places.copiers, pair.places.has_copies = [], True
    # It is read here: the front's own world is an empty one.
    assert (await platform.ok("GET", session)).json["total"] == 0
    assert pair.outcome("copied") == 1


async def test_what_is_here_and_cannot_be_read_yet_is_read_from_a_copy(pair: Pair) -> None:
    """By a node that was just given the partition, and from one behind it, which says so; commands stay."""
    _, session, _ = await filled(pair)
    platform = at_front(pair, pair.owner.platform)
    pair.places.has_all = pair.places.recovers = True
    pair.owner_places.has_all, pair.owner_places.has_copies = False, True
    pair.places.owners, pair.places.copiers = [], [node_at("owner", pair.owner_port)]
    assert seen(await platform.call("GET", session)) == seen(await pair.owner.platform.call("GET", session))
    pair.places.has_all, pair.places.owners, pair.places.copiers = False, [node_at("owner", pair.owner_port)], []
    pair.owner_places.has_all, pair.owner_places.recovers, pair.owner_places.has_copies = True, True, False
    assert problem(await platform.call("GET", session), 503) == "view_unavailable"
    assert pair.outcome("misdirected") == 2, "asked as the owner, then for a copy"
    assert (await platform.call("DELETE", session)).status == 204


async def test_what_the_owner_cannot_answer_is_handed_on(pair: Pair) -> None:
    """With the code that it has, and the time after which to ask again."""
    _, session, _ = await filled(pair)
    platform = at_front(pair, pair.owner.platform)
    for error, code in ((ViewBehindError(), "view_behind"), (ViewUnavailableError(), "view_unavailable")):
        pair.owner.world.fail("session_page", error)
        answer = await platform.call("GET", session)
        assert problem(answer, 503) == code
        assert answer.headers["Retry-After"] == "1"


async def test_writes_of_items_go_nowhere(pair: Pair) -> None:
    """Any node takes them, for they need no list."""
    context, _, _ = await filled(pair)
    app = at_front(pair, pair.owner.app)
    await app.ok("PUT", context, item("x"))
    await app.ok("DELETE", f"{context}/x")
    assert pair.front.recorded == 2
    assert pair.outcome("answered") == 0


@pytest.mark.parametrize("held_room_bytes", [pool.HELD_ROOM_BYTES, 0], ids=["held", "streamed"])
async def test_a_large_list(held_room_bytes: int) -> None:
    """Whole and in order, with its length known beforehand."""
    async with pair_of_nodes(held_room_bytes=held_room_bytes) as pair:
        _, session, _ = await filled(pair, 120, description="d" * 4_000)
        path, owner, front = f"{session}?limit=200", pair.owner.platform, at_front(pair, pair.owner.platform)
        answers = [await caller.call("GET", path) for caller in (owner, front)]
        assert len(answers[0].body) > 2 * pool.HELD_BYTES
        assert seen(answers[0]) == seen(answers[1])
        assert seen(await front.call("HEAD", path)) == seen(await owner.call("HEAD", path))


async def test_nobody_is_known(pair: Pair) -> None:
    """503, and nothing is written."""
    _, session, _ = await filled(pair)
    pair.places.owners.clear()
    recorded = pair.owner.recorded
    for method in ("GET", "DELETE"):
        answer = await at_front(pair, pair.owner.platform).call(method, session)
        assert problem(answer, 503) == "view_unavailable"
        assert answer.headers["Retry-After"] == "1"
    assert pair.owner.recorded == recorded
    assert pair.outcome("nobody") == 2


async def test_who_has_it_no_more_says_so_and_the_next_is_asked(pair: Pair) -> None:
    """Once; a forwarded call itself is never handed on."""
    _, session, _ = await filled(pair)
    platform = at_front(pair, pair.owner.platform)
    pair.owner_places.has_all = False
    assert problem(await platform.call("DELETE", session), 503) == "view_unavailable"
    assert pair.outcome("misdirected") == 1
    async with pair_of_nodes() as other:
        # The second one has the partition, but not this world: what counts is that it was asked.
        other.owner_places.name = "owner"
        pair.places.owners.append(node_at("second", other.owner_port))
        answer = await platform.call("GET", session)
        assert problem(answer, 503) == "view_unavailable", "a node with another name refuses"
        assert pair.outcome("unreachable") == 1
    assert pair.places.doubted == ["second"]


async def test_who_has_just_lost_it_answers_from_the_copy_that_it_keeps(pair: Pair) -> None:
    """Nobody has heard of the copy yet, and the new owner does not serve yet."""
    _, session, position = await filled(pair)
    platform = at_front(pair, pair.owner.platform)
    pair.owner_places.has_all, pair.owner_places.has_copies = False, True
    theirs = await pair.owner.platform.call("GET", session, after=position)
    assert seen(await platform.call("GET", session, after=position)) == seen(theirs)
    assert (pair.outcome("misdirected"), pair.outcome("answered")) == (1, 1)
    assert problem(await platform.call("DELETE", session), 503) == "view_unavailable"


async def test_who_takes_over_while_copies_are_asked_is_asked(pair: Pair) -> None:
    """A copy that was kept until then is gone by the time it is asked for."""
    _, session, _ = await filled(pair)
    owner = pair.places.owners.pop()

    async def gone(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_call(reader)
        pair.places.owners.append(owner)
        writer.write(f"HTTP/1.1 421 Misdirected Request\r\n{REFUSED}: gone\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()

    async with talking(gone) as port:
        pair.places.copiers[:] = [node_at("kept", port)]
        theirs = await pair.owner.platform.call("GET", session)
        assert seen(await at_front(pair, pair.owner.platform).call("GET", session)) == seen(theirs)
    assert (pair.outcome("misdirected"), pair.outcome("answered")) == (1, 1)


async def test_what_goes_away_while_it_is_read_is_read_from_a_copy(pair: Pair) -> None:
    """The owner had it when it was asked, and not any more when it looked."""
    _, session, _ = await filled(pair)
    pair.owner.world.fail("session_page", ViewUnavailableError())
    pair.places.has_copies = True
    assert (await at_front(pair, pair.owner.platform).call("GET", session)).status == 200
    assert pair.outcome("copied") == 1


async def test_what_goes_away_here_while_it_is_read_is_read_elsewhere(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was here when it was looked for: the read is as good as any other; a command is told to come again."""
    _, session, _ = await filled(pair)
    for method, status in (("GET", 200), ("DELETE", 503)):
        here = iter([True])
        monkeypatch.setattr(pair.places, "serves", lambda *_, here=here: next(here, False))
        for call in ("session_page", "execute"):
            pair.front.world.fail(call, ViewUnavailableError())
        assert (await at_front(pair, pair.owner.platform).call(method, session)).status == status
    assert pair.outcome("answered") == 1


async def test_where_nobody_listens_the_next_is_asked(pair: Pair) -> None:
    """Also with a command, for nothing was sent."""
    context, session, _ = await filled(pair)
    attach = {"app_id": pair.owner.app.tenant, "context_id": context.rpartition("/")[2]}
    for _ in range(2):
        pair.places.owners.insert(0, node_at("gone", free_port()))
        pair.places.doubted.clear()
        await at_front(pair, pair.owner.platform).ok("PUT", session, attach)
        assert pair.places.doubted == ["gone"]
    assert pair.outcome("unreachable") == 2


async def test_a_connection_that_breaks(pair: Pair) -> None:
    """A read goes to the next node; a command may have been heard, and is neither repeated nor called good."""
    calls: list[bytes] = []

    async def break_off(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        calls.append(await read_call(reader))

    _, session, _ = await filled(pair)
    platform = at_front(pair, pair.owner.platform)
    async with talking(break_off) as port:
        pair.places.owners.insert(0, node_at("broken", port))
        assert (await platform.call("GET", session)).status == 200
        recorded, read = pair.owner.recorded, len(calls)
        assert problem(await platform.call("DELETE", session), 503) == "log_unavailable"
        assert len(calls) == read + 1
        assert pair.owner.recorded == recorded
    assert pair.outcome("broken") == 2
    assert pair.places.doubted == [], "it may be one list that takes long"


async def test_a_kept_connection_that_was_closed_has_no_command_repeated(hops: HopPool) -> None:
    """Not by aiohttp's client either, which repeats what it takes for idempotent."""
    calls: list[bytes] = []

    async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        calls.append(await read_call(reader))
        writer.write(b"HTTP/1.1 204 No Content\r\nPaket-Request-Id: r\r\n\r\n")
        calls.append(await read_call(reader))

    async with talking(answer_once) as port:
        url = f"http://127.0.0.1:{port}"
        assert (await hops.send(url, COMMAND, limit_s=5)).status == 204
        with pytest.raises(BrokenHopError):
            await hops.send(url, COMMAND, limit_s=5)
        assert len(calls) == 2


async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one call with half of what was promised."""
    await read_call(reader)
    size = 4 * pool.HELD_BYTES
    writer.write(b"HTTP/1.1 200 OK\r\nPaket-Request-Id: r\r\nContent-Length: %d\r\n\r\n" % size)
    writer.write(b"x" * (size // 2))
    await writer.drain()


async def test_another_node_is_asked_where_a_large_answer_breaks_off(pair: Pair) -> None:
    """Nothing of it has gone to the client."""
    _, session, _ = await filled(pair)
    async with talking(half) as port:
        pair.places.owners.insert(0, node_at("half", port))
        platform = pair.owner.platform
        assert seen(await at_front(pair, platform).call("GET", session)) == seen(await platform.call("GET", session))
        assert pair.outcome("broken") == 1


async def test_a_streamed_answer_that_breaks_off_is_seen_to() -> None:
    """The client is told how long it is, and does not get as much."""
    async with pair_of_nodes(held_room_bytes=0) as pair, talking(half) as port:
        _, session, _ = await filled(pair)
        pair.places.owners.insert(0, node_at("half", port))
        with pytest.raises(aiohttp.ClientPayloadError):
            await at_front(pair, pair.owner.platform).call("GET", session)


async def test_a_client_that_leaves_ends_the_hop(pair: Pair) -> None:
    """Nobody waits for an answer that nobody wants."""
    heard, left = asyncio.Event(), asyncio.Event()

    async def never(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await read_call(reader)
        heard.set()
        await reader.read()
        left.set()

    _, session, _ = await filled(pair)
    async with talking(never) as port:
        pair.places.owners.insert(0, node_at("slow", port))
        asking = asyncio.create_task(at_front(pair, pair.owner.platform).call("GET", session))
        async with asyncio.timeout(3):
            await heard.wait()
            asking.cancel()
            await left.wait()
    assert pair.places.doubted == []
    # The connection's next client is served as ever.
    pair.places.owners.pop(0)
    assert (await at_front(pair, pair.owner.platform).call("GET", session)).status == 200


@asynccontextmanager
async def silent() -> AsyncIterator[str]:
    """Something that listens and says nothing."""

    async def never(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with talking(never) as port:
        yield f"http://127.0.0.1:{port}"


async def test_the_time_is_limited(hops: HopPool) -> None:
    """Of who does not answer, it is not known whether it has heard."""
    async with silent() as url:
        began = time.monotonic()
        with pytest.raises(BrokenHopError):
            await hops.send(url, CALL, limit_s=0.1)
        assert time.monotonic() - began < 2


async def test_so_many_may_wait_for_one_node(hops: HopPool) -> None:
    """Others are told so at once; once they have ended there is room again."""
    async with silent() as url:
        waiting = [asyncio.create_task(hops.send(url, CALL, limit_s=1)) for _ in range(pool.MOST_AT_ONCE)]
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError):
            await hops.send(url, CALL, limit_s=1)
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
        with pytest.raises(BrokenHopError):
            await hops.send(url, CALL, limit_s=0.05)


async def waiting_half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one call with the head of what was promised, and wait for the other side."""
    await read_call(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nPaket-Request-Id: r\r\nContent-Length: %d\r\n\r\n" % (4 * pool.HELD_BYTES))
    await writer.drain()
    await reader.read()


async def test_an_answer_that_is_streamed_is_under_way_to_its_end() -> None:
    """However it ends."""
    hops = HopPool(KEY, most_at_once=1, held_room_bytes=0)
    try:
        async with talking(waiting_half) as port:
            url = f"http://127.0.0.1:{port}"
            for _ in range(2):
                answer = await hops.send(url, CALL, limit_s=5)
                assert isinstance(answer.body, Payload)
                with pytest.raises(OverloadedError):
                    await hops.send(url, CALL, limit_s=5)
                await answer.body.close()
    finally:
        await hops.close()


async def test_what_is_read_whole_has_a_bound() -> None:
    """Where one large answer is being read, the next is streamed; then there is room again."""
    hops = HopPool(KEY, held_room_bytes=4 * pool.HELD_BYTES)
    heard = asyncio.Event()

    async def stuck(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.set()
        await waiting_half(reader, writer)

    try:
        async with talking(stuck) as port, talking(waiting_half) as other:
            first = asyncio.create_task(hops.send(f"http://127.0.0.1:{port}", CALL, limit_s=1.0))
            await heard.wait()
            url = f"http://127.0.0.1:{other}"
            while True:
                try:
                    answer = await hops.send(url, CALL, limit_s=0.05)
                except BrokenHopError:  # the head of the first has not come yet
                    continue
                break
            assert isinstance(answer.body, Payload)
            await answer.body.close()
            with pytest.raises(BrokenHopError):
                await first
            with pytest.raises(BrokenHopError):
                await hops.send(url, CALL, limit_s=0.1)
    finally:
        await hops.close()


async def test_where_nobody_listens_nothing_was_sent(hops: HopPool) -> None:
    """Neither there nor where there is no such place."""
    for url in (f"http://127.0.0.1:{free_port()}", "http://nowhere.invalid:1", "no url"):
        with pytest.raises(UnreachableError):
            await hops.send(url, COMMAND, limit_s=5)


async def test_what_is_not_signed_for_it_is_refused(pair: Pair) -> None:
    """403, and nothing is written: forged, kept for too long, on another path, handed on before, to another node."""
    _, session, _ = await filled(pair)
    platform = pair.owner.platform
    client = pair.owner.world.clients[platform.client_id][1]
    good = ForwardedCall("owner", "DELETE", session, b"", client, "req_0123456789abcdef")
    now_ms = time.time_ns() // 1_000_000
    recorded = pair.owner.recorded

    async def refused(headers: Sequence[tuple[str, str]], path: str = session, method: str = "POST") -> str:
        url = f"http://127.0.0.1:{pair.owner_port}/forward{path}"
        async with pair.front.http.request(method, url, headers=headers, skip_auto_headers=["Content-Type"]) as answer:
            return f"{answer.status} {answer.headers.get(REFUSED, '')}"

    assert "403" in await refused([])
    assert "signature" in await refused(list(platform.headers.items()))
    assert "signature" in await refused(signed(b"x" * 32, good, now_ms))
    assert "too old" in await refused(signed(KEY, good, now_ms - 31_000))
    assert "too old" in await refused(signed(KEY, good, now_ms + 31_000))
    assert "signature" in await refused(signed(KEY, good, now_ms), f"{session}?limit=1")
    assert "signature" in await refused(signed(KEY, good, now_ms), f"{session[:-1]}x")
    assert "forwarded before" in await refused(signed(KEY, good._replace(hop=2), now_ms))
    assert "another node" in await refused(signed(KEY, good._replace(to="another"), now_ms))
    assert "405" in await refused(signed(KEY, good, now_ms), method="DELETE")
    assert "421" in await refused(signed(KEY, good._replace(path="/v1/more"), now_ms), "/v1/more")
    assert pair.owner.recorded == recorded
    assert "204" in await refused(signed(KEY, good, now_ms))
    assert pair.owner.recorded == recorded + 1


async def test_clients_have_no_way_in(pair: Pair) -> None:
    """On the public listener there is no such path."""
    _, session, _ = await filled(pair)
    client = pair.owner.world.clients[pair.owner.platform.client_id][1]
    call = ForwardedCall("front", "GET", session, b"", client, "req_0123456789abcdef")
    headers = dict(signed(KEY, call, time.time_ns() // 1_000_000))
    answer = await pair.front.nobody.call("GET", f"/forward{session}", headers=headers)
    assert problem(answer, 401) == "invalid_credentials"
    answer = await at_front(pair, pair.owner.platform).call("GET", f"/forward{session}", headers=headers)
    assert problem(answer, 404) == "unknown_path"


async def test_a_command_that_is_refused_is_not_done(pair: Pair) -> None:
    """The other node's clock is wrong, say: that is no unknown outcome, and another node may be asked."""
    _, session, _ = await filled(pair)
    pair.places.owners.insert(0, node_at("another", pair.owner_port))
    await at_front(pair, pair.owner.platform).ok("DELETE", session)
    assert pair.places.doubted == ["another"]


async def test_who_answers_is_no_node(pair: Pair) -> None:
    """Its answers are no client's business, whatever they are."""

    async def something_else(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_call(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")

    _, session, _ = await filled(pair)
    async with talking(something_else) as port:
        pair.places.owners[:] = [node_at("something", port)]
        answer = await at_front(pair, pair.owner.platform).call("GET", session)
        assert problem(answer, 503) == "view_unavailable"


async def test_until_a_node_is_started_it_refuses() -> None:
    """Calls of others, and who asks which nodes there are."""
    runner = InternalRunner(build_internal_app(list, CollectorRegistry()), CollectorRegistry())
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with aiohttp.ClientSession() as http:
            for path in ("/nodes", "/forward/v1/x"):
                async with http.get(url + path) as answer:
                    assert (answer.status, answer.headers[REFUSED]) == (503, "the node is starting")
        hops = HopPool(KEY)
        with pytest.raises(UnreachableError, match="starting"):
            await hops.send(url, COMMAND, limit_s=5)
        await hops.close()
    finally:
        await runner.cleanup()


async def test_bytes_that_belong_in_no_request(pair: Pair) -> None:
    """They are what they are here: absent, out of range, or without a meaning."""
    _, session, _ = await filled(pair)
    authorization = pair.owner.platform.headers["Authorization"].encode()
    answers = []
    for listener in (pair.owner, pair.front):
        for path in (b"/\xff\xfe", b"?limit=\xff", b""):
            head = b"GET %s%s HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\nConnection: close\r\n"
            head += b'If-None-Match: "\xff"\r\nContent-Type: \xc3\xbc\r\n\r\n'
            answers.append((await listener.raw(head % (session.encode(), path, authorization))).split(b"\r\n")[0])
    assert answers[:3] == answers[3:]
    assert b" 200 " in answers[2]
    assert not any(b" 500 " in line for line in answers)
