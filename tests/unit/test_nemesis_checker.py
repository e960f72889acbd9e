"""The nemesis' checker finds nothing in a history that is right, and what is wrong in each that is not."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Any

import pytest

from streams.domain.ids import Kind as IdKind
from streams.domain.ids import id_text
from streams.domain.positions import (
    ContextPosition,
    ContextsPosition,
    ListPosition,
    Position,
    SessionsPosition,
    context_mark,
)
from streams.domain.times import iso_ms
from streams.topics import partition_of
from tests.nemesis.checker import check
from tests.nemesis.history import Call, History, Kind, Logged, Mark, Outcome, Read, Write
from tests.nemesis.raw_ids import raw_id

CONTEXT, OTHER = (id_text(IdKind.CONTEXT, b"C" + bytes([n]) * 16) for n in (1, 2))
SESSION = id_text(IdKind.SESSION, b"S" + bytes(16))
APP = "AP" + "1" * 41
START_MS = 1_800_000_000_000
PARTITIONS = 1
STALE_S = 60.0


class World:
    """A small history that is right: two contexts, attached to one session, and every kind of read."""

    def __init__(self) -> None:
        self.history = History()
        self.context_events: list[Logged] = []
        self.session_events: list[Logged] = []
        self.at_s = 0.0
        for context in (CONTEXT, OTHER):
            self.write(Mark(Call.CREATE_CONTEXT, context, ""), {"type": "context.created.v1", "app": APP})
        self.write(Mark(Call.CREATE_SESSION, SESSION, ""), {"type": "session.created.v1", "platform": "PL"})
        self.attach(CONTEXT)
        self.first = self.put(CONTEXT, "a", "first")
        self.second = self.put(CONTEXT, "b", "second")
        self.early = self.read_list({CONTEXT: [self.second, self.first]})
        self.attached = self.attach(OTHER)
        self.third = self.put(OTHER, "a", "third")
        self.whole = self.read_list({CONTEXT: [self.second, self.first], OTHER: [self.third]})
        self.of_context = self.read_context([self.second, self.first])

    def write(self, mark: Mark, event: dict[str, Any], outcome: Outcome = Outcome.ACKNOWLEDGED) -> Write:
        """Append an event, and have its client told so."""
        self.at_s += 1
        log = self.session_events if mark.of == SESSION else self.context_events
        request_id = f"req_{len(self.history.writes):016x}"
        recorded = {**event, "request": request_id, "id": request_id}
        logged = Logged(0, 10 * len(log), START_MS + int(1_000 * self.at_s), mark.of, recorded)
        log.append(logged)
        write = Write(mark, outcome, self.at_s, self.at_s + 0.1, request_id, 200)
        write.position = ContextPosition(raw_id(mark.of), logged.offset)
        if mark.of == SESSION:
            write.position = SessionsPosition({0: logged.offset})
        self.history.writes.append(write)
        return write

    def put(self, context: str, name: str, title: str) -> Write:
        item = {"content_id": name, "title": title}
        return self.write(Mark(Call.PUT, context, title), {"type": "context.item_put.v1", "app": APP, "item": item})

    def bulk(self, context: str, kind: str, titles: dict[str, str]) -> Write:
        """Put items at once, by content id, as one of several contexts."""
        items = [{"content_id": name, "title": title} for name, title in titles.items()]
        call = Call.REPLACE if kind == "context.items_replaced.v1" else Call.PUT_ITEMS
        write = self.write(Mark(call, context, ", ".join(titles.values())), {"type": kind, "app": APP, "items": items})
        write.position = ContextsPosition({context_mark(raw_id(context)): self.logged(write).offset})
        return write

    def attach(self, context: str) -> Write:
        event = {"type": "session.context_attached.v1", "context": context, "app": APP}
        write = self.write(Mark(Call.ATTACH, SESSION, context), event)
        logged = self.session_events[-1]
        write.answer = {
            "session_id": SESSION,
            "context_id": context,
            "app_id": APP,
            "created_at": iso_ms(logged.time_ms),
        }
        return write

    def logged(self, write: Write) -> Logged:
        (found,) = [
            each for each in (*self.context_events, *self.session_events) if each.event["request"] == write.request_id
        ]
        return found

    def entry(self, put: Write, *, hidden: bool = False) -> int:
        """Return the number of what a put is in lists."""
        logged = self.logged(put)
        item = logged.event["item"]
        return self.number(item["content_id"], item["title"], logged.of, logged.time_ms, hidden=hidden)

    def number(self, name: str, title: str, context: str, time_ms: int, *, hidden: bool) -> int:
        return self.history.entries.number(
            {
                "content_id": name,
                "title": title,
                "app_id": APP,
                "context_id": context,
                "updated_at": iso_ms(time_ms),
                "hidden": hidden,
            }
        )

    def read(self, kind: Kind, of: str, position: Position, numbers: list[int], **more: Any) -> Read:
        self.at_s += 1
        read = Read(kind, of, self.at_s, self.at_s + 0.1, "a reader", position=position, total=len(numbers), **more)
        read.entries = array("q", numbers)
        self.history.reads.append(read)
        return read

    def read_context(self, puts: list[Write]) -> Read:
        position = ContextPosition(raw_id(CONTEXT), self.logged(puts[0]).offset)
        return self.read(Kind.CONTEXT, CONTEXT, position, [self.entry(put) for put in puts])

    def read_list(self, members: dict[str, list[Write]], **more: Any) -> Read:
        """Read the merged list, whose contexts hold these puts, newest first."""
        epochs = {each.event["context"]: each.offset for each in self.session_events if "context" in each.event}
        pairs = [(epochs[context], self.logged(puts[0]).offset) for context, puts in members.items()]
        puts = sorted((put for puts in members.values() for put in puts), key=lambda put: -self.logged(put).time_ms)
        position = ListPosition(raw_id(SESSION), self.session_events[-1].offset, sorted(pairs))
        return self.read(Kind.SESSION, SESSION, position, [self.entry(put) for put in puts], **more)

    def wrong(self) -> list[str]:
        return check(self.history, self.context_events, self.session_events, partitions=PARTITIONS, stale_s=STALE_S)


def passed(*seen: Read | Write) -> tuple[Position, ...]:
    """Return the positions of what a client has seen or written."""
    return tuple(each.position for each in seen if each.position is not None)


def test_what_is_right_is_right() -> None:
    """With writes, reads and commands of every outcome."""
    world = World()
    assert partition_of(raw_id(SESSION), PARTITIONS) == 0
    world.whole.after = passed(world.early, world.third, world.attached)
    # What was not answered may be there or not; what failed is not.
    mark = Mark(Call.PUT, CONTEXT, "unknown")
    world.history.writes += [
        Write(mark, Outcome.UNKNOWN, 1, 2),
        Write(Mark(Call.REMOVE, CONTEXT, "a"), Outcome.UNKNOWN, 1, 2),
    ]
    logged = world.context_events[-1]
    item = {"content_id": "c", "title": "unknown"}
    event = {"type": "context.item_put.v1", "app": APP, "item": item, "request": "req_of nobody", "id": "of nobody"}
    world.context_events.append(Logged(0, 100, logged.time_ms + 1, CONTEXT, event))
    world.history.writes.append(Write(Mark(Call.PUT, CONTEXT, "refused"), Outcome.FAILED, 1, 2, "req_refused", 400))
    assert world.wrong() == []


def test_pages_hidden_items_and_ties() -> None:
    """A page is what stands there in the whole; hiding changes no place; ties go by content id, then by context."""
    world = World()
    hide = {"type": "context.item_hidden.v1", "content_id": "a", "hidden": True}
    world.write(Mark(Call.HIDE, CONTEXT, "a", hidden=True), hide)
    numbers = [world.entry(world.second), world.entry(world.first, hidden=True)]
    position = ContextPosition(raw_id(CONTEXT), world.context_events[-1].offset)
    world.read(Kind.CONTEXT, CONTEXT, position, numbers)
    page = world.read(Kind.CONTEXT, CONTEXT, position, numbers[:1], limit=1, next_key=1)
    page.total = 2
    beyond = world.read(Kind.CONTEXT, CONTEXT, position, [], start=2)
    beyond.total = 2
    assert world.wrong() == []


def repeated(world: World, write: Write, **more: Any) -> Logged:
    """Have a write's event stand in the log once more, as that of a request of which no answer came."""
    logged = world.logged(write)
    log = world.session_events if logged in world.session_events else world.context_events
    again = logged._replace(offset=10 * len(log), event={**logged.event, "request": "req_lost", **more})
    log.append(again)
    return again


