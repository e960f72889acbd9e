"""`/v1/sessions` on a real socket: what platforms read, and which contexts they read it from."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from service.queries.extras import AppExtras
from streams.domain.events import ContextDetached, ItemHidden
from streams.domain.ids import Kind, Mode, id_text
from streams.domain.pages import ViewState
from tests.support.listener import (
    IDS,
    Listener,
    names,
    problem,
    public_listener,
    raw_context,
    raw_session,
    same_bytes,
)
from tests.support.nodes import item


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    async with public_listener() as listener:
        yield listener


async def attached(listener: Listener, *content_ids: str, of: str = "app") -> tuple[str, str]:
    """Make a session and a context attached to it, with these items; return their ids."""
    context, session = await listener.context(of), await listener.session()
    for content_id in content_ids:
        await listener.callers[of].ok("PUT", f"/v1/contexts/upnext/{context}", item(content_id))
    await listener.attach(session, context, of)
    return session, context


def content_ids(page: Any) -> list[str]:
    return [entry["content_id"] for entry in page["items"]]


async def test_create(listener: Listener) -> None:
    """A session of the caller's platform, whose list is there at once, and empty."""
    answer = await listener.platform.ok("POST", "/v1/sessions", {})
    assert answer.status == 200
    assert list(answer.json) == ["session_id", "client_id", "platform_id", "created_at"]
    assert re.fullmatch(r"SN[0-9]{41}", answer.json["session_id"])
    assert answer.json["platform_id"] == listener.platform.tenant
    assert answer.json["created_at"] == "2023-11-14T22:13:20.001Z"
    url = f"/v1/sessions/upnext/{answer.json['session_id']}"
    page = await listener.platform.ok("GET", url, after=answer.position)
    assert page.json == {"total": 0, "items": []}
    assert (await listener.platform.ok("GET", url + "/contexts")).json == {"total": 0, "items": []}


async def test_attach_and_refresh(listener: Listener) -> None:
    """Attaching again what is attached answers the same; after a detach it is a new attachment."""
    context, session = await listener.context(), await listener.session()
    first = await listener.attach(session, context)
    assert first.status == 200
    assert first.json == {
        "session_id": session,
        "context_id": context,
        "app_id": listener.app.tenant,
        "created_at": "2023-11-14T22:13:20.003Z",
    }
    again = await listener.attach(session, context)
    assert again.body == first.body
    assert again.position != first.position
    url = f"/v1/sessions/upnext/{session}"
    assert (await listener.platform.ok("GET", url + "/contexts")).json == {"total": 1, "items": [first.json]}
    for _ in range(2):
        detached = await listener.platform.call("DELETE", f"{url}/{context}")
        assert (detached.status, detached.body) == (204, b"")
        assert detached.position
    assert (await listener.platform.ok("GET", url + "/contexts")).json == {"total": 0, "items": []}
    assert (await listener.attach(session, context)).json["created_at"] > first.json["created_at"]


async def test_the_merged_list(listener: Listener) -> None:
    """Of all contexts, newest first, each item with its owner and what belongs to its app."""
    session, context = await attached(listener, "a", "b")
    other = await listener.context("other_app")
    await listener.callers["other_app"].ok("PUT", f"/v1/contexts/upnext/{other}", item("a"))
    await listener.attach(session, other, "other_app")
    await listener.app.ok("PUT", f"/v1/contexts/upnext/{context}", item("a"))
    url = f"/v1/sessions/upnext/{session}"
    page = (await listener.platform.ok("GET", url)).json
    assert page["total"] == 3
    assert [(e["content_id"], e["context_id"]) for e in page["items"]] == [("a", context), ("a", other), ("b", context)]
    assert page["items"][0] == {
        **item("a"),
        "app_id": listener.app.tenant,
        "context_id": context,
        "updated_at": "2023-11-14T22:13:20.009Z",
        "hidden": False,
        "platform_data": {},
        "app_media": {},
    }
    one = (await listener.platform.ok("GET", f"{url}/{context}")).json
    assert one == {"total": 2, "items": [page["items"][0], page["items"][2]]}
    part = (await listener.platform.ok("GET", f"{url}?limit=1&next_key=1")).json
    assert part == {"total": 3, "next_key": 2, "items": [page["items"][1]]}


