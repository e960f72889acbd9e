"""Commands that the sessions' fold judges: appended here, decided at their place in the log."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager
from typing import Protocol

from streams.domain.errors import LogUnavailableError
from streams.domain.events import SessionEvent
from streams.domain.feed import Verdict
from streams.domain.ids import SessionId
from streams.domain.positions import After, Written
from streams.topics import partition_of
from streams.views.session_views import SessionReader
from streams.writer import LogWriter

VERDICT_LIMIT_S = 4.5
"""How long a command waits for its fold: with the append's own limit, under the 5 s of a client's patience."""


class Judge(Protocol):
    """The sessions processor, as commands need it."""

    def owns(self, partition: int) -> None:
        """Raise `ViewUnavailableError` where the partition is not folded here, or not yet."""

    def expecting(self, event_id: str, partition: int) -> AbstractContextManager[asyncio.Future[Verdict]]:
        """Give a future that gets the verdict on an event once its batch is committed."""


class LogCommands:
    """Appends a session's event on its owner and returns what the fold made of it."""

    def __init__(
        self,
        writer: LogWriter,
        judge: Judge,
        reader: SessionReader,
        partitions: int,
        *,
        limit_s: float = VERDICT_LIMIT_S,
    ) -> None:
        self._writer, self._judge, self._reader = writer, judge, reader
        self._partitions, self._limit_s = partitions, limit_s

    async def execute(self, session: SessionId, event: SessionEvent, after: After) -> tuple[Verdict, Written]:
        """
        Append *event*, wait until it is folded, return what the fold made of it.

        Raises:
            LogUnavailableError: It may or may not be in the log, or its fold was not seen, in time or here.
            ViewUnavailableError: This node does not own the session; nothing was written.
            ViewBehindError: *after* was not reached; nothing was written.
        """
        partition = partition_of(session, self._partitions)
        self._judge.owns(partition)
        await self._reader.reach(session, after)
        try:
            async with asyncio.timeout(self._limit_s):
                with self._judge.expecting(event.id, partition) as verdict:
                    written = await self._writer.write_session(session, event)
                    return await verdict, written
        except TimeoutError as error:
            raise LogUnavailableError(f"the event was not folded within {self._limit_s:g} s") from error
