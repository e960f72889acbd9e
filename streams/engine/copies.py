"""Warm copies: partitions of tables that other nodes fold, kept up to date here, so that a take-over is short."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

import structlog

from streams.domain.errors import LogUnavailableError
from streams.engine import fatal
from streams.engine.fatal import Die
from streams.engine.fold import Fold, inputs_of
from streams.engine.partition import gather, misses
from streams.engine.storage import StoreReadError
from streams.engine.store import PartitionStore
from streams.engine.waiters import Waiters
from streams.log.port import Log, Record

_LOOK_S = 0.5
"""How long to wait for records before those copies are looked at that have none to wait for."""

_OWNERS_S = 1.0
"""How long what is known of a partition's owner is good."""

Partition = tuple[str, int]
"""A changelog's topic and partition."""


class Follower(Protocol):
    """What reads many partitions as they grow; see `streams.log.kafka_follower.KafkaFollower`."""

    def start(self) -> None:
        """Begin."""

    async def stop(self) -> None:
        """End."""

    def seek(self, offsets: Mapping[Partition, int]) -> None:
        """Read partitions from other offsets."""

    def end_offset(self, at: Partition) -> int | None:
        """Return the end of a partition, as far as it is known."""

    def silent_s(self, at: Partition) -> float:
        """Return for how many seconds that end may have been another one, nobody having told; infinite: for ever."""

    async def fetched(self, wanted: Collection[Partition], limit_s: float) -> Mapping[Partition, Sequence[Record]]:
        """Return what has come of *wanted*, in whole record batches."""

    def next_offset(self, at: Partition) -> int:
        """Return the offset that follows on what has come of a partition, also where a batch has lost its last rows."""


class WarmCopy:
    """
    The rows of one partition that another node owns, as far as its changelog has been read here.

    Every write is of whole batches, so it makes a state of the table as long as no record is missing. Of what has been
    compacted before it is read here, rows of older batches are missing whose successors are still to come. So a copy
    is read from once it has been at the end; and where something is missing, not until it is there again.

    Attributes:
        served: Whether its rows are a state of the table: exactly what the owner had at some time.
        positions: Input topic → offset of the last record that the rows have, -1 before the first.
        read_s: When the rows last had all of the changelog, by the clock, whether anybody folds or not.
    """

    def __init__(
        self,
        fold: Fold,
        partition: int,
        store: PartitionStore,
        clock_s: Callable[[], float],
        waiters: Waiters | None = None,
    ) -> None:
        self._clock_s = clock_s
        self._caught_up_s = -math.inf
        self.read_s = -math.inf
        self.changelog = fold.changelog, partition
        self._source, self._inputs = fold.source, inputs_of(fold)
        self.partition, self.store = partition, store
        self.served = False
        self.waiters = waiters or Waiters()
        self.positions: dict[str, int] = {}
        store.on_failed = self._store_failed
        self._read_positions()

    def _store_failed(self) -> None:
        self.served = False

    def _read_positions(self) -> None:
        self.positions = {topic: self.store.position(topic) for topic in self._inputs}

    def outdated(self) -> None:
        """Read it no more: its changelog may have forgotten what is to be deleted here."""
        self.served = False
        self.store.outdated()

    def renew(self) -> None:
        """Begin anew; raise `StoreReadError` where somebody still holds what was there."""
        self.read_s = -math.inf
        self.store.renew()
        self._read_positions()

    def misses(self, records: Sequence[Record], next_offset: int) -> bool:
        """Say whether something is gone that stood between what is here and the end of *records*."""
        return misses(self.store.offset + 1, records, next_offset)

    def apply(self, records: Sequence[Record], next_offset: int) -> None:
        """
        Write what the changelog has next, up to *next_offset*.

        Raises:
            StoreError: The store cannot be written.
        """
        if next_offset <= self.store.offset + 1:
            return
        if self.misses(records, next_offset):
            self.served = False
        new = [record for record in records if record.offset > self.store.offset]
        rows: dict[bytes, bytes | None] = {}
        gather(rows, new)
        self.store.write(rows, next_offset - 1)
        source, before = self._source, self.positions
        self._read_positions()
        self.waiters.committed(rows.keys(), source_moved=self.positions[source] != before[source])

    @property
    def behind_s(self) -> float:
        """Seconds since it last was at the end."""
        return self._clock_s() - self._caught_up_s

    def look(self, end: int | None, silent_s: float, unfolded_s: float = 0.0) -> None:
        """Note where the changelog ended *silent_s* ago, as far as that is known, and for how long nobody may fold."""
        if end is not None and self.store.offset >= end - 1:
            self.read_s = max(self.read_s, self._clock_s() - silent_s)
            silent_s = max(silent_s, unfolded_s)
            if silent_s < math.inf:
                self.serve(silent_s)

    def serve(self, silent_s: float) -> None:
        """Have it read from: so long ago it was at the end, if it has not been since."""
        self.served, self._caught_up_s = True, max(self._caught_up_s, self._clock_s() - silent_s)


