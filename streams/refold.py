"""Contexts and sessions folded again from the log, each from its own events: by the very folds that made the tables."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple, Protocol, assert_never

from streams.codec import decode_context_event, decode_session_event, event_key
from streams.domain import context_rows, session_rows
from streams.domain.context_rows import StoredItem
from streams.domain.errors import HistoryGoneError, HistoryTooLongError, OverloadedError, PoisonError
from streams.domain.events import (
    ContextAttached,
    ContextDetached,
    ContextEvent,
    SessionCreated,
    SessionDeleted,
    SessionEvent,
)
from streams.domain.feed import LIMITS, Limits
from streams.domain.ids import ContextId, Kind, SessionId, known_id
from streams.domain.memory_rows import MemoryRows
from streams.domain.session_rows import Member
from streams.domain.steps import Did, Step, did_to_item, did_to_member
from streams.log.port import Chunk, Record
from streams.processors.contexts import ContextsFold
from streams.processors.sessions import SessionsFold
from streams.topics import CONTEXT_EVENTS, SESSION_EVENTS, partition_of

MOST_AT_ONCE = 2
"""Calls of one node that read the log at the same time: each may take half a core."""
MOST_STEPS = 100
"""Of one item: older ones are counted."""
_FOLDS_AT_ONCE = 200
"""Events folded before other tasks have their turn: about 4 ms."""
_KEY_BYTES = 44
"""Of the key of an event: the id and the slash."""


class ScannedLog(Protocol):
    """The log, as far as it is read here."""

    async def start_offset(self, topic: str, partition: int) -> int:
        """Return the offset of the first record that is still there."""

    async def end_offset(self, topic: str, partition: int) -> int:
        """Return the offset that the next record will get."""

    def scan(self, topic: str, partition: int, start: int, end: int) -> AsyncIterator[Chunk]:
        """Yield the records from *start* up to, not including, *end*, in pieces so small that nothing else waits."""


class Bound(NamedTuple):
    """How much of the log one call may read."""

    records: int
    seconds: float


class Reading:
    """What one call has read, and may still read."""

    def __init__(self, bound: Bound, clock_s: Callable[[], float]) -> None:
        self._bound, self._clock_s = bound, clock_s
        self._records = bound.records
        self._end_s = clock_s() + bound.seconds

    def took(self, records: int) -> None:
        """Count *records*; raise `HistoryTooLongError` where they were too many, or took too long."""
        self._records -= records
        if self._records < 0:
            raise HistoryTooLongError(f"More than {self._bound.records:,} records of the log would have to be read.")
        if self._clock_s() > self._end_s:
            raise HistoryTooLongError(f"To read the log would take more than {self._bound.seconds:g} s.")


class FoldedContext:
    """One context, as far as its events were folded, and what they did to the items that are watched."""

    def __init__(self, context: ContextId, fold: ContextsFold, watched: Collection[str]) -> None:
        self.context, self.rows = context, MemoryRows()
        self.steps: dict[str, deque[Step]] = {content_id: deque(maxlen=MOST_STEPS) for content_id in watched}
        self.omitted: dict[str, int] = dict.fromkeys(watched, 0)
        self._fold = fold

    def item(self, content_id: str) -> StoredItem | None:
        """Return an item as it is now."""
        value = self.rows.get(context_rows.item_key(self.context, content_id.encode()))
        return None if value is None else context_rows.decode_item(value)

    @property
    def sequence(self) -> int:
        """The offset of the last event that was folded, -1 before the first."""
        return context_rows.read_meta(self.rows, self.context).sequence

    def add(self, partition: int, record: Record) -> None:
        """Fold one record of the context; one that is no event is nothing, as it is to the tables."""
        try:
            _, event = decode_context_event(record.key, record.value)
        except PoisonError:
            return
        before = {content_id: self.item(content_id) for content_id in self.steps}
        for _ in self._fold.fold(self.rows, CONTEXT_EVENTS, record):
            pass
        for content_id, steps in self.steps.items():
            did = did_to_item(event, content_id, before[content_id], self.item(content_id))
            if did is not None:
                self.omitted[content_id] += len(steps) == MOST_STEPS
                steps.append(_step(CONTEXT_EVENTS, partition, record, event, did))


class FoldedSession:
    """One session, as far as its events were folded: its members, and what became of every attachment."""

    def __init__(self, session: SessionId, fold: SessionsFold) -> None:
        self.session, self.rows = session, MemoryRows()
        self.attachments: dict[ContextId, deque[Step]] = {}
        """Context → what events did to its attachment, oldest first, the last ones of too many."""
        self.offset = -1
        """Of the session's last event."""
        self._fold = fold

    @property
    def deleted(self) -> bool:
        """Whether the session was deleted."""
        return session_rows.read_session(self.rows, self.session).deleted

    def member(self, context: ContextId) -> Member | None:
        """Return a context's attachment, None where it is not attached."""
        return session_rows.read_member(self.rows, self.session, context)

    def members(self) -> dict[ContextId, Member]:
        """Return the contexts that are attached. What they have loaded is not said by the session's events."""
        return dict(session_rows.members(self.rows, self.session))

    @property
    def attached(self) -> list[ContextId]:
        """The contexts that are attached, were, or would be, had there been room."""
        return [one for one, steps in self.attachments.items() if any(step.did is not Did.NOTHING for step in steps)]

    def add(self, partition: int, record: Record) -> None:
        """Fold one record of the session; after it was deleted, none counts."""
        try:
            _, event = decode_session_event(record.key, record.value)
        except PoisonError:
            return
        self.offset = record.offset
        if self.deleted:
            return
        named = self._named(event)
        before = {context: self.member(context) for context in named}
        for _ in self._fold.fold(self.rows, SESSION_EVENTS, record):
            pass
        for context in named:
            did = did_to_member(event, before[context], self.member(context))
            if did is not None:
                steps = self.attachments.setdefault(context, deque(maxlen=MOST_STEPS))
                steps.append(_step(SESSION_EVENTS, partition, record, event, did))

    def _named(self, event: SessionEvent) -> list[ContextId]:
        """Return the contexts that an event may attach or detach."""
        match event:
            case ContextAttached() | ContextDetached():
                return [ContextId(known_id(Kind.CONTEXT, event.context))]
            case SessionDeleted():
                return list(self.members())
            case SessionCreated():
                return []
            case _:
                assert_never(event)