def test_a_request_with_a_key_is_there_once_however_often_it_was_sent() -> None:
    """Its event may stand in the log again, by a request without an answer; the answer may name either place."""
    for names_first in (True, False):
        world = World()
        world.third.is_keyed = world.third.was_lost = world.attached.is_keyed = True
        world.put(OTHER, "z", "between")
        again = repeated(world, world.third)
        detached = world.write(
            Mark(Call.DETACH, SESSION, OTHER), {"type": "session.context_detached.v1", "context": OTHER}
        )
        assert detached.position is not None
        attached = repeated(world, world.attached)
        if not names_first:
            world.third.position = ContextPosition(raw_id(OTHER), again.offset)
            world.attached.position = SessionsPosition({0: attached.offset})
        # Of the first request nothing was heard but what it wrote; the second was answered without another event.
        if names_first:
            del world.context_events[world.context_events.index(again)]
            world.logged(world.third).event["request"] = "req_lost"
        assert world.wrong() == []


def test_a_request_with_a_key_and_without_an_answer() -> None:
    """May be there, once, by any of its requests."""
    world = World()
    mark = Mark(Call.PUT, OTHER, "fourth")
    write = world.put(OTHER, "d", "fourth")
    again = repeated(world, write)
    event = world.logged(write).event
    world.history.writes[-1] = Write(mark, Outcome.UNKNOWN, 1, 2, is_keyed=True, was_lost=True)
    event["request"] = "req_lost too"
    assert world.wrong() == []
    again.event["id"] = "another"
    assert any("which no client has sent" in wrong for wrong in world.wrong())


