"""A node that has a partition and is silent: a copy of it is asked as well, and then first."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from service.http.forward_client import SILENT_S
from service.http.forward_hedges import COPY_FIRST_S, HEDGES_PER_S, Hedges
from streams.domain.errors import OverloadedError, SessionDeletedError, ViewBehindError, ViewUnavailableError
from tests.support.forwarding import Pair, node_at, pair_of_nodes, read_call, talking
from tests.support.listener import problem
from tests.support.nodes import Caller
from tests.support.ports import free_port

READ_S = 1.5
"""How long a read may take whose owner is silent."""


@dataclass
class Frozen:
    """Listens, reads what it is sent, and says nothing."""

    calls: list[bytes] = field(default_factory=list)

    async def talk(self, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        self.calls.append(await read_call(reader))
        await reader.read()


@dataclass
class Hedged:
    """A front before an owner that is silent, and a node that has copies."""

    pair: Pair
    frozen: Frozen
    platform: Caller
    session: str

    async def timed(self, method: str = "GET") -> tuple[int, float]:
        """Return the status of a read, and how long it took."""
        began = time.monotonic()
        answer = await self.platform.call(method, self.session)
        return answer.status, time.monotonic() - began


@asynccontextmanager
async def hedged() -> AsyncIterator[Hedged]:
    frozen = Frozen()
    async with pair_of_nodes() as pair, talking(frozen.talk) as port:
        context, session = await pair.owner.context(), await pair.owner.session()
        await pair.owner.attach(session, context)
        caller = pair.owner.platform
        platform = Caller(
            pair.front.http, pair.front.app.url, caller.headers, caller.tenant, caller.client_id, caller.secret
        )
        pair.owner_places.has_all, pair.owner_places.has_copies = False, True
        pair.places.owners[:] = [node_at("frozen", port)]
        pair.places.copiers[:] = [node_at("owner", pair.owner_port)]
        yield Hedged(pair, frozen, platform, f"/v1/sessions/upnext/{session}")


async def test_a_copy_answers_in_place_of_an_owner_that_is_silent() -> None:
    """The first reads within a second and a half, the next ones at once, of which the owner hears nothing."""
    async with hedged() as it:
        first = await asyncio.gather(*(it.timed() for _ in range(5)))
        assert [status for status, _ in first] == [200] * 5
        assert SILENT_S < max(took for _, took in first) < READ_S
        assert it.pair.outcome("hedged") == len(it.frozen.calls) == 5
        status, took = await it.timed("HEAD")
        assert (status, len(it.frozen.calls)) == (200, 5)
        assert took < SILENT_S
        it.pair.places.copiers.clear()
        it.pair.places.has_copies = True
        assert (await it.timed())[0] == 200
        assert (it.pair.outcome("copied"), len(it.frozen.calls)) == (1, 5)


async def test_a_command_is_sent_to_one_node() -> None:
    """However long it takes."""
    async with hedged() as it:
        command = asyncio.create_task(it.timed("DELETE"))
        await asyncio.wait({command}, timeout=2 * SILENT_S)
        assert not command.done()
        assert it.pair.outcome("hedged") == 0
        command.cancel()
        await asyncio.wait({command})


async def test_an_owner_that_answers_after_a_copy_could_not_is_heard() -> None:
    """A 503 of the copy is no answer as long as the owner may have one; of two the owner's counts."""
    for status in (b"200 OK", b"503 Service Unavailable"):
        answering = asyncio.Event()

        async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_call(reader)
            await answering.wait()  # noqa: B023 - it is this round's
            writer.write(b"HTTP/1.1 %s\r\nPaket-Request-Id: r\r\nContent-Length: 5\r\n\r\nowner" % status)  # noqa: B023
            await writer.drain()

        async with hedged() as it, talking(slow) as port:
            it.pair.places.owners[:] = [node_at("slow", port)]
            it.pair.owner_places.has_copies = False
            reading = asyncio.create_task(it.platform.call("GET", it.session))
            async with asyncio.timeout(10):
                while it.pair.outcome("misdirected") == 0:
                    await asyncio.sleep(0.01)
            answering.set()
            answer = await reading
            assert (answer.status, answer.body) == (int(status[:3]), b"owner")


