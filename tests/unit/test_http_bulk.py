"""Bulks on a real socket: many items of one context, or of many, in one call."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from streams.domain.errors import LogUnavailableError, OverloadedError
from streams.domain.events import ContextEvent, ItemsPut, ItemsReplaced
from streams.domain.ids import ContextId
from streams.domain.positions import ContextPosition, ContextsPosition, Written, context_mark
from tests.support.fakes import World
from tests.support.listener import Listener, checked_error, names, problem, public_listener, raw_context
from tests.support.nodes import Answer, item
from tests.unit.test_http_contexts import BROKEN

MANY = "/v1/contexts/bulk"


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    async with public_listener() as listener:
        yield listener


def bulk(*items: Any) -> dict[str, Any]:
    return {"items": list(items)}


def of(context: str, *items: Any) -> dict[str, Any]:
    return {"context_id": context, "items": list(items)}


def statuses(answer: Answer) -> list[int]:
    return [result["status"] for result in answer.json["results"]]


def codes(answer: Answer, results: list[dict[str, Any]]) -> list[str | None]:
    """Return each item's code, None where it was taken; each error has the one shape."""
    request_id = answer.headers["Paket-Request-Id"]
    assert all(list(result) == (["status"] if result["status"] == 200 else ["status", "error"]) for result in results)
    errors = (result.get("error") for result in results)
    return [None if error is None else checked_error(orjson.dumps({"error": error}), request_id) for error in errors]


async def listed(listener: Listener, context: str, answer: Answer | None = None) -> list[str]:
    after = None if answer is None else answer.position
    page = await listener.app.ok("GET", f"/v1/contexts/upnext/{context}?limit=200", after=after)
    return [entry["content_id"] for entry in page.json["items"]]


async def test_items_at_once(listener: Listener) -> None:
    """One event, the later the newer; and what may be left out may be left out."""
    context = await listener.context()
    url = f"/v1/contexts/upnext/{context}/items"
    answer = await listener.app.ok("POST", url, bulk(item("a"), item("b", hidden=True), item("c")))
    assert answer.json == {"results": [{"status": 200}] * 3}
    assert listener.tokens.read(answer.position) == ContextPosition(raw_context(context), 1)
    assert await listed(listener, context, answer) == ["c", "b", "a"]
    _, event = listener.world.context_events[-1]
    assert isinstance(event, ItemsPut)
    assert [entry.content_id for entry in event.items] == ["a", "b", "c"]
    assert (event.app, event.client) == (listener.app.tenant, listener.app.client_id)
    assert event.request == answer.headers["Paket-Request-Id"]
    again = await listener.app.ok("POST", url, bulk(item("a", title="1"), item("b"), item("a", title="2")))
    page = (await listener.app.ok("GET", url.removesuffix("/items"), after=again.position)).json
    assert [(e["content_id"], e["title"], e["hidden"]) for e in page["items"]] == [
        ("a", "2", False),
        ("b", "Title of b", True),
        ("c", "Title of c", False),
    ]


async def test_each_is_taken_or_refused_by_itself(listener: Listener) -> None:
    """With the error that a PUT of it alone would have been answered with; the good ones are one event."""
    context = await listener.context()
    url = f"/v1/contexts/upnext/{context}"
    sent = [item("a"), *(item(**changes) for changes, _ in BROKEN), item("b")]
    answer = await listener.app.ok("POST", f"{url}/items", bulk(*sent))
    assert statuses(answer) == [200, *[400] * len(BROKEN), 200]
    assert codes(answer, answer.json["results"]) == [None, *["invalid_fields"] * len(BROKEN), None]
    for (_, faults), entry, result in zip(BROKEN, sent[1:], answer.json["results"][1:], strict=False):
        alone = await listener.app.call("PUT", url, entry)
        error = result["error"]
        assert error == {**alone.json["error"], "request_id": error["request_id"]}
        assert [(p["name"], p["code"]) for p in error["params"]] == faults
    assert await listed(listener, context, answer) == ["b", "a"]
    assert listener.recorded == 2


