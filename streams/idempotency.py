"""Idempotency keys on a node: requests are admitted where their key's partition is folded, and end from anywhere."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager
from typing import Protocol

from streams.domain.errors import LogUnavailableError
from streams.domain.idempotency import Admission
from streams.domain.idempotency_events import KeyBegun, KeyFinished, KeyReleased
from streams.topics import partition_of
from streams.writer import LogWriter

ADMISSION_LIMIT_S = 4.5
"""How long a request waits to be admitted, as for any other verdict."""


class AdmissionJudge(Protocol):
    """The idempotency processor, as admissions need it."""

    def owns(self, partition: int) -> None:
        """Raise `ViewUnavailableError` where the partition is not folded here, or not yet."""

    def expecting(self, event_id: str, partition: int) -> AbstractContextManager[asyncio.Future[Admission]]:
        """Give a future that gets the verdict on an event once its batch is committed."""


class KeyLog:
    """Appends what becomes of keys, and returns what the fold makes of a request that wants to begin."""

    def __init__(
        self, writer: LogWriter, judge: AdmissionJudge, partitions: int, *, limit_s: float = ADMISSION_LIMIT_S
    ) -> None:
        self._writer, self._judge, self._partitions, self._limit_s = writer, judge, partitions, limit_s

    async def begin(self, key: bytes, event: KeyBegun) -> Admission:
        """
        Append that a request wants to begin, wait until that is folded, return whether it may.

        Raises:
            LogUnavailableError: It may or may not be in the log, or its fold was not seen, in time or here.
            ViewUnavailableError: This node does not own the key; nothing was written.
        """
        partition = partition_of(key, self._partitions)
        self._judge.owns(partition)
        try:
            async with asyncio.timeout(self._limit_s):
                with self._judge.expecting(event.id, partition) as admission:
                    await self._writer.write_key(key, event)
                    return await admission
        except TimeoutError as error:
            raise LogUnavailableError(f"the key was not folded within {self._limit_s:g} s") from error

    async def end(self, key: bytes, event: KeyFinished | KeyReleased) -> None:
        """Append how it ended; raise `LogUnavailableError` where the outcome is unknown. Any node may."""
        await self._writer.write_key(key, event)
