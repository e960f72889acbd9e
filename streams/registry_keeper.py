"""When the registry's snapshot is written, and whether the log goes on from the one that is there."""

from __future__ import annotations

import asyncio
from pathlib import Path

import structlog

from streams.domain.registry_state import RegistryState
from streams.log.port import Log, Record
from streams.registry_snapshot import Header, Mark, Restored, Snapshot, SnapshotFile, UnfitError
from streams.topics import REGISTRY_EVENTS

FILE = "registry.snapshot"
SNAPSHOT_AFTER_BYTES = 16 << 20
"""Of events since the last snapshot: what a start then folds in about a second."""
_RECORD_BYTES = 100
"""What a record counts for beside its event."""
_PARTITION = 0


class Keeper:
    """Keeps a node's registry for its next start. Without it, all is as it is with it, only later."""

    def __init__(self, log: Log, path: Path | None, after_bytes: int) -> None:
        """
        Take the log, and where the snapshot is.

        Args:
            log: What the registry is folded from.
            path: The snapshot's file; None: there is none, and none is written.
            after_bytes: Of events since the last snapshot, after which another is due.
        """
        self._log, self._after_bytes = log, after_bytes
        self._file = None if path is None else SnapshotFile(path)
        self._logger = structlog.get_logger(__name__)
        self._last: Mark | None = None
        self._tail_bytes = 0
        """Of events since the last snapshot was begun."""
        self._has_failed = False
        """Whether what the last snapshot was to hold is in none."""
        self._is_due = asyncio.Event()
        self._writes = asyncio.Lock()
        self.discarded = 0
        """Snapshots that were there and could not be used."""

    async def restored(self) -> Restored | None:
        """
        Return what the snapshot holds; None where there is none that the log goes on from.

        Raises:
            LogUnavailableError: The log did not answer.
        """
        try:
            restored = None if self._file is None else await self._read(self._file)
        except UnfitError as error:
            self.discarded += 1
            self._logger.warning("registry_snapshot_discarded", reason=str(error))
            return None
        if restored is not None:
            self._last = restored.header.last
        return restored

    async def _read(self, file: SnapshotFile) -> Restored | None:
        restored = await file.read(self._log.id)
        if restored is not None and not await self._goes_on(restored.header):
            raise UnfitError("the log does not go on from it")
        return restored

    def note(self, record: Record) -> None:
        """Take note of a record that is being folded."""
        self._last = _mark(record)
        self._tail_bytes += len(record.value or b"") + _RECORD_BYTES
        if self._tail_bytes >= self._after_bytes:
            self._is_due.set()

    async def due(self) -> None:
        """Return once so much was folded that another snapshot is worth its writing."""
        await self._is_due.wait()

    async def save(self, state: RegistryState, next_offset: int) -> None:
        """Write what is folded now, all before *next_offset*, where it is not written yet."""
        snapshot = self._snapshot(state, next_offset)
        # Whoever gives up waiting must not leave half a file that the next one writes to as well.
        await asyncio.shield(asyncio.create_task(self._write(snapshot), name="registry snapshot"))

    async def _write(self, snapshot: Snapshot | None) -> None:
        async with self._writes:
            if self._file is None or snapshot is None:
                return
            try:
                await self._file.write(snapshot)
                self._has_failed = False
            except OSError as error:
                # Tried again at the stop, or after as many events: at every event would be too much for a full disk.
                self._has_failed = True
                self._logger.warning("registry_snapshot_not_written", reason=str(error))

    def _snapshot(self, state: RegistryState, next_offset: int) -> Snapshot | None:
        """Return *state* as it is now, whatever is folded into it later; None where that is written already."""
        self._is_due.clear()
        is_written = self._tail_bytes == 0 and not self._has_failed
        if self._last is None or state.deployment is None or is_written:
            return None
        self._tail_bytes = 0
        header = Header(self._log.id, next_offset, self._last, state.deployment, state.revision, state.count)
        return Snapshot(header, state.copied())

    async def _goes_on(self, header: Header) -> bool:
        """Say whether the log still has the snapshot's last record, and ends no sooner."""
        if not header.last.offset < header.next_offset <= await self._log.end_offset(REGISTRY_EVENTS, _PARTITION):
            return False
        records = self._log.read_at(REGISTRY_EVENTS, _PARTITION, [header.last.offset])
        return [_mark(record) async for record in records] == [header.last]


def _mark(record: Record) -> Mark:
    return Mark(record.offset, record.time_ms, record.key or b"")
