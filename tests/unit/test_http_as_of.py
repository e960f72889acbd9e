"""Lists as they were: for clients by time and by position, page by page, and what differs between two moments."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from service.http.openapi import OPERATIONS
from service.http.positions import PositionTokens
from service.http.rate_limits import RateLimits, Rates
from service.queries.extras import AppExtras
from streams.domain.errors import (
    HistoryGoneError,
    HistoryTooLongError,
    HistoryUnorderedError,
    LogUnavailableError,
    OverloadedError,
)
from streams.domain.ids import Kind, parse_id
from streams.domain.positions import ContextPosition
from streams.domain.times import iso_ms
from tests.support.listener import (
    POSITIONS_KEY,
    Listener,
    names,
    problem,
    public_listener,
    raw_context,
    same_bytes,
)
from tests.support.nodes import Answer, Caller, item

NEWEST = {"Paket-Version": "2026-11-01"}


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    async with public_listener() as listener:
        yield listener


class Household:
    """A session with two contexts of two apps, and the four lists that are of them, each with who reads it."""

    def __init__(self, listener: Listener, session: str, contexts: Mapping[str, str]) -> None:
        self.listener, self.session, self.contexts = listener, session, contexts
        path = f"/v1/sessions/upnext/{session}"
        mine = contexts["app"]
        self.lists: dict[str, Caller] = {
            f"/v1/contexts/upnext/{mine}": listener.app,
            path: listener.platform,
            f"{path}/{mine}": listener.platform,
            f"{path}/contexts": listener.platform,
        }

    @property
    def path(self) -> str:
        return f"/v1/sessions/upnext/{self.session}"

    async def put(self, content_id: str, of: str = "app") -> Answer:
        path = f"/v1/contexts/upnext/{self.contexts[of]}"
        return await self.listener.callers[of].ok("PUT", path, item(content_id))


@pytest.fixture
async def household(listener: Listener) -> Household:
    return await make_household(listener)


async def make_household(listener: Listener) -> Household:
    contexts = {of: await listener.context(of) for of in ("app", "other_app")}
    found = Household(listener, await listener.session(), contexts)
    for of, context in contexts.items():
        await listener.attach(found.session, context, of)
    return found


async def change(household: Household, draw: random.Random) -> None:
    """Do one of what can be done to a list."""
    listener, of = household.listener, draw.choice(("app", "other_app"))
    context, content_id = household.contexts[of], draw.choice("abcdefgh")
    path = f"/v1/contexts/upnext/{context}"
    match draw.choice(("put", "put", "put", "remove", "hide", "replace", "reattach")):
        case "put":
            await household.put(content_id, of)
        case "remove":
            await listener.callers[of].ok("DELETE", f"{path}/{content_id}")
        case "hide":
            body = {"content_id": content_id, "action": draw.choice(("hide", "unhide"))}
            await listener.platform.call("PUT", f"{household.path}/{context}", body)
        case "replace":
            await listener.callers[of].ok("PUT", f"{path}/items", {"items": [item(content_id), item("z")]})
        case "reattach":
            if draw.random() < 0.5:
                await listener.platform.ok("DELETE", f"{household.path}/{household.contexts['other_app']}")
            await listener.attach(household.session, household.contexts["other_app"], "other_app")


def applied(before: list[Any], found: list[Any], *, by: tuple[str, ...], newest: str) -> list[Any]:
    """Return a list to which differences were applied, in the order of lists."""
    entries = {tuple(one[name] for name in by): one for one in before}
    for one in found:
        key = tuple(one[name] for name in by)
        assert entries.get(key) == one["before"]
        entries.pop(key, None)
        if one["after"] is not None:
            entries[key] = one["after"]
    ordered = sorted(entries.values(), key=lambda one: [one[name] for name in reversed(by)])
    return sorted(ordered, key=lambda one: one[newest], reverse=True)


@pytest.mark.parametrize("seed", range(4))
async def test_every_list_that_was_served(household: Household, seed: int) -> None:
    """Its position gives the same bytes later on, whatever came since; and what differs makes one of the other."""
    draw = random.Random(seed)
    served: list[dict[str, Answer]] = []
    for _ in range(25):
        await change(household, draw)
        served.append({path: await caller.ok("GET", path) for path, caller in household.lists.items()})
    for answers in served:
        for path, then in answers.items():
            found = await household.lists[path].ok("GET", f"{path}?as_of={then.position}")
            assert found.body == then.body, (seed, path)
            assert found.headers.keys() == then.headers.keys()
            again = await household.lists[path].ok("GET", f"{path}?as_of={found.position}")
            assert (again.body, again.headers["ETag"]) == (found.body, found.headers["ETag"])
    for _ in range(10):
        one, other = draw.choice(served), draw.choice(served)
        for path, caller in household.lists.items():
            query = f"from={one[path].position}&to={other[path].position}"
            differ = await caller.ok("GET", f"{path}/diff?{query}")
            is_of_items = not path.endswith("/contexts")
            by = ("content_id", "context_id") if is_of_items else ("context_id",)
            newest = "updated_at" if is_of_items else "created_at"
            became = applied(one[path].json["items"], differ.json["items"], by=by, newest=newest)
            assert became == other[path].json["items"], (seed, path)
            assert differ.json["total"] == len(differ.json["items"])


async def test_by_time(household: Household) -> None:
    """All that had come by then, and nothing later; what differs up to now, where the later moment is left out."""
    await household.put("a")
    first = iso_ms(household.listener.world.time_ms)
    await household.put("b", "other_app")
    await household.put("a")
    platform = household.listener.platform
    for time in (first, f"{first[:-1]}Z"):
        found = await platform.ok("GET", f"{household.path}?as_of={time}")
        assert [one["content_id"] for one in found.json["items"]] == ["a"]
    differ = (await platform.ok("GET", f"{household.path}/diff?from={first}")).json["items"]
    assert [(one["content_id"], one["before"] is None, one["after"] is None) for one in differ] == [
        ("a", False, False),
        ("b", True, False),
    ]
    for early in ("2001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"):
        assert (await platform.ok("GET", f"{household.path}?as_of={early}")).json == {"total": 0, "items": []}
        assert (await platform.ok("GET", f"{household.path}/contexts?as_of={early}")).json["total"] == 0
    # A position of a write to the context names a moment too, also that of a bulk.
    path = f"/v1/contexts/upnext/{household.contexts['app']}"
    written = await household.put("c")
    body = {"contexts": [{"context_id": household.contexts["app"], "items": [item("d")]}]}
    bulk = await household.listener.app.ok("POST", "/v1/contexts/bulk", body)
    await household.put("e")
    for position, count in ((written.position, 2), (bulk.position, 3)):
        assert (await household.listener.app.ok("GET", f"{path}?as_of={position}")).json["total"] == count


async def test_pages(household: Household) -> None:
    """All pages are of one list, while it changes: in the newest version the next one is named, with its moment."""
    for number in range(5):
        await household.put(f"c{number}")
    caller, path = household.listener.platform, household.path
    time = iso_ms(household.listener.world.time_ms)
    whole = await caller.ok("GET", path)
    found: list[Any] = []
    query: str | None = f"?limit=2&as_of={time}"
    while query is not None:
        page = await caller.ok("GET", path + query, headers=NEWEST)
        found += page.json["items"]
        assert page.json["page"]["total"] == 5
        query = page.json["page"]["next"]
        household.listener.world.time_ms -= 2  # the clock steps back: what is written now is as old
        await household.put(f"more{len(found)}")
    assert found == whole.json["items"]
    first = await caller.ok("GET", f"{path}?limit=2&as_of={whole.position}")
    assert (first.json["total"], first.json["next_key"]) == (5, 2)
    last = await caller.ok("GET", f"{path}?limit=2&next_key=4&as_of={first.position}")
    assert (last.json["items"], "next_key" in last.json) == (whole.json["items"][4:], False)
    beyond = await caller.ok("GET", f"{path}?next_key=9&as_of={first.position}")
    assert beyond.json == {"total": 5, "items": []}
    differ = await caller.ok("GET", f"{path}/diff?limit=1&from={time}&to={whole.position}", headers=NEWEST)
    assert differ.json["page"]["total"] > 1
    following = await caller.ok("GET", f"{path}/diff{differ.json['page']['next']}", headers=NEWEST)
    assert following.json["items"] != differ.json["items"]
    assert following.position == differ.position


async def test_readers_that_know_the_page(household: Household) -> None:
    """304 with the page's own tag, another tag for another page, moment or closing, and HEAD as GET."""
    first = await household.put("a")
    await household.put("b")
    for path, caller in household.lists.items():
        then = await caller.ok("GET", path, after=first.position)
        for query in (f"?as_of={then.position}", f"/diff?from=2001-01-01T00:00:00Z&to={then.position}"):
            known = await caller.ok("GET", path + query)
            tag = {"If-None-Match": known.headers["ETag"]}
            assert (await caller.call("GET", path + query, headers=tag)).status == 304
            assert (await caller.call("GET", f"{path}{query}&limit=1", headers=tag)).status == 200
            head = await caller.ok("HEAD", path + query)
            assert (head.body, head.headers["ETag"]) == (b"", known.headers["ETag"])
            assert head.headers["Content-Length"] == str(len(known.body))


