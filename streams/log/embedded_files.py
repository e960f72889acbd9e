"""An embedded log's directory read beside whoever has it open: its sources as they were at the opening."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

from streams.domain.errors import RefusedStartError
from streams.log.embedded_directory import DATABASE
from streams.log.embedded_store import CorruptedLogError, EmbeddedStore, Span
from streams.log.port import Chunk

_READ_BYTES = 1 << 20


class EmbeddedFiles:
    """Implements `streams.log.port.Readable`. What is appended after it was opened is not seen."""

    def __init__(self, directory: Path) -> None:
        """Open it; raise `RefusedStartError` where there is no log, or it cannot be read. Blocking."""
        self._path = directory / DATABASE
        if not self._path.exists():
            raise RefusedStartError(f"There is no log in {directory}: name the data directory of a node.")
        try:
            uri = f"{self._path.absolute().as_uri()}?mode=ro"
            reading = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
            self._store = EmbeddedStore(reading, reading)
        except (sqlite3.Error, CorruptedLogError) as error:
            raise self._unreadable(error) from error
        self._partitions = {(stored.topic, stored.partition): stored for stored in self._store.partitions}

    def _unreadable(self, error: Exception) -> RefusedStartError:
        return RefusedStartError(f"The log's database {self._path} cannot be read ({' '.join(str(error).split())}).")

    def close(self) -> None:
        """Close it."""
        self._store.stop_reading()

    @property
    def id(self) -> str:
        """The log's own id, made with it."""
        return self._store.id

    async def start_offset(self, topic: str, partition: int) -> int:
        """Return the offset of the first record that is still there."""
        return self._partitions[topic, partition].start_offset

    async def end_offset(self, topic: str, partition: int) -> int:
        """Return the offset after the last record."""
        return self._partitions[topic, partition].end_offset

    async def read(self, topic: str, partition: int, start: int, end: int) -> AsyncIterator[Chunk]:
        """Yield the records from *start* up to, not including, *end*."""
        stored = self._partitions[topic, partition]
        start, end = max(start, stored.start_offset), min(end, stored.end_offset)
        while start < end:
            span = await asyncio.to_thread(self._read, stored.number, start, end)
            start = span.end
            yield Chunk(span.records, span.end)

    def _read(self, number: int, start: int, end: int) -> Span:
        try:
            return self._store.read(number, start, end, _READ_BYTES)
        except (sqlite3.Error, CorruptedLogError) as error:
            raise self._unreadable(error) from error
