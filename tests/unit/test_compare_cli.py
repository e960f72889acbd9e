"""What `upnext rebuild compare` takes for the other version, and how it says what differs."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer

from service.cli.compare_calls import Versions
from service.cli.compare_lists import PartitionCompared
from service.cli.compare_shown import DifferenceOut, ItemOut, PlacedOut, difference_lines, partition_line
from service.cli.node_calls import NodeError
from service.cli.rebuild import _beside
from service.http.explain import StepOut
from service.http.internal import NodeOut, NodesOut
from streams.domain.audits import Audited
from tests.support.ports import free_port

STEP = StepOut(
    position="context-events-0-7",
    time="2026-11-28T20:31:06.919Z",
    type="context.item_hidden.v1",
    did="hidden",
    text="was hidden",
    client_id="c",
    request_id="req_1",
)


def view(name: str, stage: str, *, whole: bool = True, since: str = "2026-11-28") -> dict[str, Any]:
    return {"name": name, "stage": stage, "since": since, "isWhole": whole, "unserved": 0}


def test_which_version_is_beside_the_live_one() -> None:
    """The one that is built; else the last that was read before; or the one that is named."""
    old, older = view("upnext-v2", "old", since="2026-11-28"), view("upnext-v1", "old", since="2026-11-27")
    live, next_ = view("upnext-v3", "live"), view("upnext-v4", "building", since="2026-11-01")
    assert _beside([older, old, live, next_], None) == "upnext-v4"
    assert _beside([older, old, live], None) == "upnext-v2"
    assert _beside([older, old, live, next_], "v1") == "upnext-v1"
    for name in ("v3", "v9", "what"):
        with pytest.raises(NodeError, match="no such version"):
            _beside([older, old, live, next_], name)
    with pytest.raises(NodeError, match="not folded yet"):
        _beside([live, view("upnext-v4", "building", whole=False)], None)


async def test_who_is_asked() -> None:
    """Of two that say they serve a partition the one that was heard of last; there are as many as anybody ever had."""
    nodes: list[NodeOut] = []
    refused = [503]

    async def answer(request: web.BaseRequest) -> web.Response:
        if request.path == "/nodes":
            return web.Response(body=msgspec.json.encode(NodesOut(nodes)))
        return web.json_response({"ids": ["CX1"]}, status=refused.pop() if refused else 200)

    async with RawTestServer(answer) as server:
        here = str(server.make_url("")).rstrip("/")
        said: dict[str, Any] = {"roles": ("streams",), "view": "upnext-v1"}
        killed = NodeOut(name="z", url=f"http://127.0.0.1:{free_port()}", contexts=(0, 1), silent_ms=3_000, **said)
        nodes += [NodeOut(name="a", url=here, contexts=(0,), silent_ms=90, **said), killed]
        async with Versions(here, "token", ("upnext-v1", "upnext-v2")) as versions, asyncio.timeout(10):
            nodes.remove(killed)
            assert await versions.touched(Audited.CONTEXTS, 0, range(1)) == {"CX1"}
            assert versions.partitions == range(2)
            nodes.append(killed)
            refused.append(503)
            assert await versions.touched(Audited.CONTEXTS, 0, range(1)) == {"CX1"}


def test_what_is_said() -> None:
    """Each list with its items as both have them, and their events; no more items than a few."""
    places = {"upnext-v1": [PlacedOut("2026-11-28T20:31:06.935Z", "{}")], "upnext-v2": []}
    one = DifferenceOut("contexts", "CX1", "total 1 and 0", [ItemOut("CX1", "a\nb", places, [STEP])], 7, [STEP])
    said = list(difference_lines(one))
    assert said[:4] == [
        "CX1: total 1 and 0",
        "  a\\nb of CX1",
        "    upnext-v1 has, placed at 2026-11-28T20:31:06.935Z, {}",
        "    upnext-v2 has nothing",
    ]
    assert "context-events-0-7  context.item_hidden.v1" in said[4]
    assert said[5] == "  and 6 more items"
    assert said[6].strip() == said[4].strip()
    part = PartitionCompared("sessions", 3, 1_200, 7, 9, {}, ["SN1"], 2)
    assert partition_line(part) == (
        "sessions of partition 3: 1,200 compared as of offset 9 of their events, 2 differ, 1 did not stand still"
    )
