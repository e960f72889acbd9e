"""`/api/v1/deadletters` and `upnext dead-letters`: what is shown of records that no fold could take, and decided."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from service.cli import main
from streams.codec import decode_context_event, event_key
from streams.domain.dead_letters import Place
from streams.domain.erasure import Receipt, Requested, encode_erasure
from streams.domain.errors import PoisonError
from streams.domain.ids import Kind, id_text, parse_id
from streams.engine.batch import dead_letter
from streams.log.port import Log, Record
from streams.topics import CONTEXT_EVENTS, ERASURES, SESSION_EVENTS, partition_of, topic_specs, view_topics
from tests.contract.appending import records
from tests.support.api_listener import PARTITIONS, ApiNode, api_node, embedded_log
from tests.support.api_worlds import refusal
from tests.support.nodes import ADMIN_TOKEN, Answer, Caller, item
from tests.support.people import logged_in, make_company, make_user
from tests.support.tables import context_id, session_id

PATH = "/api/v1/deadletters"
TOPICS = view_topics()
CONTEXT = id_text(Kind.CONTEXT, context_id(1))
PARTITION = partition_of(context_id(1), PARTITIONS)
REASON = "it is broken"


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[ApiNode]:
    async with embedded_log(tmp_path / "log") as log:
        await log.create_topics(topic_specs(PARTITIONS))
        async with api_node(log) as node:
            yield node


async def put_aside(log: Log, topic: str, partition: int, key: bytes | None, value: bytes | None) -> str:
    """Append a record and its letter, as a processor does; return its place."""
    offset = await log.end_offset(topic, partition)
    await log.append_many(topic, partition, [(key or b"", value)])
    (record,) = [r for r in await records(log, topic, partition) if r.offset == offset]
    place = Place(topic, partition, offset)
    letter = dead_letter(place, Record(offset, record.time_ms, key, value), PoisonError(REASON))
    await log.append(TOPICS.dead_letters, partition, place.text.encode(), msgspec.json.encode(letter))
    return place.text


async def poisoned(node: ApiNode, value: bytes = b'{"type":"nothing"}') -> str:
    return await put_aside(node.log, CONTEXT_EVENTS, PARTITION, event_key(Kind.CONTEXT, context_id(1), "0" * 32), value)


def put_event(**more: Any) -> dict[str, Any]:
    """Return the event of an item, as a file has it."""
    app = "AP" + "0" * 41
    return {"type": "context.item_put.v1", "client": "0" * 16, "app": app, "item": item("mended"), **more}


async def listed(node: ApiNode, query: str = "") -> Any:
    return (await node.admin.ok("GET", f"{PATH}{query}")).json


async def test_what_is_shown_of_keys_and_values(node: ApiNode) -> None:
    """JSON as JSON, messages between the processors as they say, what is neither as text and in hexadecimal."""
    raw = context_id(1)
    places = [
        await poisoned(node, b'{"type":"nothing","n":12345678901234567890123}'),
        await put_aside(node.log, SESSION_EVENTS, 0, b"\xff", b"\xfe\x00text"),
        await put_aside(node.log, TOPICS.feed, 1, raw, msgspec.msgpack.encode([9, b"\x01", {1: None}, 0.5])),
        await put_aside(node.log, TOPICS.subscriptions, 2, raw, b"\xc1"),
        await put_aside(node.log, SESSION_EVENTS, 3, b"k", None),
    ]
    shown = {letter["id"]: letter for letter in (await listed(node))["results"]}
    assert set(shown) == set(places)
    garbled, text, packed, broken, none = (shown[place] for place in places)
    answer = await node.admin.ok("GET", f"{PATH}/{places[0]}")
    assert b'{"json":{"type":"nothing","n":12345678901234567890123}}' in answer.body
    assert garbled["key"]["text"] == f"{CONTEXT}/{'0' * 32}"
    assert (garbled["topic"], garbled["partition"], garbled["offset"]) == (CONTEXT_EVENTS, PARTITION, 0)
    assert (garbled["reason"], garbled["decision"], garbled["valueBytes"]) == (REASON, None, 46)
    assert text["value"] == {"text": "\ufffd\x00text", "hex": "fe0074657874"}
    assert text["key"] == {"text": "\ufffd", "hex": "ff"}
    assert packed["value"] == {"json": [9, "01", {"1": None}, 0.5]}
    assert packed["key"] == {"text": id_text(Kind.SESSION, raw), "hex": raw.hex()}
    assert broken["key"]["text"] == CONTEXT
    assert (broken["value"]["hex"], none["value"]) == ("c1", None)


async def test_a_list_goes_on_and_shows_the_beginning(node: ApiNode) -> None:
    """A large value is cut in lists and whole alone; letters come page by page."""
    place = await poisoned(node, b"v" * 5_000)
    for n in range(4):
        await put_aside(node.log, SESSION_EVENTS, n, b"", b"")
    one = (await node.admin.ok("GET", f"{PATH}/{place}")).json
    assert (one["value"]["text"], one["valueBytes"]) == ("v" * 5_000, 5_000)
    seen, after = [], ""
    for _ in range(10):
        page = await listed(node, f"?limit=2{after}")
        assert len(page["results"]) <= 2
        seen += page["results"]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert len({letter["id"] for letter in seen}) == len(seen) == 5
    assert {len(letter["value"]["text"]) for letter in seen} == {0, 1_024}


async def test_only_the_super_user_sees_and_decides(node: ApiNode) -> None:
    """An administrator of a company is refused everything, whatever there is; nobody without a token hears more."""
    place = await poisoned(node)
    company = await make_company(node)
    await make_user(node, "ann", {company: "ADMIN"})
    ann = await logged_in(node, "ann")
    nobody = Caller(node.http, node.url, {})
    for method, path in (
        ("GET", PATH),
        ("GET", f"{PATH}/{place}"),
        ("GET", f"{PATH}/nothing"),
        ("POST", f"{PATH}/{place}/drop"),
        ("POST", f"{PATH}/{place}/replace"),
    ):
        events = await node.events()
        assert (await ann.call(method, path, {} if method == "POST" else None)).status == 403
        assert (await nobody.call(method, path)).status == 401
        assert await node.events() == events


async def test_a_letter_is_dropped(node: ApiNode) -> None:
    """The answer says who decided and when; it is listed no more unless all are asked for; again changes nothing."""
    place = await poisoned(node)
    done = (await node.admin.ok("POST", f"{PATH}/{place}/drop")).json
    decision = done["decision"]
    assert decision.pop("time").endswith("Z")
    assert decision.pop("user")["id"] == "superuser"
    assert decision == {"what": "drop", "of": None, "standsAt": None}
    events = await node.events()
    await node.admin.ok("POST", f"{PATH}/{place}/drop")
    assert await node.events() == events
    assert (await listed(node))["results"] == []
    (listed_one,) = (await listed(node, "?includeDecided=true"))["results"]
    assert listed_one["decision"]["what"] == "drop"


async def test_a_letter_is_replaced(node: ApiNode) -> None:
    """The event stands in the topic, in the partition of its context; another one is refused from then on."""
    place = await poisoned(node)
    done = (await node.admin.ok("POST", f"{PATH}/{place}/replace", {"event": put_event()})).json
    assert done["decision"]["standsAt"] == f"{CONTEXT_EVENTS}-{PARTITION}-1"
    assert done["decision"]["of"] == CONTEXT
    last = (await records(node.log, CONTEXT_EVENTS, PARTITION))[-1]
    event = json.loads(last.value or b"")
    assert (event["corrects"], event["item"]) == (place, item("mended"))
    assert decode_context_event(last.key, last.value)[0] == context_id(1)
    other = {"event": put_event(item=item("other"))}
    refusal(await node.admin.call("POST", f"{PATH}/{place}/replace", other), 409)
    refusal(await node.admin.call("POST", f"{PATH}/{place}/drop"), 409)


async def test_an_event_of_another_context_stands_in_its_partition(node: ApiNode) -> None:
    """`of` says whose it is, where the record itself does not."""
    place = await put_aside(node.log, CONTEXT_EVENTS, 0, b"garbled", b"garbled")
    other = id_text(Kind.CONTEXT, context_id(2))
    partition = partition_of(context_id(2), PARTITIONS)
    refusal(await node.admin.call("POST", f"{PATH}/{place}/replace", {"event": put_event()}), 400)
    before = await node.log.end_offset(CONTEXT_EVENTS, partition)
    done = (await node.admin.ok("POST", f"{PATH}/{place}/replace", {"of": other, "event": put_event()})).json
    assert done["decision"]["standsAt"] == f"{CONTEXT_EVENTS}-{partition}-{before}"
    assert parse_id(Kind.CONTEXT, done["decision"]["of"]) == context_id(2)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"event": []},
        {"event": put_event(), "more": 1},
        {"event": put_event(), "of": 1},
        {"event": put_event(item=item("mended", duration=-1))},
        {"event": {"type": "context.item_put.v1"}},
    ],
)
async def test_what_cannot_stand_for_a_record_is_refused(node: ApiNode, body: Any) -> None:
    """Nothing is decided and nothing appended."""
    place = await poisoned(node)
    events = await node.events()
    refusal(await node.admin.call("POST", f"{PATH}/{place}/replace", body), 400)
    assert await node.events() == events
    assert await node.log.end_offset(CONTEXT_EVENTS, PARTITION) == 1


@pytest.mark.parametrize(
    "place", ["x", "context-events-1-1", "context-events-99-0", "context-events-01-1", f"{TOPICS.feed}-0-0"]
)
async def test_what_is_no_letter_is_absent(node: ApiNode, place: str) -> None:
    """A place that there is not, one of a record that is good, and what is none."""
    for answer in (
        await node.admin.call("GET", f"{PATH}/{place}"),
        await node.admin.call("POST", f"{PATH}/{place}/drop"),
        await node.admin.call("POST", f"{PATH}/{place}/replace", {"event": put_event()}),
    ):
        assert refusal(answer, 404)[0]["code"] == "error.object.not.found"


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "after=x", "after=1", "includeDecided=maybe"])
async def test_parameters_that_are_none(node: ApiNode, query: str) -> None:
    """They are 400, each by name."""
    answer: Answer = await node.admin.call("GET", f"{PATH}?{query}")
    refusal(answer, 400)


async def upnext(node: ApiNode, *words: str, typed: str = "") -> Result:
    """Run a command in a thread, while the node answers it."""
    env = {"UPNEXT_URL": node.url, "UPNEXT_TOKEN": ADMIN_TOKEN}
    return await asyncio.to_thread(CliRunner().invoke, main, ["dead-letters", *words], input=typed, env=env)


async def done(node: ApiNode, *words: str, typed: str = "") -> Result:
    result = await upnext(node, *words, typed=typed)
    assert result.exit_code == 0, result.output
    return result


async def test_the_commands(node: ApiNode, tmp_path: Path) -> None:
    """They list, show, drop and replace, and say where the event stands."""
    first, second, third = [await poisoned(node) for _ in range(3)]
    listing = (await done(node, "list")).stdout.splitlines()
    assert listing[0].split() == ["POSITION", "TIME", "DECISION", "REASON"]
    assert [line.split()[0] for line in listing[1:]] == [first, second, third]
    assert "nothing" in (await done(node, "show", first)).stdout
    assert json.loads((await done(node, "show", first, "-o", "json")).stdout)["value"] == {"json": {"type": "nothing"}}
    dropped = await done(node, "drop", first, second)
    assert dropped.stdout.splitlines() == [f"dropped {first}", f"dropped {second}"]
    file = tmp_path / "event.json"
    file.write_text(json.dumps(put_event()))
    replaced = await done(node, "replace", third, str(file))
    assert replaced.stdout == f"replaced {third} by {CONTEXT_EVENTS}-{PARTITION}-3\n"
    again = await done(node, "replace", third, "-", typed=json.dumps(put_event()))
    assert again.stdout == replaced.stdout
    assert (await done(node, "list")).stdout.splitlines()[1:] == []
    every = (await done(node, "list", "--all")).stdout
    assert every.count("dropped by superuser at") == 2
    assert every.count("replaced by superuser at") == 1
    cut = await done(node, "list", "--all", "--limit", "2", "-o", "json")
    assert len(json.loads(cut.stdout)) == 2
    assert "there are more than these 2" in cut.stderr


async def test_commands_that_cannot_be_done_say_why(node: ApiNode, tmp_path: Path) -> None:
    """One line, and exit status 1."""
    place = await poisoned(node)
    file = tmp_path / "event.json"
    for content, says in (
        ("[]", "it is a JSON object"),
        ("{", "There is no event in"),
        ('{"type": "context.item_put.v1"}', "cannot stand for the record"),
    ):
        file.write_text(content)
        refused = await upnext(node, "replace", place, str(file))
        assert refused.exit_code == 1
        assert says in refused.stderr
        assert len(refused.stderr.splitlines()) == 1
    missing = await upnext(node, "drop", "context-events-0-9")
    assert (missing.exit_code, "not found" in missing.stderr) == (1, True)


async def test_a_letter_of_what_is_being_erased(node: ApiNode) -> None:
    """It is shown no more once that was asked for, though it is still there; those of others are, and later ones."""
    gone, other = context_id(1), context_id(2)
    quoted = msgspec.msgpack.encode([9, gone])
    places = [
        await poisoned(node),
        await put_aside(node.log, TOPICS.feed, 1, bytes(session_id(7)), quoted),
        await put_aside(node.log, TOPICS.subscriptions, 2, bytes(gone), b"\xc1"),
        await put_aside(node.log, TOPICS.subscriptions, 2, bytes(other), b"\xc1"),
    ]
    assert {letter["id"] for letter in (await listed(node))["results"]} == set(places)
    erasures = partition_of(gone, PARTITIONS)
    await node.log.append(ERASURES, erasures, bytes(gone), encode_erasure(Requested(CONTEXT)))
    assert [letter["id"] for letter in (await listed(node))["results"]] == places[3:]
    for place in places[:3]:
        refusal(await node.admin.call("GET", f"{PATH}/{place}"), 404)
    await node.admin.ok("GET", f"{PATH}/{places[3]}")
    receipt = Receipt(CONTEXT, 0, 1, 2, [], {})
    await node.log.append(ERASURES, erasures, bytes(gone), encode_erasure(receipt))
    assert len((await listed(node))["results"]) == len(places)
