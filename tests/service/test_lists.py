"""Publishers write, platforms read one merged list."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.service.conftest import Pair, make_pair
from tests.support.nodes import Deployment, item


def ids(page: dict[str, Any]) -> list[str]:
    return [entry["content_id"] for entry in page["items"]]


async def test_a_put_is_in_the_contexts_list(pair: Pair) -> None:
    """What was written is served back whole, with who wrote it and when."""
    body = item(
        "c1",
        media_type="tv_episode",
        season=1,
        episode=3,
        title="The Colt – “é” 日本",
        preview_video_uri="https://m.example/p",
    )
    written = await pair.app.ok("PUT", pair.context_path, body)
    assert written.status == 200
    assert written.json == {"message": "Success"}
    page = (await pair.app.ok("GET", pair.context_path, after=written.position)).json
    entry = page["items"][0]
    assert page["total"] == 1
    assert "next_key" not in page
    assert {name: entry[name] for name in body} == body
    assert entry["app_id"] == pair.app.tenant
    assert entry["context_id"] == pair.context
    assert entry["hidden"] is False
    assert entry["updated_at"].endswith("Z")
    assert "platform_data" not in entry
    assert "app_media" not in entry


async def test_a_session_sees_what_its_contexts_hold(pair: Pair) -> None:
    """An attach brings what is there, and every write after it."""
    await pair.app.ok("PUT", pair.context_path, item("before"))
    attached = await pair.attach()
    written = await pair.app.ok("PUT", pair.context_path, item("after"))
    page = await pair.platform.ok("GET", pair.session_path, after=f"{attached},{written.position}")
    assert ids(page.json) == ["after", "before"]
    assert page.json["items"][0]["platform_data"] == {}
    assert page.json["items"][0]["app_media"] == {}
    assert "Paket-View" not in page.headers


async def test_the_list_is_merged_newest_first(deployment: Deployment, pair: Pair) -> None:
    """Three apps' writes are one chronological list, and an update moves an item to the top."""
    others = [await make_pair(deployment) for _ in range(2)]
    trio = [pair, *others]
    for other in trio:
        body = {"app_id": other.app.tenant, "context_id": other.context}
        await pair.platform.ok("PUT", pair.session_path, body)
    positions = []
    for n in range(9):
        who = trio[n % 3]
        written = await who.app.ok("PUT", who.context_path, item(f"c{n}"))
        await who.app.ok("GET", who.context_path, after=written.position)
        positions.append(written.position)
    again = await trio[0].app.ok("PUT", trio[0].context_path, item("c0"))
    page = await pair.platform.ok("GET", pair.session_path, after=",".join([*positions, again.position]))
    updated = [entry["updated_at"] for entry in page.json["items"]]
    assert updated == sorted(updated, reverse=True)
    assert ids(page.json)[0] == "c0"
    assert sorted(ids(page.json)) == [f"c{n}" for n in range(9)]
    assert page.json["total"] == 9


async def test_pages_follow_on(pair: Pair) -> None:
    """Pages of any size, laid end to end, are the whole list."""
    attached = await pair.attach()
    writes = [await pair.app.ok("PUT", pair.context_path, item(f"c{n:03}")) for n in range(25)]
    after = f"{attached},{writes[-1].position}"
    for who, path in [(pair.app, pair.context_path), (pair.platform, pair.session_path)]:
        whole = ids((await who.ok("GET", f"{path}?limit=200", after=after)).json)
        assert whole == [f"c{n:03}" for n in reversed(range(25))]
        for limit in (1, 7, 25):
            key, got = 0, []
            while key is not None:
                page = (await who.ok("GET", f"{path}?limit={limit}&next_key={key}")).json
                got += ids(page)
                key = page.get("next_key")
            assert got == whole
        beyond = (await who.ok("GET", f"{path}?next_key=25")).json
        assert beyond == {"total": 25, "items": []}


async def test_a_removed_item_is_gone_from_both(pair: Pair) -> None:
    """DELETE answers 204 whether the item is there or not."""
    attached = await pair.attach()
    await pair.app.ok("PUT", pair.context_path, item("a/b .c"))
    for _ in range(2):
        gone = await pair.app.ok("DELETE", f"{pair.context_path}/a%2Fb%20.c")
        assert (gone.status, gone.body) == (204, b"")
    for who, path in [(pair.app, pair.context_path), (pair.platform, pair.session_path)]:
        assert (await who.ok("GET", path, after=f"{attached},{gone.position}")).json == {"total": 0, "items": []}


