"""The idempotency processor: what becomes of keys, folded into who is admitted, and what is answered again."""

from __future__ import annotations

from collections.abc import Iterable

from streams.codec import decode_key_event
from streams.domain.idempotency import KEY_LIMITS, KeyLimits, fold_key_event
from streams.domain.rows import WritableRows
from streams.engine.fold import Emit, Judged
from streams.log.port import Record
from streams.topics import KEY_EVENTS, VIEW, view_topics

NAME = "idempotency"


class IdempotencyFold:
    """`streams.engine.fold.Fold` of the idempotency table."""

    name = NAME
    source = KEY_EVENTS
    until_folded = None

    def __init__(self, *, view: str = VIEW, limits: KeyLimits = KEY_LIMITS) -> None:
        """Take the version of the views, and how long keys are known."""
        topics = view_topics(view)
        self.changelog = topics.idempotency_changelog
        self.dead_letters = topics.dead_letters
        self._limits = limits

    def fold(self, rows: WritableRows, topic: str, record: Record) -> Iterable[Emit]:  # noqa: ARG002 - it has but one
        """Fold one record into *rows*; see `streams.engine.fold.Fold`."""
        key, event = decode_key_event(record.key, record.value)
        admission = fold_key_event(rows, event, key, offset=record.offset, time_ms=record.time_ms, limits=self._limits)
        return () if admission is None else (Judged(event.id, admission),)
