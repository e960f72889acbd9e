"""A processor: takes what is fetched, folds it, and writes outputs, changelog and table, in this order."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack, suppress
from typing import Any

import structlog

from streams.domain.errors import (
    FencedError,
    LogUnavailableError,
    NewerEventError,
    PoisonError,
    UnavailableError,
    UpNextError,
    ViewUnavailableError,
)
from streams.engine.batch import (
    FULL_BYTES,
    FULL_IN_BULK_BYTES,
    Batch,
    FoldError,
    IsDecided,
    UndecidedError,
    nothing_decided,
)
from streams.engine.errands import Change, Errand, Errands
from streams.engine.fatal import Die
from streams.engine.fold import Fold, inputs_of
from streams.engine.gaps import Gaps
from streams.engine.inbox import Fetched, Inbox
from streams.engine.outputs import append_all
from streams.engine.pace import Pace
from streams.engine.partition import OwnedPartition
from streams.engine.storage import StoreReadError
from streams.engine.table import OwnedTable
from streams.engine.verdicts import Verdicts
from streams.log.port import Log, Record, Row
from streams.topics import partition_of

MOST_RECORDS = 1_000
"""Records that one turn takes, however many there are."""
MOST_IN_BULK = 8_000
"""The same where nobody waits for what comes of them."""
AGAIN_S = 0.2
"""Pause between two attempts to win a partition back from a log that does not answer."""

Positions = Mapping[tuple[str, int], int]
"""Topic and partition → the offset to read from next."""
Seek = Callable[[Positions], Awaitable[None]]
IsMember = Callable[[], Awaitable[bool]]
"""Says whether the group's coordinator takes this node for the owner of what it was assigned. Who was away for too long
does not know that its partitions are another's, and a claim of theirs would end the other."""


async def is_alone() -> bool:
    """Say that nobody else can own anything."""
    return True


