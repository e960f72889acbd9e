"""Positions over HTTP: what a write answers, a read can wait for; and nothing else can be asked."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from service.http.positions import PositionTokens
from streams.domain.positions import ContextPosition, ListPosition, Position, SessionsPosition
from tests.support.listener import LOG_ID, POSITIONS_KEY, Listener, problem, public_listener, raw_context, raw_session
from tests.support.nodes import Answer, Caller, item


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    async with public_listener() as listener:
        yield listener


async def with_headers(caller: Caller, path: str, *values: str) -> Answer:
    """GET with one `Paket-Position` header for each of *values*."""
    headers = [*caller.headers.items(), *(("Paket-Position", value) for value in values)]
    async with caller.http.get(caller.url + path, headers=headers) as answer:
        return Answer(answer.status, dict(answer.headers), await answer.read())


async def test_every_write_bears_one(listener: Listener) -> None:
    """That of a context its offset, that of a session its partition's; that of a detach-all every session's."""
    created = await listener.app.ok("POST", "/v1/contexts")
    context = created.json["context_id"]
    raw = raw_context(context)
    url = f"/v1/contexts/upnext/{context}"
    session = await listener.session()
    own = f"/v1/sessions/upnext/{session}"
    attach = {"app_id": listener.app.tenant, "context_id": context}
    hide = {"content_id": "c1", "action": "hide"}
    expected: list[tuple[Answer, Position]] = [
        (created, ContextPosition(raw, 0)),
        (await listener.app.ok("PUT", url, item()), ContextPosition(raw, 1)),
        (await listener.app.ok("DELETE", f"{url}/x"), ContextPosition(raw, 2)),
        (await listener.platform.ok("POST", "/v1/sessions"), SessionsPosition({0: 1})),
        (await listener.platform.ok("PUT", own, attach), SessionsPosition({0: 2})),
        (await listener.platform.ok("PUT", f"{own}/{context}", hide), ContextPosition(raw, 3)),
        (await listener.app.ok("DELETE", f"{url}/sessions"), SessionsPosition({0: 3})),
        (await listener.app.ok("DELETE", f"{url}/sessions"), SessionsPosition({})),
        (await listener.platform.ok("DELETE", f"{own}/{context}"), SessionsPosition({0: 4})),
        (await listener.platform.ok("DELETE", f"{own}/x"), ListPosition(raw_session(session), 4, [])),
        (await listener.platform.ok("DELETE", own), SessionsPosition({0: 5})),
    ]
    assert [listener.tokens.read(answer.position) for answer, _ in expected] == [position for _, position in expected]


async def test_every_list_bears_one(listener: Listener) -> None:
    """What it had folded; and it can be sent back."""
    context, session = await listener.context(), await listener.session()
    await listener.attach(session, context)
    for caller, path, position in (
        (listener.app, f"/v1/contexts/upnext/{context}", ContextPosition(raw_context(context), 0)),
        (listener.platform, f"/v1/sessions/upnext/{session}", ListPosition(raw_session(session), 1, [(1, 0)])),
        (listener.platform, f"/v1/sessions/upnext/{session}/{context}", None),
        (listener.platform, f"/v1/sessions/upnext/{session}/contexts", None),
    ):
        answer = await caller.ok("GET", path)
        read = listener.tokens.read(answer.position)
        assert read == (position or ListPosition(raw_session(session), 1, [(1, 0)]))
        await caller.ok("GET", path, after=answer.position)


async def test_a_read_never_answers_from_before(listener: Listener) -> None:
    """What the view has not reached in time is a 503, from lists and session commands alike."""
    context, session = await listener.context(), await listener.session()
    raw = raw_context(context)
    ahead = [
        listener.tokens.write(ContextPosition(raw, 99)),
        listener.tokens.write(SessionsPosition({0: 99})),
        listener.tokens.write(ListPosition(raw_session(session), 99, [])),
    ]
    attach = {"app_id": listener.app.tenant, "context_id": context}
    before = listener.recorded
    for token in ahead:
        for caller, method, path, body in (
            (listener.app, "GET", f"/v1/contexts/upnext/{context}", None),
            (listener.app, "DELETE", f"/v1/contexts/upnext/{context}/sessions", None),
            (listener.platform, "GET", f"/v1/sessions/upnext/{session}", None),
            (listener.platform, "GET", f"/v1/sessions/upnext/{session}/contexts", None),
            (listener.platform, "PUT", f"/v1/sessions/upnext/{session}", attach),
            (listener.platform, "DELETE", f"/v1/sessions/upnext/{session}/{context}", None),
            (listener.platform, "DELETE", f"/v1/sessions/upnext/{session}", None),
            (
                listener.platform,
                "PUT",
                f"/v1/sessions/upnext/{session}/{context}",
                {"content_id": "a", "action": "hide"},
            ),
        ):
            answer = await caller.call(method, path, body, after=token)
            assert problem(answer, 503) == "view_behind"
            assert answer.headers["Retry-After"] == "1"
    assert listener.recorded == before
    # A publisher's write needs no view: it waits for nothing.
    await listener.app.ok("PUT", f"/v1/contexts/upnext/{context}", item(), after=ahead[0])


async def test_several_count_together(listener: Listener) -> None:
    """Separated by commas or in headers of their own, up to 32."""
    context = await listener.context()
    path = f"/v1/contexts/upnext/{context}"
    good = (await listener.app.ok("GET", path)).position
    ahead = listener.tokens.write(ContextPosition(raw_context(context), 99))
    for values in ([good], [f"{good},{good}"], [f" {good} , {good} "], [good, good], [",".join([good] * 31), good]):
        assert (await with_headers(listener.app, path, *values)).status == 200
    for values in ([f"{good},{ahead}"], [ahead, good], [good, f"{good},{ahead}"]):
        assert problem(await with_headers(listener.app, path, *values), 503) == "view_behind"
    for values in ([",".join([good] * 33)], [good] * 33, [",".join([good] * 32), good]):
        assert problem(await with_headers(listener.app, path, *values), 400) == "invalid_position"


async def test_what_cannot_be_read(listener: Listener) -> None:
    """Nonsense, forged, cut off, of another deployment or another log: 400, on any call, and nothing is recorded."""
    context = await listener.context()
    path = f"/v1/contexts/upnext/{context}"
    good = (await listener.app.ok("GET", path)).position
    position = listener.tokens.read(good)
    tokens = [
        "", ",", f"{good},", f",{good}", f"{good},,{good}", "x", "!", "\u00e9", good + "x", good[:-1], good[1:],
        good + "====", f"{good} {good}", good.swapcase(), "A" * 8_193, "A" * 8_000,
        PositionTokens(b"q" * 32, LOG_ID).write(position), PositionTokens(POSITIONS_KEY, "other").write(position),
    ]  # fmt: skip
    before = listener.recorded
    for token in tokens:
        for method, body in (("GET", None), ("PUT", item())):
            headers = {"Paket-Position": token}
            answer = await listener.app.call(method, path, body, headers=headers)
            assert problem(answer, 400) == "invalid_position", token
    # It counts after the content type and before the body.
    answer = await listener.app.call("PUT", path, data=b"{", headers={"Paket-Position": "x"})
    assert problem(answer, 400) == "invalid_position"
    assert listener.recorded == before


async def test_positions_of_others(listener: Listener) -> None:
    """They ask for nothing of this list, but are read all the same."""
    context, session = await listener.context(), await listener.session()
    other = (await listener.platform.ok("GET", f"/v1/sessions/upnext/{session}")).position
    await listener.app.ok("GET", f"/v1/contexts/upnext/{context}", after=other)
