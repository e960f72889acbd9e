"""Versions of the views on the internal listener."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from service.cli.rebuild_shown import bar, row
from service.http.internal import build_internal_app
from service.http.views import ViewPages
from service.listeners import bound, where
from service.setting_kinds import Address
from streams.domain.errors import LogUnavailableError
from streams.domain.view_versions import KnownVersion, Progress, Stage, Version, VersionStatus, ViewChangeError

TOKEN = "the-token-of-the-super-user"
STATUS = VersionStatus(
    KnownVersion("upnext-v2", Version(stage=Stage.BUILDING, max_events_per_s=500), 1_700_000_000_000),
    Progress(30, 40, 2),
    is_whole=False,
    unserved=3,
    waits_for=("context-events-1-7",),
)


class VersionsFake:
    """What was asked, and what is raised where a test says so."""

    def __init__(self) -> None:
        self.asked: list[object] = []
        self.error: Exception | None = None

    def _ask(self, what: object) -> str:
        self.asked.append(what)
        if self.error:
            raise self.error
        return "upnext-v2"

    async def status(self) -> list[VersionStatus]:
        self._ask("status")
        return [STATUS]

    async def begin(self, max_events_per_s: int = 0) -> str:
        return self._ask(("begin", max_events_per_s))

    async def switch(self) -> str:
        return self._ask("switch")

    async def roll_back(self) -> str:
        return self._ask("rollback")

    async def drop(self, name: str) -> None:
        self._ask(("drop", name))


class World:
    """The internal listener of a node that has started."""

    def __init__(self, http: aiohttp.ClientSession, url: str, versions: VersionsFake) -> None:
        self.http, self.url, self.versions = http, url, versions

    async def get(self) -> tuple[int, Any]:
        async with self.http.get(f"{self.url}/views") as answer:
            return answer.status, await answer.json()

    async def post(self, action: str, body: str = "", token: str = TOKEN) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {token}"}
        async with self.http.post(f"{self.url}/views/{action}", data=body, headers=headers) as answer:
            return answer.status, await answer.json()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    pages, versions = ViewPages(TOKEN), VersionsFake()
    app = build_internal_app(list, CollectorRegistry(), None, pages)
    runner = web.AppRunner(app)
    with bound(Address("127.0.0.1", 0), "internal") as sockets:
        await runner.setup()
        await web.SockSite(runner, sockets[0]).start()
        async with aiohttp.ClientSession() as http:
            url = f"http://{where(sockets)}"
            async with http.get(f"{url}/views") as answer:
                assert answer.status == 503
            pages.started(versions)
            yield World(http, url, versions)
        await runner.cleanup()


async def test_whoever_asks_is_shown_them(world: World) -> None:
    """Stage, progress, and what is waited for."""
    status, said = await world.get()
    assert status == 200
    assert said["views"] == [
        {
            "name": "upnext-v2",
            "stage": "building",
            "since": "2023-11-14T22:13:20.000Z",
            "maxEventsPerSecond": 500,
            "eventsDone": 30,
            "eventsTotal": 40,
            "lag": 12,
            "isWhole": False,
            "unserved": 3,
            "waitsFor": ["context-events-1-7"],
        }
    ]


async def test_changes_need_the_token(world: World) -> None:
    """Without, nothing is done."""
    for action in ("start", "switch", "rollback", "drop"):
        assert (await world.post(action, token="another"))[0] == 401
    assert world.versions.asked == []


async def test_changes(world: World) -> None:
    """Each is what it says, with what it is given."""
    assert await world.post("start", '{"maxEventsPerSecond":9}') == (200, {"view": "upnext-v2"})
    for action in ("switch", "rollback"):
        assert await world.post(action) == (200, {"view": "upnext-v2"})
    assert await world.post("drop", '{"view":"upnext-v1"}') == (200, {"view": "upnext-v1"})
    assert world.versions.asked == [("begin", 9), "switch", "rollback", ("drop", "upnext-v1")]


@pytest.mark.parametrize("body", ["{", '{"maxEventsPerSecond":-1}', "[]"])
async def test_what_is_none_is_refused(world: World, body: str) -> None:
    """Nothing is done."""
    assert (await world.post("start", body))[0] == 400
    assert world.versions.asked == []


@pytest.mark.parametrize(("error", "status"), [(ViewChangeError("no"), 409), (LogUnavailableError("away"), 503)])
async def test_what_cannot_be_done(world: World, error: Exception, status: int) -> None:
    """The reason is said."""
    world.versions.error = error
    assert await world.post("switch") == (status, {"error": str(error)})


def view(**more: object) -> dict[str, Any]:
    return {
        "name": "upnext-v2",
        "stage": "building",
        "since": "2023-11-14T22:13:20.000Z",
        "eventsDone": 3_000,
        "eventsTotal": 12_000,
        "lag": 9_000,
        "isWhole": False,
        "unserved": 16,
        "waitsFor": [],
        **more,
    }


def test_the_bar() -> None:
    """How much is done, how fast, and how long it takes."""
    first = view(eventsDone=1_000)
    assert bar(view(), first, 2.0) == (
        "upnext-v2  [#######.......................]  25 %  3,000 of 12,000  1,000/s  0:09 left  lag 9,000"
    )
    assert "? left" in bar(first, first, 0.0)
    assert "waits for context-events-1-7" in bar(view(waitsFor=["context-events-1-7"]), first, 1.0)
    assert "1:23:20 left" in bar(view(eventsTotal=5_003_000), first, 2.0)


def test_the_table() -> None:
    """A line a version; only what is built has a time left."""
    assert row(view(), None, 1.0)[3:] == ("3,000 of 12,000", "9,000", "no", "0/s", "?")
    whole = view(stage="live", isWhole=True, unserved=0, eventsDone=12_000, lag=0, since=None)
    assert row(whole, view(), 3.0)[1:] == ("live", "-", "12,000 of 12,000", "0", "yes", "3,000/s", "-")
