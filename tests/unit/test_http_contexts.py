"""`/v1/contexts` on a real socket: what publishers write, and read again."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from streams.domain.ids import Kind, Mode, id_text
from streams.domain.pages import ViewState
from tests.support.listener import IDS, Listener, names, problem, public_listener, raw_context, same_bytes
from tests.support.nodes import item

LONG = "\U0001f600"


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    async with public_listener() as listener:
        yield listener


def as_served(body: dict[str, Any], listener: Listener, context: str, updated_at: str) -> dict[str, Any]:
    """Return *body* as its publisher reads it."""
    owner = {"app_id": listener.app.tenant, "context_id": context, "updated_at": updated_at}
    return {"hidden": False, **body, **owner}


async def test_create(listener: Listener) -> None:
    """A context of the caller's app, with the log's time; no two have the same id."""
    answer = await listener.app.ok("POST", "/v1/contexts")
    assert answer.status == 200
    assert list(answer.json) == ["context_id", "client_id", "app_id", "created_at"]
    assert re.fullmatch(r"CX[0-9]{41}", answer.json["context_id"])
    assert answer.json["app_id"] == listener.app.tenant
    assert answer.json["client_id"] == listener.app.client_id
    assert answer.json["created_at"] == "2023-11-14T22:13:20.001Z"
    assert answer.position
    raw = raw_context(answer.json["context_id"])
    assert IDS.verify(Kind.CONTEXT, Mode.LIVE, raw_context("CX" + listener.app.tenant[2:]), raw)
    assert len({await listener.context() for _ in range(20)}) == 20
    ((recorded, event), *_) = listener.world.context_events
    assert (recorded, event.app) == (raw, listener.app.tenant)  # type: ignore[union-attr]


async def test_an_items_life(listener: Listener) -> None:
    """Added, replaced whole, removed: each answer bears its position, and the list says what was written."""
    context = await listener.context()
    url = f"/v1/contexts/upnext/{context}"
    put = await listener.app.call("PUT", url, item("c1"))
    assert (put.status, put.body) == (200, b'{"message":"Success"}')
    assert put.position
    full = item(
        "c2",
        media_type="tv_episode",
        season=0,
        episode=2**31 - 1,
        preview_video_uri="HTTP://p.example?q#f",
        position=5_400,
    )
    await listener.app.ok("PUT", url, full)
    page = (await listener.app.ok("GET", url)).json
    assert page == {
        "total": 2,
        "items": [
            as_served(full, listener, context, "2023-11-14T22:13:20.003Z"),
            as_served(item("c1"), listener, context, "2023-11-14T22:13:20.002Z"),
        ],
    }
    plain = {name: value for name, value in item("c2", action="up_next_new").items() if name != "position"}
    await listener.app.ok("PUT", url, plain)
    page = (await listener.app.ok("GET", url)).json
    assert page["items"][0] == as_served(plain, listener, context, "2023-11-14T22:13:20.004Z")
    for _ in range(2):
        removed = await listener.app.call("DELETE", f"{url}/c2")
        assert (removed.status, removed.body) == (204, b"")
        assert removed.position
    page = (await listener.app.ok("GET", url)).json
    assert [entry["content_id"] for entry in page["items"]] == ["c1"]


async def test_hidden_stays_as_it_was(listener: Listener) -> None:
    """Where a PUT says nothing of it."""
    context = await listener.context()
    url = f"/v1/contexts/upnext/{context}"
    for hidden, expected in ((None, False), (True, True), (None, True), (False, False), (None, False)):
        await listener.app.ok("PUT", url, item() if hidden is None else item(hidden=hidden))
        assert (await listener.app.ok("GET", url)).json["items"][0]["hidden"] is expected


@pytest.mark.parametrize(
    "content_id",
    ["a/b", "a b", "%", "\u00e9", LONG * 255, "..x", "sessions2", "?#&;=+", '"\\', "/", "contexts", "\u2028\u00a0"],
)
async def test_content_ids(listener: Listener, content_id: str) -> None:
    """Whatever has no control characters, percent-encoded in a path, is told apart from all others."""
    context = await listener.context()
    url = f"/v1/contexts/upnext/{context}"
    await listener.app.ok("PUT", url, item("other"))
    await listener.app.ok("PUT", url, item(content_id))
    page = (await listener.app.ok("GET", url)).json
    assert [entry["content_id"] for entry in page["items"]] == [content_id, "other"]
    encoded = "".join(f"%{byte:02X}" for byte in content_id.encode())
    assert (await listener.app.call("DELETE", f"{url}/{encoded}")).status == 204
    assert (await listener.app.ok("GET", url)).json["total"] == 1


@pytest.mark.parametrize("encoded", ["%ff", "%00", "%0a", "%7f", "%C2%9F", "%2e", "%2E%2e", "x" * 256, "%73essions"])
async def test_content_ids_in_paths_that_are_none(listener: Listener, encoded: str) -> None:
    """They are said to be broken, and nothing is removed."""
    url = f"/v1/contexts/upnext/{await listener.context()}"
    before = listener.recorded
    answer = await listener.app.call("DELETE", f"{url}/{encoded}")
    assert (problem(answer, 400), names(answer)) == ("invalid_fields", ["content_id"])
    assert listener.recorded == before


async def test_what_is_not_there(listener: Listener) -> None:
    """Foreign, forged, malformed, of another kind or mode: one answer, the same to the byte."""
    own, foreign, session = await listener.context(), await listener.context("other_app"), await listener.session()
    raw = raw_context(own)
    owner = raw_context("CX" + listener.app.tenant[2:])
    test_id = IDS.mint(Kind.CONTEXT, Mode.TEST, owner, now_s=1_700_000_000, entropy=bytes(7))
    ids = [
        foreign,
        id_text(Kind.CONTEXT, raw[:-1] + bytes([raw[-1] ^ 1])),
        id_text(Kind.CONTEXT, bytes([raw[0] ^ 1]) + raw[1:]),
        id_text(Kind.CONTEXT, test_id),
        session,
        "CX" + session[2:],
        own.lower(),
        own[:-1],
        own + "0",
        own.replace("CX0", "CX"),
        own[:-1] + "%30",
        own[:-1] + "%D9%A3",
        "CX" + "9" * 41,
        "x",
        "-",
    ]
    requests: list[tuple[str, str, Any]] = [
        ("PUT", "/v1/contexts/upnext/{}", item()),
        ("PUT", "/v1/contexts/upnext/{}", {}),
        ("GET", "/v1/contexts/upnext/{}", None),
        ("GET", "/v1/contexts/upnext/{}?limit=0", None),
        ("DELETE", "/v1/contexts/upnext/{}/c1", None),
        ("DELETE", "/v1/contexts/upnext/{}/%ff", None),
        ("DELETE", "/v1/contexts/upnext/{}/sessions", None),
    ]
    before = listener.recorded
    answers = set()
    for method, path, body in requests:
        for context in ids:
            answer = await listener.app.call(method, path.format(context), body)
            assert problem(answer, 404) == "not_found", (method, path, context)
            answers.add(repr(same_bytes(answer)))
    assert len(answers) == 1
    assert listener.recorded == before


BROKEN: list[tuple[dict[str, Any], list[tuple[str, str]]]] = [
    ({"content_id": ""}, [("content_id", "too_short")]),
    ({"content_id": LONG * 256}, [("content_id", "too_long")]),
    ({"content_id": "sessions"}, [("content_id", "not_allowed")]),
    ({"content_id": "."}, [("content_id", "not_allowed")]),
    ({"content_id": "a\u0085b"}, [("content_id", "not_allowed")]),
    ({"content_id": 7}, [("content_id", "wrong_type")]),
    ({"media_type": "series"}, [("media_type", "not_allowed")]),
    ({"media_type": None}, [("media_type", "wrong_type")]),
    ({"action": "continue"}, [("action", "not_allowed")]),
    ({"title": ""}, [("title", "too_short")]),
    ({"title": LONG * 513}, [("title", "too_long")]),
    ({"description": "x" * 4_097}, [("description", "too_long")]),
    ({"poster_art_uri": "ftp://x"}, [("poster_art_uri", "not_a_uri")]),
    ({"poster_art_uri": "https://"}, [("poster_art_uri", "not_a_uri")]),
    ({"poster_art_uri": "https://x/" + "x" * 2_048}, [("poster_art_uri", "too_long")]),
    ({"poster_art_aspect_ratio": "16:9"}, [("poster_art_aspect_ratio", "not_allowed")]),
    ({"preview_video_uri": "javascript:1"}, [("preview_video_uri", "not_a_uri")]),
    ({"preview_video_uri": None}, [("preview_video_uri", "wrong_type")]),
    ({"season": 1}, [("season", "not_allowed")]),
    ({"media_type": "tv_episode"}, [("season", "required"), ("episode", "required")]),
    (
        {"media_type": "tv_episode", "season": -1, "episode": True},
        [("season", "out_of_range"), ("episode", "wrong_type")],
    ),
    ({"position": 5_401}, [("position", "out_of_range")]),
    ({"position": -1}, [("position", "out_of_range")]),
    ({"position": "1"}, [("position", "wrong_type")]),
    ({"position": 1.0}, [("position", "wrong_type")]),
    ({"position": 2**31}, [("position", "out_of_range")]),
    ({"duration": 0}, [("duration", "out_of_range")]),
    ({"hidden": 1}, [("hidden", "wrong_type")]),
    ({"hidden": None}, [("hidden", "wrong_type")]),
    ({"nonsense": 1}, [("nonsense", "unknown_field")]),
    ({"x" * 100: 1}, [("x" * 64, "unknown_field")]),
]


@pytest.mark.parametrize(("changes", "faults"), BROKEN)
async def test_broken_fields(listener: Listener, changes: dict[str, Any], faults: list[tuple[str, str]]) -> None:
    """Each is named with what is wrong, and nothing is recorded."""
    url = f"/v1/contexts/upnext/{await listener.context()}"
    before = listener.recorded
    answer = await listener.app.call("PUT", url, item(**changes))
    assert problem(answer, 400) == "invalid_fields"
    assert [(p["name"], p["code"]) for p in answer.json["error"]["params"]] == faults
    assert listener.recorded == before


async def test_all_broken_fields_at_once(listener: Listener) -> None:
    """What is broken by itself, what is missing, and what does not fit together; but no more than 100."""
    url = f"/v1/contexts/upnext/{await listener.context()}"
    required = {"content_id", "media_type", "action", "title", "description", "poster_art_uri"}
    required |= {"poster_art_aspect_ratio", "duration"}
    nothing = await listener.app.call("PUT", url, {})
    assert (problem(nothing, 400), set(names(nothing))) == ("invalid_fields", required)
    assert {p["code"] for p in nothing.json["error"]["params"]} == {"required"}
    body = {"media_type": "movie", "season": 1, "action": "up_next_continue", "title": 1, "hidden": "x", "z": 1}
    answer = await listener.app.call("PUT", url, body)
    expected = (required - {"media_type", "action"}) | {"season", "position", "hidden", "z"}
    assert (problem(answer, 400), set(names(answer))) == ("invalid_fields", expected)
    many = await listener.app.call("PUT", url, {f"f{n}": 1 for n in range(900)})
    assert (problem(many, 400), len(names(many))) == ("invalid_fields", 100)


async def test_optional_fields_that_go_by_the_action(listener: Listener) -> None:
    """Only `up_next_continue` needs a position; the others may have one."""
    url = f"/v1/contexts/upnext/{await listener.context()}"
    for action in ("up_next_next", "up_next_new", "up_next_watchlist"):
        for position in ({}, {"position": 0}, {"position": 5_400}):
            body = {name: value for name, value in item(action=action).items() if name != "position"} | position
            await listener.app.ok("PUT", url, body)
    body = {name: value for name, value in item().items() if name != "position"}
    answer = await listener.app.call("PUT", url, body)
    assert (problem(answer, 400), names(answer)) == ("invalid_fields", ["position"])


async def test_pages(listener: Listener) -> None:
    """`total` is of the whole list, `next_key` leads on and is left out at the end."""
    context = await listener.context()
    url = f"/v1/contexts/upnext/{context}"
    for n in range(5):
        await listener.app.ok("PUT", url, item(f"c{n}"))
    key, seen = 0, []
    for expected in ({"next_key": 2}, {"next_key": 4}, {}):
        page = (await listener.app.ok("GET", f"{url}?limit=2&next_key={key}&other=1")).json
        assert {name: page[name] for name in page if name != "items"} == {"total": 5, **expected}
        seen += [entry["content_id"] for entry in page["items"]]
        key = page.get("next_key", 0)
    assert seen == ["c4", "c3", "c2", "c1", "c0"]
    assert (await listener.app.ok("GET", f"{url}?next_key=5")).json == {"total": 5, "items": []}
    assert (await listener.app.ok("GET", f"{url}?next_key=2147483647&limit=200")).json == {"total": 5, "items": []}
    assert len((await listener.app.ok("GET", f"{url}?limit=200")).json["items"]) == 5


@pytest.mark.parametrize(
    ("query", "broken"),
    [
        ("limit=0", ["limit"]),
        ("limit=201", ["limit"]),
        ("limit=", ["limit"]),
        ("limit=-1", ["limit"]),
        ("limit=+1", ["limit"]),
        ("limit=1.0", ["limit"]),
        ("limit=%201", ["limit"]),
        ("limit=%D9%A3", ["limit"]),
        ("limit=1&limit=1", ["limit"]),
        ("limit=99999999999999999999", ["limit"]),
        ("next_key=-1", ["next_key"]),
        ("next_key=x", ["next_key"]),
        ("next_key=2147483648", ["next_key"]),
        ("limit=x&next_key=y", ["limit", "next_key"]),
    ],
)
async def test_broken_parameters(listener: Listener, query: str, broken: list[str]) -> None:
    """All at once."""
    url = f"/v1/contexts/upnext/{await listener.context()}?{query}"
    answer = await listener.app.call("GET", url)
    assert (problem(answer, 400), names(answer)) == ("invalid_fields", broken)


async def test_etags(listener: Listener) -> None:
    """A page that the reader has is 304; any write, another page or another state makes another tag."""
    context = await listener.context()
    url = f"/v1/contexts/upnext/{context}"
    await listener.app.ok("PUT", url, item())
    first = await listener.app.ok("GET", url)
    tag = first.headers["ETag"]
    assert re.fullmatch('"[^"]+"', tag)
    for known in (tag, f'"other", {tag}', f"W/{tag}", "*", f'"a,b",{tag}'):
        answer = await listener.app.call("GET", url, headers={"If-None-Match": known})
        assert (answer.status, answer.body, answer.headers["ETag"]) == (304, b"", tag)
        assert answer.position
        assert "Content-Type" not in answer.headers
        assert (await listener.app.call("HEAD", url, headers={"If-None-Match": known})).status == 304
    for unknown in ('"other"', tag.strip('"'), ""):
        assert (await listener.app.call("GET", url, headers={"If-None-Match": unknown})).status == 200
    tags = {tag, (await listener.app.ok("GET", url + "?limit=1")).headers["ETag"]}
    tags.add((await listener.app.ok("GET", url + "?next_key=1")).headers["ETag"])
    listener.world.state = ViewState.CATCHING_UP
    tags.add((await listener.app.ok("GET", url)).headers["ETag"])
    listener.world.state = ViewState.WHOLE
    await listener.app.ok("DELETE", f"{url}/nothing")
    tags.add((await listener.app.ok("GET", url)).headers["ETag"])
    assert len(tags) == 5


async def test_an_old_list_says_how_old(listener: Listener) -> None:
    """`Age` is there where the node has not heard of the log for too long, and only then."""
    url = f"/v1/contexts/upnext/{await listener.context()}"
    assert "Age" not in (await listener.app.ok("GET", url)).headers
    listener.world.age_s = 7
    assert (await listener.app.ok("GET", url)).headers["Age"] == "7"


async def test_detach_all(listener: Listener) -> None:
    """One event for each session that is attached, with the epoch that it ends; another app's stay."""
    context, other = await listener.context(), await listener.context("other_app")
    sessions = [await listener.session() for _ in range(3)]
    for session in sessions:
        await listener.attach(session, context)
        await listener.attach(session, other, of="other_app")
    before = len(listener.world.session_events)
    answer = await listener.app.call("DELETE", f"/v1/contexts/upnext/{context}/sessions")
    assert (answer.status, answer.body) == (204, b"")
    events = [event for _, event in listener.world.session_events[before:]]
    assert [(event.context, event.epoch is not None) for event in events] == [(context, True)] * 3  # type: ignore[union-attr]
    for session in sessions:
        page = (
            await listener.platform.ok("GET", f"/v1/sessions/upnext/{session}/contexts", after=answer.position)
        ).json
        assert [entry["context_id"] for entry in page["items"]] == [other]
    again = await listener.app.ok("DELETE", f"/v1/contexts/upnext/{context}/sessions")
    assert len(listener.world.session_events) == before + 3
    await listener.platform.ok("GET", f"/v1/sessions/upnext/{sessions[0]}", after=again.position)


