"""The past on the internal listener: for operators, by time or by position."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from service.cli.explain import lines
from service.cli.past_calls import PastError, _asked
from service.http.explain import Everyone, explanation_out
from service.http.internal import OtherNodes, build_internal_app
from service.http.internal_connections import InternalRunner
from service.http.past import Past
from service.http.positions import PositionTokens
from streams.audit import Audit, Served
from streams.digests import PartitionDigests, ReadTables
from streams.domain.ids import Kind, id_text
from streams.domain.positions import NOTHING, ContextPosition
from streams.history import History
from streams.refold import Bound, Refold
from streams.views.context_views import ContextReader
from streams.views.session_lists import SessionLists
from streams.views.session_views import SessionReader
from streams.views.tables import WaitLimit
from tests.support.tables import CLIENT, HASH_KEY, START_MS, Views, context_id, session_id

TOKEN = "t" * 32
TOKENS = PositionTokens(b"p" * 32, "log")
C, S = context_id(1), session_id(1)
CONTEXT, SESSION = id_text(Kind.CONTEXT, C), id_text(Kind.SESSION, S)


@dataclass
class Asking:
    views: Views
    url: str
    http: aiohttp.ClientSession

    async def get(self, what: str, *, token: str = TOKEN, **query: str) -> tuple[int, Mapping[str, Any]]:
        headers = {"Authorization": f"Bearer {token}"}
        async with self.http.get(f"{self.url}/past/{what}", params=query, headers=headers) as answer:
            return answer.status, await answer.json()


@pytest.fixture
async def asking() -> AsyncIterator[Asking]:
    views, others = Views(), OtherNodes()
    views.attach(S, C)
    views.put(C, "a")
    views.now_ms += 10
    views.put(C, "b")
    views.drain()
    history = History(Refold(views.log, 1, hash_key=HASH_KEY), bound=Bound(10_000, 30.0))
    served = Served(
        ContextReader(views.contexts, 1, WaitLimit(), edition=""),
        SessionReader(views.sessions, 1, SessionLists(), WaitLimit()),
    )
    audit = Audit(Refold(views.log, 1, hash_key=HASH_KEY), lambda _view: served)
    metrics = CollectorRegistry()
    tables = ReadTables(views.contexts, views.sessions)
    digests = PartitionDigests(lambda _view: tables, Refold(views.log, 1, hash_key=HASH_KEY), 1, hash_key=HASH_KEY)
    others.remember(Past(history, audit, digests, TOKENS, TOKEN, metrics=metrics, now_ms=lambda: START_MS + 60_000))
    runner = InternalRunner(build_internal_app(list, metrics, others), metrics)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession() as http:
        yield Asking(views, f"http://127.0.0.1:{runner.addresses[0][1]}", http)
    await runner.cleanup()


def content_ids(body: Mapping[str, Any]) -> list[str]:
    return [item["content_id"] for item in body["items"]]


async def test_lists(asking: Asking) -> None:
    """Of a session and of a context: now, at a time in any zone, and at a position."""
    for of in (SESSION, CONTEXT):
        status, body = await asking.get("list", of=of)
        assert (status, body["total"], content_ids(body)) == (200, 2, ["b", "a"])
        assert body["contexts"][0]["context_id"] == CONTEXT
        for time in ("2023-11-14T22:13:20.005Z", "2023-11-15T00:13:20.005+02:00", "2023-11-14T22:13:20.005"):
            assert content_ids((await asking.get("list", of=of, as_of=time))[1]) == ["a"]
    token = TOKENS.write(ContextPosition(C, 0))
    assert content_ids((await asking.get("list", of=CONTEXT, as_of=token))[1]) == ["a"]
    reader = SessionReader(asking.views.sessions, 1, SessionLists(), WaitLimit())
    page = await reader.page(S, start=0, limit=1, after=NOTHING, client=CLIENT)
    asking.views.put(C, "c")
    assert content_ids((await asking.get("list", of=SESSION, as_of=TOKENS.write(page.position)))[1]) == ["b", "a"]


async def test_what_changed(asking: Asking) -> None:
    """Between two moments; the second is now where it is left out."""
    status, body = await asking.get("diff", of=SESSION, **{"from": "2023-11-14T22:13:20.005Z"})
    (one,) = body["differences"]
    assert (status, one["content_id"], one["before"]) == (200, "b", None)
    assert one["after"]["title"] == "Title of b"


async def test_why(asking: Asking) -> None:
    """With the client and the request of every event, and in lines for people."""
    status, body = await asking.get("explain", of=SESSION, content_id="a")
    (one,) = body["explanations"]
    assert (status, one["reason"], one["place"]["index"]) == (200, "listed", 1)
    assert [step["client_id"] for step in one["steps"]] == [CLIENT, CLIENT]
    history = History(Refold(asking.views.log, 1, hash_key=HASH_KEY))
    (found,) = await history.explain(S, "a", C)
    said = "\n".join(lines(explanation_out(found, Everyone())))
    for part in ("The item is in the list.", "2 of 2", "context-events-0-0", CLIENT, "newest first"):
        assert part in said


@pytest.mark.parametrize(
    ("what", "query", "status", "code"),
    [
        ("list", {"of": SESSION, "as_of": "yesterday"}, 400, "invalid_fields"),
        ("list", {"of": SESSION, "as_of": "2030-01-01T00:00:00Z"}, 400, "invalid_fields"),
        ("list", {"of": SESSION, "as_of": TOKENS.write(ContextPosition(C, 0))}, 400, "invalid_fields"),
        ("list", {"of": "nobody"}, 404, "not_found"),
        ("explain", {"of": CONTEXT, "content_id": "a"}, 404, "not_found"),
        ("explain", {"of": SESSION}, 400, "invalid_fields"),
        (
            "explain",
            {"of": SESSION, "content_id": "a", "context": id_text(Kind.CONTEXT, context_id(9))},
            404,
            "not_found",
        ),
        ("everything", {}, 404, "unknown_path"),
    ],
)
async def test_what_is_refused(asking: Asking, what: str, query: dict[str, str], status: int, code: str) -> None:
    """What is no moment, yet to come, or another's position; what there is not."""
    answered, body = await asking.get(what, **query)
    assert (answered, body["error"]["code"]) == (status, code)


