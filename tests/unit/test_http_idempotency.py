"""`Idempotency-Key` on a real socket: executed once, answered the same, and refused where it is another request's."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import msgspec
import orjson
import pytest
from cryptography.exceptions import InvalidTag
from prometheus_client import CollectorRegistry

from service.commands.keyed import NONCE_BYTES
from service.http.forward_keys import KeysHere
from service.http.idempotency import END_WITHIN_S, KeyedCalls, KeyMetrics
from service.ports import Client
from streams.domain import idempotency_rows as layout
from streams.domain.errors import LogUnavailableError, NotAttachedError, ViewUnavailableError
from streams.domain.events import ContextAttached, ItemPut, ItemsPut
from streams.domain.idempotency_events import KeyBegun, KeyFinished, KeyReleased
from streams.domain.idempotency_rows import Answered
from streams.domain.ids import Kind, Mode
from tests.support.idempotency import KEY_IDS, KeyLogFake, keyed_calls
from tests.support.listener import IDS, Listener, basic, public_listener, raw_context
from tests.support.nodes import Answer, Caller, item

KEY, REPLAYED = "Idempotency-Key", "Idempotent-Replayed"


@dataclass
class Setting:
    listener: Listener
    keys: KeyLogFake
    context: str

    @property
    def path(self) -> str:
        return f"/v1/contexts/upnext/{self.context}"

    async def put(self, key: str, body: Any = None, path: str = "", **more: Any) -> Answer:
        """Put an item with a key."""
        sent = item("c1") if body is None else body
        return await self.listener.app.call("PUT", path or self.path, sent, headers={KEY: key}, **more)

    @property
    def events(self) -> int:
        """How many events of contexts there are beside the one that made the context."""
        return len(self.listener.world.context_events) - 1


@pytest.fixture
async def setting() -> AsyncIterator[Setting]:
    keys = KeyLogFake()
    async with public_listener(keyed=keyed_calls(keys, CollectorRegistry())) as listener:
        yield Setting(listener, keys, await listener.context())


def coded(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.code


def same(first: Answer, again: Answer) -> bool:
    """Say whether an answer is a former one, given again."""
    assert REPLAYED not in first.headers
    return (first.status, first.body, first.position, "true") == (
        again.status,
        again.body,
        again.position,
        again.headers.get(REPLAYED),
    )


async def test_executed_once_and_answered_the_same(setting: Setting) -> None:
    """With status, body and position; as long as what is repeated is the same request."""
    first = await setting.put("k")
    assert first.status == 200
    for _ in range(2):
        assert same(first, await setting.put("k"))
    assert setting.events == 1
    assert (await setting.put("another")).headers.get(REPLAYED) is None
    assert setting.events == 2


async def test_what_is_made_is_made_once(setting: Setting) -> None:
    """An id derives from client and key: it is the same when nobody knows of the first answer."""
    app = setting.listener.app
    made = await app.ok("POST", "/v1/contexts", headers={KEY: "k"})
    assert same(made, await app.ok("POST", "/v1/contexts", headers={KEY: "k"}))
    setting.keys.rows = type(setting.keys.rows)()
    again = await app.ok("POST", "/v1/contexts", headers={KEY: "k"})
    assert again.json["context_id"] == made.json["context_id"]
    raw = raw_context(made.json["context_id"])
    assert IDS.verify(Kind.CONTEXT, Mode.LIVE, raw_context("CX" + app.tenant[2:]), raw)
    others = [
        (await app.ok("POST", "/v1/contexts", headers={KEY: "k2"})).json["context_id"],
        (await setting.listener.callers["other_app"].ok("POST", "/v1/contexts", headers={KEY: "k"})).json["context_id"],
    ]
    assert len({made.json["context_id"], *others}) == 3
    session = await setting.listener.platform.ok("POST", "/v1/sessions", headers={KEY: "k"})
    assert same(session, await setting.listener.platform.ok("POST", "/v1/sessions", headers={KEY: "k"}))


async def test_a_saved_answer_is_read_by_who_has_the_key(setting: Setting) -> None:
    """What is noted of it does not say what it is about: the same answer is another text under each key."""
    made = [await setting.listener.app.ok("POST", "/v1/contexts", headers={KEY: key}) for key in ("k", "k2")]
    again = [await setting.put(key) for key in ("k3", "k4")]
    noted = [event for event in setting.keys.events if isinstance(event, KeyFinished)]
    assert all(event.sealed and not event.position for event in noted)
    bodies = [event.body[NONCE_BYTES:] for event in noted]
    assert again[0].body == again[1].body
    for answer, body in zip([*made, *again], bodies, strict=True):
        assert answer.position.encode() not in body
        assert zlib.compress(answer.body, 1) not in body
    assert bodies[2][:16] != bodies[3][:16]
    assert same(again[0], await setting.put("k3"))
    client = Client("0123456789abcdef", Kind.APP, bytes(17), live=True)
    sealed = KEY_IDS.seal(client, Mode.LIVE, "k", bytes(NONCE_BYTES), b"answer")
    assert KEY_IDS.open(client, Mode.LIVE, "k", sealed) == b"answer"
    for other, mode, key in (
        (client, Mode.LIVE, "k2"),
        (client, Mode.TEST, "k"),
        (client._replace(client_id="0123456789abcdee"), Mode.LIVE, "k"),
    ):
        with pytest.raises(InvalidTag):
            KEY_IDS.open(other, mode, key, sealed)


async def test_an_answer_that_was_noted_before_answers_were_sealed(setting: Setting) -> None:
    """It is given again as it stands."""
    first = await setting.put("k")
    ((key, _),) = setting.keys.rows.range(layout.KEY)
    held = layout.read_held(setting.keys.rows, key[1:])
    assert held is not None
    answer = Answered(200, zlib.compress(first.body), first.position)
    setting.keys.rows.put(key, msgspec.msgpack.encode(msgspec.structs.replace(held, answer=answer)))
    assert same(first, await setting.put("k"))


async def test_an_answer_that_names_what_was_erased() -> None:
    """It is given no more, and the request is not executed again; where that is not known, nothing is."""
    erased, failure = set[str](), list[Exception]()

    async def those() -> set[str]:
        if failure:
            raise failure.pop()
        return erased

    keys = KeyLogFake()
    keyed = KeyedCalls(KeysHere(keys), KEY_IDS, KeyMetrics(CollectorRegistry()), erased=those)
    async with public_listener(keyed=keyed) as listener:
        app = listener.app
        made = await app.ok("POST", "/v1/contexts", headers={KEY: "k"})
        other = await app.ok("POST", "/v1/contexts", headers={KEY: "k2"})
        failure.append(LogUnavailableError("no answer"))
        assert (await app.call("POST", "/v1/contexts", headers={KEY: "k"})).status == 503
        assert same(made, await app.ok("POST", "/v1/contexts", headers={KEY: "k"}))
        erased.add(made.json["context_id"])
        events = len(listener.world.context_events)
        assert coded(await app.call("POST", "/v1/contexts", headers={KEY: "k"})) == (404, "not_found")
        assert same(other, await app.ok("POST", "/v1/contexts", headers={KEY: "k2"}))
        assert len(listener.world.context_events) == events


async def test_another_request_with_the_key(setting: Setting) -> None:
    """Another method, path or body, to the byte: 409. Another client's key is another key."""
    await setting.put("k")
    other = await setting.listener.context()
    reused = [
        await setting.put("k", item("c2")),
        await setting.put("k", path=f"/v1/contexts/upnext/{other}"),
        await setting.put("k", path=f"{setting.path}?x=1"),
        await setting.listener.app.call("POST", f"{setting.path}/items", {"items": [item()]}, headers={KEY: "k"}),
        await setting.listener.app.call("PUT", setting.path, data=b"no json", headers={KEY: "k"}),
        await setting.listener.app.call("PUT", setting.path, data=b" " + orjson.dumps(item("c1")), headers={KEY: "k"}),
    ]
    assert [coded(answer) for answer in reused] == [(409, "idempotency_key_reused")] * len(reused)
    theirs = await setting.listener.context("other_app")
    put = await setting.listener.callers["other_app"].call(
        "PUT", f"/v1/contexts/upnext/{theirs}", item(), headers={KEY: "k"}
    )
    assert put.status == 200


