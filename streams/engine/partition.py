"""One partition of a table on the node that folds it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from streams.domain.errors import LogUnavailableError, RefusedStartError
from streams.engine.fold import Fold, inputs_of
from streams.engine.storage import StoreReadError
from streams.engine.store import POSITION, PartitionStore, encode_position
from streams.engine.waiters import Waiters
from streams.log.port import CLAIM_KEY, COMPACT_KEY, Claim, Log, Record

ATOMIC_ROWS = 9_000
"""Rows of a changelog's tail that are applied at one go, so that readers never see half a batch. A longer tail, more
than an owner's own last batch can be (some 4,500 of the smallest rows, and 4,000 of a list of 1,000 items that is
replaced by 1,000 others), is not read from until all of it is there."""


class OwnedPartition:
    """
    The rows of one partition, the right to append to its changelog, and who waits for it.

    Attributes:
        served: Whether its rows are a state of the table that readers may see: whole, and once as new as the log was
            when the partition came here. What a former owner served is thus not served older, unless there was a warm
            copy, which is what was served last.
        positions: Input topic → offset of the last record that the rows have, -1 before the first.
        claim: None while it is not known that nobody else writes, or what became of the last batch.
    """

    def __init__(
        self,
        fold: Fold,
        partition: int,
        store: PartitionStore,
        log: Log,
        *,
        served: bool = False,
        waiters: Waiters | None = None,
    ) -> None:
        self._changelog = fold.changelog
        self._source, self._until_folded = fold.source, fold.until_folded
        self._inputs = inputs_of(fold)
        self._log = log
        self.partition = partition
        self.store = store
        self.claim: Claim | None = None
        self.served = served
        self._served_from: dict[str, int] = {}
        self.positions: dict[str, int] = {}
        self.waiters = waiters or Waiters()
        self.on_failed: Callable[[], None] = lambda: None
        """Called when the rows cannot be read, and so must be restored."""
        self.on_committed: Callable[[], None] = lambda: None
        """Called when rows were written."""
        self.expected: set[asyncio.Future[Any]] = set()
        """Verdicts that somebody waits for."""
        self._turn: asyncio.Future[None] | None = None
        self.recovered_rows = 0
        self.recovery_s = 0.0
        store.on_failed = self._store_failed
        self._read_positions()

    def _store_failed(self) -> None:
        self.served = False
        self.on_failed()

    def _read_positions(self) -> None:
        self.positions = {topic: self.store.position(topic) for topic in self._inputs}

    async def recover(self) -> None:
        """
        Fence earlier owners off, then apply what the store lacks of the changelog.

        Claim first, then read where the changelog ends: what a former owner wrote before is applied, what it writes
        later is refused.

        Raises:
            LogUnavailableError: Try again.
            StoreReadError: The store is outdated, or held while it is to be renewed: try again.
            StoreError: The store cannot be written.
            RefusedStartError: The store has more than its changelog, or the rows have more than an input.
        """
        began = time.monotonic()
        self.claim = None
        if self.store.has_failed:
            self.served = False
            self.store.renew()
        claim = await self._log.claim(self._changelog, self.partition)
        end = await self._log.end_offset(self._changelog, self.partition)
        if self.store.offset >= end:
            raise self._lost(f"the table in {self.store.path} has more than its changelog {self._changelog}")
        if end - self.store.offset > ATOMIC_ROWS:
            self.served = False
        if self.store.offset < 0:
            self.store.mark = self._log.mark(self._changelog, self.partition)
        await self._restore(end)
        if not self.served:
            self._served_from = {topic: await self._last_offset(topic) for topic in self._inputs}
        self._read_positions()
        await self._check_inputs()
        self.recovery_s += time.monotonic() - began
        self.claim = claim
        self._serve_if_caught_up()
        self.waiters.committed((), source_moved=True)

    async def _check_age(self) -> None:
        """Raise `StoreReadError` where what is gone of the changelog may have deleted rows that are here."""
        store = self.store
        if await self._log.has_forgotten(self._changelog, self.partition, store.offset + 1, store.mark):
            self.served = False
            store.outdated()
            raise StoreReadError(f"{self._changelog} may not say any more what is to be deleted of {store.path}")

    async def _check_inputs(self) -> None:
        """Raise `RefusedStartError` where a topic was lost: what comes into it again would be taken for known."""
        for topic, position in self.positions.items():
            if 0 <= position >= await self._log.end_offset(topic, self.partition):
                where = f"{topic}-{self.partition}"
                if topic == self._source:
                    raise RefusedStartError(
                        f"The log has lost events: the tables have more of {where} than it holds. Restore the log, or "
                        "accept that they are lost: stop every node and run `upnext tables rebuild`."
                    )
                raise self._lost(f"the table in {self.store.path} has more of {where} than there is")
        until_folded, is_new = self._until_folded, max(self.positions.values()) < 0
        if until_folded is not None and is_new and await self._log.start_offset(until_folded, self.partition) > 0:
            raise self._lost(f"the changelog {self._changelog} is empty, and {until_folded} has been folded before")

    def _lost(self, what: str) -> RefusedStartError:
        return RefusedStartError(
            f"A topic between the processors was lost or replaced: {what}. Stop every node and run "
            "`upnext tables rebuild`, which has the tables folded again from the sources."
        )

    async def _last_offset(self, topic: str) -> int:
        """Return the offset of an input's last record, -1 where all that it had is deleted."""
        end = await self._log.end_offset(topic, self.partition)
        return end - 1 if await self._log.start_offset(topic, self.partition) < end else -1

    def _serve_if_caught_up(self) -> None:
        # What cannot be read is not served because a turn, which was under way, has moved its positions.
        if not self.served and not self.store.has_failed:
            self.served = all(self.positions[topic] >= self._served_from[topic] for topic in self._inputs)

    async def _restore(self, end: int) -> None:
        rows: dict[bytes, bytes | None] = {}
        before = offset = self.store.offset
        async for chunk in self._log.read(self._changelog, self.partition, max(before, 0), end):
            records = chunk.records
            if misses(offset + 1, records, chunk.next_offset):
                await self._check_age()
            if records and records[0].offset == before:
                self._check_known(records[0])
                records = records[1:]
            gather(rows, records)
            offset = chunk.next_offset - 1
            self.recovered_rows += len(records)
            if len(rows) >= ATOMIC_ROWS:
                self.store.write(rows, offset)
                rows.clear()
        if offset > self.store.offset:
            self.store.write(rows, offset)

    def _check_known(self, last: Record) -> None:
        """
        Raise `RefusedStartError` where the last record that the store has is another one in the changelog.

        Where it has been compacted, nothing can be said.
        """
        if last.key is not None and last.key != CLAIM_KEY and self.store.get(last.key) != last.value:
            raise self._lost(f"the table in {self.store.path} was not made from its changelog {self._changelog}")

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Have whoever asks for what is settled wait: until the commit, others may see more than the rows have."""
        self._turn = asyncio.get_running_loop().create_future()
        try:
            yield
        finally:
            self._turn.set_result(None)
            self._turn = None

    async def settled(self) -> None:
        """Return once the rows have what others were told of before this was asked for, or never will."""
        if self._turn is not None:
            await asyncio.wait({self._turn})

    def leave(self) -> None:
        """Append nothing any more; another node judges what is in the log, and nobody here will hear of it."""
        self.claim = None
        for verdict in self.expected:
            if not verdict.done():
                verdict.set_exception(
                    LogUnavailableError("the partition has gone to another node, which judges the event")
                )

    async def append(self, rows: Mapping[bytes, bytes | None]) -> int:
        """Append one batch to the changelog; return the offset of its last row. See `streams.log.port.Claim`."""
        if self.claim is None:
            msg = f"{self._changelog}-{self.partition} is not claimed"
            raise RuntimeError(msg)
        first = await self.claim.append(list(rows.items()))
        if first != self.store.offset + 1 and not await self._has_no_rows(self.store.offset + 1, first):
            msg = (
                f"another writer in {self._changelog}-{self.partition}: appended at {first}, and the table is at "
                f"{self.store.offset}"
            )
            raise RuntimeError(msg)
        return first + len(rows) - 1

    async def _has_no_rows(self, start: int, end: int) -> bool:
        """Say whether what others appended from *start* to *end* only has the log forget what was erased."""
        if start > end:
            return False
        chunks = self._log.read(self._changelog, self.partition, start, end)
        return all([record.key == COMPACT_KEY async for chunk in chunks for record in chunk.records])

    def commit(self, rows: Mapping[bytes, bytes | None], positions: Mapping[str, int], offset: int) -> None:
        """Write what is in the changelog up to *offset* into the store, and wake who waits for it."""
        self.store.write(rows, offset)
        moved = positions[self._source] != self.positions[self._source]
        self.positions = dict(positions)
        self._serve_if_caught_up()
        self.waiters.committed(rows.keys(), source_moved=moved)
        self.on_committed()


def position_rows(positions: Mapping[str, int]) -> dict[bytes, bytes]:
    """Return the rows that hold input positions."""
    return {POSITION + topic.encode(): encode_position(offset) for topic, offset in positions.items() if offset >= 0}


def gather(rows: dict[bytes, bytes | None], records: Sequence[Record]) -> None:
    """Add what records of a changelog do to *rows*."""
    for record in records:
        if record.key is not None and record.key != CLAIM_KEY:
            rows[record.key] = record.value


def misses(at: int, records: Sequence[Record], next_offset: int) -> bool:
    """Say whether anything is gone that stood in a changelog from *at* to the end of *records*, *next_offset*."""
    return next_offset - at > sum(record.offset >= at for record in records)
