"""The demo's calls: what passes is waited for with a word, what does not is one sentence that says what to do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest
from aiohttp import web

from service.demo.remote import Credentials, DemoError, Remote, wait_for_node
from tests.support.ports import free_port

Answer = web.Response
Start = Callable[..., Awaitable[Remote]]


@pytest.fixture
async def start(notices: list[str]) -> AsyncIterator[Start]:
    """Start a server that gives the answers handed to it, the last one for ever; return who calls it."""
    runners: list[web.ServerRunner] = []
    http = aiohttp.ClientSession()

    async def begin(*answers: tuple[int, str]) -> Remote:
        todo = list(answers)

        async def answer(_request: web.BaseRequest) -> Answer:
            status, text = todo.pop(0) if len(todo) > 1 else todo[0]
            return Answer(status=status, text=text, headers={"Paket-Position": "here"})

        runner = web.ServerRunner(web.Server(answer))
        runners.append(runner)
        await runner.setup()
        port = free_port()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        return Remote(http, f"http://127.0.0.1:{port}", notices.append)

    yield begin
    await http.close()
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
def notices() -> list[str]:
    return []


async def test_an_answer_is_read_with_its_position(start: Start, notices: list[str]) -> None:
    """A 2xx is handed back at once."""
    remote = await start((200, '{"a": 1}'))
    reply = await remote.call("GET", "/v1", "x")
    assert (reply.status, reply.position, reply.read()) == (200, "here", {"a": 1})
    assert notices == []
    assert remote.repeats == 0


async def test_a_node_that_is_away_is_waited_for(start: Start, notices: list[str]) -> None:
    """503 and 429 pass: the call is made again, and the terminal hears why."""
    remote = await start((503, '{"error": {"code": "view_unavailable"}}'), (429, "slow down"), (204, ""))
    assert (await remote.call("DELETE", "/v1/x", "x")).status == 204
    assert len(notices) == 2
    assert "503 view_unavailable" in notices[0]
    assert remote.repeats == 2


async def test_a_node_that_stays_away_is_an_error_in_one_sentence(start: Start) -> None:
    """Patience ends, for a status that should pass as for a connection that is refused."""
    remote = await start((503, "{}"))
    with pytest.raises(DemoError, match="was not there for 0 s: it answers 503"):
        await remote.call("GET", "/v1", "x", patience_s=0)
    async with aiohttp.ClientSession() as http:
        nobody = Remote(http, f"http://127.0.0.1:{free_port()}", print)
        with pytest.raises(DemoError, match="was not there"):
            await nobody.call("GET", "/v1", "x", patience_s=0)


@pytest.mark.parametrize(
    ("status", "path", "words"),
    [
        (401, "/api/v1/apps", "refuses the administrator's token"),
        (401, "/v1/contexts", "start the demo again"),
        (409, "/v1/sessions/upnext/SN1", "answered with 409 too_many_contexts"),
    ],
)
async def test_what_does_not_pass_says_what_to_do(start: Start, status: int, path: str, words: str) -> None:
    """Other errors are not repeated."""
    remote = await start((status, '{"error": {"code": "too_many_contexts"}}'))
    with pytest.raises(DemoError, match=words):
        await remote.call("GET", path, "x")
    assert remote.repeats == 0


async def test_an_expected_error_is_an_answer(start: Start) -> None:
    """What somebody took away by hand is no reason to stop."""
    remote = await start((404, "{}"))
    assert (await remote.call("PUT", "/v1/x", "x", accept={404})).status == 404


async def test_a_node_that_starts_is_waited_for(start: Start, notices: list[str]) -> None:
    """Anything in its shape will do: a node that is recovering is there."""
    for status in (200, 401, 404):
        await wait_for_node(await start((503, "{}"), (status, "{}")), patience_s=10, tell=notices.append)
    assert len(notices) == 3


async def test_what_is_no_node_is_told_apart(start: Start) -> None:
    """Somebody else's server, or nobody's."""
    with pytest.raises(DemoError, match="no UpNext node"):
        await wait_for_node(await start((200, "<html>")), patience_s=1, tell=print)
    with pytest.raises(DemoError, match="no UpNext node"):
        await wait_for_node(await start((404, "Not found")), patience_s=1, tell=print)
    async with aiohttp.ClientSession() as http:
        nobody = Remote(http, f"http://127.0.0.1:{free_port()}", print)
        with pytest.raises(DemoError, match="upnext serve"):
            await wait_for_node(nobody, patience_s=0, tell=print)


def test_credentials_are_basic() -> None:
    """RFC 7617's example."""
    assert Credentials("Aladdin", "open sesame").header == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