async def test_items_that_are_no_strict_json(listener: Listener) -> None:
    """What is wrong within one item is its own; what is no JSON at all is everybody's."""
    context = await listener.context()
    url = f"/v1/contexts/upnext/{context}/items"
    good = orjson.dumps(item("a"))
    rest = good[:-1]
    bad = [
        rest + b',"title":"t"}', rest + b',"\\u0074itle":"t"}', rest + b',"x":"\\u0000"}',
        rest + b',"x":' + b"[" * 9 + b"]" * 9 + b"}",
    ]  # fmt: skip
    body = b'{ "items" : [' + b" , ".join([*bad, b"7", b"null", b'"x"', b"[]", good]) + b"]}\n"
    answer = await listener.app.ok("POST", url, data=body)
    codes_of_all = codes(answer, answer.json["results"])
    assert codes_of_all == ["invalid_json"] * len(bad) + ["invalid_fields"] * 4 + [None]
    assert await listed(listener, context, answer) == ["a"]
    before = listener.recorded
    for whole in (
        b"", b"[]", b"7", b"{", b'{"items":[', b'{"items":[' + good + b",]}", b'{"items":[' + good + b'],"items":[]}',
        b'{"items":[],"items":[' + good + b"]}", b'{"items":[],"\\u0069tems":[' + good + b"]}", b'{"items":[NaN]}',
        b'{"items":[' + good + b'],"x":"\\u0000"}', b'{"items":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"items":[{"x":01}]}', b'{"items":[{"x":"\xff"}]}', b'{"items":[{"x":"\\ud800"}]}',
    ):  # fmt: skip
        for method in ("POST", "PUT"):
            assert problem(await listener.app.call(method, url, data=whole), 400) == "invalid_json", whole
    assert listener.recorded == before
    # A name may be spelled as JSON allows.
    await listener.app.ok("POST", url, data=b'{"\\u0069tems":[' + good + b"]}")


@pytest.mark.parametrize(
    ("body", "broken"),
    [
        ({}, [("items", "required")]),
        ({"items": None}, [("items", "wrong_type")]),
        ({"items": {}}, [("items", "wrong_type")]),
        ({"items": [], "x": 1, "y": 2}, [("x", "unknown_field"), ("y", "unknown_field")]),
        ({"item": item()}, [("items", "required"), ("item", "unknown_field")]),
        ({"items": [item()] * 501}, [("items", "too_long")]),
    ],
)
async def test_bodies_of_another_form(listener: Listener, body: Any, broken: list[tuple[str, str]]) -> None:
    """They are refused as a whole."""
    url = f"/v1/contexts/upnext/{await listener.context()}/items"
    for method in ("POST", "PUT"):
        answer = await listener.app.call(method, url, body)
        assert problem(answer, 400) == "invalid_fields"
        assert [(p["name"], p["code"]) for p in answer.json["error"]["params"]] == broken
        foreign = f"/v1/contexts/upnext/{await listener.context('other_app')}/items"
        assert problem(await listener.app.call(method, foreign, body), 404) == "not_found"
    assert all(event.__struct_config__.tag == "context.created.v1" for _, event in listener.world.context_events)


async def test_how_much_a_bulk_may_hold(listener: Listener) -> None:
    """500 items, 1 MiB, 16 KiB each, and at least one, where they do not replace a list."""
    context = await listener.context()
    url = f"/v1/contexts/upnext/{context}/items"
    items = [item(f"c{n}", description="d" * 1_600) for n in range(500)]
    body = orjson.dumps(bulk(*items))
    assert 900_000 < len(body) < 1 << 20
    body = body[:-2] + b" " * ((1 << 20) - len(body)) + body[-2:]
    for method in ("POST", "PUT"):
        await listener.app.ok(method, url, data=body)
        assert problem(await listener.app.call(method, url, data=body + b" "), 413) == "body_too_large"
    none = await listener.app.call("POST", url, bulk())
    assert (problem(none, 400), names(none)) == ("invalid_fields", ["items"])
    large = item("large", description="\N{GRINNING FACE}" * 4_096)
    answer = await listener.app.ok("POST", url, bulk(item("a"), large))
    assert (statuses(answer), codes(answer, answer.json["results"])) == ([200, 413], [None, "body_too_large"])
    answer = await listener.app.call("PUT", url, bulk(item("a"), large))
    assert (problem(answer, 400), names(answer)) == ("invalid_fields", ["items[1]"])


async def test_nothing_but_broken_items(listener: Listener) -> None:
    """All are answered, nothing is written, and so there is no position; an answer is not many times the body."""
    url = f"/v1/contexts/upnext/{await listener.context()}/items"
    before = listener.recorded
    answer = await listener.app.ok("POST", url, bulk(*({f"{n}{m}": 1 for m in range(200)} for n in range(500))))
    assert statuses(answer) == [400] * 500
    assert {len(result["error"]["params"]) for result in answer.json["results"]} == {20}
    assert "Paket-Position" not in answer.headers
    assert listener.recorded == before
    answer = await listener.app.call("PUT", url, bulk(*({} for _ in range(500))))
    assert (problem(answer, 400), len(names(answer))) == ("invalid_fields", 100)