def test_bulks_and_replaced_lists() -> None:
    """Items put at once are 1 ms apart, the later the newer; what replaces a list keeps what was hidden."""
    world = World()
    hide = {"type": "context.item_hidden.v1", "content_id": "a", "hidden": True}
    world.write(Mark(Call.HIDE, CONTEXT, "a", hidden=True), hide)
    replaced = world.bulk(CONTEXT, "context.items_replaced.v1", {"c": "new", "a": "again"})
    time_ms = world.logged(replaced).time_ms
    expected = [
        world.number("a", "again", CONTEXT, time_ms + 1, hidden=True),
        world.number("c", "new", CONTEXT, time_ms, hidden=False),
    ]
    world.read(Kind.CONTEXT, CONTEXT, ContextPosition(raw_id(CONTEXT), world.context_events[-1].offset), expected)
    assert world.wrong() == []


Break = Callable[[World], object]


def lose(world: World) -> None:
    world.context_events.remove(world.logged(world.third))


def lose_one_of_a_bulk(world: World) -> None:
    world.bulk(OTHER, "context.items_put.v1", {"x": "one", "y": "two"}).position = ContextsPosition({})


def repeat(world: World) -> None:
    world.context_events.append(world.logged(world.third)._replace(offset=999))


def repeat_with_a_key_under_another_id(world: World) -> None:
    world.third.is_keyed = True
    world.third.former = ("req_lost",)
    repeated(world, world.third, id="another")


def repeat_without_a_key(world: World) -> None:
    repeated(world, world.third)


