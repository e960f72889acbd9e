"""Lists as of a time where the clocks of the log step back: what had come by then, or a refusal; no guess."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.codec import id_in_key
from streams.domain.errors import HistoryUnorderedError
from streams.domain.ids import ContextId, Kind, SessionId
from streams.domain.past_lists import Moment, PastList
from streams.domain.positions import NOTHING, ListPosition
from streams.history import History
from streams.log.port import Chunk, Record
from streams.refold import Bound, Refold
from streams.topics import CONTEXT_EVENTS, SESSION_EVENTS, partition_of
from streams.views.session_lists import SessionLists
from streams.views.session_views import SessionReader
from streams.views.tables import WaitLimit
from tests.support.tables import CLIENT, HASH_KEY, START_MS, Views, context_id, session_id

C1, C2, OTHER = map(context_id, (1, 2, 3))
S = session_id(1)
KINDS = {CONTEXT_EVENTS: Kind.CONTEXT, SESSION_EVENTS: Kind.SESSION}
LAYOUTS = (1, 2, 5)
"""Partitions: of one C1, C2 and the other context are in the same, of the others they are not."""


class Event(NamedTuple):
    """A record of a source, and whose it is."""

    topic: str
    raw: bytes
    record: Record


class Partitions:
    """`streams.refold.ScannedLog` of some events in as many partitions as one wants; what was erased is a hole."""

    def __init__(self, events: Sequence[Event], partitions: int, erased: bytes = b"") -> None:
        self._records: dict[tuple[str, int], list[Record]] = {}
        for topic, raw, record in events:
            there = self._records.setdefault((topic, partition_of(raw, partitions)), [])
            there.append(record._replace(offset=len(there), value=None if raw == erased else record.value))

    async def start_offset(self, topic: str, partition: int) -> int:
        del topic, partition
        return 0

    async def end_offset(self, topic: str, partition: int) -> int:
        return len(self._records.get((topic, partition), ()))

    async def scan(self, topic: str, partition: int, start: int, end: int) -> AsyncIterator[Chunk]:
        records = self._records.get((topic, partition), ())[start:end]
        yield Chunk([record for record in records if record.value is not None], end)


MOVES = st.tuples(
    st.sampled_from(["put", "remove", "hide", "attach", "detach"]),
    st.sampled_from([C1, C2, OTHER]),
    st.sampled_from("ab"),
    st.integers(-4, 4),
)


def written(moves: Iterable[tuple[str, ContextId, str, int]]) -> list[Event]:
    """Return what the log has of moves, with how far the clock steps before each; the other context is in no list."""
    views = Views()
    for move, context, content_id, step_ms in [("attach", C1, "", 0), *moves]:
        views.now_ms = max(START_MS, views.now_ms + step_ms)
        if move in ("put", "remove", "hide"):
            getattr(views, move)(context, content_id)
        elif context != OTHER:
            getattr(views, move)(S, context)
    # In the order in which they came, of which a log keeps that of each partition.
    events = [
        Event(topic, id_in_key(kind, record.key) or b"", record)
        for topic, kind in KINDS.items()
        for record in views.log.records[topic]
    ]
    assert all(event.raw for event in events)
    return events


async def had(events: Iterable[Event]) -> tuple[list[bytes], set[bytes]]:
    """Return the list that is served once these events, and no others, are folded, and the contexts that it is of."""
    views = Views()
    for event in events:
        views.now_ms = event.record.time_ms
        assert event.record.key is not None
        views.append(event.topic, event.record.key, event.record.value)
    views.drain()
    reader = SessionReader(views.sessions, 1, SessionLists(), WaitLimit())
    page = await reader.page(S, start=0, limit=200, after=NOTHING, client=CLIENT)
    contexts = await reader.contexts(S, start=0, limit=200, after=NOTHING, client=CLIENT)
    return [encoded for _, encoded in page.items], {one.context for one in contexts.items}


def is_clear(events: Sequence[Event], raws: set[bytes], partitions: int, at_ms: int) -> bool:
    """Say whether in no partition an event of *raws* up to a time stands behind one after it."""
    passed: dict[tuple[str, int], list[bool]] = {}
    for topic, raw, record in events:
        if raw in raws:
            passed.setdefault((topic, partition_of(raw, partitions)), []).append(record.time_ms > at_ms)
    return all(late == sorted(late) for late in passed.values())


async def past(log: Partitions, partitions: int, moment: Moment) -> PastList | None:
    """Return what any node answers; None where it refuses."""
    history = History(Refold(log, partitions, hash_key=HASH_KEY), bound=Bound(10_000, 30.0))
    try:
        return (await history.session_lists(S, [moment]))[0]
    except HistoryUnorderedError:
        return None


def fragments(found: PastList | None) -> list[bytes] | None:
    return None if found is None else [one.fragment for one in found.items]


@settings(deadline=None, print_blob=True)
@given(moves=st.lists(MOVES, max_size=25), layout=st.sampled_from(LAYOUTS))
def test_what_there_was_at_a_time(moves: list[tuple[str, ContextId, str, int]], layout: int) -> None:
    """
    A list as of a time is what its events up to then give, or is refused where their order in a partition is another.

    So it is one that there was, the same from all nodes, also after others' events were erased, and never less than as
    of an earlier time.
    """
    events = written(moves)
    log, later = Partitions(events, layout), Partitions(events, layout, erased=OTHER)

    async def check() -> None:
        before = ListPosition(SessionId(S), -1, [])
        for at_ms in sorted({event.record.time_ms for event in events} | {START_MS - 1}):
            expected, contexts = await had(event for event in events if event.record.time_ms <= at_ms)
            found = await past(log, layout, Moment(time_ms=at_ms))
            # A session whose own events are not in order may have had other contexts.
            if not is_clear(events, {S}, layout, at_ms) or not is_clear(events, contexts, layout, at_ms):
                assert found is None
                continue
            assert fragments(found) == expected
            assert fragments(await past(later, layout, Moment(time_ms=at_ms))) == expected
            assert found is not None
            position = found.position
            assert isinstance(position, ListPosition)
            again = Moment(offset=position.offset, sequences=dict(position.members))
            assert fragments(await past(log, layout, again)) == expected
            assert position.offset >= before.offset
            known = dict(before.members)
            assert all(sequence >= known.get(epoch, -1) for epoch, sequence in position.members)
            before = position

    asyncio.run(check())


async def test_a_clock_that_is_set_back_concerns_who_was_written_to() -> None:
    """An hour ahead for one event: times in between are refused for its list, and are what they were for all others."""
    views, hour_ms = Views(), 3_600_000
    views.attach(S, C1)
    views.put(C1, "before")
    views.now_ms += hour_ms
    ahead_ms = views.now_ms
    views.put(OTHER, "ahead")
    views.now_ms -= hour_ms
    views.put(C1, "after")
    behind_ms = views.now_ms
    views.put(OTHER, "behind")
    history = History(Refold(views.log, 1, hash_key=HASH_KEY), bound=Bound(10_000, 30.0))
    (found,) = await history.session_lists(S, [Moment(time_ms=behind_ms)])
    assert [one.content_id for one in found.items] == ["after", "before"]
    with pytest.raises(HistoryUnorderedError, match=r"set back from .* to .*: .* Name another time, or a position"):
        await history.context_lists(OTHER, [Moment(time_ms=behind_ms + 1)])
    for at_ms, expected in ((behind_ms, []), (ahead_ms + 1, ["behind", "ahead"])):
        (found,) = await history.context_lists(OTHER, [Moment(time_ms=at_ms)])
        assert [one.content_id for one in found.items] == expected
