"""Records that no fold can take, on a real log with real tables: found, decided about, and obeyed by later folds."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest

from streams.codec import MAX_EVENT_BYTES, encode_event, event_key
from streams.dead_letters import DeadLetters
from streams.domain import session_rows
from streams.domain.dead_letters import CORRECTED, Cursor, FoundLetter, Letter, Place, decided, parse_place
from streams.domain.errors import AbsentError, AlreadyDecidedError, LogUnavailableError, PoisonError
from streams.domain.ids import Kind, id_text
from streams.engine.store import POSITION
from streams.registry import Registry
from streams.topics import CONTEXT_EVENTS, REGISTRY_EVENTS, SESSION_EVENTS, topic_specs
from tests.contract.appending import records
from tests.support.engine_checks import stored_rows
from tests.support.engine_examples import CONTEXT, SESSION, TOPICS, once, titles
from tests.support.engine_faults import FaultyLog, Trouble
from tests.support.engine_nodes import Living, Node, die, living
from tests.support.tables import HASH_KEY, context_id

WHO = "superuser", "req_0123456789abcdef"
POISON = Place(CONTEXT_EVENTS, 0, 1)
TEXT = id_text(Kind.CONTEXT, CONTEXT)


class World(NamedTuple):
    one: Living
    letters: DeadLetters
    registry: Registry
    log: FaultyLog
    """Theirs."""


async def registry_on(log: FaultyLog) -> Registry:
    registry = Registry(log, fingerprint="fingerprint", partitions=1, die=die, limit_s=2.0)
    await registry.start()
    return registry


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    """Give a node that obeys what is decided."""
    async with living() as one:
        log = FaultyLog(one.real)
        registry = await registry_on(log)
        letters = DeadLetters(log, registry, 1, hash_key=HASH_KEY)
        try:
            obey(one.node, letters)
            yield World(one, letters, registry, log)
        finally:
            await registry.stop()


def obey(node: Node, letters: DeadLetters) -> None:
    for processor in node.processors:
        processor._is_decided = letters.is_decided


async def poisoned(one: Living) -> None:
    """Write an item, a record that says nothing, and an item."""
    await one.writes.attach(SESSION, CONTEXT)
    await one.writes.put(CONTEXT, "before", title="before")
    await one.real.append(CONTEXT_EVENTS, 0, event_key(Kind.CONTEXT, CONTEXT, "0" * 32), b'{"type": "nothing"}')
    await one.writes.put(CONTEXT, "behind", title="behind")
    await one.node.drain()


def corrected(one: Living, content_id: str, **more: Any) -> dict[str, Any]:
    """Return an event as somebody writes it into a file."""
    return dict(json.loads(encode_event(one.writes.item_put(CONTEXT, content_id, **more))))


def merged(node: Node) -> list[tuple[bytes, bytes]]:
    """Return the rows of the session's list, without what says how they came there."""
    rows = node.sessions.table.partitions[0].store
    entries = rows.range(session_rows.LIST + SESSION)
    current = {context: member.load for context, member in session_rows.members(rows, SESSION)}
    return [
        (key[:-8], value)
        for key, value in entries
        if current[session_rows.list_entry(key, value).context] == session_rows.list_entry(key, value).load
    ]


def contexts_rows(node: Node) -> dict[bytes, bytes]:
    store = node.contexts.table.partitions[0].store
    return {key: value for key, value in stored_rows(store).items() if not key.startswith(POSITION)}


async def rebuilt(one: Living, letters: DeadLetters) -> Node:
    """Return a node that has folded all sources again, into tables and topics that are new."""
    await one.real.delete_topics(TOPICS)
    await one.real.create_topics(topic_specs(1))
    node = one.another("rebuilt")
    obey(node, letters)
    await node.recover()
    await node.drain()
    return node


async def test_a_letter_is_found_by_its_place() -> None:
    """Each once, also where a turn was repeated; one of a source also when its letter is gone."""
    async with world() as (one, letters, _, _):
        one.log.troubles = once(f"append {TOPICS.dead_letters}-0", Trouble.LANDED)
        await poisoned(one)
        assert len(await records(one.real, TOPICS.dead_letters)) == 2
        page = await letters.page(Cursor(0, 0), 10, undecided=True)
        (found,) = page.letters
        assert (found.letter.place, found.decided, page.next) == (POISON, None, None)
        assert found.letter.reason.startswith("no event of this topic")
        await one.real.delete_before(TOPICS.dead_letters, 0, 2)
        assert (await letters.page(Cursor(0, 0), 10, undecided=True)).letters == []
        assert await letters.find(POISON) == found
        for place in (
            Place(CONTEXT_EVENTS, 0, 0),
            Place(CONTEXT_EVENTS, 0, 99),
            Place(CONTEXT_EVENTS, 7, 0),
            Place(SESSION_EVENTS, 0, 0),
            Place(TOPICS.feed, 0, 0),
            Place(TOPICS.feed, 7, 0),
            Place("elsewhere", 0, 0),
        ):
            with pytest.raises(AbsentError):
                await letters.find(place)