async def test_what_belongs_to_apps(household: Household) -> None:
    """It is what is configured now, in lists as they were too; the tag changes with it."""
    await household.put("a")
    listener, path = household.listener, household.path
    then = await listener.platform.ok("GET", path)
    before = await listener.platform.ok("GET", f"{path}?as_of={then.position}")
    platform, app = (
        parse_id(kind, of.tenant) for kind, of in ((Kind.PLATFORM, listener.platform), (Kind.APP, listener.app))
    )
    assert platform is not None
    assert app is not None
    listener.world.extras[platform, app] = AppExtras({}, {}, {"icon_1x": "https://media.example/i.png"})
    after = await listener.platform.ok("GET", f"{path}?as_of={then.position}")
    assert after.json["items"][0]["app_media"] == {"icon_1x": "https://media.example/i.png"}
    assert after.headers["ETag"] != before.headers["ETag"]
    differ = await listener.platform.ok("GET", f"{path}/diff?from=2001-01-01T00:00:00Z")
    assert differ.json["items"][0]["after"] == after.json["items"][0]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("yesterday", "invalid_moment"),
        ("", "invalid_moment"),
        ("2026-13-01T00:00:00Z", "invalid_moment"),
        ("2026-02-30T00:00:00.000Z", "invalid_moment"),
        ("2026-01-01", "invalid_moment"),
        ("2026-01-01T00:00:00", "invalid_moment"),
        ("2026-01-01T00:00:00%2B02:00", "invalid_moment"),
        ("9999-12-31T23:59:59.999Z", "out_of_range"),
        ("x" * 3_000, "invalid_moment"),
        ("%00", "invalid_moment"),
        ("%C3%A9", "invalid_moment"),
    ],
)
async def test_what_is_no_moment(household: Household, text: str, code: str) -> None:
    """It is said which parameter is wrong, and all that is, at once."""
    for path, caller in household.lists.items():
        for query, wrong in (
            (f"?as_of={text}&limit=0", ["limit", "as_of"]),
            (f"/diff?from={text}&to={text}&next_key=-1", ["next_key", "from", "to"]),
            ("/diff", ["from"]),
            ("/diff?from=2001-01-01T00:00:00Z&from=2001-01-01T00:00:00Z", ["from"]),
        ):
            answer = await caller.call("GET", path + query)
            assert problem(answer, 400) == "invalid_fields"
            assert names(answer) == wrong
        answer = await caller.call("GET", f"{path}?as_of={text}")
        assert [one["code"] for one in answer.json["error"]["params"]] == [code]


