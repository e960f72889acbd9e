"""The engine with one of its rules taken away, one class each: bugs on purpose."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from streams.domain.errors import UnavailableError
from streams.engine.batch import Batch
from streams.engine.fatal import Die
from streams.engine.fold import Fold
from streams.engine.gaps import Gaps
from streams.engine.inbox import Fetched
from streams.engine.partition import OwnedPartition, position_rows
from streams.engine.processor import Processor
from streams.engine.table import OwnedTable
from streams.engine.trimmer import Trimmer
from streams.log.port import CLAIM_KEY, Log, Record, Row

# The order of writes


class ChangelogFirst(Processor):
    """Appends the changelog before the outputs."""

    async def _write(self, batches: list[Batch]) -> list[OwnedPartition]:
        done = await asyncio.gather(*(self._commit(batch) for batch in batches))
        try:
            await self._append_outputs(batches)
        except UnavailableError:
            return [batch.owned for batch in batches]
        return [batch.owned for batch, known in zip(batches, done, strict=True) if not known]


class OutputsNotAwaited(Processor):
    """Does not wait for what becomes of the outputs."""

    async def _append_outputs(self, batches: list[Batch]) -> None:
        sending = asyncio.ensure_future(super()._append_outputs(batches))
        sending.add_done_callback(lambda sent: sent.cancelled() or sent.exception())
        await asyncio.sleep(0)


class TableFirst(Processor):
    """Writes the table before the changelog."""

    async def _commit(self, batch: Batch) -> bool:
        owned, rows = batch.owned, batch.rows
        owned.commit(rows, batch.positions, owned.store.offset + len(rows))
        try:
            assert owned.claim is not None
            await owned.claim.append(list(rows.items()))
        except UnavailableError:
            owned.claim = None
            return False
        self._count(batch)
        return True


class VerdictFirst(Processor):
    """Tells commands what the fold made of them before that is committed."""

    async def _commit(self, batch: Batch) -> bool:
        self._count(batch)
        return await super()._commit(batch)


class CommitFirst(Processor):
    """Lets readers see a batch while its changelog is still under way."""

    async def _commit(self, batch: Batch) -> bool:
        owned, rows = batch.owned, batch.rows
        offset = owned.store.offset
        owned.commit(rows, batch.positions, offset + len(rows))
        owned.store.offset = offset
        return await super()._commit(batch)


class DeadLettersForgotten(Processor):
    """Passes poison over without a word."""

    async def _append_outputs(self, batches: list[Batch]) -> None:
        for batch in batches:
            batch.dead.clear()
        await super()._append_outputs(batches)


# What is folded


class NothingSkipped(Processor):
    """Folds records again that it has folded."""

    def _add(self, batch: Batch, fetched: Fetched) -> Fetched | None:
        topic, _, records = fetched
        for n, record in enumerate(records):
            if batch.is_full or record.offset > batch.positions[topic] + 1:
                return fetched._replace(records=records[n:])
            self._fold_one(batch, topic, record)
        return None


class GapsIgnored(Processor):
    """Folds what does not follow on."""

    def _add(self, batch: Batch, fetched: Fetched) -> Fetched | None:
        topic, _, records = fetched
        for record in records:
            if record.offset > batch.positions[topic]:
                self._fold_one(batch, topic, record)
        return None


class EveryGapAHole(Gaps):
    """Believes that the log has no more than what a fetch brings."""

    async def _is_hole(self, topic: str, partition: int, expected: int, records: Sequence[Record]) -> bool:
        return (topic, partition, expected, records) is not None


class NoHole(Gaps):
    """Believes that the log has every record."""

    async def _is_hole(self, topic: str, partition: int, expected: int, records: Sequence[Record]) -> bool:
        return (topic, partition, expected, records) is None


class GapsKept(Processor):
    """Keeps what waits of a partition that is to be read again."""

    async def _read_again(self, positions: Mapping[tuple[str, int], int]) -> None:
        assert self._seek is not None
        await self._seek(positions)


# Unknown outcomes


class UnknownIsDone(Processor):
    """Takes a batch of the changelog that nobody acknowledged for appended."""

    async def _commit(self, batch: Batch) -> bool:
        claim = batch.owned.claim
        if not await super()._commit(batch):
            rows = batch.rows
            batch.owned.commit(rows, batch.positions, batch.owned.store.offset + len(rows))
            batch.owned.claim = claim
        return True


class UnknownIsNot(Processor):
    """Takes it for lost: reads again, and restores nothing."""

    async def _commit(self, batch: Batch) -> bool:
        claim = batch.owned.claim
        known = await super()._commit(batch)
        batch.owned.claim = claim
        return known

    async def _regain(self, lost: list[OwnedPartition]) -> None:
        await self._read_again(
            {(topic, owned.partition): at + 1 for owned in lost for topic, at in owned.positions.items()}
        )


class OutputsUnknownIsDone(Processor):
    """Takes outputs that nobody acknowledged for appended."""

    async def _append_outputs(self, batches: list[Batch]) -> None:
        try:
            await super()._append_outputs(batches)
        except UnavailableError:
            return


class FenceSwallowed(Processor):
    """Goes on after another has claimed its changelog, as if it were none of its business."""

    def _is_current(self, batch: Batch) -> bool:
        del batch
        return False


# Batches, gaps and partitions


def with_gaps(gaps: type[Gaps]) -> type[Processor]:
    class WithGaps(Processor):
        def __init__(self, fold: Fold, table: OwnedTable, log: Log, die: Die, **more: Any) -> None:
            super().__init__(fold, table, log, die, **more)
            self.gaps = gaps(log)

    return WithGaps


def with_batch(batch: type[Batch]) -> type[Processor]:
    class WithBatch(Processor):
        def _batch(self, owned: OwnedPartition) -> Batch:
            return batch(self.fold, owned)

    return WithBatch


def with_partition(partition: type[OwnedPartition]) -> type[OwnedTable]:
    class WithPartition(OwnedTable):
        def _own(self, number: int) -> OwnedPartition:
            return partition(self._fold, number, self.files.partition(number), self._log)

    return WithPartition


class PositionsElsewhere(Batch):
    """Has the rows of a batch without the positions that they are as of."""

    @property
    def rows(self) -> dict[bytes, bytes | None]:
        return dict(self.overlay.rows) or {**position_rows(self.positions)}


class PositionOfTheOther(OwnedPartition):
    """Takes the position of one input for the other's."""

    def _read_positions(self) -> None:
        one, other = self._inputs
        self.positions = {one: self.store.position(other), other: self.store.position(one)}


