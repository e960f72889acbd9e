"""Deletes what was folded from the topics whose records are kept only until then."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import structlog

from streams.domain.errors import LogUnavailableError
from streams.engine import fatal
from streams.engine.fatal import Die
from streams.engine.processor import Processor
from streams.log.port import Log

EVERY_S = 30.0
AT_LEAST = 1_000
"""Records worth a call to the log …"""
ALL_EVERY_S = 5_400.0
"""… but nothing is kept for longer than about this."""
FLUSH_EVERY_S = 2_700.0


class Trimmer:
    """
    Every so often deletes, in the partitions owned here, the records below the table's own durable position.

    And has the tables be written out: what is killed has all on the disk but what is new.
    """

    def __init__(
        self,
        log: Log,
        processors: Sequence[Processor],
        *,
        every_s: float = EVERY_S,
        all_every_s: float = ALL_EVERY_S,
        flush_every_s: float = FLUSH_EVERY_S,
        die: Die = fatal.die,
    ) -> None:
        self._log, self._processors, self._die = log, processors, die
        self._every_s = min(every_s, all_every_s, flush_every_s)
        self._all_every_s, self._flush_every_s = all_every_s, flush_every_s
        self._trimmed: dict[tuple[str, int], int] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = fatal.begin(self._run(), "trimmer", self._die)

    async def stop(self) -> None:
        """Stop, at once."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        all_due_s = flush_due_s = 0.0
        while True:
            await asyncio.sleep(self._every_s)
            all_due_s += self._every_s
            flush_due_s += self._every_s
            if flush_due_s >= self._flush_every_s:
                flush_due_s = 0.0
                for processor in self._processors:
                    await processor.table.flush()
            try:
                await self.trim(at_least=1 if all_due_s >= self._all_every_s else AT_LEAST)
                all_due_s %= self._all_every_s
            except LogUnavailableError as error:
                # It keeps the records until the next time.
                structlog.get_logger(__name__).warning("not_trimmed", error=str(error))

    async def trim(self, *, at_least: int = AT_LEAST) -> None:
        """Delete what is worth a call; raise `LogUnavailableError` where the log does not answer."""
        for processor in self._processors:
            topic = processor.fold.until_folded
            if topic is None:
                continue
            for partition, owned in list(processor.table.partitions.items()):
                end = owned.positions[topic] + 1
                if owned.claim is not None and end - self._trimmed.get((topic, partition), 0) >= at_least:
                    await self._log.delete_before(topic, partition, end)
                    self._trimmed[topic, partition] = end
