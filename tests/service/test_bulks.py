"""Many items in one call: all of them are seen, or none."""

from __future__ import annotations

import asyncio

from tests.service.conftest import Pair
from tests.support.bulks import large_items, largest_bulk
from tests.support.nodes import Caller, item

ITEMS = 200
"""As many as one page shows; with a description each they are more than one message of the feed holds."""


async def test_items_of_several_contexts_are_in_all_lists(pair: Pair) -> None:
    """What is good of a bulk is there at its position, in contexts' lists and in sessions'."""
    contexts = [pair.context, *[(await pair.app.ok("POST", "/v1/contexts")).json["context_id"] for _ in range(30)]]
    attached = await pair.attach()
    sent = [{"context_id": context, "items": [item("a"), item("b", title=""), item("c")]} for context in contexts]
    answer = await pair.app.ok("POST", "/v1/contexts/bulk", {"contexts": sent})
    statuses = [[result["status"] for result in entry["results"]] for entry in answer.json["contexts"]]
    assert statuses == [[200, 400, 200]] * len(contexts)
    for context in contexts:
        page = (await pair.app.ok("GET", f"/v1/contexts/upnext/{context}", after=answer.position)).json
        assert [entry["content_id"] for entry in page["items"]] == ["c", "a"]
    both = f"{attached},{answer.position}"
    page = (await pair.platform.ok("GET", pair.session_path, after=both)).json
    assert [entry["content_id"] for entry in page["items"]] == ["c", "a"]
    one = await pair.app.ok("POST", f"{pair.context_path}/items", {"items": [item("d"), 7, item("a")]})
    assert [result["status"] for result in one.json["results"]] == [200, 400, 200]
    page = (await pair.platform.ok("GET", pair.session_path, after=one.position)).json
    assert [entry["content_id"] for entry in page["items"]] == ["a", "d", "c"]
    times = [entry["updated_at"] for entry in page["items"]]
    assert times == sorted(set(times), reverse=True)


async def test_nobody_sees_half_a_list(pair: Pair) -> None:
    """While a list is replaced again and again, every page is of one list that was sent."""
    await pair.attach()

    async def replace(number: int) -> str:
        items = [item(f"c{number % 2}-{n}", title=f"{number}", description="d" * 1_500) for n in range(ITEMS)]
        return (await pair.app.ok("PUT", f"{pair.context_path}/items", {"items": items})).position

    async def read(caller: Caller, path: str, done: asyncio.Event) -> set[str]:
        seen, last = set(), ""
        while not done.is_set():
            answer = await caller.ok("GET", f"{path}?limit={ITEMS}", after=last)
            last, page = answer.position, answer.json
            assert (page["total"], len(page["items"])) == (ITEMS, ITEMS)
            (title,) = {entry["title"] for entry in page["items"]}
            seen.add(title)
        return seen

    first, done = await replace(0), asyncio.Event()
    for caller, path in ((pair.app, pair.context_path), (pair.platform, pair.session_path)):
        await caller.ok("GET", path, after=first)
    async with asyncio.TaskGroup() as group:
        readers = [
            group.create_task(read(pair.app, pair.context_path, done)),
            group.create_task(read(pair.platform, pair.session_path, done)),
        ]
        for number in range(1, 16):
            last = await replace(number)
        done.set()
    assert all(len(reader.result()) > 1 for reader in readers)
    page = (await pair.platform.ok("GET", f"{pair.session_path}?limit=1", after=last)).json
    assert page["items"][0]["title"] == "15"


async def test_the_largest_bulk(pair: Pair) -> None:
    """500 items in 1 MiB replace a full list of the longest content ids, which three sessions see."""
    others = [(await pair.platform.ok("POST", "/v1/sessions")).json["session_id"] for _ in range(2)]
    sessions, body = [pair.session, *others], {"app_id": pair.app.tenant, "context_id": pair.context}
    writes = [await pair.platform.ok("PUT", f"/v1/sessions/upnext/{session}", body) for session in sessions]
    for first in (0, 500):
        answer = await pair.app.ok("POST", f"{pair.context_path}/items", {"items": large_items(first)})
    for total, method, first in ((1_000, "POST", 1_000), (500, "PUT", 2_000)):
        answer = await pair.app.ok(method, f"{pair.context_path}/items", data=largest_bulk(first))
        after = ",".join([*(write.position for write in writes), answer.position])
        for caller, path in [
            (pair.app, pair.context_path),
            *((pair.platform, f"/v1/sessions/upnext/{session}") for session in sessions),
        ]:
            page = (await caller.ok("GET", f"{path}?limit=200", after=after)).json
            assert page["total"] == total
            assert [entry["title"] for entry in page["items"]] == [f"T{first + 499 - n}" for n in range(200)]