async def test_many_letters_come_page_by_page() -> None:
    """Every letter is on one page, in order; a page that finds none of its kind says where to go on."""
    async with world() as (one, letters, _, _):
        await one.real.append_many(SESSION_EVENTS, 0, [(b"k%d" % n, b"") for n in range(25)])
        await one.real.append(TOPICS.feed, 0, b"short", b"\xc1")
        await one.node.drain()
        seen, start = [], Cursor(0, 0)
        for _ in range(6):
            page = await letters.page(start, 5, undecided=True)
            seen += [found.letter.place.text for found in page.letters]
            if page.next is None:
                break
            start = page.next
        assert sorted(seen) == sorted([*(f"session-events-0-{n}" for n in range(25)), f"{TOPICS.feed}-0-0"])
        of_feed = await letters.find(Place(TOPICS.feed, 0, 0))
        assert of_feed.letter.reason.startswith("no message of this topic")


async def test_large_letters_come_few_at_a_time() -> None:
    """A page holds a few megabytes, however many letters are asked for."""
    async with world() as (one, letters, _, _):
        for n in range(20):
            await one.real.append(SESSION_EVENTS, 0, b"k%d" % n, b"v" * (1 << 19))
        await one.node.drain()
        page = await letters.page(Cursor(0, 0), 1_000, undecided=True)
        assert 8 <= len(page.letters) <= 13
        assert page.next is not None
        rest = await letters.page(page.next, 1_000, undecided=True)
        assert len(page.letters) + len(rest.letters) == 20


async def test_what_was_dropped_is_nothing_to_every_later_fold() -> None:
    """It is no letter any more, says who decided and when, and a rebuild counts it as decided; lists are the same."""
    async with world() as (one, letters, registry, _):
        await poisoned(one)
        done = await letters.drop(POISON, *WHO)
        assert done.decided is not None
        assert (done.decided.decision.what, done.decided.by) == ("drop", "superuser")
        assert done.decided.at_ms > 0
        events = await one.real.end_offset(REGISTRY_EVENTS, 0)
        assert await letters.drop(POISON, *WHO) == done
        assert await one.real.end_offset(REGISTRY_EVENTS, 0) == events
        assert (await letters.page(Cursor(0, 0), 10, undecided=True)).letters == []
        assert len((await letters.page(Cursor(0, 0), 10, undecided=False)).letters) == 1
        before = contexts_rows(one.node), merged(one.node)
        node = await rebuilt(one, letters)
        assert (node.contexts.dead_letters, node.contexts.decided) == (0, 1)
        assert await records(one.real, TOPICS.dead_letters) == []
        assert (contexts_rows(node), merged(node)) == before
        assert registry.poison == 0
        node.close()


async def test_a_replacement_counts_now_and_where_it_stands() -> None:
    """It is the newest event of its context at once, and the same lists come of a rebuild, byte for byte."""
    async with world() as (one, letters, _, _):
        await poisoned(one)
        done = await letters.replace(POISON, "", corrected(one, "mended", title="mended"), *WHO)
        await one.writes.put(CONTEXT, "later", title="later")
        await one.node.drain()
        assert titles(one) == ["later", "mended", "behind", "before"]
        assert done.decided is not None
        assert done.decided.decision.stands_at == "context-events-0-3"
        stands = (await records(one.real, CONTEXT_EVENTS))[3]
        assert json.loads(stands.value or b"")["corrects"] == POISON.text
        before = contexts_rows(one.node), merged(one.node)
        assert len(before[1]) == 4
        node = await rebuilt(one, letters)
        assert (node.contexts.dead_letters, node.contexts.decided) == (0, 1)
        assert (contexts_rows(node), merged(node)) == before
        node.close()


async def test_rows_do_not_depend_on_what_is_known_of_decisions() -> None:
    """A node whose registry has not heard of it writes a letter more, and the same rows."""
    async with world() as (one, letters, _, _):
        await poisoned(one)
        await letters.replace(POISON, "", corrected(one, "mended", title="mended"), *WHO)
        await one.node.drain()
        before = contexts_rows(one.node), merged(one.node)
        await one.real.delete_topics(TOPICS)
        await one.real.create_topics(topic_specs(1))
        node = one.another("unaware")
        await node.recover()
        await node.drain()
        assert (node.contexts.dead_letters, node.contexts.decided) == (1, 0)
        assert (contexts_rows(node), merged(node)) == before
        node.close()


