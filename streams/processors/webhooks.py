"""The webhooks processor: what apps are to hear of, folded into what their endpoints are sent."""

from __future__ import annotations

from collections.abc import Iterable

from streams.codec import decode_notice, decode_webhook_event
from streams.domain.notices import event_id, source_text
from streams.domain.rows import WritableRows
from streams.domain.webhook_rows import Undecided
from streams.domain.webhooks import WEBHOOK_LIMITS, WebhookLimits, fold_notice, fold_webhook_event
from streams.engine.fold import Emit
from streams.log.port import Record
from streams.topics import VIEW, WEBHOOK_EVENTS, partition_of, view_topics

NAME = "webhooks"


class WebhooksFold:
    """`streams.engine.fold.Fold` of the webhooks table."""

    name = NAME
    source = WEBHOOK_EVENTS

    def __init__(
        self, *, hash_key: bytes, partitions: int, view: str = VIEW, limits: WebhookLimits = WEBHOOK_LIMITS
    ) -> None:
        """Take what ids are made with, up to 64 bytes, of how many partitions topics are, and the views' version."""
        topics = view_topics(view)
        self.until_folded = topics.notices
        self.changelog = topics.webhooks_changelog
        self.dead_letters = topics.dead_letters
        self._hash_key, self._partitions, self._limits = hash_key, partitions, limits

    def fold(self, rows: WritableRows, topic: str, record: Record) -> Iterable[Emit]:
        """Fold one record into *rows*; see `streams.engine.fold.Fold`."""
        if topic == self.source:
            if record.value is None:
                return ()  # it has another record erased, and is nothing itself
            event = decode_webhook_event(record.key, record.value)
            fold_webhook_event(rows, event, offset=record.offset, time_ms=record.time_ms, limits=self._limits)
            return ()
        context, notice = decode_notice(record.key, record.value)
        source = source_text(notice.source, partition_of(notice.of, self._partitions))
        id_ = event_id(self._hash_key, source, notice.offset, notice.number)
        fold_notice(rows, Undecided(id_, source, context, notice), offset=record.offset)
        return ()
