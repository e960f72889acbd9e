"""Source events for the engine's tests, appended to a real log as the service would."""

from __future__ import annotations

from streams.codec import encode_event, event_key
from streams.domain.events import (
    ContextAttached,
    ContextDetached,
    ContextEvent,
    ItemPut,
    ItemsPut,
    ItemsReplaced,
    SessionDeleted,
    SessionEvent,
)
from streams.domain.ids import ContextId, Kind, SessionId, id_text
from streams.domain.items import Item
from streams.log.port import Appended, Log
from streams.topics import CONTEXT_EVENTS, SESSION_EVENTS, partition_of
from tests.support.tables import CLIENT, Cause, app_of, make_item


class Writes:
    """What publishers and platforms do."""

    def __init__(self, log: Log, partitions: int) -> None:
        self._log, self._partitions = log, partitions
        self._events = 0

    def cause(self) -> Cause:
        """Return what every event bears: an id of its own, and who caused it."""
        self._events += 1
        return Cause(id=f"{self._events:032x}", client=CLIENT)

    def partition(self, raw: bytes) -> int:
        return partition_of(raw, self._partitions)

    async def context_event(self, context: ContextId, event: ContextEvent) -> Appended:
        key = event_key(Kind.CONTEXT, context, event.id)
        return await self._log.append(CONTEXT_EVENTS, self.partition(context), key, encode_event(event))

    async def session_event(self, session: SessionId, event: SessionEvent) -> Appended:
        key = event_key(Kind.SESSION, session, event.id)
        return await self._log.append(SESSION_EVENTS, self.partition(session), key, encode_event(event))

    def item_put(self, context: ContextId, content_id: str, **more: object) -> ItemPut:
        app = id_text(Kind.APP, app_of(context))
        return ItemPut(**self.cause(), app=app, item=make_item(content_id, **more))

    def items_put(self, context: ContextId, items: list[Item]) -> ItemsPut:
        return ItemsPut(**self.cause(), app=id_text(Kind.APP, app_of(context)), items=items)

    def items_replaced(self, context: ContextId, items: list[Item]) -> ItemsReplaced:
        return ItemsReplaced(**self.cause(), app=id_text(Kind.APP, app_of(context)), items=items)

    async def put(self, context: ContextId, content_id: str, **more: object) -> Appended:
        return await self.context_event(context, self.item_put(context, content_id, **more))

    async def attach(self, session: SessionId, context: ContextId) -> Appended:
        app, text = id_text(Kind.APP, app_of(context)), id_text(Kind.CONTEXT, context)
        return await self.session_event(session, ContextAttached(**self.cause(), context=text, app=app))

    async def detach(self, session: SessionId, context: ContextId) -> Appended:
        return await self.session_event(
            session, ContextDetached(**self.cause(), context=id_text(Kind.CONTEXT, context))
        )

    async def delete(self, session: SessionId) -> Appended:
        return await self.session_event(session, SessionDeleted(**self.cause()))