def write_what_failed(world: World) -> None:
    world.third.outcome, world.third.status = Outcome.FAILED, 400


def write_what_nobody_sent(world: World) -> None:
    world.history.writes.remove(world.third)


def write_twice_what_was_not_answered(world: World) -> None:
    mark = Mark(Call.REMOVE, CONTEXT, "z")
    world.history.writes.append(Write(mark, Outcome.UNKNOWN, 1, 2))
    for n in range(2):
        event = {"type": "context.item_removed.v1", "content_id": "z", "request": f"req_{n} of nobody", "id": f"{n}"}
        world.context_events.append(Logged(0, 900 + n, START_MS, CONTEXT, event))


def write_something_else(world: World) -> None:
    world.logged(world.third).event["item"]["title"] = "another"


def answer_another_place(world: World) -> None:
    world.third.position = ContextPosition(raw_id(OTHER), 999)


def show_what_was_not_written(world: World) -> None:
    assert world.whole.entries is not None
    world.whole.entries[0] = world.history.entries.number({"content_id": "a", "title": "never"})


def leave_an_item_out(world: World) -> None:
    world.whole.entries, world.whole.total = array("q", list(world.whole.entries or [])[1:]), 2


def show_an_item_twice(world: World) -> None:
    entries = list(world.whole.entries or [])
    world.whole.entries, world.whole.total = array("q", [entries[0], *entries]), 4


def change_the_order(world: World) -> None:
    entries = list(world.whole.entries or [])
    world.whole.entries = array("q", entries[::-1])


def miscount(world: World) -> None:
    world.whole.total += 1


def promise_a_page(world: World) -> None:
    world.whole.next_key = 3


def leave_a_context_out(world: World) -> None:
    assert isinstance(world.whole.position, ListPosition)
    world.whole.position = ListPosition(raw_id(SESSION), world.whole.position.offset, world.whole.position.members[:1])
    world.whole.entries, world.whole.total = array("q", list(world.whole.entries or [])[1:]), 2


def have_nothing_of_a_context(world: World) -> None:
    assert isinstance(world.whole.position, ListPosition)
    members, epoch = world.whole.position.members[:1], world.whole.position.members[1][0]
    world.whole.position = ListPosition(raw_id(SESSION), world.session_events[-1].offset, [*members, (epoch, -1)])
    world.whole.entries, world.whole.total = array("q", list(world.whole.entries or [])[1:]), 2


def say_that_something_is_missing(world: World) -> None:
    world.whole.view = "catching-up"


def be_in_a_state_that_never_was(world: World) -> None:
    world.of_context.position = ContextPosition(raw_id(CONTEXT), 31)


def go_back(world: World) -> None:
    world.early.after = passed(world.whole)


def miss_the_write_that_was_asked_for(world: World) -> None:
    later = world.put(CONTEXT, "c", "later")
    world.of_context.after = passed(later)


def miss_a_write_of_a_context_that_was_asked_for(world: World) -> None:
    later = world.put(CONTEXT, "c", "later")
    world.whole.after = passed(later)


def lack_a_context_that_was_asked_for(world: World) -> None:
    have_nothing_of_a_context(world)
    world.whole.view = "catching-up"
    world.whole.after = passed(world.attached)


def be_stale(world: World) -> None:
    world.put(CONTEXT, "c", "later")
    world.at_s += STALE_S + 10
    world.read_context([world.second, world.first])


def be_absent(world: World) -> None:
    world.history.reads.append(Read(Kind.SESSION, SESSION, 90, 91, "a reader", status=404))


def have_been_absent_before_what_was_asked_for(world: World) -> None:
    read = Read(Kind.IN_SESSION, SESSION, 90, 91, "a reader", context=OTHER, status=404)
    read.after = passed(world.attached)
    world.history.reads.append(read)


def answer_a_session_that_is_deleted(world: World) -> None:
    world.write(Mark(Call.DELETE, SESSION, ""), {"type": "session.deleted.v1"})
    world.read_list({CONTEXT: [world.second, world.first], OTHER: [world.third]})