async def test_only_for_operators(asking: Asking) -> None:
    """Without the super user's token, nothing is read."""
    for token in ("", "x" * 32, "é"):
        status, body = await asking.get("list", token=token, of=SESSION)
        assert (status, body["error"]["code"]) == (401, "invalid_credentials")


async def test_what_commands_say_of_refusals(asking: Asking) -> None:
    """What is wrong, in the node's words; and where nobody answers, what to give."""
    with pytest.raises(PastError, match=r"400: Some fields .* as_of: This is yet to come"):
        await _asked(f"{asking.url}/past/list", TOKEN, {"of": SESSION, "as_of": "2030-01-01T00:00:00Z"})
    with pytest.raises(PastError, match="internal listener"):
        await _asked(f"{asking.url}/nowhere", TOKEN, {})


async def test_a_node_that_is_starting() -> None:
    """It has no log yet."""
    runner = InternalRunner(build_internal_app(list, CollectorRegistry()), CollectorRegistry())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"http://127.0.0.1:{runner.addresses[0][1]}/past/list") as answer,
    ):
        assert answer.status == 503
    await runner.cleanup()


async def test_an_audit(asking: Asking) -> None:
    """What is served is compared with the log; what differs is said, and counted."""
    rows = asking.views.contexts.stored
    key = next(key for key, _ in rows.range(b"i" + C))
    rows.put(key, rows.values[key].replace(b"Title of a", b"Title of z"))
    status, body = await asking.get("audit", of="sessions", partition="0")
    assert (status, body) == (200, {"lists": 1, "moving": 0, "differing": [], "next": None})
    _, body = await asking.get("audit", of="contexts", partition="0")
    assert [one["id"] for one in body["differing"]] == [CONTEXT]
    async with asking.http.get(f"{asking.url}/metrics") as answer:
        counted = await answer.text()
    assert 'upnext_audited_lists_total{of="contexts"} 1.0' in counted
    assert 'upnext_audit_differences_total{of="contexts"} 1.0' in counted
    status, body = await asking.get("audit", of="films", partition="x", most="501")
    assert (status, [one["name"] for one in body["error"]["params"]]) == (400, ["of", "partition", "most"])
    status, body = await asking.get("audit", of="contexts", partition="1")
    assert (status, body["error"]["code"]) == (404, "not_found")


async def test_digests(asking: Asking) -> None:
    """What a version has of a partition, in pages or of some ids; which had events; items, and what did them."""
    query = {"view": "v", "partition": "0"}
    status, body = await asking.get("digests", of="contexts", **query)
    ((one,), whole) = body["contexts"], body
    assert (status, one["id"], one["sequence"], one["total"], one["erased"]) == (200, CONTEXT, 1, 2, False)
    assert (whole["first"], whole["last"], whole["next"]) == (1, 1, None)
    assert (await asking.get("digests", of="contexts", beyond=CONTEXT, **query))[1]["contexts"] == []
    _, body = await asking.get("digests", of="sessions", only=SESSION, **query)
    (member,) = body["sessions"][0]["members"]
    assert (member["context"], member["state"], member["sequence"]) == (CONTEXT, "whole", 1)
    assert (member["count"], member["digest"]) == (2, one["digest"])
    assert await asking.get("touched", of="contexts", partition="0", first="1", end="2") == (200, {"ids": [CONTEXT]})
    assert await asking.get("touched", of="sessions", partition="0", first="1", end="1") == (200, {"ids": []})
    for session in ({}, {"session": SESSION}):
        _, body = await asking.get("items", view="v", context=CONTEXT, **session)
        assert (body["sequence"], [item["content_id"] for item in body["items"]]) == (1, ["b", "a"])
        assert body["items"][0]["item"].startswith('{"content_id":"b"')
    _, body = await asking.get("steps", context=CONTEXT, content_id="b")
    assert [(step["position"], step["did"]) for step in body["steps"]] == [("context-events-0-1", "put")]
    for context in ({}, {"context": CONTEXT}):
        _, body = await asking.get("steps", session=SESSION, **context)
        assert [(step["position"], step["did"]) for step in body["steps"]] == [("session-events-0-0", "attached")]


@pytest.mark.parametrize(
    ("what", "query", "status"),
    [
        ("digests", {"of": "items", "partition": "0"}, 400),
        ("digests", {"of": "contexts", "partition": "x"}, 400),
        ("digests", {"of": "contexts", "partition": "1"}, 404),
        ("digests", {"of": "contexts", "partition": "0", "beyond": SESSION}, 404),
        ("touched", {"of": "contexts", "partition": "0", "first": "0"}, 400),
        ("items", {"context": "x"}, 404),
        ("steps", {}, 404),
    ],
)
async def test_digests_that_cannot_be_told(asking: Asking, what: str, query: dict[str, str], status: int) -> None:
    """A parameter that is none, a partition that there is not, an id that is none."""
    assert (await asking.get(what, **query))[0] == status
    assert (await asking.get(what, token="another", **query))[0] == 401
