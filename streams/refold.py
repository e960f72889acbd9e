"""Contexts and sessions folded again from the log, each from its own events: by the very folds that made the tables."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

from streams.codec import event_key
from streams.domain.errors import (
    AbsentError,
    HistoryGoneError,
    HistoryTooLongError,
    HistoryUnorderedError,
    OverloadedError,
)
from streams.domain.feed import LIMITS, Limits
from streams.domain.ids import ContextId, Kind, SessionId, parse_id
from streams.domain.times import iso_ms
from streams.folded import FoldedContext, FoldedSession
from streams.log.port import Chunk, Record
from streams.processors.contexts import ContextsFold
from streams.processors.sessions import SessionsFold
from streams.topics import CONTEXT_EVENTS, SESSION_EVENTS, partition_of
from streams.trail import Trail

MOST_AT_ONCE = 2
"""Calls of one node that read the log at the same time: each may take half a core."""
_WORK_AT_ONCE, _WORK_BYTES = 200, 200
"""Events folded before other tasks have their turn, about 4 ms; so many bytes of one that has many items are as another
event."""
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
    bytes: int = 1 << 30
    """Of the records that are folded: what they give is in memory, as often as it is answered."""
    rests: float = 0.0
    """So many times what a piece has taken of the processor, others have the node to themselves after it."""


class Reading:
    """What one call has read, and may still read."""

    def __init__(self, bound: Bound, clock_s: Callable[[], float]) -> None:
        self._bound, self._clock_s = bound, clock_s
        self._records, self._bytes = bound.records, bound.bytes
        self._end_s = clock_s() + bound.seconds
        self._work = 0
        self._worked_s = time.thread_time()

    def took(self, records: int) -> None:
        """Count *records*; raise `HistoryTooLongError` where they were too many, or took too long."""
        self._records -= records
        if self._records < 0:
            raise HistoryTooLongError(f"More than {self._bound.records:,} records of the log would have to be read.")
        if self._clock_s() > self._end_s:
            raise HistoryTooLongError(f"To read the log would take more than {self._bound.seconds:g} s.")

    def folds(self, record: Record) -> None:
        """Count a record that is folded; raise `HistoryTooLongError` where they were too large together."""
        self._bytes -= len(record.value or b"")
        if self._bytes < 0:
            raise HistoryTooLongError(f"More than {self._bound.bytes >> 20} MiB of events would have to be folded.")
        self._work += 1 + len(record.value or b"") // _WORK_BYTES

    async def rest(self, *, anyway: bool = False) -> None:
        """
        Let others have their turn, where there was much work, or *anyway*; raises as `took` does.

        What they do meanwhile counts as work too: the more there is of it, the longer is left to them.
        """
        if anyway or self._work >= _WORK_AT_ONCE:
            await asyncio.sleep(self._bound.rests * (time.thread_time() - self._worked_s))
            self._work, self._worked_s = 0, time.thread_time()
            self.took(0)


class Refold:
    """
    Folds contexts and sessions again, each from its own events, by reading whole partitions of the log.

    All raise:
        HistoryTooLongError: More would have to be read than the call may.
        HistoryGoneError: The log has lost what would have to be read.
        HistoryUnorderedError: Of what is sought in one partition, an event up to a time stands behind one after it.
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
        to_the_end: bool = False,
    ) -> dict[ContextId, FoldedContext]:
        """
        Fold contexts, all of one partition in one go.

        Args:
            ends: Context → the offset before which its events count; None: all that are in the log now.
            reading: How much is read.
            until_ms: Only those that are not later than this.
            watched: The content ids of the items whose steps are kept.
            to_the_end: Whether what does not count is looked at, so that a context that was erased since is known.
        """
        folded = {context: FoldedContext(context, self._contexts, watched) for context in ends}
        by_partition: dict[int, dict[bytes, _Sought]] = defaultdict(dict)
        for context, end in ends.items():
            sought = by_partition[partition_of(context, self._partitions)]
            look = folded[context].look if to_the_end else None
            sought[_prefix(Kind.CONTEXT, context)] = _Sought(folded[context].add, end, look)
        for partition, sought in sorted(by_partition.items()):
            await self._read(CONTEXT_EVENTS, partition, sought, reading, until_ms)
        return folded

    async def session(
        self, session: SessionId, reading: Reading, *, end: int | None = None, until_ms: int | None = None
    ) -> FoldedSession:
        """Fold a session; the arguments are as those of `contexts`."""
        return (await self.sessions({session: end}, reading, until_ms=until_ms))[session]

    async def sessions(
        self, ends: Mapping[SessionId, int | None], reading: Reading, *, until_ms: int | None = None
    ) -> dict[SessionId, FoldedSession]:
        """Fold sessions, all of one partition in one go; the arguments are as those of `contexts`."""
        folded = {session: FoldedSession(session, self._sessions) for session in ends}
        by_partition: dict[int, dict[bytes, _Sought]] = defaultdict(dict)
        for session, end in ends.items():
            sought = by_partition[partition_of(session, self._partitions)]
            sought[_prefix(Kind.SESSION, session)] = _Sought(folded[session].add, end)
        for partition, sought in sorted(by_partition.items()):
            await self._read(SESSION_EVENTS, partition, sought, reading, until_ms)
        return folded

    async def each_id(
        self,
        topic: str,
        partition: int,
        reading: Reading,
        take: Callable[[bytes], None],
        *,
        first: int = 0,
        end: int | None = None,
    ) -> None:
        """
        Hand over what the keys of a partition's events begin with, an id and a slash, as often as one comes.

        Of the events from the offset *first* on, before *end*; None: of all that are in the log now.
        """
        if partition >= self._partitions:
            raise AbsentError(f"there is no partition {partition}")
        kind = {CONTEXT_EVENTS: Kind.CONTEXT, SESSION_EVENTS: Kind.SESSION}[topic]
        if end is None:
            end = await self._log.end_offset(topic, partition)
        async for chunk in self._log.scan(topic, partition, first, end):
            reading.took(len(chunk.records))
            for prefix in {record.key[:_KEY_BYTES] for record in chunk.records if record.key is not None}:
                if parse_id(kind, prefix[:-1].decode("ascii", "replace")) is not None:
                    take(prefix)

    def context_trail(self, context: ContextId) -> Trail[FoldedContext]:
        """Begin to read a context's events."""
        return Trail(FoldedContext(context, self._contexts, ()), CONTEXT_EVENTS, Kind.CONTEXT, context)

    def session_trail(self, session: SessionId) -> Trail[FoldedSession]:
        """Begin to read a session's events."""
        return Trail(FoldedSession(session, self._sessions), SESSION_EVENTS, Kind.SESSION, session)

    async def read_on(self, trails: Collection[Trail[Any]], reading: Reading, *, end: int | None = None) -> None:
        """Read trails of one topic on, before an offset, or as far as the log goes; all of a partition in one go."""
        by_partition: dict[int, list[Trail[Any]]] = defaultdict(list)
        for trail in trails:
            by_partition[partition_of(trail.raw, self._partitions)].append(trail)
        for partition, some in sorted(by_partition.items()):
            topic = some[0].topic
            until = await self._log.end_offset(topic, partition)
            until = until if end is None else min(end, until)
            start = min(trail.end for trail in some)
            if start < until:
                sought = {_prefix(trail.kind, trail.raw): _Sought(trail.take, until) for trail in some}
                await self._read(topic, partition, sought, reading, None, start)
            for trail in some:
                trail.end = max(trail.end, until)

    async def _read(
        self,
        topic: str,
        partition: int,
        sought: Mapping[bytes, _Sought],
        reading: Reading,
        until_ms: int | None,
        start: int = 0,
    ) -> None:
        first = await self._log.start_offset(topic, partition)
        if first > start:
            raise HistoryGoneError(f"The log begins at {topic}-{partition}-{first}: what was before is gone.")
        ends = [None if one.look else one.end for one in sought.values()]
        given = [end for end in ends if end is not None]
        end = max(given) if len(given) == len(ends) else await self._log.end_offset(topic, partition)
        until = _Until(until_ms)
        async for chunk in self._log.scan(topic, partition, start, end):
            reading.took(len(chunk.records))
            for record in chunk.records:
                # What has no value has a key removed, when that is erased, and is no event.
                one = None if record.key is None else sought.get(record.key[:_KEY_BYTES])
                if one is None or record.value is None:
                    continue
                if until.is_passed(record) or (one.end is not None and record.offset >= one.end):
                    if one.look is not None:
                        one.look(record)
                else:
                    reading.folds(record)
                    one.add(partition, record)
                    await reading.rest()
            await reading.rest(anyway=True)