async def test_positions_of_something_else(household: Household) -> None:
    """Of another list, of a write to a session, of another log: each is refused, and nothing is read."""
    listener = household.listener
    another = await make_household(listener)
    attached = await listener.attach(household.session, household.contexts["app"])
    context = raw_context(household.contexts["app"])
    foreign = PositionTokens(POSITIONS_KEY, "another-log").write(ContextPosition(context, 0))
    listener.world.fail("past", AssertionError())
    for path, theirs in zip(household.lists, another.lists, strict=True):
        caller = household.lists[path]
        for position in ((await caller.ok("GET", theirs)).position, attached.position, foreign, f"{foreign}x"):
            answer = await caller.call("GET", f"{path}?as_of={position}")
            assert (problem(answer, 400), names(answer)) == ("invalid_fields", ["as_of"])


async def test_only_what_is_ones_own(household: Household) -> None:
    """Others' ids, what is no id, sessions that are gone, contexts that were never attached: absent, the same bytes."""
    listener, early = household.listener, "2001-01-01T00:00:00Z"
    stranger = await listener.context("other_app")
    then = (await listener.platform.ok("GET", household.path)).position
    calls = [
        (listener.callers["other_platform"], household.path),
        (listener.callers["other_platform"], f"{household.path}/contexts"),
        (listener.callers["other_app"], f"/v1/contexts/upnext/{household.contexts['app']}"),
        (listener.platform, "/v1/sessions/upnext/SN1"),
        (listener.platform, f"{household.path}/{stranger}"),
        (listener.platform, f"{household.path}/CX1"),
    ]
    gone = await make_household(listener)
    was = (await listener.platform.ok("GET", gone.path)).position
    await listener.platform.ok("DELETE", gone.path)
    absent = [
        await caller.call("GET", path + query)
        for caller, path in calls
        for query in (f"?as_of={early}", f"/diff?from={early}")
    ]
    absent += [
        await listener.platform.call("GET", gone.path + query)
        for query in (
            f"?as_of={was}",
            f"?as_of={early}",
            "?as_of=x",
            f"/diff?from={was}",
            "/diff",
            f"/contexts?as_of={was}",
        )
    ]
    assert {problem(answer, 404) for answer in absent} == {"not_found"}
    assert len({str(same_bytes(answer)) for answer in absent}) == 1
    assert problem(await listener.app.call("GET", f"{household.path}?as_of={then}"), 403) == "wrong_tenant"
    # What was attached then is there, as of then.
    other = household.contexts["other_app"]
    await listener.platform.ok("DELETE", f"{household.path}/{other}")
    assert (await listener.platform.call("GET", f"{household.path}/{other}")).status == 404
    assert (await listener.platform.ok("GET", f"{household.path}/{other}?as_of={then}")).json["total"] == 0
    assert (await listener.platform.call("GET", f"{household.path}/{other}?as_of={early}")).status == 404


