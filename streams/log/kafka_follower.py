"""Many partitions of Kafka followed at once, through one fetch session a broker and topic."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Collection, Mapping
from contextlib import suppress

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from streams.domain.errors import LogUnavailableError
from streams.log.kafka_connection import KafkaConnection, error_of
from streams.log.kafka_fetch import FetchResponseV11, FetchSession, Found, Partition, records_in
from streams.log.port import Record

WAIT_MS = 100
"""How long a broker may hold a fetch that finds nothing. What is to be read from elsewhere waits for its end."""
MOST_BYTES = 1 << 20
"""Of one answer: what is decoded at one go, while nothing else is."""
_AGAIN_S = 0.1
_GOODBYE_LIMIT_S = 1.0
_NO_SUCH_SESSION = (70, 71)
"""What a broker says that has forgotten a session, or has another epoch of it: the next fetch names everything."""

Source = tuple[int, str]
"""A broker and a topic: what has a fetch session, and a connection of its own, for what comes on one is answered in
order."""


class KafkaFollower:
    """
    Reads what is appended to partitions, as it comes.

    One fetch is under way a broker and topic, and the next one goes out as soon as its records are taken, with the
    partitions just read in it: so a record is here after one round trip, however many partitions are followed. To the
    broker each partition of a session is work whenever one of them has a record, hence a session for each topic.
    """

    def __init__(self, connection: KafkaConnection) -> None:
        self._connection = connection
        self._wanted: frozenset[Partition] = frozenset()
        self._offsets: dict[Partition, int] = {}
        """Where to read next."""
        self._starts: dict[Partition, int] = {}
        self._ends: dict[Partition, int] = {}
        self._led: dict[Source, list[Partition]] = {}
        self._source: dict[Partition, Source] = {}
        """The same the other way round."""
        self._heard_s: dict[Source, float] = {}
        """When the last fetch was sent that was answered: so long ago its answer may have been true."""
        self._sessions: dict[Source, FetchSession] = {}
        self._fetched: dict[Partition, list[Record]] = {}
        self._arrived, self._taken, self._changed = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._logger = structlog.get_logger(__name__)

    def start(self) -> None:
        """Begin."""
        self._running = asyncio.create_task(self._run(), name="follow partitions")
        self._running.add_done_callback(lambda _: self.wake())

    async def stop(self) -> None:
        """End the fetches."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait({self._running})
        await asyncio.gather(*(self._close(source) for source in list(self._sessions)))

    def wake(self) -> None:
        """Have a `fetched` under way return what there is."""
        self._arrived.set()

    def seek(self, offsets: Mapping[Partition, int]) -> None:
        """Read partitions from other offsets; what was fetched of them and known of their ends is forgotten."""
        self._offsets.update(offsets)
        for at in offsets:
            self._fetched.pop(at, None)
            self._ends.pop(at, None)
        if not self._fetched:
            self._taken.set()
        self._changed.set()

    def start_offset(self, at: Partition) -> int:
        """Return the offset of the first record of a partition as a broker has last told it, 0 where none has."""
        return self._starts.get(at, 0)

    def end_offset(self, at: Partition) -> int | None:
        """Return the end of a partition as a broker has last told it since it was sought, None where none has."""
        return self._ends.get(at)

    def silent_s(self, at: Partition) -> float:
        """
        Return for how many seconds that end may have been another one, nobody having told.

        An answer says of all partitions of its session that nothing has changed but what it tells.
        """
        heard_s = self._heard_s.get(self._source[at]) if at in self._source else None
        return math.inf if heard_s is None else asyncio.get_running_loop().time() - heard_s

    def next_offset(self, at: Partition) -> int:
        """Return the offset that follows on what was last fetched of a partition, also where rows of it are gone."""
        return self._offsets[at]

    async def fetched(self, wanted: Collection[Partition], limit_s: float) -> dict[Partition, list[Record]]:
        """
        Return what has been fetched, as soon as there is something, or nothing after *limit_s*.

        Args:
            wanted: What to fetch from now on. What was fetched before is returned all the same.
            limit_s: How long to wait.

        Raises:
            CorruptRecordException: A broker keeps records that are damaged.
        """
        if self._wanted != wanted:
            self._wanted = frozenset(wanted)
            self._changed.set()
        self._arrived.clear()
        if not self._fetched and not self._has_ended():
            timer = asyncio.get_running_loop().call_later(limit_s, self._arrived.set)
            try:
                await self._arrived.wait()
            finally:
                timer.cancel()
            self._has_ended()
        fetched, self._fetched = self._fetched, {}
        self._taken.set()
        return fetched

    def _has_ended(self) -> bool:
        """Say whether nothing is fetched any more; raise why, where that is an error."""
        if self._running is None or not self._running.done():
            return False
        if not self._running.cancelled():
            self._running.result()
        return True

    async def _run(self) -> None:
        try:
            async with asyncio.TaskGroup() as sources:
                fetching: set[Source] = set()
                while True:
                    self._changed.clear()
                    complete = await self._find_leaders()
                    for source in self._led.keys() - fetching:
                        sources.create_task(self._fetch_from(source), name=f"fetch {source}")
                        fetching.add(source)
                    if complete:
                        await self._changed.wait()
                    else:
                        await asyncio.sleep(_AGAIN_S)
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from errors

    async def _find_leaders(self) -> bool:
        """Say what each source has; return whether every partition has a leader."""
        led: dict[Source, list[Partition]] = {}
        complete = True
        for at in self._wanted & self._offsets.keys():
            leader = self._connection.leader(TopicPartition(*at))
            if leader is None:
                complete = False
            else:
                led.setdefault((leader, at[0]), []).append(at)
        source = {at: source for source, partitions in led.items() for at in partitions}
        for at in [at for at in self._ends if source.get(at) != self._source.get(at)]:
            del self._ends[at]  # who has told it tells no more
        self._led, self._source = led, source
        if not complete:
            await self._connection.refresh()
        return complete

    async def _fetch_from(self, source: Source) -> None:
        node, topic = source
        session = self._sessions[source] = FetchSession()
        while True:
            while self._fetched:
                self._taken.clear()
                await self._taken.wait()
            offsets = {at: self._offsets[at] for at in self._led.get(source, ())}
            if not offsets:
                await self._close(source)
                await asyncio.sleep(_AGAIN_S)
                continue
            # In a session a broker tells an end where it has moved, not again because it was forgotten here.
            if any(session.asked(at) is not None for at in offsets.keys() - self._ends.keys()):
                session.broken()
            sent_s = asyncio.get_running_loop().time()
            try:
                answer = await self._connection.fetch(
                    node, session.next_fetch(offsets, wait_ms=WAIT_MS, most_bytes=MOST_BYTES), f"follow {topic}"
                )
            except KafkaError as error:
                self._logger.warning("not_fetched", broker=node, topic=topic, error=repr(error))
                session.broken()
                await self._look_again()
            else:
                if not answer.error_code:
                    self._heard_s[source] = sent_s
                await self._take(session, answer)

    async def _close(self, source: Source) -> None:
        """Have the broker forget the session, if it is there to be told."""
        node, topic = source
        closing = self._sessions[source].closing()
        if closing is not None:
            with suppress(KafkaError, TimeoutError):
                async with asyncio.timeout(_GOODBYE_LIMIT_S):
                    await self._connection.fetch(node, closing, f"follow {topic}")

    async def _take(self, session: FetchSession, answer: FetchResponseV11) -> None:
        failed: list[Found] = []
        for found in answer.found:
            asked = session.asked(found.partition)
            if found.error_code:
                failed.append(found)
                self._ends.pop(found.partition, None)
                continue
            # What has been sought elsewhere in the meantime, or read from another broker, is not what is wanted.
            if asked is None or self._offsets.get(found.partition) != asked:
                continue
            self._starts[found.partition], self._ends[found.partition] = found.start_offset, found.end_offset
            if not found.batches:
                continue
            records, self._offsets[found.partition] = records_in(found, asked)
            if records:
                self._fetched[found.partition] = records
        session.answered(answer)
        if self._fetched:
            self._arrived.set()
        if failed:
            await self._mend(failed)
        elif answer.error_code and answer.error_code not in _NO_SUCH_SESSION:
            self._logger.warning("fetch_refused", error=repr(error_of(answer.error_code)))
            await self._look_again()

    async def _mend(self, failed: list[Found]) -> None:
        """Find out where partitions can be read that could not."""
        for found in failed:
            error = error_of(found.error_code)
            self._logger.warning("partition_not_fetched", partition=found.partition, error=repr(error))
            if isinstance(error, OffsetOutOfRangeError):
                await self._skip_deleted(found.partition)
        await self._look_again()

    async def _skip_deleted(self, at: Partition) -> None:
        """Read on from the start of a partition of which the beginning is deleted; what is beyond its end may come."""
        try:
            start = await self._connection.start_offset(*at)
        except LogUnavailableError:
            return
        self._offsets[at] = max(self._offsets[at], start)

    async def _look_again(self) -> None:
        await self._connection.refresh()
        self._changed.set()
        await asyncio.sleep(_AGAIN_S)