async def test_while_the_first_is_executed(setting: Setting) -> None:
    """A repeat is 409; once the first is answered, its answer."""
    world, goes_on, begun = setting.listener.world, asyncio.Event(), asyncio.Event()
    write = world.write_context

    async def slow(*args: Any) -> Any:
        begun.set()
        await goes_on.wait()
        return await write(*args)

    world.write_context = slow  # type: ignore[method-assign,assignment]
    first = asyncio.create_task(setting.put("k"))
    await begun.wait()
    assert coded(await setting.put("k")) == (409, "idempotency_in_progress")
    assert coded(await setting.put("k", item("c2"))) == (409, "idempotency_key_reused")
    goes_on.set()
    assert same(await first, await setting.put("k"))
    assert setting.events == 1


async def test_a_client_that_does_not_wait(setting: Setting) -> None:
    """What was begun goes on when its connection is lost, and the answer is there for who asks again."""
    world, goes_on, begun = setting.listener.world, asyncio.Event(), asyncio.Event()
    write = world.write_context

    async def slow(*args: Any) -> Any:
        begun.set()
        await goes_on.wait()
        return await write(*args)

    world.write_context = slow  # type: ignore[method-assign,assignment]
    first = asyncio.create_task(setting.put("k"))
    await begun.wait()
    first.cancel()
    await asyncio.wait({first})
    goes_on.set()
    async with asyncio.timeout(10):
        while (again := await setting.put("k")).status == 409:
            await asyncio.sleep(0.01)
    assert again.headers[REPLAYED] == "true"
    assert setting.events == 1