async def test_the_oldest_item_makes_room(pair: Pair) -> None:
    """The 1,001st item drops the one that was written longest ago, in both views."""
    attached = await pair.attach()
    for start in range(0, 1_000, 50):
        await asyncio.gather(*(pair.app.ok("PUT", pair.context_path, item(f"c{n}")) for n in range(start, start + 50)))
    page = (await pair.app.ok("GET", f"{pair.context_path}?limit=1&next_key=999")).json
    last = await pair.app.ok("PUT", pair.context_path, item("one-more"))
    oldest = page["items"][0]["content_id"] if page["items"] else None
    for who, path in [(pair.app, pair.context_path), (pair.platform, pair.session_path)]:
        got: list[str] = []
        for start in range(0, 1_000, 200):
            answer = await who.ok("GET", f"{path}?limit=200&next_key={start}", after=f"{attached},{last.position}")
            assert answer.json["total"] == 1_000
            got += ids(answer.json)
        assert len(set(got)) == 1_000
        assert got[0] == "one-more"
        assert oldest is None or oldest not in got


async def test_hide_is_seen_everywhere_and_survives_a_put(pair: Pair) -> None:
    """A platform's hide marks the item at its source, keeps its place, and lasts until the publisher says otherwise."""
    await pair.attach()
    await pair.app.ok("PUT", pair.context_path, item("a"))
    last = await pair.app.ok("PUT", pair.context_path, item("b"))
    hide = {"content_id": "a", "action": "hide"}
    hidden = await pair.platform.ok("PUT", f"{pair.session_path}/{pair.context}", hide, after=last.position)
    assert hidden.json == {"message": "Success"}
    for who, path in [(pair.app, pair.context_path), (pair.platform, pair.session_path)]:
        items = (await who.ok("GET", path, after=hidden.position)).json["items"]
        assert [(e["content_id"], e["hidden"]) for e in items] == [("b", False), ("a", True)]
    again = await pair.app.ok("PUT", pair.context_path, item("a", title="New"))
    entry = (await pair.platform.ok("GET", pair.session_path, after=again.position)).json["items"][0]
    assert (entry["content_id"], entry["title"], entry["hidden"]) == ("a", "New", True)
    shown = await pair.app.ok("PUT", pair.context_path, item("a", hidden=False))
    entry = (await pair.platform.ok("GET", pair.session_path, after=shown.position)).json["items"][0]
    assert entry["hidden"] is False
    absent = await pair.platform.call(
        "PUT", f"{pair.session_path}/{pair.context}", {"content_id": "zz", "action": "hide"}
    )
    assert absent.status == 404


async def test_an_etag_says_whether_a_list_changed(pair: Pair) -> None:
    """The same list is a 304; a write makes it a 200 with another ETag."""
    attached = await pair.attach()
    written = await pair.app.ok("PUT", pair.context_path, item("a"))
    for who, path in [(pair.app, pair.context_path), (pair.platform, pair.session_path)]:
        first = await who.ok("GET", path, after=f"{attached},{written.position}")
        tag = {"If-None-Match": first.headers["ETag"]}
        same = await who.call("GET", path, headers=tag)
        assert (same.status, same.body) == (304, b"")
        written = await pair.app.ok("PUT", pair.context_path, item("a", title=path))
        other = await who.call("GET", path, headers=tag, after=written.position)
        assert other.status == 200
        assert other.headers["ETag"] != first.headers["ETag"]


async def test_a_client_has_its_version_and_its_limit(deployment: Deployment) -> None:
    """As configured: lists are those of its version, and beyond its limit it hears when to come again."""
    company = await deployment.company()
    usual = await deployment.tenant("apps", company)
    limit = {"read": 2, "write": 1}
    own = await deployment.client(usual.tenant, company, defaultVersion="2026-11-01", rateLimit=limit)
    path = f"/v1/contexts/upnext/{(await usual.ok('POST', '/v1/contexts')).json['context_id']}"
    written = await asyncio.gather(*(own.call("PUT", path, item(f"c{n}")) for n in range(10)))
    assert {answer.status for answer in written} == {200, 429}
    refused = next(answer for answer in written if answer.status == 429)
    good = [answer.position for answer in written if answer.status == 200]
    assert {(answer.headers["Paket-Version"], answer.headers["RateLimit-Policy"]) for answer in written} == {
        ("2026-11-01", '"writes";q=1;w=1')
    }
    page = await own.ok("GET", f"{path}?limit=1", after=",".join(good))
    assert page.json["page"] == {"total": len(good), "next": "?limit=1&next_key=1"}
    assert page.headers["RateLimit"] == '"reads";r=1;t=1'
    before = (await usual.ok("GET", f"{path}?limit=1")).json
    assert before == {"total": len(good), "next_key": 1, "items": page.json["items"]}
    await asyncio.sleep(int(refused.headers["Retry-After"]))
    await own.ok("PUT", path, item("c2"))