class Refold:
    """
    Folds contexts and sessions again, each from its own events, by reading whole partitions of the log.

    All raise:
        HistoryTooLongError: More would have to be read than the call may.
        HistoryGoneError: The log has lost what would have to be read.
        LogUnavailableError: It does not answer.
    """

    def __init__(
        self,
        log: ScannedLog,
        partitions: int,
        *,
        hash_key: bytes,
        limits: Limits = LIMITS,
        most_at_once: int = MOST_AT_ONCE,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the log, and what items are hashed with; see `streams.processors.contexts`."""
        self._log, self._partitions, self._most_at_once, self._clock_s = log, partitions, most_at_once, clock_s
        self._contexts = ContextsFold(hash_key=hash_key, limits=limits)
        self._sessions = SessionsFold(hash_key=hash_key, limits=limits)
        self._under_way = 0

    @contextmanager
    def reading(self, bound: Bound) -> Iterator[Reading]:
        """Give what one call reads with; raise `OverloadedError` where as many read already as may."""
        if self._under_way >= self._most_at_once:
            raise OverloadedError(f"{self._most_at_once} calls read the log already")
        self._under_way += 1
        try:
            yield Reading(bound, self._clock_s)
        finally:
            self._under_way -= 1

    async def contexts(
        self,
        ends: Mapping[ContextId, int | None],
        reading: Reading,
        *,
        until_ms: int | None = None,
        watched: Collection[str] = (),
    ) -> dict[ContextId, FoldedContext]:
        """
        Fold contexts, all of one partition in one go.

        Args:
            ends: Context → the offset before which its events count; None: all that are in the log now.
            reading: How much is read.
            until_ms: Only those before the first record of the partition that is later than this.
            watched: The content ids of the items whose steps are kept.
        """
        folded = {context: FoldedContext(context, self._contexts, watched) for context in ends}
        by_partition: dict[int, dict[bytes, _Sought]] = defaultdict(dict)
        for context, end in ends.items():
            sought = by_partition[partition_of(context, self._partitions)]
            sought[_prefix(Kind.CONTEXT, context)] = _Sought(folded[context].add, end)
        for partition, sought in sorted(by_partition.items()):
            await self._read(CONTEXT_EVENTS, partition, sought, reading, until_ms)
        return folded

    async def session(
        self, session: SessionId, reading: Reading, *, end: int | None = None, until_ms: int | None = None
    ) -> FoldedSession:
        """Fold a session; the arguments are as those of `contexts`."""
        folded = FoldedSession(session, self._sessions)
        sought = {_prefix(Kind.SESSION, session): _Sought(folded.add, end)}
        await self._read(SESSION_EVENTS, partition_of(session, self._partitions), sought, reading, until_ms)
        return folded

    async def _read(
        self, topic: str, partition: int, sought: Mapping[bytes, _Sought], reading: Reading, until_ms: int | None
    ) -> None:
        start = await self._log.start_offset(topic, partition)
        if start > 0:
            raise HistoryGoneError(f"The log begins at {topic}-{partition}-{start}: what was before is gone.")
        ends = [one.end for one in sought.values()]
        given = [end for end in ends if end is not None]
        end = max(given) if len(given) == len(ends) else await self._log.end_offset(topic, partition)
        async for chunk in self._log.scan(topic, partition, 0, end):
            reading.took(len(chunk.records))
            mine = 0
            for record in chunk.records:
                if until_ms is not None and record.time_ms > until_ms:
                    return
                one = None if record.key is None else sought.get(record.key[:_KEY_BYTES])
                if one is not None and (one.end is None or record.offset < one.end):
                    one.add(partition, record)
                    mine += 1
                    if mine % _FOLDS_AT_ONCE == 0:
                        await asyncio.sleep(0)


class _Sought(NamedTuple):
    """Who takes the records of one context or session, and those before which offset: None: all."""

    add: Callable[[int, Record], None]
    end: int | None


def _prefix(kind: Kind, raw: bytes) -> bytes:
    """Return what the keys of an id's events begin with."""
    return event_key(kind, raw, "")


def _step(topic: str, partition: int, record: Record, event: ContextEvent | SessionEvent, did: Did) -> Step:
    kind = str(event.__struct_config__.tag)
    return Step(topic, partition, record.offset, record.time_ms, kind, event.client, event.request, did)
