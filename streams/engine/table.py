"""A table of this node: its partitions, as its processor writes them and as its readers see them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Protocol

from streams.domain.errors import ViewUnavailableError
from streams.domain.rows import Rows
from streams.engine.contact import Contact
from streams.engine.copies import WarmCopy
from streams.engine.fold import Fold
from streams.engine.partition import OwnedPartition
from streams.engine.table_files import TableFiles
from streams.log.port import Log

IsElsewhere = Callable[[int], bool]
"""Says whether another node serves a partition."""


class Gate(Protocol):
    """Says whether anything is served at all."""

    is_open: bool


class _Open:
    is_open = True


class OwnedTable:
    """Implements `streams.views.tables.Table` over the partitions that are owned or copied here."""

    def __init__(
        self,
        fold: Fold,
        files: TableFiles,
        log: Log,
        contact: Contact,
        *,
        stale_reads_max_s: float,
        gate: Gate | None = None,
    ) -> None:
        self._gate = gate or _Open()
        self._fold, self._log, self._contact = fold, log, contact
        self._stale_reads_max_s = stale_reads_max_s
        self.files = files
        self.on_failed: Callable[[], None] = lambda: None
        """Called when a partition that is owned cannot be read."""
        self.on_committed: Callable[[], None] = lambda: None
        """Called when rows of a partition that is owned were written."""
        self.partitions: dict[int, OwnedPartition] = {}
        self.copies: dict[int, WarmCopy] = {}
        self.kept: dict[int, float] = {}
        """Those of the copies that are here only until another node serves the partition; since when, by the clock."""
        self.is_assigned = False
        """Whether what is to be here is, and nothing else."""

    async def assign(
        self, partitions: Iterable[int], copies: Iterable[int] = (), is_elsewhere: IsElsewhere = lambda _: True
    ) -> list[OwnedPartition]:
        """
        Own exactly *partitions*, and have warm copies of *copies*: let the others go, open those that are new.

        What is served here and by nobody else yet is kept as a copy, whoever is to have it: what is to become of it
        elsewhere may take a while, and another assignment may come before.

        Requests have their turn in between: to open a store takes 10 ms, to write one out and close it 50.

        Returns:
            All that are owned, in order.
        """
        self.is_assigned = False
        wanted = set(partitions)
        copied = set(copies) - wanted
        held: dict[int, OwnedPartition | WarmCopy] = {**self.partitions, **self.copies}
        leaving = held.keys() - wanted - copied
        now_s = self._contact.clock_s()
        self.kept = {
            number: self.kept.get(number, now_s)
            for number in leaving
            if held[number].served and not is_elsewhere(number)
        }
        staying = copied | self.kept.keys()
        # First what readers are served all the while, without a moment in between: an owner's rows are a copy's too.
        for number in self.partitions.keys() & staying:
            self.copies[number] = self._copy(number)
        for number in self.copies.keys() & wanted:
            self.partitions[number] = self._own(number)
        for number in self.partitions.keys() - wanted:
            self.release(number)
            await asyncio.sleep(0)
        for number in self.copies.keys() - staying:
            self._drop(number)
            await asyncio.sleep(0)
        for number in sorted(wanted - self.partitions.keys()):
            self.partitions[number] = self._own(number)
            await asyncio.sleep(0)
        for number in sorted(copied - self.copies.keys()):
            self.copies[number] = self._copy(number)
            await asyncio.sleep(0)
        for owned in self.partitions.values():
            owned.on_failed, owned.on_committed = self.on_failed, self.on_committed
        self.is_assigned = True
        return [self.partitions[number] for number in sorted(wanted)]

    def _own(self, number: int) -> OwnedPartition:
        """Return a partition to be recovered. What was copied here is read as before, and waited for."""
        store, copy = self.files.partition(number), self.copies.pop(number, None)
        if copy is None:
            return OwnedPartition(self._fold, number, store, self._log)
        served = copy.served and copy.behind_s <= self._stale_reads_max_s
        return OwnedPartition(self._fold, number, store, self._log, served=served, waiters=copy.waiters)

    def _copy(self, number: int) -> WarmCopy:
        """Return a copy. What was owned here is read as before, and waited for: its rows are as exact as they were."""
        store, owned = self.files.partition(number), self.partitions.pop(number, None)
        if owned is None:
            return WarmCopy(self._fold, number, store, self._contact.clock_s)
        owned.leave()
        copy = WarmCopy(self._fold, number, store, self._contact.clock_s, owned.waiters)
        if owned.served:
            copy.serve(self._contact.silent_s)
        return copy

    @property
    def name(self) -> str:
        """Its name, which is its processor's."""
        return self._fold.name

    def release(self, number: int) -> None:
        """Let a partition go, and tell who waits for it."""
        owned = self.partitions.pop(number)
        owned.leave()
        owned.waiters.gone()
        self.files.close_partition(number)

    def let_go(self, is_elsewhere: IsElsewhere) -> WarmCopy | None:
        """
        Close one of those that were kept until another node serves them, as one does; return it, None for none.

        Nor is any kept for longer than a list may be old: nobody folds what came into the log since.
        """
        oldest_s = self._contact.clock_s() - self._stale_reads_max_s
        over = (number for number, since_s in self.kept.items() if since_s < oldest_s or is_elsewhere(number))
        number = next(over, None)
        if number is None:
            return None
        copy = self.copies[number]
        del self.kept[number]
        self._drop(number)
        return copy

    def _drop(self, number: int) -> None:
        self.copies.pop(number).waiters.gone()
        self.files.close_partition(number)

    async def flush(self) -> None:
        """Have the disk have what is here, or who is killed were one that was off since it last had; `StoreError`."""
        for store in list(self.files.open_partitions.values()):
            await store.beside(store.flush)

    def close(self) -> None:
        """Let every partition go."""
        for number in list(self.partitions):
            self.release(number)
        for number in list(self.copies):
            self._drop(number)
        self.kept.clear()
        self.files.close()

    def has_all_since(self, number: int, since_s: float) -> bool:
        """Say whether a partition's rows have what its changelog had at a time, by the clock, if this is a member."""
        owned, copy = self.partitions.get(number), self.copies.get(number)
        if owned is not None:
            return owned.claim is not None
        return copy is not None and copy.read_s >= since_s

    def owned(self, number: int) -> OwnedPartition | None:
        """Return a partition, None where it is not owned here."""
        return self.partitions.get(number)

    def _served(self, number: int) -> OwnedPartition | WarmCopy:
        # Of what is another's, only what no owner answers comes here.
        held = self.partitions.get(number) or self.copies.get(number)
        if held is None or not held.served or not self._gate.is_open:
            raise ViewUnavailableError("the partition is being recovered, or is not here")
        behind_s = held.behind_s if isinstance(held, WarmCopy) else 0.0
        if max(self._contact.silent_s, behind_s) > self._stale_reads_max_s:
            raise ViewUnavailableError("the log has not been heard of for too long")
        return held

    def rows(self, partition: int) -> Rows:
        """Return a partition's rows as they are committed; see `streams.views.tables.Table`."""
        return self._served(partition).store

    def position(self, topic: str, partition: int) -> int:
        """Return the offset of the last folded record of an input; raise `ViewUnavailableError` as `rows` does."""
        return self._served(partition).positions[topic]

    @property
    def age_s(self) -> int | None:
        """Seconds since the log was last heard of, where that is too long ago for lists to count as fresh."""
        return self._contact.age_s

    async def until(self, partition: int, key: bytes, reached: Callable[[], bool], *, limit_s: float) -> None:
        """Return once *reached* says so; see `streams.views.tables.Table`."""
        await self._served(partition).waiters.until(key, reached, limit_s=limit_s)

    async def settled(self, partition: int) -> None:
        """Return once the rows have what others were told of before; see `streams.views.tables.Table`."""
        held = self._served(partition)
        if isinstance(held, OwnedPartition):
            await held.settled()


class NoTable:
    """Implements `streams.views.tables.Table` for a node that folds nothing."""

    age_s = None

    def rows(self, partition: int) -> Rows:
        """Raise `ViewUnavailableError`."""
        raise ViewUnavailableError(f"partition {partition} is not on this node, which folds nothing")

    def position(self, topic: str, partition: int) -> int:
        """Raise `ViewUnavailableError`."""
        raise ViewUnavailableError(f"{topic}-{partition} is not folded on this node")

    async def until(self, partition: int, key: bytes, reached: Callable[[], bool], *, limit_s: float) -> None:
        """Raise `ViewUnavailableError`."""
        del key, reached, limit_s
        self.rows(partition)

    async def settled(self, partition: int) -> None:
        """Raise `ViewUnavailableError`."""
        self.rows(partition)
