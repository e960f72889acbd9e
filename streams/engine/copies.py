"""Warm copies: partitions of tables that other nodes fold, kept up to date here, so that a take-over is short."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

import structlog

from streams.engine import fatal
from streams.engine.fatal import Die
from streams.engine.fold import Fold
from streams.engine.partition import ATOMIC_ROWS, gather
from streams.engine.table_files import PartitionStore
from streams.engine.waiters import Waiters
from streams.log.port import Record

_LOOK_S = 0.5
"""How long to wait for records before those copies are looked at that have none to wait for."""

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

    async def fetched(self, wanted: Collection[Partition], limit_s: float) -> Mapping[Partition, Sequence[Record]]:
        """Return what has come of *wanted*, in whole record batches."""


class WarmCopy:
    """
    The rows of one partition that another node owns, as far as its changelog has been read here.

    Every write of it is of whole batches. Yet while what is read has been compacted already, rows of an older batch may
    be missing whose successors are still to come: so it is read from only once it has been at the end.

    Attributes:
        served: Whether its rows are a state of the table: exactly what the owner had at some time.
        positions: Input topic → offset of the last record that the rows have, -1 before the first.
    """

    def __init__(self, fold: Fold, partition: int, store: PartitionStore, clock_s: Callable[[], float]) -> None:
        self._clock_s = clock_s
        self._caught_up_s = 0.0
        self.changelog = fold.changelog, partition
        self._inputs = (fold.source, fold.until_folded)
        self.partition, self.store = partition, store
        self.served = False
        self.waiters = Waiters()
        self.positions: dict[str, int] = {}
        self._read_positions()

    def _read_positions(self) -> None:
        self.positions = {topic: self.store.position(topic) for topic in self._inputs}

    def apply(self, records: Sequence[Record]) -> None:
        """
        Write what the changelog has next.

        Raises:
            StoreError: The store cannot be written.
        """
        rows: dict[bytes, bytes | None] = {}
        gather(rows, [record for record in records if record.offset > self.store.offset])
        if records[-1].offset > self.store.offset:
            self.store.write(rows, records[-1].offset)
        source, before = self._inputs[0], self.positions
        self._read_positions()
        self.waiters.committed(rows.keys(), source_moved=self.positions[source] != before[source])

    @property
    def behind_s(self) -> float:
        """Seconds since it last was at the end."""
        return self._clock_s() - self._caught_up_s

    def look(self, end: int | None) -> None:
        """Note where the changelog ends, as far as that is known."""
        if end is None:
            return
        missing = end - 1 - self.store.offset
        if missing <= 0:
            self.served, self._caught_up_s = True, self._clock_s()
        elif missing > ATOMIC_ROWS:
            self.served = False


class Copies:
    """Keeps warm copies up to date."""

    def __init__(self, follower: Follower, die: Die) -> None:
        self._follower, self._die = follower, die
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
        self._follower.seek({at: copy.store.offset + 1 for at, copy in self._copies.items()})
        structlog.get_logger(__name__).info("warm_copies", partitions=len(copies))

    async def _run(self) -> None:
        while True:
            fetched = await self._follower.fetched(self._copies.keys(), _LOOK_S)
            for at, records in fetched.items():
                copy = self._copies.get(at)
                # What was fetched before it was sought elsewhere, or has become this node's own, is not taken.
                if copy is not None and records:
                    copy.apply(records)
            for at, copy in self._copies.items():
                copy.look(self._follower.end_offset(at))
            await asyncio.sleep(0)