async def test_where_it_is_not_allowed() -> None:
    """Every such parameter is refused by name; lists are answered as ever."""
    async with public_listener(past=None) as listener:
        household = await make_household(listener)
        for path, caller in household.lists.items():
            for query, wrong in (
                ("?as_of=2001-01-01T00:00:00Z", ["as_of"]),
                ("/diff?from=2001-01-01T00:00:00Z", ["from"]),
                ("/diff?from=x&to=y&limit=0", ["limit", "from", "to"]),
            ):
                answer = await caller.call("GET", path + query)
                assert (problem(answer, 400), names(answer)) == ("invalid_fields", wrong)
                assert answer.json["error"]["params"][-1]["code"] == "not_enabled"
            await caller.ok("GET", path)


async def test_a_context_that_was_erased(household: Household) -> None:
    """It is gone from lists of every moment, and its own are absent."""
    await household.put("a")
    await household.put("b", "other_app")
    listener, erased = household.listener, household.contexts["app"]
    served = {path: await caller.ok("GET", path) for path, caller in household.lists.items()}
    await listener.app.ok("DELETE", f"/v1/contexts/{erased}")
    for path, then in served.items():
        for query in (f"?as_of={then.position}", f"/diff?from={then.position}"):
            answer = await household.lists[path].call("GET", path + query)
            if erased in path:
                assert problem(answer, 404) == "not_found"
            else:
                assert (answer.status, erased.encode() in answer.body) == (200, False)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (HistoryTooLongError("so much"), 409, "history_too_long"),
        (HistoryGoneError("gone"), 409, "history_gone"),
        (HistoryUnorderedError("set back"), 409, "history_unordered"),
        (OverloadedError("2 read"), 503, "overloaded"),
        (LogUnavailableError(), 503, "log_unavailable"),
    ],
)
async def test_what_cannot_be_read(household: Household, error: Exception, status: int, code: str) -> None:
    """More than may be read, and what is gone, are said; too many at once are told to come again; never a part."""
    household.listener.world.fail("past", error)
    for path, caller in household.lists.items():
        for query in ("?as_of=2001-01-01T00:00:00Z", "/diff?from=2001-01-01T00:00:00Z"):
            assert problem(await caller.call("GET", path + query), status) == code


async def test_how_often() -> None:
    """Each client so often a second on a node, beside its other reads: what is more is 429, with when to come again."""
    limits = RateLimits(Rates(failures=0, past=2), clock_s=lambda: 100.0)
    async with public_listener(limits=limits) as listener:
        household = await make_household(listener)
        query = f"{household.path}?as_of=2001-01-01T00:00:00Z"
        for _ in range(4):
            await listener.platform.ok("GET", query)
        refused = await listener.platform.call("GET", query)
        assert (problem(refused, 429), refused.headers["Retry-After"]) == ("too_many_requests", "1")
        await listener.platform.ok("GET", household.path)
        context = f"/v1/contexts/upnext/{household.contexts['app']}"
        await listener.app.ok("GET", f"{context}/diff?from=2001-01-01T00:00:00Z")


async def test_an_item_that_is_called_diff(household: Household) -> None:
    """It is removed as any other: its path is that of differences too."""
    await household.put("diff")
    path = f"/v1/contexts/upnext/{household.contexts['app']}"
    gone = await household.listener.app.ok("DELETE", f"{path}/diff")
    assert (await household.listener.app.ok("GET", path, after=gone.position)).json["items"] == []
    options = await household.listener.nobody.call("OPTIONS", f"{path}/diff")
    assert options.headers["Allow"] == "DELETE, GET, HEAD, OPTIONS"


def test_every_list_has_it() -> None:
    """Whatever is paged can be asked for as of then, or is what differs between two moments."""
    for operation in OPERATIONS:
        if operation.largest_page:
            asked = {parameter.name for parameter in operation.query}
            assert asked in ({"as_of"}, {"from", "to"}), operation.id
