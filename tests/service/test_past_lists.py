"""Lists as they were, asked of a real node by those whose lists they are."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from tests.service.conftest import Pair
from tests.support.nodes import Answer, item


async def changed(pair: Pair, draw: random.Random) -> str:
    """Change the list; return the position after which that is seen."""
    content_id = draw.choice("abcdef")
    match draw.choice(("put", "put", "put", "remove", "hide", "attach", "detach")):
        case "put":
            return (await pair.app.ok("PUT", pair.context_path, item(content_id))).position
        case "remove":
            return (await pair.app.ok("DELETE", f"{pair.context_path}/{content_id}")).position
        case "hide":
            body = {"content_id": content_id, "action": "hide"}
            hidden = await pair.platform.call("PUT", f"{pair.session_path}/{pair.context}", body)
            return hidden.position if hidden.status == 200 else ""
        case "detach":
            return (await pair.platform.ok("DELETE", f"{pair.session_path}/{pair.context}")).position
    return await pair.attach()


async def lists(pair: Pair, after: str) -> dict[str, Answer]:
    return {
        pair.context_path: await pair.app.ok("GET", pair.context_path, after=after),
        pair.session_path: await pair.platform.ok("GET", pair.session_path, after=after),
        f"{pair.session_path}/contexts": await pair.platform.ok("GET", f"{pair.session_path}/contexts", after=after),
    }


async def test_every_list_that_was_served(pair: Pair) -> None:
    """Its position gives its very bytes again, and what differs between two is what makes one of the other."""
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    draw = random.Random(seed)
    served, after = [await lists(pair, await pair.attach())], ""
    for _ in range(20):
        written = await changed(pair, draw)
        after = written or after
        served.append(await lists(pair, after))
    for answers in served:
        for path, then in answers.items():
            reader = pair.app if path == pair.context_path else pair.platform
            found = await reader.ok("GET", f"{path}?as_of={then.position}")
            assert found.body == then.body
    last = served[-1]
    for answers in draw.sample(served, 5):
        for path in (pair.context_path, pair.session_path):
            reader = pair.app if path == pair.context_path else pair.platform
            query = f"from={answers[path].position}&to={last[path].position}"
            differ = (await reader.ok("GET", f"{path}/diff?{query}")).json["items"]
            assert applied(answers[path].json["items"], differ) == last[path].json["items"]


def applied(before: list[Any], differ: list[Any]) -> list[Any]:
    entries = {one["content_id"]: one for one in before}
    for one in differ:
        assert entries.get(one["content_id"]) == one["before"]
        entries[one["content_id"]] = one["after"]
    there = sorted((one for one in entries.values() if one is not None), key=lambda one: str(one["content_id"]))
    return sorted(there, key=lambda one: str(one["updated_at"]), reverse=True)


async def test_by_time_and_page(pair: Pair) -> None:
    """A time that an item bears gives the list that it was first in; its pages stay, whatever is written meanwhile."""
    await pair.attach()
    for number in range(5):
        written = await pair.app.ok("PUT", pair.context_path, item(f"c{number}"))
    items = (await pair.platform.ok("GET", pair.session_path, after=written.position)).json["items"]
    query, found = f"?limit=2&as_of={items[1]['updated_at']}", []
    while query is not None:
        page = await pair.platform.ok("GET", pair.session_path + query, headers={"Paket-Version": "2026-11-01"})
        found += page.json["items"]
        query = page.json["page"]["next"]
        await pair.app.ok("PUT", pair.context_path, item("c0"))
    assert found == items[1:]


async def test_many_at_once(pair: Pair) -> None:
    """A client has the log read once at a time: more are told to come again, and never wait for their turn."""
    attached = await pair.attach()
    written = await pair.app.ok("PUT", pair.context_path, item("a"))
    then = await pair.platform.ok("GET", pair.session_path, after=f"{attached},{written.position}")
    path = f"{pair.session_path}?as_of={then.position}"
    answers = await asyncio.gather(*(pair.platform.call("GET", path) for _ in range(8)))
    for answer in answers:
        if answer.status == 200:
            assert answer.body == then.body
        else:
            assert (answer.status, answer.code, answer.headers["Retry-After"]) == (503, "overloaded", "1")
    assert 200 in {answer.status for answer in answers}
