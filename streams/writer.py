"""Events into the log: what the service calls when something happened."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence

from msgspec import UNSET

from streams.codec import encode_event, event_key
from streams.domain.errors import LogUnavailableError
from streams.domain.events import ContextEvent, SessionEvent
from streams.domain.idempotency_events import AnyKeyEvent
from streams.domain.ids import ContextId, Kind, SessionId
from streams.domain.positions import ContextPosition, SessionsPosition, Written
from streams.log.port import Appended, Log
from streams.topics import CONTEXT_EVENTS, KEY_EVENTS, SESSION_EVENTS, partition_of


def record_key(kind: Kind, raw: bytes, event: ContextEvent | SessionEvent) -> bytes:
    """Return a key for the record of an event that no other record has, also where the event is appended again."""
    may_come_again = event.idempotency_key is not UNSET or event.corrects is not UNSET
    return event_key(kind, raw, event.id, secrets.token_hex(8) if may_come_again else "")


class LogWriter:
    """Appends events to the partitions of their contexts, sessions and keys; acknowledged is what every replica has."""

    def __init__(self, log: Log, partitions: int) -> None:
        self._log, self._partitions = log, partitions
        self.writes = 0
        """Events acknowledged since the start, those of keys too."""
        self.failures = 0
        """Events whose outcome was not known in time."""
        self.ends: dict[tuple[str, int], int] = {}
        """Topic and partition → the offset after the last event that was acknowledged here."""

    async def write_context(self, context: ContextId, event: ContextEvent) -> Written:
        """Append one event of a context; raise `LogUnavailableError` where the outcome is unknown."""
        appended = await self._append(CONTEXT_EVENTS, context, record_key(Kind.CONTEXT, context, event), event)
        return Written(ContextPosition(context, appended.offset), appended.time_ms)

    async def write_session(self, session: SessionId, event: SessionEvent) -> Written:
        """Append one event of a session; raise `LogUnavailableError` where the outcome is unknown."""
        appended = await self._append(SESSION_EVENTS, session, record_key(Kind.SESSION, session, event), event)
        return Written(SessionsPosition({appended.partition: appended.offset}), appended.time_ms)

    async def write_sessions(self, events: Sequence[tuple[SessionId, SessionEvent]]) -> SessionsPosition:
        """
        Append one event to each of many sessions, all at once; the position covers them all.

        Raises:
            LogUnavailableError: The outcome of some is unknown; the others are in the log.
        """
        appends = [
            self._append(SESSION_EVENTS, session, record_key(Kind.SESSION, session, event), event)
            for session, event in events
        ]
        offsets: dict[int, int] = {}
        unknown: list[BaseException] = []
        # Each to its end: an append that is given up half way would be known to nobody.
        for appended in await asyncio.gather(*appends, return_exceptions=True):
            if isinstance(appended, BaseException):
                unknown.append(appended)
            else:
                offsets[appended.partition] = max(appended.offset, offsets.get(appended.partition, -1))
        for error in unknown:
            if not isinstance(error, LogUnavailableError):
                raise error
        if unknown:
            raise LogUnavailableError(f"{len(unknown)} of {len(events)} events may not be in the log") from unknown[0]
        return SessionsPosition(offsets)

    async def write_key(self, key: bytes, event: AnyKeyEvent) -> None:
        """Append one event of an idempotency key; raise `LogUnavailableError` where the outcome is unknown."""
        await self._append(KEY_EVENTS, key, key, event)

    async def _append(
        self, topic: str, raw: bytes, key: bytes, event: ContextEvent | SessionEvent | AnyKeyEvent
    ) -> Appended:
        partition = partition_of(raw, self._partitions)
        try:
            appended = await self._log.append(topic, partition, key, encode_event(event))
        except LogUnavailableError:
            self.failures += 1
            raise
        self.writes += 1
        self.ends[topic, partition] = appended.offset + 1
        return appended
