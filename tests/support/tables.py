"""Both tables in memory, folded by the real processors, with a place for readers to wait in."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import TypedDict

import pytest

from streams.codec import encode_event, event_key
from streams.domain.errors import ViewBehindError, ViewUnavailableError
from streams.domain.events import (
    ContextAttached,
    ContextDetached,
    ContextErased,
    ContextEvent,
    ItemHidden,
    ItemPut,
    ItemRemoved,
    SessionDeleted,
    SessionEvent,
)
from streams.domain.feed import LIMITS, Limits, Noticed, Verdict
from streams.domain.ids import AppId, ContextId, Kind, SessionId, id_text
from streams.domain.items import Item
from streams.domain.memory_rows import MemoryRows
from streams.domain.positions import ContextPosition, SessionsPosition
from streams.engine.fold import Fold, Judged, Output, inputs_of
from streams.log.port import Chunk, Record
from streams.processors.contexts import ContextsFold
from streams.processors.sessions import SessionsFold
from streams.processors.webhooks import WebhooksFold
from streams.topics import ERASURES
from streams.views.tables import WAIT_S

HASH_KEY = b"k" * 32
CLIENT = "0123456789abcdef"
START_MS = 1_700_000_000_000


class Cause(TypedDict):
    """What every event must say of where it comes from."""

    id: str
    client: str


class MemoryTable:
    """`streams.views.tables.Table` of one partition: what is folded is committed."""

    def __init__(self) -> None:
        self.stored = MemoryRows()
        self.positions: dict[str, int] = {}
        self.age: int | None = None
        self.here = True
        self.waits = 0
        self.patience_s = 30.0
        """How long readers wait: as good as for ever, for a test says when there is nothing to wait for."""
        self._committed = asyncio.Event()
        self._joined = asyncio.Event()

    async def has_waits(self, count: int) -> None:
        """Return once as many readers wait."""
        while self.waits < count:
            self._joined.clear()
            await self._joined.wait()

    def rows(self, partition: int) -> MemoryRows:
        assert partition == 0
        if not self.here:
            raise ViewUnavailableError
        return self.stored

    def position(self, topic: str, partition: int) -> int:
        assert partition == 0
        return self.positions.get(topic, -1)

    @property
    def age_s(self) -> int | None:
        return self.age

    def commit(self) -> None:
        committed, self._committed = self._committed, asyncio.Event()
        committed.set()

    async def settled(self, partition: int) -> None:
        self.rows(partition)

    async def until(self, partition: int, key: bytes, reached: Callable[[], bool], *, limit_s: float) -> None:
        assert (partition, len(key), limit_s) == (0, 18, WAIT_S)
        self.waits += 1
        self._joined.set()
        try:
            async with asyncio.timeout(self.patience_s):
                while not reached():
                    await self._committed.wait()
        except TimeoutError as error:
            raise ViewBehindError from error
        finally:
            self.waits -= 1


class MemoryLog:
    """`streams.refold.ScannedLog` of one partition."""

    def __init__(self, records: dict[str, list[Record]], piece: int = 7) -> None:
        self.records, self.piece = records, piece
        self.start = 0

    async def start_offset(self, topic: str, partition: int) -> int:
        assert (topic in self.records, partition) == (True, 0)
        return self.start

    async def end_offset(self, topic: str, partition: int) -> int:
        assert partition == 0
        return len(self.records[topic])

    async def scan(self, topic: str, partition: int, start: int, end: int) -> AsyncIterator[Chunk]:
        assert partition == 0
        for at in range(start, end, self.piece):
            records = self.records[topic][at : min(end, at + self.piece)]
            yield Chunk(records, at + len(records))


class Views:
    """The two processors and what they tell each other, folded when the test says so."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.contexts, self.sessions, self.webhooks = MemoryTable(), MemoryTable(), MemoryTable()
        self._folds: dict[str, tuple[Fold, MemoryTable]] = {}
        folds: list[tuple[Fold, MemoryTable]] = [
            (ContextsFold(hash_key=HASH_KEY, limits=limits), self.contexts),
            (SessionsFold(hash_key=HASH_KEY, limits=limits), self.sessions),
            (WebhooksFold(hash_key=HASH_KEY, partitions=1), self.webhooks),
        ]
        for fold, table in folds:
            for topic in inputs_of(fold):
                self._folds[topic] = fold, table
        topics = [*self._folds, ERASURES]
        self._topics: dict[str, deque[Record]] = {topic: deque() for topic in topics}
        self._ends = dict.fromkeys(topics, 0)
        self.log = MemoryLog({topic: [] for topic in topics})
        self._events = 0
        self.now_ms = START_MS
        self.verdicts: dict[str, Verdict] = {}
        self.noticed: list[str] = []

    @contextmanager
    def behind(self) -> Iterator[None]:
        """Have readers give up at once, and expect that they do."""
        tables = self.contexts, self.sessions
        for table in tables:
            table.patience_s = 0.01
        with pytest.raises(ViewBehindError):
            yield
        for table in tables:
            table.patience_s = 30.0

    def append(self, topic: str, key: bytes, value: bytes | None) -> int:
        offset = self._ends[topic]
        self._ends[topic] += 1
        record = Record(offset, self.now_ms, key, value)
        self._topics[topic].append(record)
        self.log.records[topic].append(record)
        return offset

    def step(self, topic: str) -> bool:
        """Fold one record of *topic*, where there is one, and commit."""
        if not self._topics[topic]:
            return False
        record = self._topics[topic].popleft()
        fold, table = self._folds[topic]
        for emit in fold.fold(table.stored, topic, record):
            match emit:
                case Output() if emit.topic in self._folds:
                    self.append(*emit)
                case Judged():
                    self.verdicts[emit.event_id] = emit.verdict
                case Noticed():
                    self.noticed.append(emit.what)
        table.positions[topic] = record.offset
        table.commit()
        return True

    @property
    def topics(self) -> list[str]:
        """Every topic that is folded."""
        return list(self._folds)

    def drain(self) -> None:
        """Fold everything, and what comes of it."""
        while sum(self.step(topic) for topic in self._folds):
            pass

    def event_id(self) -> str:
        self._events += 1
        return f"{self._events:032x}"

    def context_event(self, context: ContextId, event: ContextEvent) -> ContextPosition:
        key = event_key(Kind.CONTEXT, context, event.id)
        return ContextPosition(context, self.append("context-events", key, encode_event(event)))

    def session_event(self, session: SessionId, event: SessionEvent) -> SessionsPosition:
        key = event_key(Kind.SESSION, session, event.id)
        return SessionsPosition({0: self.append("session-events", key, encode_event(event))})

    def put(self, context: ContextId, content_id: str, *, app: AppId | None = None, **more: object) -> ContextPosition:
        self.now_ms += 1
        item = make_item(content_id, **more)
        app_text = id_text(Kind.APP, app_of(context) if app is None else app)
        return self.context_event(context, ItemPut(id=self.event_id(), client=CLIENT, app=app_text, item=item))

    def remove(self, context: ContextId, content_id: str) -> ContextPosition:
        return self.context_event(context, ItemRemoved(id=self.event_id(), client=CLIENT, content_id=content_id))

    def hide(self, context: ContextId, content_id: str, *, hidden: bool = True) -> ContextPosition:
        event = ItemHidden(id=self.event_id(), client=CLIENT, content_id=content_id, hidden=hidden)
        return self.context_event(context, event)

    def erase(self, context: ContextId) -> ContextPosition:
        return self.context_event(context, ContextErased(id=self.event_id(), client=CLIENT))

    def attach(self, session: SessionId, context: ContextId) -> SessionsPosition:
        app, text = id_text(Kind.APP, app_of(context)), id_text(Kind.CONTEXT, context)
        event = ContextAttached(id=self.event_id(), client=CLIENT, context=text, app=app)
        return self.session_event(session, event)

    def detach(self, session: SessionId, context: ContextId) -> SessionsPosition:
        text = id_text(Kind.CONTEXT, context)
        return self.session_event(session, ContextDetached(id=self.event_id(), client=CLIENT, context=text))

    def delete(self, session: SessionId) -> SessionsPosition:
        return self.session_event(session, SessionDeleted(id=self.event_id(), client=CLIENT))


def make_item(content_id: str, **more: object) -> Item:
    fields: dict[str, object] = {
        "content_id": content_id,
        "action": "up_next_watchlist",
        "media_type": "movie",
        "title": f"Title of {content_id}",
        "description": "A film about a list.",
        "poster_art_uri": "https://media.example/poster.png",
        "poster_art_aspect_ratio": "aspect_ratio_16_9",
        "duration": 5_400,
        **more,
    }
    return Item(**fields)  # type: ignore[arg-type]


def context_id(number: int) -> ContextId:
    return ContextId(b"C" + number.to_bytes(16, "big"))


def session_id(number: int) -> SessionId:
    return SessionId(b"S" + number.to_bytes(16, "big"))


def app_of(context: ContextId) -> AppId:
    """Return the app that owns *context* in these tests."""
    return AppId(b"A" + context[1:])


def served_views() -> Views:
    """Return what is served of a session with two contexts and three items."""
    views, session, one, other = Views(), session_id(1), context_id(1), context_id(2)
    views.attach(session, one)
    views.attach(session, other)
    for context, content_id in ((one, "a"), (other, "b"), (one, "c")):
        views.put(context, content_id)
    views.drain()
    return views
