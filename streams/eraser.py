"""What is recorded of erased contexts and deleted sessions, removed from the log for good by one node."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

import structlog

from streams.codec import encode_event, encode_message
from streams.domain.erasure import ErasedFrom, Open, Receipt, TablesRewritten, encode_erasure
from streams.domain.errors import UnavailableError
from streams.domain.feed import Erased
from streams.domain.ids import Kind
from streams.domain.webhook_events import ContextForgotten, SessionForgotten
from streams.engine import fatal
from streams.engine.fatal import Die
from streams.log.port import ErasableLog, Record
from streams.search import Found, Search, decided_in, kind_of, raw_of, requests_in, session_of
from streams.topics import ERASURES, WEBHOOK_EVENTS, ViewTopics, partition_of

_LOOKS = 16
"""So often within the time that an erasure may take it is seen how far it is …"""
_GATHERS = 4
"""… and for such a part of it requests wait for others: all of them are one search of the log."""
Places = dict[str, tuple[int, int]]
"""Partition of a source → offset and number of the last notice that was decided about."""
_AGAIN_S = 1.0
TABLES_PARTITION = 0
"""Of `erasures`, where nodes say what they have rewritten."""


class Tables(Protocol):
    """The tables of this node."""

    async def forget(self, since_s: float) -> dict[str, int] | None:
        """
        Have the disk forget what was removed from them by a time of the monotonic clock.

        Returns:
            The stores that were rewritten, with offsets, as in `streams.domain.erasure.TablesRewritten`; None where
            that is not done yet, or a store has not heard of it: ask again, with the same time.

        Raises:
            UnavailableError: The log does not answer: likewise.
            StoreError: A store cannot be written.
        """


class Eraser:
    """
    Removes what is recorded of erased contexts and deleted sessions, and writes a receipt once nothing is left.

    One node of a deployment does it: the one that owns the first partition of contexts. All that it knows the log says:
    where it ends half way, the next one begins anew.
    """

    def __init__(
        self,
        log: ErasableLog,
        partitions: int,
        *,
        within_s: float,
        is_mine: Callable[[], bool],
        views: Callable[[], Sequence[ViewTopics]],
        tables: Tables,
        node: str,
        die: Die = fatal.die,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        """
        Take what is needed.

        Args:
            log: What is searched.
            partitions: Of each topic.
            within_s: How long an erasure may take. What is asked for within a part of it is done together.
            is_mine: Says whether this node is the one that erases.
            views: Returns the topics of all versions of the views that are kept.
            tables: Are to forget on the disk what was removed from them.
            node: This node's name.
            die: Ends the process.
            clock_ms: Tells the time.
        """
        self._log, self._partitions, self._within_s = log, partitions, within_s
        self._is_mine, self._views, self._tables, self._node = is_mine, views, tables, node
        self._die, self._clock_ms = die, clock_ms
        self._waits_for: list[Found] = []
        """What was to be removed, and may still be there."""
        self._erased: defaultdict[str, dict[tuple[str, int], list[int]]] = defaultdict(dict)
        """Id → topic and partition → the offsets of what was removed."""
        self._begun_ms: dict[str, int] = {}
        self._left_in: set[int] = set()
        """Partitions where there was still what the folds have made."""
        self._rewritten: list[int] = [0] * partitions
        """By partition, of how many receipts the tables' files have nothing."""
        self._to_rewrite: tuple[list[int], float] | None = None
        """Of how many they shall have nothing next, and since when there are so many, by the monotonic clock."""
        self._task: asyncio.Task[None] | None = None
        self._logger = structlog.get_logger(__name__)

    def start(self) -> None:
        """Begin."""
        self._task = fatal.begin(self._run(), "eraser", self._die)

    async def stop(self) -> None:
        """Stop, at once."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            await self._rest()
            views = self._views()
            try:
                while await self.step():
                    pass
            except KeyError:
                # Topics of a version of the views that was dropped meanwhile; anything else is a bug.
                if views == self._views():
                    raise
            except UnavailableError as error:
                # It is done again, and nothing was said to be done.
                self._logger.warning("not_erased", error=str(error))

    async def _rest(self) -> None:
        """Pass the time until the next look, and meanwhile have the tables forget what they can."""
        end_s = time.monotonic() + self._within_s / _LOOKS
        while (left_s := end_s - time.monotonic()) > 0:
            await asyncio.sleep(left_s if self._to_rewrite is None else min(left_s, _AGAIN_S))
            with suppress(UnavailableError):
                await self._rewrite_tables()

    async def step(self) -> bool:
        """
        Do what can be done now; say whether more can be done at once.

        Raises:
            UnavailableError: The log does not answer.
        """
        open_, receipts = await self._requests()
        if receipts not in (self._rewritten, self._to_rewrite and self._to_rewrite[0]):
            # Also while fewer are waited for: what one store waits for must not keep the others from these.
            self._to_rewrite = receipts, time.monotonic()
        await self._rewrite_tables()
        since_ms = min((one.since_ms for one in open_.values()), default=self._clock_ms())
        if not self._is_mine() or since_ms > self._clock_ms() - self._within_s * 1000 / _GATHERS:
            return False
        for id_ in open_:
            self._begun_ms.setdefault(id_, self._clock_ms())
        if await self._is_still_there():
            await self._compact(open_)
            return False
        search = Search(self._log, self._partitions, self._views(), self._log.scan)
        known = set(self._erased)
        self._waits_for, until = [], defaultdict[tuple[str, int], Places](dict)
        async for found in search.in_sources(open_):
            for source, place in decided_in(found).items():
                of = until[found.id, found.partition]
                of[source] = max(place, of.get(source, place))
            # Without what it says: there may be many.
            self._waits_for.append(found._replace(record=found.record._replace(value=None)))
        if self._waits_for:
            # Before what they say is gone: in a rebuild, nobody is told anything again.
            await self._forget_told(until)
            await self._erase()
        recorded = {found.id for found in self._waits_for}
        left = await self._left(search, open_, recorded)
        if self._waits_for or left:
            await self._compact(open_)
        # Where somebody goes on to write of what is erased, it holds back no other's receipt, and no look is endless.
        gone = {id_: one for id_, one in open_.items() if id_ not in recorded | left}
        await self._write_receipts(gone, search.searched)
        return not recorded <= known and not await self._is_still_there()

    async def _left(self, search: Search, ids: Collection[str], recorded: Collection[str]) -> set[str]:
        """
        Return the ids of which there is still what the folds have made, and note where.

        What is told of those that are not *recorded* any more is forgotten: of the others, that was asked for.
        """
        left, told = set[str](), set[tuple[str, int]]()
        self._left_in.clear()
        if not ids:
            return left
        async for found in search.in_made(ids):
            left.add(found.id)
            self._left_in.add(found.partition)
            if found.topic in search.webhooks and found.id not in recorded:
                told.add((found.id, found.partition))
        await self._forget_told({at: {} for at in told})
        return left

    async def _rewrite_tables(self) -> None:
        """Have the disk forget what receipts are of, as far as the tables have what the log had when they were read."""
        if self._to_rewrite is None:
            return
        receipts, since_s = self._to_rewrite
        stores = await self._tables.forget(since_s)
        if stores is None:
            return
        rewritten = TablesRewritten(self._node, receipts, stores, self._clock_ms())
        await self._log.append(ERASURES, TABLES_PARTITION, self._node.encode(), encode_erasure(rewritten))
        self._rewritten, self._to_rewrite = receipts, None
        self._logger.info("tables_rewritten", receipts=sum(receipts), stores=len(stores))

    async def _requests(self) -> tuple[dict[str, Open], list[int]]:
        """Return what is to be erased, and by partition how many receipts there are of others."""
        by_partition = await requests_in(self._log, self._partitions, self._log.scan)
        open_ = {id_: one for requests in by_partition for id_, one in requests.open.items()}
        return open_, [len(requests.receipts) for requests in by_partition]

    async def _is_still_there(self) -> bool:
        by_place: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
        for found in self._waits_for:
            by_place[found.topic, found.partition].append(found.record.offset)
        for (topic, partition), offsets in by_place.items():
            async for record in self._log.read_at(topic, partition, sorted(set(offsets))):
                if record.value is not None:
                    return True
        return False

    async def _erase(self) -> None:
        by_place = defaultdict[tuple[str, int], dict[int, Record]](dict)
        for found in self._waits_for:
            at = found.topic, found.partition
            by_place[at][found.record.offset] = found.record
            self._erased[found.id].setdefault(at, []).append(found.record.offset)
            session = session_of(found)
            if session is not None:
                # A context that feeds as many sessions as it may does not know of all that have it.
                message = encode_message(Erased(raw_of(found.id)))
                for topics in self._views():
                    await self._log.append(topics.feed, partition_of(session, self._partitions), session, message)
        for (topic, partition), records in by_place.items():
            await self._log.erase(topic, partition, [records[offset] for offset in sorted(records)])
        self._logger.info("erasing", records=sum(map(len, by_place.values())))

    async def _forget_told(self, until: Mapping[tuple[str, int], Places]) -> None:
        """Have forgotten what apps were told, or were to be told: id and partition → what was decided about there."""
        for (id_, partition), places in until.items():
            event: ContextForgotten | SessionForgotten
            if kind_of(id_) is Kind.CONTEXT:
                event = ContextForgotten(id=secrets.token_hex(16), context=id_, until=places)
            else:
                event = SessionForgotten(id=secrets.token_hex(16), session=id_, until=places)
            await self._log.append(WEBHOOK_EVENTS, partition, event.id.encode(), encode_event(event))

    async def _compact(self, ids: Collection[str]) -> None:
        """Have those partitions be compacted where something of *ids* was found, or made of it, or may be."""
        # No others: brokers write each one anew, and come to one with much in it last.
        partitions = {found.partition for found in self._waits_for} | self._left_in
        partitions.update(partition_of(raw_of(id_), self._partitions) for id_ in ids)
        search = Search(self._log, self._partitions, self._views(), self._log.scan)
        for topic in (*search.sources, *search.changelogs):
            for partition in sorted(partitions):
                await self._log.compact(topic, partition)

    async def _write_receipts(self, open_: Mapping[str, Open], searched: dict[str, list[int]]) -> None:
        for id_, one in open_.items():
            erased = [
                ErasedFrom(topic, partition, len(set(offsets)), min(offsets), max(offsets))
                for (topic, partition), offsets in sorted(self._erased.pop(id_, {}).items())
            ]
            receipt = Receipt(id_, one.last, self._begun_ms.pop(id_), self._clock_ms(), erased, searched)
            raw = raw_of(id_)
            await self._log.append(ERASURES, partition_of(raw, self._partitions), raw, encode_erasure(receipt))
            self._logger.info("erased", of=id_, records=sum(one.records for one in erased))