class NoFence(OwnedPartition):
    """Claims nothing: appends as anybody can."""

    async def recover(self) -> None:
        real, self._log = self._log, _Unfenced(self._log)  # type: ignore[assignment]
        try:
            await super().recover()
        finally:
            self._log = real


class _Unfenced:
    """A log whose claims fence nobody off."""

    def __init__(self, log: Log) -> None:
        self.end_offset, self.read, self._log = log.end_offset, log.read, log

    async def claim(self, topic: str, partition: int) -> _UnfencedClaim:
        return _UnfencedClaim(self._log, topic, partition)


class _UnfencedClaim:
    def __init__(self, log: Log, topic: str, partition: int) -> None:
        self._log, self._topic, self._partition = log, topic, partition

    async def append(self, rows: Sequence[Row]) -> int:
        first = await self._log.end_offset(self._topic, self._partition)
        await self._log.append_many(self._topic, self._partition, rows)
        return first


class EndBeforeClaim(OwnedPartition):
    """Reads where the changelog ends before others are kept from writing it."""

    async def recover(self) -> None:
        real = self._log
        end = await real.end_offset(self._changelog, self.partition)
        self._log = _EndsAt(real, end)  # type: ignore[assignment]
        try:
            await super().recover()
        finally:
            self._log = real


class _EndsAt:
    def __init__(self, log: Log, end: int) -> None:
        self.claim, self.read, self._end = log.claim, log.read, end

    async def end_offset(self, topic: str, partition: int) -> int:
        del topic, partition
        return self._end


class NothingRestored(OwnedPartition):
    """Trusts the store as it is."""

    async def _restore(self, end: int) -> None:
        del end


class DeletionsNotRestored(OwnedPartition):
    """Restores rows, and forgets which are gone."""

    async def _restore(self, end: int) -> None:
        start = self.store.offset + 1
        async for chunk in self._log.read(self._changelog, self.partition, start, end):
            rows = {r.key: r.value for r in chunk.records if r.key not in {None, CLAIM_KEY} and r.value is not None}
            self.store.write(rows, chunk.next_offset - 1)


class ServedMeanwhile(OwnedPartition):
    """Is read from while it is restored."""

    async def _restore(self, end: int) -> None:
        self.served = True
        await super()._restore(end)


class NotServedMeanwhile(OwnedPartition):
    """Is not read from while it is claimed again."""

    async def recover(self) -> None:
        self.served = False
        await super().recover()


class WakesFirst(OwnedPartition):
    """Tells who waits before what they wait for can be read."""

    def commit(self, rows: Mapping[bytes, bytes | None], positions: Mapping[str, int], offset: int) -> None:
        self.waiters.committed(rows.keys(), source_moved=True)
        self.store.write(rows, offset)
        self.positions = dict(positions)


class TrimsAll(Trimmer):
    """Deletes what is there, folded or not."""

    async def trim(self, *, at_least: int = 1) -> None:
        del at_least
        for processor in self._processors:
            topic = processor.fold.until_folded
            assert topic is not None
            for partition in processor.table.partitions:
                await self._log.delete_before(topic, partition, await self._log.end_offset(topic, partition))


class TrimsSources(Trimmer):
    """Deletes what is to be kept for ever."""

    async def trim(self, *, at_least: int = 1) -> None:
        await super().trim(at_least=at_least)
        for processor in self._processors:
            for partition, owned in processor.table.partitions.items():
                topic = processor.fold.source
                await self._log.delete_before(topic, partition, owned.positions[topic] + 1)
