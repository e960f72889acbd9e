"""
Faust's tables over stores of ours: what Faust asks of a table, a store, and the recovery of tables.

A table is a Faust table for its changelog, its assignment and its recovery; its rows are read and written by nobody
but the engine (`streams.engine.processor`), as batches with positions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import faust
from faust.stores.base import Store
from faust.tables.manager import TableManager
from faust.tables.recovery import RebalanceAgain, Recovery, ServiceStopped
from faust.types import TP
from mode import Service

from streams.engine.table_files import TableFiles

Recover = Callable[[set[TP], set[TP]], Awaitable[None]]
"""Changelog partitions → own exactly those, and bring them to where they can be folded on; and follow exactly these."""


class RowStore(Store):  # type: ignore[misc]
    """
    Faust's view of a table's files: where each partition is, and nothing more.

    Upstream's RocksDB store (`faust/stores/rocksdb.py`) writes rows and the changelog offset apart, so that after a
    crash the offset may be ahead of the rows or behind them. Here rows, input positions and the offset are one write
    of the engine's; whatever Faust itself would write is refused.
    """

    files: TableFiles

    def persisted_offset(self, tp: TP) -> int | None:
        """Return the offset of the last changelog record that the rows have, None where they have none."""
        offset = self.files.partition(tp.partition).offset
        return None if offset < 0 else offset

    def set_persisted_offset(self, tp: TP, offset: int) -> None:
        """Refuse: the offset is written with the rows."""
        raise NotImplementedError(f"{tp}: only the engine writes offsets ({offset})")

    def apply_changelog_batch(self, batch: Any, to_key: Any, to_value: Any) -> None:
        """Refuse: changelogs are applied by the engine."""
        del to_key, to_value
        if batch:
            msg = "only the engine applies changelogs"
            raise NotImplementedError(msg)

    def reset_state(self) -> None:
        """Keep everything."""

    async def backup_partition(self, *args: Any, **kwargs: Any) -> None:
        """Refuse: the changelog is the backup."""
        raise NotImplementedError(args, kwargs)

    def restore_backup(self, *args: Any, **kwargs: Any) -> None:
        """Refuse: the changelog is the backup."""
        raise NotImplementedError(args, kwargs)

    def __getitem__(self, key: Any) -> Any:
        raise NotImplementedError(key)

    def __setitem__(self, key: Any, value: Any) -> None:
        raise NotImplementedError(key)

    def __delitem__(self, key: Any) -> None:
        raise NotImplementedError(key)

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError


class RowTable(faust.Table):  # type: ignore[misc]
    """A Faust table whose store is a `RowStore`."""

    def __init__(self, *args: Any, files: TableFiles, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._files = files

    def _new_store(self) -> RowStore:
        store = RowStore("rows://", self.app, self, table_name=self.name, key_type=bytes, value_type=bytes)
        store.files = self._files
        return store


class LogFirstRecovery(Recovery):  # type: ignore[misc]
    """
    Recovery by the engine, and a start of the sources that loses and repeats nothing.

    Upstream (`faust/tables/recovery.py:649-659`) resumes the source partitions, then seeks, then clears the queues,
    with the flow already on: of 98 starts 25 delivered records twice, and one lost one. Here the flow is stopped
    first. Upstream's own recovery (`_restart_recovery`, `_slurp_changelogs`) applies changelogs record by record,
    with time limits that end it half way; here the engine claims each changelog, so that earlier owners are refused,
    and applies it in bulk.
    """

    recover: Recover

    @Service.task  # type: ignore[untyped-decorator,unused-ignore]
    async def _restart_recovery(self) -> None:
        while not self.should_stop:
            if await self.wait_for_stopped(self.signal_recovery_start):
                return
            self.signal_recovery_start.clear()
            generation = self._generation_id
            self._set_recovery_started()
            try:
                await self._wait(self.recover(set(self.active_tps), set(self.standby_tps)))
                await self._wait(self.on_recovery_completed(generation))
            except RebalanceAgain:
                continue
            except ServiceStopped:
                return

    @Service.task  # type: ignore[untyped-decorator,unused-ignore]
    async def _slurp_changelogs(self) -> None:
        """Do nothing: no changelog partition is ever read by Faust."""

    async def on_recovery_completed(self, generation_id: int = 0) -> None:
        """Seek every source to its table's own position, then let records flow."""
        self.app.consumer.stop_flow()
        self.app.flow_control.suspend()
        await super().on_recovery_completed(generation_id)

    async def _wait(self, coroutine: Any, timeout: Any = None) -> None:  # noqa: ASYNC109 - upstream's signature
        """
        Wait for *coroutine* unless the service stops or another rebalance starts; then it is cancelled and over.

        Upstream's (`faust/tables/recovery.py:606-620`) leaves it running behind the next recovery, and swallows its
        errors.
        """
        task = asyncio.ensure_future(coroutine)
        rebalance = asyncio.ensure_future(self.signal_recovery_start.wait())
        stopped = asyncio.ensure_future(self._stopped.wait())
        try:
            await asyncio.wait({task, rebalance, stopped}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for waiting in (task, rebalance, stopped):
                waiting.cancel()
            await asyncio.gather(task, rebalance, stopped, return_exceptions=True)
        if self.should_stop:
            raise ServiceStopped
        if self.signal_recovery_start.is_set():
            raise RebalanceAgain
        if task.cancelled():
            raise TimeoutError(f"not done within {timeout} s")
        task.result()


class LogFirstTableManager(TableManager):  # type: ignore[misc]
    """Faust's table manager with our recovery, and without upstream's pause of a second (`tables/manager.py:138`)."""

    recover: Recover

    @property
    def recovery(self) -> Recovery:
        """Return the recovery."""
        if self._recovery is None:
            recovery = LogFirstRecovery(self.app, self, beacon=self.beacon, loop=self.loop)
            recovery.recover = self.recover
            self._recovery: Recovery = recovery
        return self._recovery

    async def on_start(self) -> None:
        """Begin."""
        if not self.should_stop:
            await self._update_channels()
            await self.recovery.start()