@pytest.mark.parametrize("trouble", [Trouble.LOST, Trouble.LANDED])
async def test_a_replacement_whose_outcome_is_unknown_is_made_again_and_counts_once(trouble: Trouble) -> None:
    """Decided, and the event perhaps not in the log: once more with the same event, whatever was written meanwhile."""
    async with world() as (one, letters, _, log):
        await poisoned(one)
        event = corrected(one, "mended", title="mended")
        log.troubles = once(f"append {CONTEXT_EVENTS}-0", trouble)
        with pytest.raises(LogUnavailableError):
            await letters.replace(POISON, "", event, *WHO)
        unsure = await letters.find(POISON)
        assert unsure.decided is not None
        assert unsure.decided.decision.stands_at == ""
        await one.writes.put(CONTEXT, "mended", title="newer")
        await one.node.drain()
        done = await letters.replace(POISON, "", event, *WHO)
        await one.node.drain()
        assert done.decided is not None
        assert done.decided.decision.stands_at
        landed = trouble is Trouble.LANDED
        assert len(await records(one.real, CONTEXT_EVENTS)) == (6 if landed else 5)
        assert titles(one) == (["newer"] if landed else ["mended"]) + ["behind", "before"]
        before = contexts_rows(one.node), merged(one.node)
        assert sum(key.startswith(CORRECTED) for key in before[0]) == 1
        assert (await letters.replace(POISON, "", event, *WHO)) == done
        node = await rebuilt(one, letters)
        assert (contexts_rows(node), merged(node)) == before
        node.close()


async def test_a_session_event_is_replaced_too() -> None:
    """What the corrected event detaches may be attached again: the event that comes once more is nothing."""
    async with world() as (one, letters, _, _):
        session = id_text(Kind.SESSION, SESSION)
        await one.writes.attach(SESSION, CONTEXT)
        await one.writes.put(CONTEXT, "there", title="there")
        await one.real.append(SESSION_EVENTS, 0, b"garbled", b"garbled")
        await one.node.drain()
        place = Place(SESSION_EVENTS, 0, 1)
        detach = {"type": "session.context_detached.v1", "client": "c", "context": TEXT}
        done = await letters.replace(place, session, detach, *WHO)
        await one.node.drain()
        assert not dict(session_rows.members(one.node.sessions.table.rows(0), SESSION))
        await one.writes.attach(SESSION, CONTEXT)
        await one.real.append(SESSION_EVENTS, 0, *await _again(one, done.letter.place))
        await one.node.drain()
        members = dict(session_rows.members(one.node.sessions.table.rows(0), SESSION))
        assert [member.epoch for member in members.values()] == [3]
        assert len(merged(one.node)) == 1


async def _again(one: Living, place: Place) -> tuple[bytes, bytes]:
    """Return the record that stands for the one of *place*, as whoever appends it once more does."""
    for record in await records(one.real, SESSION_EVENTS):
        if place.text.encode() in (record.value or b""):
            return record.key or b"", record.value or b""
    raise AssertionError(place)


@pytest.mark.parametrize(
    ("of", "change", "reason"),
    [
        ("", {"type": "session.deleted.v1"}, "no event of this topic"),
        ("", {"type": "context.item_rated.v7"}, "no such event"),
        ("", {"item": {}}, "no event of this topic"),
        ("", {"app": "AP1"}, "not an id"),
        ("CX1", {}, "the key is not"),
        ("", {"client": "c" * MAX_EVENT_BYTES}, "the record has"),
    ],
)
async def test_what_is_no_event_of_the_topic_replaces_nothing(of: str, change: dict[str, Any], reason: str) -> None:
    """It is refused before anything is decided."""
    async with world() as (one, letters, _, _):
        await poisoned(one)
        events = await one.real.end_offset(REGISTRY_EVENTS, 0)
        with pytest.raises(PoisonError, match=reason):
            await letters.replace(POISON, of, {**corrected(one, "x"), **change}, *WHO)
        assert await one.real.end_offset(REGISTRY_EVENTS, 0) == events
        assert await one.real.end_offset(CONTEXT_EVENTS, 0) == 3


async def test_what_stands_between_the_processors_is_dropped_and_not_replaced() -> None:
    """It is made of the sources, and so is whatever should stand there; what is made anew there is another record."""
    async with world() as (one, letters, registry, _):
        await one.real.append(TOPICS.feed, 0, b"short", b"\xc1")
        await one.node.drain()
        place = Place(TOPICS.feed, 0, 0)
        with pytest.raises(PoisonError, match="only what is in a source"):
            await letters.replace(place, TEXT, corrected(one, "x"), *WHO)
        done = await letters.drop(place, *WHO)
        assert letters.is_decided(place, done.letter.time_ms)
        assert not letters.is_decided(place, done.letter.time_ms + 1)
        await one.real.delete_topics(TOPICS)
        await one.real.create_topics(topic_specs(1))
        await one.real.append(TOPICS.feed, 0, b"short", b"\xc1")
        node = one.another("anew")
        obey(node, letters)
        await node.recover()
        await node.drain()
        assert (node.sessions.dead_letters, node.sessions.decided) == (1, 0)
        assert (await letters.drop(place, *WHO)).decided is not None
        assert registry.state.count == 1
        node.close()