async def test_an_owner_that_answers_after_the_copy_here_could_not_is_heard() -> None:
    """So it is with a copy of one's own: who reads longer than that is not silent, and is asked again."""
    for error in (ViewBehindError(), ViewUnavailableError(), OverloadedError()):
        calls, answering = 0, asyncio.Event()

        async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal calls
            await read_call(reader)
            calls += 1
            await answering.wait()  # noqa: B023 - it is this round's
            writer.write(
                b"HTTP/1.1 200 OK\r\nPaket-Request-Id: r\r\nConnection: close\r\nContent-Length: 5\r\n\r\nowner"
            )
            await writer.drain()

        async with hedged() as it, talking(slow) as port:
            it.pair.places.owners[:], it.pair.places.has_copies = [node_at("slow", port)], True
            it.pair.places.copiers.clear()
            it.pair.front.world.fail("session_page", error)
            reading = asyncio.create_task(it.platform.call("GET", it.session))
            async with asyncio.timeout(10):
                while it.pair.outcome("hedged") == 0:
                    await asyncio.sleep(0.01)
            answering.set()
            for answer in (await reading, await it.platform.call("GET", it.session)):
                assert (answer.status, answer.body) == (200, b"owner")
            assert (calls, it.pair.outcome("hedged"), it.pair.outcome("copied")) == (2, 1, 0)


async def test_what_the_copy_here_says_where_its_owner_stays_silent() -> None:
    """That there is no such thing is an answer; that it is behind counts where nobody says more."""
    async with hedged() as it:
        it.pair.places.has_copies = True
        it.pair.front.world.fail("session_page", SessionDeletedError())
        status, took = await it.timed()
        assert (status, took < READ_S) == (404, True)
        status, took = await it.timed()
        assert (status, took < SILENT_S, len(it.frozen.calls)) == (404, True, 1)
        it.pair.front.world.fail("session_page", ViewBehindError())
        it.pair.places.owners[:] = [node_at("frozen", free_port())]
        assert problem(await it.platform.call("GET", it.session), 503) == "view_behind"


@pytest.mark.parametrize("is_known", [False, True], ids=["found out just now", "known to be silent"])
async def test_a_silent_owner_is_waited_for_while_it_has_the_partition(is_known: bool) -> None:
    """Its copy is gone, as the other node is taking the partition over: from then on that node answers."""
    async with hedged() as it:
        if is_known:
            assert (await it.timed())[0] == 200
        it.pair.owner_places.has_copies = False
        refused = it.pair.outcome("misdirected")
        reading = asyncio.create_task(it.timed())
        async with asyncio.timeout(10):
            while it.pair.outcome("misdirected") == refused:
                await asyncio.sleep(0.01)
        it.pair.owner_places.has_all = True
        it.pair.places.owners[:] = [node_at("owner", it.pair.owner_port)]
        status, took = await reading
        assert (status, took < READ_S) == (200, True)


async def test_nobody_can_answer() -> None:
    """Neither in time nor at all: 503."""
    async with hedged() as it:
        it.pair.places.copiers.clear()
        answer = await it.platform.call("GET", it.session)
        assert problem(answer, 503) == "view_unavailable"


def test_so_many_reads_are_asked_of_two_nodes() -> None:
    """A burst, then so many a second; of a node that is known to be silent all, as it is not asked any more."""
    now = [100.0]
    hedges = Hedges(lambda: now[0])
    burst = round(2 * HEDGES_PER_S)
    assert [hedges.may_ask("a") for _ in range(burst + 5)] == [True] * burst + [False] * 5
    assert not hedges.may_ask("b")
    now[0] += 1
    assert [hedges.may_ask("b") for _ in range(round(HEDGES_PER_S) + 1)] == [True] * round(HEDGES_PER_S) + [False]
    hedges.won("a")
    assert hedges.may_ask("a")
    assert hedges.is_silent("a")
    assert not hedges.is_silent("b")
    assert not hedges.may_ask("b")
    now[0] += COPY_FIRST_S
    assert not hedges.is_silent("a")


async def test_of_many_reads_that_wait_for_a_silent_node_a_few_find_out() -> None:
    """The others need not wait any longer than these."""
    async with hedged() as it:
        many = round(2 * HEDGES_PER_S) + 20
        reads = await asyncio.gather(*(it.timed() for _ in range(many)))
        assert [status for status, _ in reads] == [200] * many
        assert max(took for _, took in reads) < READ_S
        assert len(it.frozen.calls) == many


async def test_what_takes_long_by_itself_is_asked_of_no_copy() -> None:
    """To explain takes as long as the log is: an owner that is at it is not taken for frozen."""
    async with hedged() as it:
        call = it.platform.call("GET", f"{it.session}/explain?content_id=c1")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(call, 2 * SILENT_S)
        assert (it.pair.outcome("hedged"), len(it.frozen.calls)) == (0, 1)
        status, _ = await it.timed()
        assert (status, it.pair.outcome("hedged"), len(it.frozen.calls)) == (200, 1, 2)