async def test_erase(listener: Listener) -> None:
    """A context that is erased is 404 to its publisher, and no session has it; erasing it again is the same."""
    context, other = await listener.context(), await listener.context()
    session = await listener.session()
    for one in (context, other):
        await listener.app.ok("PUT", f"/v1/contexts/upnext/{one}", item(title=one))
        await listener.attach(session, one)
    url = f"/v1/contexts/{context}"
    answer = await listener.app.call("DELETE", url)
    assert (answer.status, answer.body) == (204, b"")
    for path in (f"/v1/contexts/upnext/{context}?limit=1", f"/v1/contexts/upnext/{context}/sessions"):
        method = "GET" if "limit" in path else "DELETE"
        assert (await listener.app.call(method, path, after=answer.position)).status == 404
    page = (await listener.platform.ok("GET", f"/v1/sessions/upnext/{session}", after=answer.position)).json
    assert [entry["context_id"] for entry in page["items"]] == [other]
    assert (await listener.app.call("DELETE", url)).status == 204
    for refused in ("upnext", listener.app.tenant, context[:-1], await listener.context("other_app")):
        assert (await listener.app.call("DELETE", f"/v1/contexts/{refused}")).status == 404


async def test_strict_json(listener: Listener) -> None:
    """What other parsers let pass is a 400, and so is a list where an object belongs."""
    url = f"/v1/contexts/upnext/{await listener.context()}"
    good = orjson.dumps(item())[:-1]
    bodies = [
        b"[]", b"null", b"7", b'"x"', b"{", b"{} {}", b"{}x", b"\xef\xbb\xbf{}", b"{'a':1}", b"{a:1}", b"// x\n{}",
        good, good + b",}", good + b',"title":"t"}', good + b',"\\u0074itle":"t"}', good + b', "title" : "t"}',
        good + b',"hidden":NaN}', good + b',"x":Infinity}', good + b',"x":-Infinity}', good + b',"season":01}',
        good + b',"x":"\\ud800"}', good + b',"x":"\\u0000"}', good + b',"x":"\x00"}', good + b',"x":"\n"}',
        good + b',"x":"\xff"}', good + b',"x":{"y":"\\udc00"}}', good + b',"\\u0000":1}',
        good + b',"x":' + b"[" * 8 + b"]" * 8 + b"}", good + b',"x":' + b"[" * 5_000 + b"]" * 5_000 + b"}",
        good.decode().encode("utf-16"), b'{"x":{"y":1,"y":1}}',
    ]  # fmt: skip
    before = listener.recorded
    for body in bodies:
        answer = await listener.app.call("PUT", url, data=body)
        assert problem(answer, 400) == "invalid_json", body
        assert names(answer) == []
    for body in (good + b',"x":' + b"[" * 7 + b"]" * 7 + b"}", good + b',"season":1e2}', good + b',"season":1.0}'):
        assert problem(await listener.app.call("PUT", url, data=body), 400) == "invalid_fields", body
    assert listener.recorded == before