async def test_a_list_is_replaced_or_not(listener: Listener) -> None:
    """As a whole: what is not named is gone, hidden stays as it was; with one broken item nothing happens."""
    context = await listener.context()
    url = f"/v1/contexts/upnext/{context}/items"
    await listener.app.ok("POST", url, bulk(item("a"), item("b", hidden=True), item("c")))
    before = listener.recorded
    broken = [item("d"), item(title=""), 7, item(action="x", season=1)]
    answer = await listener.app.call("PUT", url, bulk(*broken))
    assert problem(answer, 400) == "invalid_fields"
    assert [(p["name"], p["code"]) for p in answer.json["error"]["params"]] == [
        ("items[1].title", "too_short"),
        ("items[2]", "wrong_type"),
        ("items[3].action", "not_allowed"),
        ("items[3].season", "not_allowed"),
    ]
    twice = orjson.dumps(item())[:-1] + b',"title":"t"}'
    answer = await listener.app.call("PUT", url, data=b'{"items":[' + twice + b"]}")
    assert [(p["name"], p["code"]) for p in answer.json["error"]["params"]] == [("items[0]", "invalid_json")]
    assert listener.recorded == before
    answer = await listener.app.ok("PUT", url, bulk(item("d"), item("b")))
    assert (answer.status, answer.body) == (200, b'{"message":"Success"}')
    page = (await listener.app.ok("GET", url.removesuffix("/items"), after=answer.position)).json
    assert [(e["content_id"], e["hidden"]) for e in page["items"]] == [("b", True), ("d", False)]
    assert isinstance(listener.world.context_events[-1][1], ItemsReplaced)
    answer = await listener.app.ok("PUT", url, bulk())
    assert await listed(listener, context, answer) == []


async def test_an_item_may_be_called_items(listener: Listener) -> None:
    """It is removed like any other, however its path is written; what is not for bulks is said to be none of theirs."""
    context = await listener.context()
    url = f"/v1/contexts/upnext/{context}"
    for path in ("items", "%69tems"):
        await listener.app.ok("POST", f"{url}/items", bulk(item("items"), item("a")))
        answer = await listener.app.ok("DELETE", f"{url}/{path}")
        assert answer.status == 204
        assert await listed(listener, context, answer) == ["a"]
    other = await listener.app.call("GET", f"{url}/items")
    assert problem(other, 405) == "method_not_allowed"
    assert other.headers["Allow"] == "DELETE, OPTIONS, POST, PUT"
    foreign = f"/v1/contexts/upnext/{await listener.context('other_app')}/items"
    assert problem(await listener.app.call("DELETE", foreign), 404) == "not_found"


async def test_items_of_many_contexts(listener: Listener) -> None:
    """One event for each context that has a good item, and one position that covers all of them."""
    contexts = [await listener.context() for _ in range(3)]
    foreign = await listener.context("other_app")
    before = listener.recorded
    body = {
        "contexts": [
            of(contexts[0], item("a"), item("b", title="")),
            of(foreign, item("a"), item("b")),
            of(contexts[1], item("c"), item("d")),
            of("nonsense", {}),
            of(contexts[2], 7),
            of(contexts[0], item("e")),
        ]
    }
    answer = await listener.app.ok("POST", MANY, body)
    assert [codes(answer, entry["results"]) for entry in answer.json["contexts"]] == [
        [None, "invalid_fields"],
        ["not_found", "not_found"],
        [None, None],
        ["not_found"],
        ["invalid_fields"],
        [None],
    ]
    assert listener.recorded == before + 3
    offsets = {context_mark(raw_context(contexts[0])): before + 2, context_mark(raw_context(contexts[1])): before + 1}
    assert listener.tokens.read(answer.position) == ContextsPosition(offsets)
    assert [await listed(listener, context, answer) for context in contexts] == [["e", "a"], ["d", "c"], []]
    session = await listener.session()
    await listener.attach(session, contexts[0])
    page = await listener.platform.ok("GET", f"/v1/sessions/upnext/{session}", after=answer.position)
    assert page.json["total"] == 2
    nothing = await listener.app.ok("POST", MANY, {"contexts": [of(foreign, item()), of(contexts[0], 7)]})
    assert "Paket-Position" not in nothing.headers


@pytest.mark.parametrize(
    ("body", "broken"),
    [
        ({}, [("contexts", "required")]),
        ({"contexts": []}, [("contexts", "too_short")]),
        ({"contexts": "x", "y": 1}, [("contexts", "wrong_type"), ("y", "unknown_field")]),
        ({"contexts": [7, []]}, [("contexts[0]", "wrong_type"), ("contexts[1]", "wrong_type")]),
        (
            {"contexts": [{"items": []}, {"context_id": 7, "items": 7, "x": 1}, {"context_id": "CX"}]},
            [
                ("contexts[0].context_id", "required"),
                ("contexts[1].items", "wrong_type"),
                ("contexts[1].x", "unknown_field"),
                ("contexts[1].context_id", "wrong_type"),
                ("contexts[2].items", "required"),
            ],
        ),
        ({"contexts": [of("CX", item()), of("CX")]}, [("contexts[1].items", "too_short")]),
        ({"contexts": [of("CX", *[{}] * 501)]}, [("contexts[0].items", "too_long")]),
        ({"contexts": [of("CX", {})] * 501}, [("contexts", "too_long")]),
        ({"contexts": [of("CX", *[{}] * 401)] * 5}, [("contexts", "too_long")]),
    ],
)
async def test_bulks_of_another_form(listener: Listener, body: Any, broken: list[tuple[str, str]]) -> None:
    """They are refused as a whole."""
    answer = await listener.app.call("POST", MANY, body)
    assert problem(answer, 400) == "invalid_fields"
    assert [(p["name"], p["code"]) for p in answer.json["error"]["params"]] == broken
    assert listener.recorded == 0


