"""What a record of a source tells apps: the notices that come of it."""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET

from streams.codec import encode_message
from streams.domain.events import Event
from streams.domain.notices import Notice, ToApp
from streams.engine.fold import Output
from streams.log.port import Record


class Told:
    """Numbers the notices of one record."""

    __slots__ = ("_event", "_number", "_of", "_record", "_source")

    def __init__(
        self, source: Literal["context-events", "session-events"], of: bytes, record: Record, event: Event
    ) -> None:
        """Take the topic, the raw id of the context or session, its record, and the event in that."""
        self._source, self._of, self._record, self._event = source, of, record, event
        self._number = 0

    def output(self, topic: str, effect: ToApp) -> Output:
        """Return the record's next notice, addressed to its context."""
        notice = Notice(
            self._source,
            self._of,
            self._record.offset,
            self._number,
            self._record.time_ms,
            self._event.request,
            effect.app,
            effect.type,
            effect.data,
            "" if self._event.idempotency_key is UNSET else self._event.idempotency_key,
        )
        self._number += 1
        return Output(topic, effect.context, encode_message(notice))