@pytest.mark.parametrize("key", ["", " ", "k" * 256, "\u00e9", "k\tk"])
async def test_what_is_no_key(setting: Setting, key: str) -> None:
    """400, of POST and PUT; others ignore it."""
    head = f"PUT {setting.path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n"
    head += f"Authorization: {setting.listener.app.headers['Authorization']}\r\n"
    answer = await setting.listener.raw(f"{head}{KEY}: {key}\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"invalid_idempotency_key" in answer
    for line in ("GET", "DELETE"):
        other = head.replace("PUT", line).replace(
            f"{setting.path} ", f"{setting.path}/c1 " if line == "DELETE" else f"{setting.path} "
        )
        answer = await setting.listener.raw(f"{other}{KEY}: {key}\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 20"), answer


async def test_the_longest_key_and_two_of_them(setting: Setting) -> None:
    """255 characters are good, and so is a blank within; two headers are no key."""
    assert (await setting.put("k k" + "~" * 252)).status == 200
    head = f"PUT {setting.path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n"
    head += f"Authorization: {setting.listener.app.headers['Authorization']}\r\n{KEY}: a\r\n{KEY}: a\r\n\r\n"
    assert b"invalid_idempotency_key" in await setting.listener.raw(head.encode())


async def test_the_order_of_what_is_broken(setting: Setting) -> None:
    """Version, key and position come before a key that is used, and that before the JSON and the id."""
    await setting.put("k")
    bad_position, bad_version = {"Paket-Position": "x"}, {"Paket-Version": "x"}
    app, body = setting.listener.app, item("c2")

    async def put(headers: dict[str, str], path: str = setting.path, data: bytes | None = None) -> str:
        return (await app.call("PUT", path, None if data else body, data=data, headers=headers)).code

    assert await put({**bad_version, KEY: "k" * 300, **bad_position}) == "invalid_version"
    assert await put({KEY: "k" * 300, **bad_position}) == "invalid_idempotency_key"
    assert await put({KEY: "k", **bad_position}) == "invalid_position"
    assert await put({KEY: "k"}, data=b"{") == "idempotency_key_reused"
    assert await put({KEY: "k"}, path=setting.path[:-1] + "x") == "idempotency_key_reused"
    assert await put({KEY: "new"}, data=b"{") == "invalid_json"


async def test_what_is_refused_leaves_the_key_unused(setting: Setting) -> None:
    """Nothing was recorded, so nothing is saved: the mended request may have the same key."""
    assert (await setting.put("k", item("c1", media_type="film"))).status == 400
    assert (await setting.put("k", path=setting.path[:-1] + "x")).status == 404
    assert (await setting.put("k")).status == 200
    platform, session = setting.listener.platform, await setting.listener.session()
    body = {"app_id": setting.listener.app.tenant, "context_id": setting.context}
    path = f"/v1/sessions/upnext/{session}"
    setting.listener.world.unavailable.add(raw_context("CX" + setting.listener.app.tenant[2:]))
    assert (await platform.call("PUT", path, body, headers={KEY: "k"})).status == 403
    setting.listener.world.unavailable.clear()
    attached = await platform.call("PUT", path, body, headers={KEY: "k"})
    assert same(attached, await platform.call("PUT", path, body, headers={KEY: "k"}))
    ((_, _), (_, event)) = setting.listener.world.session_events
    assert isinstance(event, ContextAttached)
    assert event.idempotency_key == "k"


async def test_what_was_answered_is_answered_whatever_came_since(setting: Setting) -> None:
    """A repeat asks for what was done: not whether it could be done now, the app, the item and the session gone."""
    world, app, platform = setting.listener.world, setting.listener.app, setting.listener.platform
    session = await setting.listener.session()
    attach = f"/v1/sessions/upnext/{session}", {"app_id": app.tenant, "context_id": setting.context}
    hide = f"/v1/sessions/upnext/{session}/{setting.context}", {"content_id": "c1", "action": "hide"}
    put = setting.path, item("c1")
    calls = ((platform, attach), (app, put), (platform, hide))

    async def answers() -> list[Answer]:
        return [await caller.call("PUT", *call, headers={KEY: "k" + call[0][-8:]}) for caller, call in calls]

    first = await answers()
    assert [answer.status for answer in first] == [200, 200, 200]
    recorded = len(world.session_events), len(world.context_events)

    async def is_all_the_same() -> bool:
        again = await answers()
        return all(map(same, first, again)) and (len(world.session_events), len(world.context_events)) == recorded

    world.unavailable.add(raw_context("CX" + app.tenant[2:]))
    assert await is_all_the_same()
    assert (await platform.call("PUT", *attach)).status == 403
    await app.ok("DELETE", f"{setting.path}/c1")
    recorded = len(world.session_events), len(world.context_events)
    assert (await platform.call("PUT", *hide)).status == 404
    assert await is_all_the_same()
    await platform.ok("DELETE", attach[0])
    recorded = len(world.session_events), len(world.context_events)
    assert await is_all_the_same()


async def test_an_unknown_outcome_is_tried_again_as_the_same_event(setting: Setting) -> None:
    """After a 503 the repeat is executed, and its event has the id of the first."""
    world = setting.listener.world
    written: list[ItemPut] = []
    write = world.write_context

    async def lost(context: Any, event: Any) -> Any:
        written.append(event)
        await write(context, event)
        if len(written) == 1:
            raise LogUnavailableError
        return await write(context, event)

    world.write_context = lost  # type: ignore[method-assign]
    assert coded(await setting.put("k")) == (503, "log_unavailable")
    async with asyncio.timeout(10):
        while (again := await setting.put("k")).status == 409:
            await asyncio.sleep(0.01)
    assert again.status == 200
    assert written[0].id == written[1].id
    assert written[0].idempotency_key == "k"
    await setting.put("other")
    assert written[2].id != written[0].id


async def test_a_repeat_that_is_refused_after_an_unknown_outcome(setting: Setting) -> None:
    """The first is in the log: the next repeat is still the same event, and does not overwrite what came since."""
    world = setting.listener.world
    failures: list[Exception | None] = [LogUnavailableError(), NotAttachedError(), None]
    written: list[ItemPut] = []
    write = world.write_context

    async def fails(context: Any, event: Any) -> Any:
        written.append(event)
        failure = failures.pop(0)
        if failure is not None:
            raise failure
        return await write(context, event)

    async def put() -> Answer:
        async with asyncio.timeout(10):
            while (answer := await setting.put("k")).status == 409:
                await asyncio.sleep(0.01)
        return answer

    world.write_context = fails  # type: ignore[method-assign]
    assert [(await put()).status for _ in range(3)] == [503, 404, 200]
    assert len({event.id for event in written}) == 1


async def test_what_was_begun_and_may_be_in_the_log(setting: Setting) -> None:
    """A key that may have been admitted is let go; one whose answer may not be noted is not answered."""
    setting.keys.failure = LogUnavailableError()
    assert coded(await setting.put("k")) == (503, "log_unavailable")
    async with asyncio.timeout(10):
        while not setting.keys.events:
            await asyncio.sleep(0.01)
    assert isinstance(setting.keys.events[0], KeyReleased)
    assert setting.events == 0
    setting.keys.failure = ViewUnavailableError()
    assert coded(await setting.put("k")) == (503, "view_unavailable")
    end = setting.keys.end

    async def lost(key: bytes, event: Any) -> None:
        if isinstance(event, KeyFinished):
            raise LogUnavailableError
        await end(key, event)

    setting.keys.end = lost  # type: ignore[method-assign]
    assert coded(await setting.put("k")) == (503, "log_unavailable")
    setting.keys.end = end  # type: ignore[method-assign]
    async with asyncio.timeout(10):
        while (again := await setting.put("k")).status == 409:
            await asyncio.sleep(0.01)
    assert again.status == 200
    first, second = (event for _, event in setting.listener.world.context_events[1:])
    assert first.id == second.id


async def test_what_takes_too_long_is_unknown() -> None:
    """Another one may have been admitted in the meantime: it is not answered, and its answer is not noted."""
    keys, now_s = KeyLogFake(), 0.0
    calls = KeyedCalls(KeysHere(keys), KEY_IDS, KeyMetrics(CollectorRegistry()), clock_s=lambda: now_s)
    async with public_listener(keyed=calls) as listener:
        context = await listener.context()
        write = listener.world.write_context

        async def slow(*args: Any) -> Any:
            nonlocal now_s
            now_s += END_WITHIN_S + 0.1
            return await write(*args)

        listener.world.write_context = slow  # type: ignore[method-assign,assignment]
        path = f"/v1/contexts/upnext/{context}"
        assert coded(await listener.app.call("PUT", path, item(), headers={KEY: "k"})) == (503, "log_unavailable")
    assert [type(event) for event in keys.events] == [KeyBegun, KeyReleased]


async def test_bulks(setting: Setting) -> None:
    """Each context's event has an id of its own; what may not have been written is written by a repeat."""
    app, world = setting.listener.app, setting.listener.world
    contexts = [setting.context, await setting.listener.context(), setting.context]
    body = {"contexts": [{"context_id": context, "items": [item("b")]} for context in contexts]}
    write, lost = world.write_context, [True]

    async def loses_one(context: Any, event: Any) -> Any:
        if lost and context != raw_context(setting.context):
            lost.clear()
            raise LogUnavailableError
        return await write(context, event)

    world.write_context = loses_one  # type: ignore[method-assign]
    before = len(world.context_events)
    first = await app.ok("POST", "/v1/contexts/bulk", body, headers={KEY: "k"})
    statuses = [one["results"][0]["status"] for one in first.json["contexts"]]
    assert statuses == [200, 503, 200]
    again = await app.ok("POST", "/v1/contexts/bulk", body, headers={KEY: "k"})
    assert REPLAYED not in again.headers
    assert [one["results"][0]["status"] for one in again.json["contexts"]] == [200] * 3
    assert same(again, await app.ok("POST", "/v1/contexts/bulk", body, headers={KEY: "k"}))
    ids = [event.id for _, event in world.context_events[before:] if isinstance(event, ItemsPut)]
    assert len(ids) == 5
    assert len(set(ids)) == 3


async def test_an_answer_that_is_too_large_to_be_saved() -> None:
    """It is made anew, of the same events."""
    keys = KeyLogFake()
    calls = KeyedCalls(KeysHere(keys), KEY_IDS, KeyMetrics(CollectorRegistry()), most_saved_bytes=10)
    async with public_listener(keyed=calls) as listener:
        path = f"/v1/contexts/upnext/{await listener.context()}"
        for _ in range(2):
            answer = await listener.app.ok("PUT", path, item(), headers={KEY: "k"})
            assert REPLAYED not in answer.headers
        first, second = (event for _, event in listener.world.context_events[1:])
    assert first.id == second.id
    assert [type(event) for event in keys.events] == [KeyBegun, KeyReleased] * 2


async def test_test_keys_record_nothing(setting: Setting) -> None:
    """They are remembered in memory, apart from live ones, and what is made has the same id everywhere."""
    listener = setting.listener
    _, client = listener.world.clients[listener.app.client_id]
    listener.world.add_client(client.tenant_kind, client.tenant, "f" * 16, "test_sk", live=False)
    test = Caller(listener.http, listener.app.url, {"Authorization": basic("f" * 16, "test_sk")})
    made = await test.ok("POST", "/v1/contexts", headers={KEY: "k"})
    assert same(made, await test.ok("POST", "/v1/contexts", headers={KEY: "k"}))
    path = f"/v1/contexts/upnext/{made.json['context_id']}"
    put = await test.ok("PUT", path, item(), headers={KEY: "k2"})
    assert same(put, await test.ok("PUT", path, item(), headers={KEY: "k2"}))
    assert coded(await test.call("PUT", path, item("c2"), headers={KEY: "k2"})) == (409, "idempotency_key_reused")
    assert setting.keys.events == []
    async with public_listener(keyed=keyed_calls(KeyLogFake(), CollectorRegistry())) as other:
        other.world.add_client(client.tenant_kind, client.tenant, "f" * 16, "test_sk", live=False)
        elsewhere = Caller(other.http, other.app.url, {"Authorization": basic("f" * 16, "test_sk")})
        again = await elsewhere.ok("POST", "/v1/contexts", headers={KEY: "k"})
        assert again.json["context_id"] == made.json["context_id"]