async def test_hide_and_unhide(listener: Listener) -> None:
    """Every session and the publisher see it; the item keeps its time and its place."""
    session, context = await attached(listener, "a", "b")
    url = f"/v1/sessions/upnext/{session}"
    before = (await listener.platform.ok("GET", url)).json
    for action, hidden in (("hide", True), ("hide", True), ("unhide", False)):
        answer = await listener.platform.call("PUT", f"{url}/{context}", {"content_id": "a", "action": action})
        assert (answer.status, answer.body) == (200, b'{"message":"Success"}')
        after = (await listener.platform.ok("GET", url, after=answer.position)).json
        assert after["items"] == [before["items"][0], {**before["items"][1], "hidden": hidden}]
        published = (await listener.app.ok("GET", f"/v1/contexts/upnext/{context}", after=answer.position)).json
        assert [entry["hidden"] for entry in published["items"]] == [False, hidden]
    recorded, event = listener.world.context_events[-1]
    assert isinstance(event, ItemHidden)
    assert (recorded, event.client) == (raw_context(context), listener.platform.client_id)


async def test_hiding_what_is_not_there(listener: Listener) -> None:
    """No such item, or a context that is not attached: 404, and nothing is recorded."""
    session, context = await attached(listener, "a")
    unattached = await listener.context()
    before = listener.recorded
    for target, content_id in ((context, "b"), (unattached, "a"), ("x", "a"), (session, "a")):
        body = {"content_id": content_id, "action": "hide"}
        answer = await listener.platform.call("PUT", f"/v1/sessions/upnext/{session}/{target}", body)
        assert problem(answer, 404) == "not_found"
    assert listener.recorded == before


@pytest.mark.parametrize(
    ("body", "broken"),
    [
        ({}, ["content_id", "action"]),
        ({"content_id": "a", "action": "show"}, ["action"]),
        ({"content_id": "", "action": "hide"}, ["content_id"]),
        ({"content_id": "a" * 256, "action": "hide"}, ["content_id"]),
        ({"content_id": 1, "action": None}, ["content_id", "action"]),
        ({"content_id": "a", "action": "hide", "hidden": True}, ["hidden"]),
    ],
)
async def test_broken_hides(listener: Listener, body: Any, broken: list[str]) -> None:
    """All broken fields at once; but a session or context that is not there counts first."""
    session, context = await attached(listener, "a")
    unattached = await listener.context()
    before = listener.recorded
    answer = await listener.platform.call("PUT", f"/v1/sessions/upnext/{session}/{context}", body)
    assert (problem(answer, 400), names(answer)) == ("invalid_fields", broken)
    for absent in (f"{session}/{unattached}", f"{session}/x", f"{session[:-1]}x/{context}"):
        problem(await listener.platform.call("PUT", f"/v1/sessions/upnext/{absent}", body), 404)
    assert listener.recorded == before


@pytest.mark.parametrize(
    ("body", "broken"),
    [
        ({}, ["app_id", "context_id"]),
        ({"app_id": 1, "context_id": None}, ["app_id", "context_id"]),
        ({"app_id": "x", "context_id": "y", "x": 1}, ["x"]),
    ],
)
async def test_broken_attachments(listener: Listener, body: Any, broken: list[str]) -> None:
    """All broken fields at once; but a session that is gone counts first."""
    session = await listener.session()
    before = listener.recorded
    answer = await listener.platform.call("PUT", f"/v1/sessions/upnext/{session}", body)
    assert (problem(answer, 400), names(answer)) == ("invalid_fields", broken)
    assert listener.recorded == before
    await listener.platform.ok("DELETE", f"/v1/sessions/upnext/{session}")
    problem(await listener.platform.call("PUT", f"/v1/sessions/upnext/{session}", body), 404)


async def test_attaching_what_is_not_there(listener: Listener) -> None:
    """A foreign or forged context or app is as absent as one that never was."""
    session, context, foreign = await listener.session(), await listener.context(), await listener.context("other_app")
    app, other = listener.app.tenant, listener.callers["other_app"].tenant
    unknown = id_text(Kind.APP, IDS.mint(Kind.APP, Mode.LIVE, b"company", now_s=1_700_000_000, entropy=b"unknown"))
    raw = raw_context(context)
    forged = id_text(Kind.CONTEXT, raw[:-1] + bytes([raw[-1] ^ 1]))
    owner = raw_context("CX" + app[2:])
    of_test = id_text(Kind.CONTEXT, IDS.mint(Kind.CONTEXT, Mode.TEST, owner, now_s=1_700_000_000, entropy=bytes(7)))
    before, answers = listener.recorded, set()
    for app_id, context_id in (
        (app, foreign),
        (other, context),
        (app, forged),
        (app, of_test),
        (unknown, context),
        ("x", context),
        (app, "x"),
        (context, app),
        (listener.platform.tenant, context),
        (app, session),
        ("", ""),
    ):
        body = {"app_id": app_id, "context_id": context_id}
        answer = await listener.platform.call("PUT", f"/v1/sessions/upnext/{session}", body)
        assert problem(answer, 404) == "not_found"
        answers.add(repr(same_bytes(answer)))
    assert len(answers) == 1
    assert listener.recorded == before


