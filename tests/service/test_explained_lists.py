"""Why an item is where it is, asked of a real node."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import orjson

from tests.service.conftest import Pair, make_pair
from tests.support.nodes import ADMIN_TOKEN, item


async def explained(pair: Pair, content_id: str, after: str = "") -> dict[str, Any]:
    path = f"{pair.session_path}/explain?content_id={content_id}&context_id={pair.context}"
    (one,) = (await pair.platform.ok("GET", path, after=after)).json["explanations"]
    assert one["agrees"] is True, one
    return dict(one)


async def test_the_life_of_an_item(pair: Pair) -> None:
    """Each write is seen with its position, and what it did, by who reads after it."""
    early = await pair.app.ok("PUT", pair.context_path, item("early"))
    attached = await pair.attach()
    await pair.app.ok("PUT", pair.context_path, item("a"))
    last = await pair.app.ok("PUT", pair.context_path, item("b"))
    one = await explained(pair, "a", after=f"{attached},{last.position},{early.position}")
    listed = (await pair.platform.ok("GET", pair.session_path)).json["items"]
    assert one["reason"] == "listed"
    assert (one["place"]["index"], one["place"]["total"]) == (1, 3)
    assert [one["place"][name]["content_id"] for name in ("newer", "older")] == ["b", "early"]
    assert {**one["item"], "platform_data": {}, "app_media": {}} == listed[1]
    assert [step["did"] for step in one["steps"]] == ["attached", "put"]
    # The platform's own clients are named, a publisher's are not.
    assert [step["client_id"] for step in one["steps"]] == [pair.platform.client_id, None]
    assert "attached_later" in [rule["rule"] for rule in (await explained(pair, "early"))["rules"]]

    hide = {"content_id": "a", "action": "hide"}
    hidden = await pair.platform.ok("PUT", f"{pair.session_path}/{pair.context}", hide)
    again = await pair.app.ok("PUT", pair.context_path, item("a"))
    one = await explained(pair, "a", after=f"{hidden.position},{again.position}")
    assert (one["reason"], one["place"]["index"]) == ("hidden", 0)
    assert [step["did"] for step in one["steps"]] == ["attached", "put", "hidden", "replaced"]
    assert one["steps"][2]["request_id"] == hidden.headers["Paket-Request-Id"]
    assert "hidden_is_kept" in [rule["rule"] for rule in one["rules"]]

    gone = await pair.app.ok("DELETE", f"{pair.context_path}/a")
    assert (await explained(pair, "a", after=gone.position))["reason"] == "removed"
    replaced = await pair.app.ok("PUT", f"{pair.context_path}/items", {"items": [item("c")]})
    assert (await explained(pair, "b", after=replaced.position))["reason"] == "left_out"
    detached = await pair.platform.ok("DELETE", f"{pair.session_path}/{pair.context}")
    one = await explained(pair, "c", after=detached.position)
    assert (one["reason"], [step["did"] for step in one["steps"]]) == ("detached", ["attached", "detached"])


async def test_the_item_that_made_room(pair: Pair) -> None:
    """The one that was dropped as the list had 1,000, and the event that it was dropped by."""
    attached = await pair.attach()
    await pair.app.ok("PUT", pair.context_path, item("oldest"))
    for start in (0, 500):
        body = {"items": [item(f"c{n}") for n in range(start, start + 500)]}
        written = await pair.app.ok("POST", f"{pair.context_path}/items", body)
    one = await explained(pair, "oldest", after=f"{attached},{written.position}")
    assert (one["reason"], one["rules"][0]["rule"]) == ("dropped", "at_most_1000")
    assert (one["steps"][-1]["did"], one["steps"][-1]["type"]) == ("dropped", "context.items_put.v1")


async def test_what_others_have(pair: Pair) -> None:
    """Another context of the session is named; one that never was attached is absent, and so is another's session."""
    other = await make_pair(pair.deployment)
    await pair.attach()
    body = {"app_id": other.app.tenant, "context_id": other.context}
    attached = await pair.platform.ok("PUT", pair.session_path, body)
    written = await other.app.ok("PUT", other.context_path, item("a"))
    one = await explained(pair, "a", after=f"{attached.position},{written.position}")
    assert (one["reason"], one["elsewhere"]) == ("other_context", [{"context_id": other.context}])
    path = f"{pair.session_path}/explain?content_id=a"
    (found,) = (await pair.platform.ok("GET", path)).json["explanations"]
    assert found["context_id"] == other.context
    third = await make_pair(pair.deployment)
    assert (await pair.platform.call("GET", f"{path}&context_id={third.context}")).status == 404
    assert (await third.platform.call("GET", path)).status == 404


async def past(pair: Pair, what: str, **query: str) -> dict[str, Any]:
    url = f"{pair.deployment.node.internal_url}/past/{what}"
    headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
    async with pair.deployment.http.get(url, params=query, headers=headers) as answer:
        body = await answer.read()
        assert answer.status == 200, body
        return dict(orjson.loads(body))


async def test_lists_as_they_were(pair: Pair) -> None:
    """The position of a list gives it again, as it was served; what came since is what differs."""
    attached = await pair.attach()
    await pair.app.ok("PUT", pair.context_path, item("a"))
    written = await pair.app.ok("PUT", pair.context_path, item("b"))
    then = await pair.platform.ok("GET", pair.session_path, after=f"{attached},{written.position}")
    mine = await pair.app.ok("GET", pair.context_path)
    await pair.platform.ok("PUT", f"{pair.session_path}/{pair.context}", {"content_id": "a", "action": "hide"})
    await pair.app.ok("DELETE", f"{pair.context_path}/b")
    assert (await past(pair, "list", of=pair.context, as_of=mine.position))["items"] == mine.json["items"]
    found = await past(pair, "list", of=pair.session, as_of=then.position)
    assert [{**one, "platform_data": {}, "app_media": {}} for one in found["items"]] == then.json["items"]
    differ = (await past(pair, "diff", of=pair.session, **{"from": then.position}))["differences"]
    assert {one["content_id"]: one["after"] and one["after"]["hidden"] for one in differ} == {"a": True, "b": None}
    after_b = found["items"][0]["updated_at"]
    assert ids_of(await past(pair, "list", of=pair.session, as_of=after_b)) == ["b", "a"]
    (one,) = (await past(pair, "explain", of=pair.session, content_id="a", as_of=then.position))["explanations"]
    assert (one["reason"], one["steps"][1]["client_id"]) == ("listed", pair.app.client_id)


def ids_of(found: dict[str, Any]) -> list[str]:
    return [one["content_id"] for one in found["items"]]


async def test_the_commands(pair: Pair) -> None:
    """What a node tells operators, in a terminal."""
    await pair.attach()
    written = await pair.app.ok("PUT", pair.context_path, item("a"))
    await pair.platform.ok("GET", pair.session_path, after=written.position)
    url = pair.deployment.node.internal_url
    for arguments, part in (
        (("explain", pair.session, "a"), "was written"),
        (("past", "list", pair.session), "1 items of 1 contexts"),
        (("audit", "--sample", "20"), " are what their events give"),
        (("past", "diff", pair.session, "--from", "2020-01-01T00:00:00Z"), "+ "),
    ):
        process = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).with_name("upnext")),
            *arguments,
            "--url",
            url,
            env={**os.environ, "UPNEXT_ADMIN_TOKEN": ADMIN_TOKEN},
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await asyncio.wait_for(process.communicate(), 30)
        assert (process.returncode, part in said.decode()) == (0, True), said
