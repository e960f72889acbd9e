"""What the nemesis makes of what its endpoints received: it finds what is lost, made up, renamed or out of order."""

from __future__ import annotations

import random
from typing import Any

import orjson
import pytest

from tests.nemesis import webhooks
from tests.nemesis.history import Logged
from tests.nemesis.webhooks import Endpoints, Told, told_by
from tests.support.nodes import item
from tests.support.webhooks import Received, Receiver

S, C = "SN1", "CX1"
ADDED, REMOVED = "session.context_added", "session.context_removed"


def logged(of: str, offset: int, kind: str, **event: Any) -> Logged:
    return Logged(0, offset, 1_000 + offset, of, {"type": kind, "id": f"{of} {offset}", **event})


SESSION_EVENTS = [
    logged(S, 0, "session.created.v1"),
    logged(S, 1, "session.context_attached.v1", context=C, app="AP1"),
    logged(S, 2, "session.context_attached.v1", context=C, app="AP1"),
    logged(S, 3, "session.context_detached.v1", context=C),
    logged(S, 4, "session.context_detached.v1", context=C),
    logged(S, 5, "session.context_attached.v1", context=C, app="AP1"),
    logged(S, 6, "session.deleted.v1"),
    logged(S, 7, "session.context_attached.v1", context=C, app="AP1"),
]
CONTEXT_EVENTS = [
    logged(C, 0, "context.item_put.v1", app="AP1", item=item("a")),
    logged(C, 1, "context.item_hidden.v1", content_id="a", hidden=True),
    logged(C, 2, "context.item_hidden.v1", content_id="a", hidden=True),
    logged(C, 3, "context.item_hidden.v1", content_id="b", hidden=True),
    logged(C, 4, "context.item_put.v1", app="AP1", item=item("a", hidden=False)),
    logged(C, 5, "context.item_hidden.v1", content_id="a", hidden=False),
    logged(C, 6, "context.item_hidden.v1", content_id="a", hidden=True),
]
EXPECTED = [
    Told(ADDED, C, S, 1_001),
    Told(REMOVED, C, S, 1_003),
    Told(ADDED, C, S, 1_005),
    Told("session.deleted", C, S, 1_006),
    Told("list.item_hidden", C, "a", 1_001),
    Told("list.item_hidden", C, "a", 1_006),
]


def received(told: Told, id_: str = "", path: str = "/ordered", more: str = "") -> Received:
    what = {"session_id": told.of} if told.type.startswith("session") else {"content_id": told.of}
    body = {
        "id": id_ or f"evt_{EXPECTED.index(told)}",
        "type": f"context.{told.type}",
        "created": told.created_ms,
        "data": {"context_id": told.context, **what, "more": more},
    }
    return Received(path, {}, orjson.dumps(body), 0.0)


async def judged(events: list[Received], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(webhooks, "ARRIVED_S", 0.0)
    monkeypatch.setattr(webhooks, "_FAILS", 0.0)
    monkeypatch.setattr(webhooks, "_IS_SLOW", 0.0)
    made = Endpoints(Receiver(), random.Random(0))
    for event in events:
        await made.answer(event)
    return await made.check(CONTEXT_EVENTS, SESSION_EVENTS)


def test_what_apps_must_hear_of() -> None:
    """What has changed anything, and nothing else."""
    assert list(told_by(CONTEXT_EVENTS, SESSION_EVENTS)) == EXPECTED


async def test_all_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice is as good as once, and an endpoint that is not ordered may hear of things in any order."""
    events = [received(told) for told in EXPECTED]
    assert await judged([*events, events[0]], monkeypatch) == []
    assert await judged([received(told, path="/any") for told in reversed(EXPECTED)], monkeypatch) == []


async def test_what_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """One lost, one made up, one under two ids, one that came as something else, and two in the wrong order."""
    events = [received(told) for told in EXPECTED]
    made_up = received(EXPECTED[0]._replace(created_ms=1), id_="evt_9")
    for wrong, what in (
        (events[1:], "has not heard of"),
        ([*events, made_up], "did not happen"),
        ([*events, received(EXPECTED[0], id_="evt_8")], "came under"),
        ([*events, received(EXPECTED[0], more="x")], "came as"),
        ([events[1], events[0], *events[2:]], "after"),
    ):
        found = await judged(wrong, monkeypatch)
        assert found
        assert any(what in sentence for sentence in found), found