class Processor:
    """
    Folds its inputs into its table, log first.

    A turn takes all that has arrived, at most `MOST_RECORDS`: folds it over an overlay; appends the outputs, and awaits
    every acknowledgement; appends one changelog batch a partition; writes it, with positions and its offset, into the
    store; and only then lets readers know. So a crash anywhere repeats at most the last turn's outputs, which the
    feed protocol makes harmless, and the table never holds what the changelog lacks.

    Where the outcome of an append is unknown, the turn is forgotten, and its partitions are claimed, restored and read
    again. Whatever else goes wrong ends the process: nothing after a bug may be committed.
    """

    def __init__(
        self,
        fold: Fold,
        table: OwnedTable,
        log: Log,
        die: Die,
        *,
        partitions: int,
        again_s: float = AGAIN_S,
        is_decided: IsDecided = nothing_decided,
        is_building: Callable[[], bool] = lambda: False,
        pace: Pace | None = None,
        in_bulk: bool = False,
    ) -> None:
        """
        Take the fold and its table.

        Args:
            fold: What is folded.
            table: Where to.
            log: What is read and written.
            die: Ends the process.
            partitions: Of each topic.
            again_s: Passes between two attempts to win a partition back.
            is_decided: Says about which dead letters somebody has decided.
            is_building: Says whether nobody reads the table yet: then it stops at a record of the source that cannot be
                folded, until somebody has decided about it.
            pace: Limits how fast it folds then; None: nothing does.
            in_bulk: Whether its turns may be long then.
        """
        self.fold, self.table = fold, table
        self.topics = inputs_of(fold)
        self.inbox = Inbox()
        self._is_broken = False
        """Whether a partition cannot be read, and is to be restored."""
        table.on_failed = self._store_failed
        self._log, self._die, self._partitions, self._again_s = log, die, partitions, again_s
        self._is_decided, self._is_building = is_decided, is_building
        self._pace, self._may_in_bulk = pace, in_bulk
        self.waits_for: UndecidedError | None = None
        """The record at which it has stopped."""
        self._seek: Seek | None = None
        self._is_member: IsMember = is_alone
        self.verdicts, self.gaps = Verdicts(), Gaps(log)
        self._errands = Errands(self.inbox.nudge)
        self._idle = asyncio.Event()
        self._idle.set()
        self._regaining: asyncio.Task[None] | None = None
        self.folded: Counter[str] = Counter()
        self.noticed: Counter[str] = Counter()
        self.dead_letters = 0
        """Records that could not be folded and that nobody had decided about."""
        self.decided = 0
        """Those that somebody had."""
        self.turns = 0
        self._logger = structlog.get_logger(__name__).bind(processor=fold.name)

    # What the consumer and the recovery do

    def use(self, seek: Seek, is_member: IsMember = is_alone) -> None:
        """Take what makes the consumer read from elsewhere, and what knows whose the partitions are."""
        self._seek, self._is_member = seek, is_member

    async def pause(self) -> None:
        """Take nothing more, and return when the turn under way is over."""
        self.inbox.close()
        self.gaps.clear()
        self._errands.give_up(ViewUnavailableError("the partition may go to another node now"))
        self.waits_for = None
        if self._regaining is not None:
            self._regaining.cancel()
        await self._idle.wait()

    def resume(self) -> None:
        """Take what is fetched from now on."""
        self.inbox.open()
        self.inbox.nudge()  # what is to be restored or changed need not wait for a record

    def next_offsets(self) -> dict[tuple[str, int], int]:
        """Return where to read on, for every partition that is owned here."""
        return {
            (topic, number): offset + 1
            for number, owned in self.table.partitions.items()
            for topic, offset in owned.positions.items()
        }

    # What commands need

    def owns(self, partition: int) -> None:
        """Raise `ViewUnavailableError` where the partition is not folded here, or not yet."""
        owned = self.table.owned(partition)
        if owned is None or owned.claim is None:
            raise ViewUnavailableError("the partition is not folded here now")

    def expecting(self, event_id: str, partition: int) -> AbstractContextManager[asyncio.Future[Any]]:
        """
        Give a future that gets the verdict on an event once its batch is committed.

        It gets a `LogUnavailableError` once the partition is not folded here any more.

        Raises:
            ViewUnavailableError: It is not now.
        """
        owned = self.table.owned(partition)
        if owned is None:
            raise ViewUnavailableError("the partition is not folded here any more")
        return self.verdicts.expecting(event_id, owned)

    async def change(self, partition: int, change: Change) -> None:
        """
        Change a partition's rows in a turn, between two records of its inputs: outputs, changelog and rows as ever.

        Raises:
            ViewUnavailableError: It is not folded here now; nothing was changed.
            LogUnavailableError: Whether it was changed is not known.
            UpNextError: What *change* raises; nothing was changed.
        """
        self.owns(partition)
        await self._errands.run(partition, change)

    # The fold

    async def run(self) -> None:
        """Fold what arrives, for ever."""
        while True:
            await self.inbox.arrived()
            self._idle.clear()
            try:
                await self._turn()
            except asyncio.CancelledError:
                raise
            except Exception as error:
                # Whatever it is: Faust would take the event as done, and go on.
                with suppress(Exception):
                    self._logger.critical("processor_failed", exc_info=error)
                self._die(_last_words(self.fold.name, error))
            finally:
                self._idle.set()

    async def _turn(self) -> None:
        if self._is_broken and self.inbox.is_open:
            await self._restore()
        while self.inbox.is_open and (errand := self._errands.next()) is not None:
            await self._do(errand)
        if self._is_stopped():
            await asyncio.sleep(self._again_s)
            return
        pace = self._pace if self._is_building() else None
        most = MOST_RECORDS if pace is None else await pace.room(MOST_IN_BULK if self._may_in_bulk else MOST_RECORDS)
        try:
            batches = await self._fold(self.inbox.take(most))
        except StoreReadError:
            # Nothing was written yet; what was taken is read again, and the partition restored first.
            await self._read_again(self.next_offsets())
            return
        if not batches:
            return
        self.turns += 1
        if pace is not None:
            pace.folded(sum(batch.folded.get(self.fold.source, 0) for batch in batches))
        lost = await self._write(batches)
        if lost:
            await self._regain(lost)

    async def _do(self, errand: Errand) -> None:
        owned = self.table.owned(errand.partition)
        if owned is None or owned.claim is None:
            errand.failed(ViewUnavailableError("the partition is not folded here now"))
            return
        batch = self._batch(owned)
        try:
            await errand.change(batch)
        except UpNextError as error:
            errand.failed(error)
            return
        except Exception as error:
            errand.failed(error)
            raise
        if not batch.weight and not batch.outputs:
            errand.ended()
            return
        self.turns += 1
        lost = await self._write([batch])
        if lost or not self._is_current(batch):
            errand.failed(LogUnavailableError("whether the rows were changed is not known"))
        else:
            errand.ended()
        if lost:
            await self._regain(lost)

    def _is_stopped(self) -> bool:
        """Say whether there is still a record that somebody has to decide about first."""
        at = self.waits_for
        if at is not None and (not self._is_building() or self._is_decided(at.place, at.time_ms)):
            self.waits_for = None
        return self.waits_for is not None

    async def _fold(self, fetches: Iterable[Fetched]) -> list[Batch]:
        batches: dict[int, Batch] = {}
        rest: list[Fetched] = []
        missed: set[tuple[str, int]] = set()
        for fetched in fetches:
            owned = self.table.owned(fetched.partition)
            if owned is None or owned.claim is None or (fetched.topic, fetched.partition) in missed:
                continue  # fetched for a former owner, or before the partition was lost, or to be fetched again
            batch = batches.get(fetched.partition)
            if batch is None:
                batch = batches[fetched.partition] = self._batch(owned)
            left = self._add(batch, fetched)
            while left and not self._is_over(batch) and await self._passes_hole(batch, left):
                left = self._add(batch, left)
            if left and self._is_over(batch):
                rest.append(left)
            elif left:
                missed.add((fetched.topic, fetched.partition))
        for left in reversed(rest):
            self.inbox.put_back(left)
        return [batch for batch in batches.values() if not batch.is_empty]

    def _is_over(self, batch: Batch) -> bool:
        """Say whether this turn folds nothing more into a batch."""
        return batch.is_full or self.waits_for is not None

    def _batch(self, owned: OwnedPartition) -> Batch:
        is_building = self._is_building()
        full_bytes = FULL_IN_BULK_BYTES if is_building and self._may_in_bulk else FULL_BYTES
        return Batch(self.fold, owned, self._is_decided, stops=is_building, full_bytes=full_bytes)

    def _add(self, batch: Batch, fetched: Fetched) -> Fetched | None:
        """Fold a fetch's records as far as they follow on and the batch has room; return the rest."""
        topic, partition, records = fetched
        position = batch.positions[topic]
        for n, record in enumerate(records):
            if record.offset <= position:
                continue
            if batch.is_full or record.offset != position + 1:
                return fetched._replace(records=records[n:])
            try:
                self._fold_one(batch, topic, record)
            except UndecidedError as undecided:
                self.waits_for = undecided
                self._logger.error("rebuild_stopped", record=undecided.place.text)  # noqa: TRY400 - no bug
                return fetched._replace(records=records[n:])
            position = record.offset
        self.gaps.closed(topic, partition)
        return None

    def _fold_one(self, batch: Batch, topic: str, record: Record) -> None:
        try:
            batch.add(topic, record)
        except (StoreReadError, UndecidedError):
            raise
        except NewerEventError as error:
            where = f"{topic}-{batch.owned.partition}@{record.offset}"
            raise NewerEventError(f"the record {where} is {error}: start the newer version") from error
        except Exception as error:
            where = f"{topic}-{batch.owned.partition}@{record.offset}"
            raise FoldError(f"the fold of {where} failed: {error!r}") from error

    async def _passes_hole(self, batch: Batch, fetched: Fetched) -> bool:
        """Say whether a fetch that does not follow on does so beyond a hole of the log; if not, have it read again."""
        topic, partition, records = fetched
        expected = batch.positions[topic] + 1
        if await self.gaps.is_passed(topic, partition, expected, records):
            batch.positions[topic] = records[0].offset - 1
            return True
        await self._read_again({(topic, partition): expected})
        return False

    # The writes

    async def _write(self, batches: list[Batch]) -> list[OwnedPartition]:
        """Write outputs, changelog and tables; return the partitions of which the outcome is unknown."""
        with ExitStack() as turns:
            for batch in batches:
                turns.enter_context(batch.owned.turn())
            return await self._write_all(batches)

    async def _write_all(self, batches: list[Batch]) -> list[OwnedPartition]:
        try:
            await self._append_outputs(batches)
        except UnavailableError as error:
            self._logger.warning("outputs_unknown", error=str(error))
            return [batch.owned for batch in batches]
        current = [batch for batch in batches if self._is_current(batch)]
        committed = await asyncio.gather(*(self._commit(batch) for batch in current))
        return [batch.owned for batch, done in zip(current, committed, strict=True) if not done]

    async def _append_outputs(self, batches: list[Batch]) -> None:
        addressed: dict[tuple[str, int], list[Row]] = defaultdict(list)
        for batch in batches:
            for topic, key, value in batch.outputs:
                addressed[topic, partition_of(key, self._partitions)].append((key, value))
            if batch.dead:
                addressed[self.fold.dead_letters, batch.owned.partition] += batch.dead
        await append_all(self._log, addressed)

    def _is_current(self, batch: Batch) -> bool:
        return batch.owned.claim is not None and self.table.owned(batch.owned.partition) is batch.owned

    async def _commit(self, batch: Batch) -> bool:
        """Append a batch to the changelog and write it into the store; say whether that is known to have worked."""
        rows = batch.rows
        try:
            offset = await batch.owned.append(rows)
        except UnavailableError as error:
            self._logger.warning("changelog_unknown", partition=batch.owned.partition, error=str(error))
            batch.owned.claim = None
            return False
        except FencedError as error:
            if not self._is_current(batch):
                return True  # it has gone to another node in the meantime, and is none of our business any more
            if not await self._is_ours_all_the_same():
                raise
            self._logger.warning("claimed_by_a_former_owner", partition=batch.owned.partition, error=str(error))
            batch.owned.claim = None
            return False
        if self._is_current(batch):
            try:
                batch.owned.commit(rows, batch.positions, offset)
            except StoreReadError as error:
                self._logger.warning("store_not_written", partition=batch.owned.partition, error=str(error))
                return False  # it is restored from the changelog, which has the batch
            self._count(batch)
        return True

    async def _is_ours_all_the_same(self) -> bool:
        """
        Say whether a partition that somebody else has claimed is this node's.

        Who froze between being told that it is its own and the claim comes after the one who has it by now. It is to
        give way: what it may have appended is the same fold's, and is restored here.
        """
        return self._is_member is not is_alone and await self._is_member()

    def _count(self, batch: Batch) -> None:
        self.folded.update(batch.folded)
        self.noticed.update(batch.noticed)
        self.dead_letters += len(batch.dead)
        self.decided += batch.decided
        for key, _ in batch.dead:
            self._logger.warning("dead_letter", record=key.decode())
        self.verdicts.tell(batch.judged)

    # Partitions that were lost for a while

    async def _regain(self, lost: list[OwnedPartition]) -> None:
        """Claim, restore and read again, until the log answers or the partitions are taken away."""
        for owned in lost:
            owned.claim = None
        if not self.inbox.is_open:
            return  # paused: whoever has what is assigned next recovered claims them, or nobody does
        regaining = self._regaining = asyncio.create_task(self._try_again(lost), name=f"regain {self.fold.name}")
        try:
            await asyncio.wait({regaining})
        finally:
            self._regaining = None
            regaining.cancel()
        if not regaining.cancelled():
            regaining.result()

    def _store_failed(self) -> None:
        self._is_broken = True
        self.inbox.nudge()

    async def _restore(self) -> None:
        """Restore those partitions from their changelogs that cannot be read."""
        self._is_broken = False
        broken = [owned for owned in self.table.partitions.values() if owned.store.has_failed]
        if not broken:
            return
        self._logger.error("stores_set_aside", partitions=[owned.partition for owned in broken])
        await self._regain(broken)

    async def _try_again(self, lost: list[OwnedPartition]) -> None:
        waiting = list(lost)
        while waiting:
            await asyncio.sleep(self._again_s)
            recovered = await asyncio.gather(*(recover(owned, self._is_member) for owned in waiting))
            waiting = [owned for owned, done in zip(waiting, recovered, strict=True) if not done]
        self._logger.info("regained", partitions=[owned.partition for owned in lost])
        await self._read_again(
            {(topic, owned.partition): at + 1 for owned in lost for topic, at in owned.positions.items()}
        )

    async def _read_again(self, positions: Positions) -> None:
        for topic, partition in positions:
            self.inbox.forget(topic, partition)
        if self._seek is not None:
            await self._seek(positions)


async def recover(owned: OwnedPartition, is_member: IsMember = is_alone) -> bool:
    """Recover a partition that is still this node's; say whether it is, and the log answered."""
    try:
        if not await is_member():
            return False
        await owned.recover()
    except StoreReadError as error:
        structlog.get_logger(__name__).warning("store_not_read", partition=owned.partition, error=str(error))
        return False
    except UnavailableError:
        return False
    return True


def _last_words(name: str, error: Exception) -> str:
    match error:
        case FoldError() | NewerEventError():
            return str(error)
        case FencedError():
            return f"{error}; this node was away for too long. Start it again."
        case PoisonError():
            return f"the {name} processor failed: {error!r}"
        case _:
            return f"the {name} processor failed: {error}" if str(error) else f"the {name} processor failed: {error!r}"
