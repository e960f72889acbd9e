"""What the log has of contexts that were erased, looked for in all of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from typing import NamedTuple

from streams.codec import decode_webhook_event, id_in_key
from streams.domain.context_rows import META
from streams.domain.erasure import (
    Find,
    Requests,
    in_context_events,
    in_dead_letters,
    in_session_events,
    in_webhook_events,
)
from streams.domain.errors import PoisonError
from streams.domain.ids import Kind, known_id
from streams.domain.webhook_events import DeliveriesPlanned
from streams.log.port import Chunk, Readable, Record
from streams.topics import CONTEXT_EVENTS, ERASURES, SESSION_EVENTS, WEBHOOK_EVENTS, ViewTopics


class Found(NamedTuple):
    """A record that says something of a context that was erased."""

    id: str
    topic: str
    partition: int
    record: Record


Read = Callable[[str, int, int, int], AsyncIterator[Chunk]]
"""Yields the records of a topic's partition from an offset up to, not including, another."""


class Search:
    """Looks through the log for what it has of some contexts."""

    def __init__(self, log: Readable, partitions: int, views: Sequence[ViewTopics], read: Read | None = None) -> None:
        """Take the log, the topics of all versions of the views that are kept, and how it is read, if not as usual."""
        self._log, self._partitions, self._read = log, partitions, read or log.read
        self.sources: Mapping[str, Find] = {
            CONTEXT_EVENTS: in_context_events,
            SESSION_EVENTS: in_session_events,
            WEBHOOK_EVENTS: in_webhook_events,
            **{topics.dead_letters: in_dead_letters for topics in views},
        }
        """Where records are to be removed."""
        self.webhooks = [topics.webhooks_changelog for topics in views]
        self.changelogs = [
            *(one for topics in views for one in (topics.contexts_changelog, topics.sessions_changelog)),
            *self.webhooks,
        ]
        """What the folds make of them: from there it goes by itself …"""
        self.messages = [one for topics in views for one in (topics.subscriptions, topics.feed, topics.notices)]
        """… and from here."""
        self.searched: dict[str, list[int]] = {}
        """Topic → by partition, the offset before which it was searched."""

    async def in_sources(self, ids: Collection[str]) -> AsyncIterator[Found]:
        """Yield what is to be removed of the contexts *ids*."""
        wanted = set(ids)
        for topic, find in self.sources.items():
            async for partition, record in self._records(topic):
                for id_ in wanted.intersection(find(record.key, record.value)):
                    yield Found(id_, topic, partition, record)

    async def in_made(self, ids: Collection[str]) -> AsyncIterator[Found]:
        """Yield what the folds made of them that is still there."""
        raws = [(id_, known_id(Kind.CONTEXT, id_)) for id_ in ids]
        for topic in (*self.changelogs, *self.messages):
            async for partition, record in self._records(topic):
                for id_, raw in raws:
                    if is_about(raw, record.key, record.value):
                        yield Found(id_, topic, partition, record)

    async def _records(self, topic: str) -> AsyncIterator[tuple[int, Record]]:
        ends = self.searched[topic] = []
        for partition in range(self._partitions):
            start = await self._log.start_offset(topic, partition)
            end = await self._log.end_offset(topic, partition)
            if start < end:
                async for chunk in self._read(topic, partition, start, end):
                    for record in chunk.records:
                        yield partition, record
                    await asyncio.sleep(0)
            ends.append(end)


def is_about(raw: bytes, key: bytes | None, value: bytes | None) -> bool:
    """Say whether a row or a message says more of a context than that it was erased."""
    return value is not None and ((raw in (key or b"") and key != META + raw) or raw in value)


async def requests_in(log: Readable, partitions: int, read: Read | None = None) -> list[Requests]:
    """Return what was to be erased and what was, by partition."""
    found = []
    for partition in range(partitions):
        requests = Requests()
        end = await log.end_offset(ERASURES, partition)
        async for chunk in (read or log.read)(ERASURES, partition, 0, end):
            for record in chunk.records:
                requests.take(record.offset, record.time_ms, record.value)
        found.append(requests)
    return found


def session_of(found: Found) -> bytes | None:
    """Return the session whose event was found, None where it is no session's."""
    if found.topic != SESSION_EVENTS or found.record.key is None:
        return None
    return id_in_key(Kind.SESSION, found.record.key)


def decided_in(found: Found) -> Mapping[str, tuple[int, int]]:
    """Return about what a record has decided who is told: partition of a source → offset and number."""
    if found.topic != WEBHOOK_EVENTS:
        return {}
    try:
        event = decode_webhook_event(found.record.key, found.record.value)
    except PoisonError:
        return {}
    return event.until if isinstance(event, DeliveriesPlanned) else {}