async def test_too_many_contexts(listener: Listener) -> None:
    """The 201st is a 409; one of the 200 is refreshed all the same."""
    session = await listener.session()
    made = [await listener.context() for _ in range(201)]
    for context in made[:200]:
        await listener.attach(session, context)
    body = {"app_id": listener.app.tenant, "context_id": made[200]}
    answer = await listener.platform.call("PUT", f"/v1/sessions/upnext/{session}", body)
    assert problem(answer, 409) == "too_many_contexts"
    await listener.attach(session, made[0])
    url = f"/v1/sessions/upnext/{session}/contexts"
    page = (await listener.platform.ok("GET", url)).json
    assert (page["total"], page["next_key"], len(page["items"])) == (200, 50, 50)
    assert page["items"][0]["context_id"] == made[199]
    # Its pages have up to 50, those of items up to 200.
    assert names(await listener.platform.call("GET", url + "?limit=51")) == ["limit"]
    await listener.platform.ok("GET", f"/v1/sessions/upnext/{session}?limit=200")
    assert names(await listener.platform.call("GET", f"/v1/sessions/upnext/{session}?limit=201")) == ["limit"]


async def test_what_is_not_attached(listener: Listener) -> None:
    """Its list is absent, whatever the id is; to detach it is done already."""
    session, context = await attached(listener, "a")
    foreign = await listener.context("other_app")
    for target in (foreign, "x", session, context[:-1], context.lower(), "%20"):
        url = f"/v1/sessions/upnext/{session}/{target}"
        for query in ("", "?limit=0"):
            assert problem(await listener.platform.call("GET", url + query), 404) == "not_found"
        detached = await listener.platform.call("DELETE", url)
        assert (detached.status, detached.body) == (204, b"")
        await listener.platform.ok("GET", f"/v1/sessions/upnext/{session}", after=detached.position)
    assert (await listener.platform.ok("GET", f"/v1/sessions/upnext/{session}/contexts")).json["total"] == 1
    # Only what is an id can have been attached: for the others nothing is recorded.
    ends = [event for _, event in listener.world.session_events if isinstance(event, ContextDetached)]
    assert [event.context for event in ends] == [foreign]


CALLS: list[tuple[str, str, Any]] = [
    ("GET", "{session}", None),
    ("GET", "{session}?limit=0", None),
    ("PUT", "{session}", "attach"),
    ("PUT", "{session}", {}),
    ("DELETE", "{session}", None),
    ("GET", "{session}/contexts", None),
    ("GET", "{session}/contexts?limit=0", None),
    ("GET", "{session}/{context}", None),
    ("GET", "{session}/{context}?next_key=-1", None),
    ("PUT", "{session}/{context}", {"content_id": "a", "action": "hide"}),
    ("PUT", "{session}/{context}", {}),
    ("DELETE", "{session}/{context}", None),
    ("DELETE", "{session}/x", None),
]


async def test_a_deleted_session(listener: Listener) -> None:
    """Every call on it is 404, another delete too; its contexts and their items stay."""
    session, context = await attached(listener, "a")
    deleted = await listener.platform.call("DELETE", f"/v1/sessions/upnext/{session}")
    assert (deleted.status, deleted.body) == (204, b"")
    assert deleted.position
    answers = set()
    for method, path, body in CALLS:
        url = "/v1/sessions/upnext/" + path.format(session=session, context=context)
        sent = {"app_id": listener.app.tenant, "context_id": context} if body == "attach" else body
        answer = await listener.platform.call(method, url, sent)
        assert problem(answer, 404) == "not_found", (method, path)
        answers.add(repr(same_bytes(answer)))
    assert len(answers) == 1
    assert (await listener.app.ok("GET", f"/v1/contexts/upnext/{context}")).json["total"] == 1