class Folders:
    """When another node was last known to fold what is copied here: a changelog that nobody writes is not news."""

    def __init__(
        self, is_elsewhere: Callable[[Partition], bool], clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        """Take what says whether another node says that it serves a partition, and a monotonic clock."""
        self._is_elsewhere, self._clock_s = is_elsewhere, clock_s
        self._known: dict[Partition, tuple[float, float]] = {}
        """When was looked, and when there was one, or was first looked."""

    def unfolded_s(self, at: Partition) -> float:
        """Return for how many seconds nobody may have folded what comes into the sources of a partition."""
        now_s = self._clock_s()
        looked_s, folded_s = self._known.get(at, (-math.inf, now_s))
        if now_s - looked_s >= _OWNERS_S:
            folded_s = now_s if self._is_elsewhere(at) else folded_s
            self._known[at] = now_s, folded_s
        return now_s - folded_s


class Copies:
    """Keeps warm copies up to date."""

    def __init__(self, follower: Follower, log: Log, die: Die) -> None:
        self._follower, self._log, self._die = follower, log, die
        self.on_looked: Callable[[], None] = lambda: None
        """Called each time after all copies were looked at, every 0.5 s at least."""
        self.unfolded_s: Callable[[Partition], float] = lambda _: 0.0
        """Says for how many seconds nobody may have folded what comes into the sources of a partition."""
        self._copies: dict[Partition, WarmCopy] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to follow."""
        self._follower.start()
        self._task = fatal.begin(self._run(), "warm copies", self._die)

    async def stop(self) -> None:
        """Follow no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        await self._follower.stop()

    def follow(self, copies: Sequence[WarmCopy]) -> None:
        """Follow exactly *copies* from now on, each from where it is."""
        self._copies = {copy.changelog: copy for copy in copies}
        for at, copy in self._copies.items():
            if copy.store.offset < 0:
                copy.store.mark = self._log.mark(*at)
        self._follower.seek({at: copy.store.offset + 1 for at, copy in self._copies.items()})
        structlog.get_logger(__name__).info("warm_copies", partitions=len(copies))

    def forget(self, copy: WarmCopy) -> None:
        """Follow a copy no more, which is closed."""
        self._copies.pop(copy.changelog, None)

    def _renew(self, copy: WarmCopy) -> None:
        """Have a copy that cannot be read be made anew, now or, where somebody still holds it, soon."""
        topic, partition = copy.changelog
        with suppress(StoreReadError):
            copy.renew()
            copy.store.mark = self._log.mark(topic, partition)
            self._follower.seek({copy.changelog: 0})
            structlog.get_logger(__name__).error("copy_set_aside", topic=topic, partition=partition)

    async def _apply(self, copy: WarmCopy, records: Sequence[Record]) -> None:
        at, next_offset = copy.changelog, self._follower.next_offset(copy.changelog)
        if copy.misses(records, next_offset):
            try:
                is_outdated = await self._log.has_forgotten(*at, copy.store.offset + 1, copy.store.mark)
            except LogUnavailableError:
                self._follower.seek({at: copy.store.offset + 1})
                return
            if self._copies.get(at) is not copy:
                return  # it was let go of meanwhile
            if is_outdated:
                copy.outdated()
                return
        copy.apply(records, next_offset)

    async def _run(self) -> None:
        while True:
            fetched = await self._follower.fetched(self._copies.keys(), _LOOK_S)
            for at, records in fetched.items():
                copy = self._copies.get(at)
                # What was fetched before it was sought elsewhere, or has become this node's own, is not taken.
                if copy is not None and records and not copy.store.has_failed:
                    with suppress(StoreReadError):
                        await self._apply(copy, records)
            for at, copy in self._copies.items():
                if copy.store.has_failed:
                    self._renew(copy)
                else:
                    copy.look(self._follower.end_offset(at), self._follower.silent_s(at), self.unfolded_s(at))
            self.on_looked()
            await asyncio.sleep(0)
