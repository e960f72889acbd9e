"""What the log has of contexts and sessions that were erased, looked for in all of it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from streams.codec import decode_webhook_event, id_in_key
from streams.domain import repeats
from streams.domain.context_rows import META, UNSUB
from streams.domain.dead_letters import CORRECTED
from streams.domain.erasure import (
    Find,
    Requests,
    in_context_events,
    in_dead_letters,
    in_session_events,
    in_webhook_events,
)
from streams.domain.errors import PoisonError
from streams.domain.ids import ID_BYTES, Kind, known_id
from streams.domain.session_rows import SESSION
from streams.domain.webhook_events import DeliveriesPlanned
from streams.log.port import Chunk, Readable, Record
from streams.topics import CONTEXT_EVENTS, ERASURES, SESSION_EVENTS, WEBHOOK_EVENTS, ViewTopics

_ID = re.compile(rb"(?:CX|SN)[0-9]{41}")
_HEAD_BYTES = 200
"""Of a value, in which raw ids stand; what is longer holds items, which name their context in text."""
_REPEATS = (repeats.EVENT, repeats.BY_TIME, repeats.OLDEST, CORRECTED)
_FEW = 8
"""Ids that are looked for one by one."""


class Found(NamedTuple):
    """A record that says something of what was erased."""

    id: str
    topic: str
    partition: int
    record: Record


Read = Callable[[str, int, int, int], AsyncIterator[Chunk]]
"""Yields the records of a topic's partition from an offset up to, not including, another."""


class Search:
    """Looks through the log for what it has of some contexts and sessions."""

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
        """Yield what is to be removed of *ids*."""
        wanted = set(ids)
        for topic, find in self.sources.items():
            async for partition, record in self._records(topic):
                for id_ in wanted.intersection(find(record.key, record.value)):
                    yield Found(id_, topic, partition, record)

    async def in_made(self, ids: Collection[str]) -> AsyncIterator[Found]:
        """Yield what the folds made of them that is still there."""
        names = Names(ids)
        for topic in (*self.changelogs, *self.messages):
            async for partition, record in self._records(topic):
                for id_ in names.found(record.key, record.value):
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


class Names:
    """Finds ids in rows and messages, of however many it looks for."""

    def __init__(self, ids: Collection[str]) -> None:
        """Take the ids of contexts and sessions, as text."""
        self._texts = {id_.encode(): id_ for id_ in ids}
        self._raws = {raw_of(id_): id_ for id_ in ids}

    def found(self, key: bytes | None, value: bytes | None) -> set[str]:
        """Return the ids of which a row, a tombstone or a message says more than that they are no more."""
        key, value = key or b"", value or b""
        raws = self._within(key) | self._within(value[:_HEAD_BYTES])
        found = {self._raws[raw] for raw in raws if not _is_end(self._raws[raw], raw, key)}
        return found | {self._texts[text] for text in _ID.findall(value) if text in self._texts}

    def found_in_file(self, text: bytes) -> set[str]:
        """Return the ids in the keys that a file lists, but for those of rows that may stay."""
        return {
            id_
            for raw, id_ in self._raws.items()
            if any(_may_not_stay(id_, raw, at, text) for at in _places(raw, text))
        }

    def _within(self, text: bytes) -> set[bytes]:
        if len(self._raws) <= _FEW:
            return {raw for raw in self._raws if raw in text}
        return {text[n : n + ID_BYTES] for n in range(len(text) - ID_BYTES + 1)} & self._raws.keys()


def _places(raw: bytes, text: bytes) -> Iterator[int]:
    at = text.find(raw)
    while at >= 0:
        yield at
        at = text.find(raw, at + 1)


def _may_not_stay(id_: str, raw: bytes, at: int, text: bytes) -> bool:
    """Say whether none of the keys that may end with the raw id at a place of a file is one of a row that may stay."""
    starts = (at - 1, at - 1 - ID_BYTES)
    return not any(_is_end(id_, raw, text[max(start, 0) : at + ID_BYTES]) for start in starts)


def _is_end(id_: str, raw: bytes, key: bytes) -> bool:
    """
    Say whether a row says no more than that a context was erased, or a session deleted.

    Of a session more has to stay: for 30 days that a context feeds it no more, for messages may come late; and which of
    its events were folded, for they may come again, and have the verdict of the first.
    """
    if kind_of(id_) is Kind.CONTEXT:
        return key == META + raw
    if key.startswith(UNSUB):
        return key.endswith(raw)
    return key == SESSION + raw or (key[:1] in _REPEATS and key.startswith(raw, 1))


def kind_of(id_: str) -> Kind:
    """Return whether the text of an id is a context's or a session's."""
    return Kind.SESSION if id_.startswith(Kind.SESSION.value) else Kind.CONTEXT


def raw_of(id_: str) -> bytes:
    """Return the raw id in its text."""
    return known_id(kind_of(id_), id_)


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
    """Return the session in whose event a context was found, None where it is no session's."""
    if found.topic != SESSION_EVENTS or kind_of(found.id) is not Kind.CONTEXT:
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