async def test_sessions_of_others(listener: Listener) -> None:
    """Foreign, forged, malformed, of another kind or mode: one answer, the same to the byte, and nothing recorded."""
    session, context = await attached(listener, "a")
    foreign = await listener.session("other_platform")
    raw = raw_session(session)
    owner = raw_context("CX" + listener.platform.tenant[2:])
    of_test = IDS.mint(Kind.SESSION, Mode.TEST, owner, now_s=1_700_000_000, entropy=bytes(7))
    forged = [id_text(Kind.SESSION, raw[:n] + bytes([raw[n] ^ 1]) + raw[n + 1 :]) for n in (0, 5, 11, 16)]
    ids = [foreign, *forged, id_text(Kind.SESSION, of_test), "SN" + context[2:], "CX" + session[2:], session[:-1], "x"]
    before, answers = listener.recorded, set()
    for absent in ids:
        for method, path, body in CALLS:
            url = "/v1/sessions/upnext/" + path.format(session=absent, context=context)
            sent = {"app_id": listener.app.tenant, "context_id": context} if body == "attach" else body
            answer = await listener.platform.call(method, url, sent)
            assert problem(answer, 404) == "not_found", (method, path, absent)
            answers.add(repr(same_bytes(answer)))
    assert len(answers) == 1
    assert listener.recorded == before


@pytest.mark.parametrize("state", [ViewState.CATCHING_UP, ViewState.REFUSED])
async def test_a_list_that_is_not_whole(listener: Listener, state: ViewState) -> None:
    """It says so beside what it has, and its tag is another."""
    session, context = await attached(listener, "a")
    for path in (session, f"{session}/{context}"):
        url = f"/v1/sessions/upnext/{path}"
        listener.world.state = ViewState.WHOLE
        whole = await listener.platform.ok("GET", url)
        assert "Paket-View" not in whole.headers
        listener.world.state = state
        other = await listener.platform.ok("GET", url, headers={"If-None-Match": whole.headers["ETag"]})
        assert (other.status, other.headers["Paket-View"]) == (200, state.value)


async def test_etags(listener: Listener) -> None:
    """304 for a page that the reader has; what the registry says of an app on it makes another tag."""
    session, context = await attached(listener, "a")
    app, platform = (raw_context("CX" + caller.tenant[2:]) for caller in (listener.app, listener.platform))
    for path in (session, f"{session}/{context}", f"{session}/contexts"):
        url = f"/v1/sessions/upnext/{path}"
        first = await listener.platform.ok("GET", url)
        known = {"If-None-Match": first.headers["ETag"]}
        answer = await listener.platform.call("GET", url, headers=known)
        assert (answer.status, answer.body, answer.headers["ETag"]) == (304, b"", first.headers["ETag"])
        assert answer.position
        listener.world.extras[platform, bytes(app)] = AppExtras({}, {}, {"icon_1x": path})
        changed = await listener.platform.call("GET", url, headers=known)
        assert changed.status == (304 if path.endswith("contexts") else 200)
    listener.world.age_s = 3
    assert (await listener.platform.ok("GET", f"/v1/sessions/upnext/{session}")).headers["Age"] == "3"


async def test_events_say_who_caused_them(listener: Listener) -> None:
    """Each bears its own id, the client and the request."""
    session, context = await attached(listener, "a")
    await listener.platform.ok("DELETE", f"/v1/sessions/upnext/{session}/{context}")
    deleted = await listener.platform.ok("DELETE", f"/v1/sessions/upnext/{session}")
    events = [event for _, event in listener.world.session_events]
    assert len({event.id for event in events}) == len(events) == 4
    assert {event.client for event in events} == {listener.platform.client_id}
    assert events[-1].request == deleted.headers["Paket-Request-Id"]
    assert all(re.fullmatch("[0-9a-f]{32}", event.id) for event in events)


async def test_lists_are_json_as_others_read_it(listener: Listener) -> None:
    """Their parts are joined as bytes, and make up one document, whatever the items hold."""
    session, context = await attached(listener, 'q"\\/\u2028', "\U0001f600", "é")
    answer = await listener.platform.ok("GET", f"/v1/sessions/upnext/{session}")
    assert orjson.loads(answer.body)["total"] == 3
    assert content_ids(answer.json) == ["é", "\U0001f600", 'q"\\/\u2028']
    assert answer.headers["Content-Type"] == "application/json"
    assert int(answer.headers["Content-Length"]) == len(answer.body)
    assert context in answer.body.decode()