def attach_with_another_time(world: World) -> None:
    world.attached.answer["created_at"] = iso_ms(START_MS)


def attach_what_is_not(world: World) -> None:
    logged = world.logged(world.attached)
    event = {"type": "session.deleted.v1", "request": "x", "id": "x"}
    world.session_events.insert(1, logged._replace(offset=5, event=event))
    world.history.writes.append(Write(Mark(Call.DELETE, SESSION, ""), Outcome.ACKNOWLEDGED, 1, 2, "x", 204))
    world.history.writes[-1].position = SessionsPosition({0: 5})
    world.history.reads.clear()


def refuse_a_command_for_nothing(world: World) -> None:
    mark = Mark(Call.DETACH, SESSION, OTHER)
    world.history.writes.append(Write(mark, Outcome.FAILED, 1, 2, "req_x", 404))


def refuse_to_hide_what_is_there(world: World) -> None:
    write = Write(Mark(Call.HIDE, CONTEXT, "b", hidden=True), Outcome.FAILED, 1, 2, "req_x", 404, session=SESSION)
    write.after = passed(world.second, world.attached)
    world.history.writes.append(write)


def leave_a_session_attached(world: World) -> None:
    write = Write(Mark(Call.DETACH_ALL, OTHER, ""), Outcome.ACKNOWLEDGED, 1, 2, "req_x", 204)
    write.position = SessionsPosition({})
    write.proofs = ((SESSION, world.logged(world.attached).offset),)
    world.history.writes.append(write)


BREAKS: list[tuple[Break, str]] = [
    (lose, "is lost"),
    (lose_one_of_a_bulk, "is lost"),
    (repeat_with_a_key_under_another_id, "more than once"),
    (repeat_without_a_key, "more than once"),
    (repeat, "more than once"),
    (write_what_failed, "stands in the log"),
    (write_what_nobody_sent, "which no client has sent"),
    (write_twice_what_was_not_answered, "which no client has sent"),
    (write_something_else, "as something else"),
    (answer_another_place, "it should stand at [999]"),
    (show_what_was_not_written, "that it should not"),
    (leave_an_item_out, "lacks"),
    (show_an_item_twice, "something twice"),
    (change_the_order, "not in order"),
    (miscount, "total is 4"),
    (promise_a_page, "next_key is 3"),
    (leave_a_context_out, "the log has"),
    (have_nothing_of_a_context, "does not say so"),
    (say_that_something_is_missing, "no context is missing"),
    (be_in_a_state_that_never_was, "no such state"),
    (go_back, "was asked for"),
    (miss_the_write_that_was_asked_for, "was asked for"),
    (miss_a_write_of_a_context_that_was_asked_for, "was asked for"),
    (lack_a_context_that_was_asked_for, "still on its way"),
    (be_stale, "60 s before"),
    (be_absent, "there all the time"),
    (have_been_absent_before_what_was_asked_for, "there all the time"),
    (answer_a_session_that_is_deleted, "was deleted"),
    (attach_with_another_time, "was answered"),
    (attach_what_is_not, "by the log it was not"),
    (refuse_a_command_for_nothing, "never deleted"),
    (refuse_to_hide_what_is_there, "was there all the time"),
    (leave_a_session_attached, "has left"),
]


@pytest.mark.parametrize(("spoil", "said"), BREAKS, ids=[spoil.__name__ for spoil, _ in BREAKS])
def test_what_is_wrong_is_found(spoil: Break, said: str) -> None:
    """Whatever else follows from it is found as well; what is said of it is among that."""
    world = World()
    assert world.wrong() == []
    spoil(world)
    found = world.wrong()
    assert any(said in what for what in found), found


def test_what_was_wrong_at_first_sight_is_told() -> None:
    """As a status that there must not be."""
    world = World()
    world.history.wrong.append("a 500")
    assert world.wrong() == ["a 500"]