async def test_of_two_letters_of_a_place_the_last_is_listed_and_decided_about() -> None:
    """Dead letters outlive the topics between the processors: what was wrong there before is not there any more."""
    async with world() as (one, letters, _, _):
        await one.real.append(TOPICS.feed, 0, b"before", b"\xc1")
        await one.node.drain()
        await one.real.delete_topics([topic for topic in TOPICS if topic != TOPICS.dead_letters])
        await one.real.create_topics(topic_specs(1))
        await one.real.append(TOPICS.feed, 0, b"since", b"\xc1\xc1")
        node = one.another("anew")
        obey(node, letters)
        await node.recover()
        await node.drain()
        node.close()
        place = Place(TOPICS.feed, 0, 0)
        assert [letter.place for letter in await _all_letters(letters)] == [place, place]
        last = await letters.find(place)
        for limit in (1, 10):
            assert await _listed(letters, limit, undecided=True) == [last]
        done = await letters.drop(place, *WHO)
        for limit in (1, 10):
            assert await _listed(letters, limit, undecided=True) == []
            assert await _listed(letters, limit, undecided=False) == [done]


async def _all_letters(letters: DeadLetters) -> list[Letter]:
    return [letter async for _, letter in letters._letters(0, 0)]


async def _listed(letters: DeadLetters, limit: int, *, undecided: bool) -> list[FoundLetter]:
    """Return what is listed, page by page."""
    found: list[FoundLetter] = []
    start: Cursor | None = Cursor(0, 0)
    while start is not None:
        page = await letters.page(start, limit, undecided=undecided)
        found += page.letters
        start = page.next
    return found


async def test_what_stands_for_a_record_is_in_its_source_alone() -> None:
    """Where it can be erased: the registry has a hash of it, however large it is."""
    async with world() as (one, letters, _, _):
        await poisoned(one)
        fields = {**corrected(one, "x"), "client": "c" * (1 << 20)}
        taken = await letters.replace(POISON, "", fields, *WHO)
        assert taken.decided is not None
        assert taken.decided.decision.stands_at == "context-events-0-3"
        for record in await records(one.real, REGISTRY_EVENTS):
            assert b"c" * 100 not in (record.value or b"")


async def test_the_first_decision_counts() -> None:
    """A replacement stands; what was dropped may still be replaced, by one event."""
    async with world() as (one, letters, registry, log):
        await poisoned(one)
        other_registry = await registry_on(FaultyLog(one.real))
        others = DeadLetters(FaultyLog(one.real), other_registry, 1, hash_key=HASH_KEY)
        await asyncio.gather(letters.drop(POISON, *WHO), others.drop(POISON, "another", "req_1"))
        found = decided(registry.state, POISON, (await letters.find(POISON)).letter.time_ms)
        assert found is not None
        assert found.version == 1
        await letters.replace(POISON, "", corrected(one, "mended"), *WHO)
        await other_registry.catch_up()
        for attempt in (
            others.drop(POISON, *WHO),
            others.replace(POISON, "", corrected(one, "other"), *WHO),
            others.replace(POISON, id_text(Kind.CONTEXT, context_id(2)), corrected(one, "mended"), *WHO),
        ):
            with pytest.raises(AlreadyDecidedError):
                await attempt
        assert await one.real.end_offset(CONTEXT_EVENTS, 0) == 4
        await other_registry.stop()
        assert log.calls.count(f"append {CONTEXT_EVENTS}-0") == 1


async def test_a_log_that_does_not_answer_is_not_waited_for() -> None:
    """Whoever asks hears within the limit that it is not known."""
    async with world() as (one, _, registry, log):
        await poisoned(one)

        async def never() -> None:
            await asyncio.Event().wait()

        log.gates[f"read {TOPICS.dead_letters}-0"] = never
        impatient = DeadLetters(log, registry, 1, hash_key=HASH_KEY, limit_s=0.05)
        with pytest.raises(LogUnavailableError):
            await impatient.page(Cursor(0, 0), 10, undecided=True)


def test_places() -> None:
    """A place is said in one way only."""
    assert parse_place("context-events-3-12") == Place("context-events", 3, 12)
    assert parse_place(f"{TOPICS.feed}-0-0") == Place(TOPICS.feed, 0, 0)
    for text in (
        "",
        "context-events",
        "context-events-1",
        "context-events-01-1",
        "context-events-1-01",
        "A-1-1",
        "-1-1",
    ):
        assert parse_place(text) is None
