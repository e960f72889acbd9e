"""Attach, refresh, detach, delete: what a platform may do with its sessions."""

from __future__ import annotations

import asyncio

from tests.service.conftest import Pair, make_pair
from tests.support.nodes import Deployment, item


async def test_attach_answers_a_session_context_and_a_refresh_the_same(pair: Pair) -> None:
    """Attaching what is attached changes nothing."""
    body = {"app_id": pair.app.tenant, "context_id": pair.context}
    first = await pair.platform.ok("PUT", pair.session_path, body)
    assert first.status == 200
    assert set(first.json) == {"session_id", "context_id", "app_id", "created_at"}
    assert first.json["session_id"] == pair.session
    assert (await pair.platform.ok("PUT", pair.session_path, body)).json == first.json
    listed = (await pair.platform.ok("GET", f"{pair.session_path}/contexts")).json
    assert listed == {"total": 1, "items": [first.json]}


async def test_detach_and_attach_again(pair: Pair) -> None:
    """A detached context's items are gone at once; attached again they are back, under a new created_at."""
    attached = await pair.attach()
    written = await pair.app.ok("PUT", pair.context_path, item("a"))
    await pair.platform.ok("GET", pair.session_path, after=f"{attached},{written.position}")
    path = f"{pair.session_path}/{pair.context}"
    assert (await pair.platform.ok("GET", path)).json["total"] == 1
    for _ in range(2):
        gone = await pair.platform.ok("DELETE", path)
        assert (gone.status, gone.body) == (204, b"")
    assert (await pair.platform.ok("GET", pair.session_path, after=gone.position)).json == {"total": 0, "items": []}
    assert (await pair.platform.call("GET", path, after=gone.position)).status == 404
    attached = await pair.attach()
    back = await pair.platform.ok("GET", pair.session_path, after=attached)
    assert [entry["content_id"] for entry in back.json["items"]] == ["a"]


async def test_a_context_leaves_all_its_sessions(pair: Pair) -> None:
    """Detach-all covers every session, and its position proves it in each."""
    await pair.app.ok("PUT", pair.context_path, item("a"))
    sessions = [pair.session]
    sessions += [(await pair.platform.ok("POST", "/v1/sessions")).json["session_id"] for _ in range(5)]
    body = {"app_id": pair.app.tenant, "context_id": pair.context}
    for session in sessions:
        attached = await pair.platform.ok("PUT", f"/v1/sessions/upnext/{session}", body)
        await pair.platform.ok("GET", f"/v1/sessions/upnext/{session}", after=attached.position)
    gone = await pair.app.ok("DELETE", f"{pair.context_path}/sessions")
    assert (gone.status, gone.body) == (204, b"")
    for session in sessions:
        answer = await pair.platform.ok("GET", f"/v1/sessions/upnext/{session}/contexts", after=gone.position)
        assert answer.json == {"total": 0, "items": []}


async def test_after_delete_every_call_is_404(pair: Pair) -> None:
    """A deleted session is as good as absent, for ever."""
    attached = await pair.attach()
    await pair.platform.ok("GET", pair.session_path, after=attached)
    gone = await pair.platform.ok("DELETE", pair.session_path)
    assert (gone.status, gone.body) == (204, b"")
    attach = {"app_id": pair.app.tenant, "context_id": pair.context}
    hide = {"content_id": "a", "action": "hide"}
    calls = [
        ("GET", pair.session_path, None),
        ("PUT", pair.session_path, attach),
        ("DELETE", pair.session_path, None),
        ("GET", f"{pair.session_path}/contexts", None),
        ("GET", f"{pair.session_path}/{pair.context}", None),
        ("PUT", f"{pair.session_path}/{pair.context}", hide),
        ("DELETE", f"{pair.session_path}/{pair.context}", None),
    ]
    for method, path, body in calls:
        answer = await pair.platform.call(method, path, body)
        assert answer.status == 404, (method, path, answer.body)


async def test_a_session_takes_200_contexts(pair: Pair) -> None:
    """The 201st is a 409 and changes nothing; a detach makes room."""
    made = await asyncio.gather(*(pair.app.ok("POST", "/v1/contexts") for _ in range(201)))
    contexts = [answer.json["context_id"] for answer in made]

    async def attach(context: str) -> int:
        body = {"app_id": pair.app.tenant, "context_id": context}
        return (await pair.platform.call("PUT", pair.session_path, body)).status

    statuses = [await asyncio.gather(*map(attach, contexts[n : n + 50])) for n in range(0, 200, 50)]
    assert {status for batch in statuses for status in batch} == {200}
    answer = await pair.platform.call(
        "PUT", pair.session_path, {"app_id": pair.app.tenant, "context_id": contexts[200]}
    )
    assert (answer.status, answer.code) == (409, "too_many_contexts")
    page = (await pair.platform.ok("GET", f"{pair.session_path}/contexts")).json
    assert (page["total"], len(page["items"]), page["next_key"]) == (200, 50, 50)
    created = [entry["created_at"] for entry in page["items"]]
    assert created == sorted(created, reverse=True)
    whole = await pair.platform.ok("GET", pair.session_path)
    assert len(whole.position) < 4_000
    await pair.platform.ok("DELETE", f"{pair.session_path}/{contexts[0]}")
    assert await attach(contexts[200]) == 200


async def test_another_tenants_things_are_as_good_as_absent(deployment: Deployment, pair: Pair) -> None:
    """Absent, foreign, forged and malformed ids answer with the same bytes and header names."""
    other = await make_pair(deployment)
    digit = "1" if pair.session[-1] != "1" else "2"
    forged = pair.session[:-1] + digit
    ids = [other.session, forged, "SN1", "SN" + "9" * 41, pair.context, "..%2F", "%00", pair.session.lower()]
    answers = [await pair.platform.call("GET", f"/v1/sessions/upnext/{name}") for name in ids]
    answers.append(await other.platform.call("GET", pair.session_path))
    seen = {(a.status, frozenset(a.headers) - {"Date"}, _without_request(a.body)) for a in answers}
    assert len(seen) == 1, seen
    assert answers[0].status == 404
    attach = {"app_id": other.app.tenant, "context_id": pair.context}
    assert (await pair.platform.call("PUT", pair.session_path, attach)).status == 404
    assert (await pair.app.call("GET", pair.session_path)).status == 403
    assert (await pair.platform.call("GET", pair.context_path)).status == 403


def _without_request(body: bytes) -> bytes:
    head, _, tail = body.partition(b'"request_id":"')
    return head + tail[24:]


async def test_a_deactivated_client_is_refused_at_once(pair: Pair) -> None:
    """A change of the registry holds within the request that made it."""
    deployment = pair.deployment
    company = await deployment.company("Short-lived")
    app = await deployment.tenant("apps", company)
    await app.ok("GET", "/v1")
    listed = (await deployment.admin.ok("GET", f"/api/v1/clients?context={company}")).json
    client = listed["results"][0]["id"]
    await deployment.admin.ok("POST", f"/api/v1/clients/{client}?context={company}", {"objectState": "INACTIVE"})
    assert (await app.call("GET", "/v1")).status == 401