async def test_bulks_that_are_no_json(listener: Listener) -> None:
    """An object that has a key twice, also around the items, and NUL in an id."""
    context = await listener.context()
    good, text = orjson.dumps(item()), f'"context_id":"{context}"'.encode()
    for body in (
        b'{"contexts":[{' + text + b"," + text + b',"items":[' + good + b"]}]}",
        b'{"contexts":[{' + text + b',"items":[],"items":[' + good + b"]}]}",
        b'{"contexts":[{"context_id":"CX\\u0000","items":[' + good + b"]}]}",
        b'{"contexts":[{"context_id":"\\ud800","items":[' + good + b"]}]}",
    ):
        assert problem(await listener.app.call("POST", MANY, data=body), 400) == "invalid_json", body
    assert listener.recorded == 1


class Flaky(World):
    """A world whose log takes the writes of some contexts only."""

    def __init__(self) -> None:
        super().__init__()
        self.lost: dict[bytes, Exception] = {}

    async def write_context(self, context: ContextId, event: ContextEvent) -> Written:
        if context in self.lost:
            raise self.lost[context]
        return await super().write_context(context, event)


async def test_writes_whose_outcome_is_not_known() -> None:
    """Those of some contexts are said to be; where it is all of them, so is the call."""
    world = Flaky()
    async with public_listener(events=world) as listener:
        contexts = [await listener.context() for _ in range(4)]
        world.lost = {
            raw_context(contexts[0]): LogUnavailableError("slow"),
            raw_context(contexts[1]): OverloadedError("full"),
        }
        body = {"contexts": [of(context, item("a"), {}) for context in contexts]}
        answer = await listener.app.ok("POST", MANY, body)
        assert [codes(answer, entry["results"]) for entry in answer.json["contexts"]] == [
            ["log_unavailable", "invalid_fields"],
            ["overloaded", "invalid_fields"],
            [None, "invalid_fields"],
            [None, "invalid_fields"],
        ]
        marks = {context_mark(raw_context(context)) for context in contexts[2:]}
        position = listener.tokens.read(answer.position)
        assert isinstance(position, ContextsPosition)
        assert position.offsets.keys() == marks
        lost = await listener.app.call("POST", MANY, {"contexts": body["contexts"][:2]})
        assert problem(lost, 503) == "log_unavailable"
        assert lost.headers["Retry-After"]
        # `overloaded` says that nothing was written: not so where the outcome of another write is unknown.
        lost = await listener.app.call("POST", MANY, {"contexts": body["contexts"][1::-1]})
        assert problem(lost, 503) == "log_unavailable"
        assert problem(await listener.app.call("POST", MANY, {"contexts": [body["contexts"][1]]}), 503) == "overloaded"
        for method in ("POST", "PUT"):
            url = f"/v1/contexts/upnext/{contexts[0]}/items"
            assert problem(await listener.app.call(method, url, bulk(item())), 503) == "log_unavailable"
        world.lost = {raw_context(contexts[0]): RuntimeError("a bug")}
        answer = await listener.app.call("POST", MANY, body)
        assert problem(answer, 500) == "internal_error"


async def test_any_bulk_is_its_items_one_by_one(listener: Listener) -> None:
    """Of random items, good and bad: the same lists, and the same errors, whichever way they are sent."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    one, many = await listener.context(), await listener.context()
    for _ in range(20):
        sent = [
            item(**{"content_id": rng.choice("abcdef"), **rng.choice([{}, {}, *(changes for changes, _ in BROKEN)])})
            for _ in range(9)
        ]
        bulked = (await listener.app.ok("POST", f"/v1/contexts/upnext/{many}/items", bulk(*sent))).json["results"]
        for entry, result in zip(sent, bulked, strict=True):
            alone = await listener.app.call("PUT", f"/v1/contexts/upnext/{one}", entry)
            assert alone.status == result["status"]
            if alone.status != 200:
                assert {**alone.json["error"], "request_id": ""} == {**result["error"], "request_id": ""}
        assert await listed(listener, one) == await listed(listener, many)