class _Sought(NamedTuple):
    """Who takes the records of one context or session, and those before which offset: None: all."""

    add: Callable[[int, Record], None]
    end: int | None
    look: Callable[[Record], None] | None = None
    """Takes those that do not count any more, where somebody wants to know of them."""


class _Until:
    """
    Up to when events of one partition count.

    So that an answer stays what it is, whatever is moved or erased beside it, it does not matter what others' events
    are dated, and nobody's order is guessed.
    """

    def __init__(self, time_ms: int | None) -> None:
        self._time_ms, self._latest_ms = time_ms, -1

    def is_passed(self, record: Record) -> bool:
        """Say whether a record is later; raise `HistoryUnorderedError` where one was, and this one is not."""
        if self._time_ms is None:
            return False
        if record.time_ms > self._time_ms:
            self._latest_ms = max(self._latest_ms, record.time_ms)
            return True
        if self._latest_ms >= 0:
            raise HistoryUnorderedError(
                f"The log's clock was set back from {iso_ms(self._latest_ms)} to {iso_ms(record.time_ms)}: what there "
                "was at a time in between is not clear. Name another time, or a position."
            )
        return False


def _prefix(kind: Kind, raw: bytes) -> bytes:
    """Return what the keys of an id's events begin with."""
    return event_key(kind, raw, "")
