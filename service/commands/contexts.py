"""What a publisher does with its contexts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple

from service.commands.callers import Caller, tenant_text
from service.ports import ContextViews, EventWriter, Written
from streams.domain.errors import UnavailableError
from streams.domain.events import (
    ContextCreated,
    ContextDetached,
    ContextErased,
    ContextEvent,
    ItemPut,
    ItemRemoved,
    ItemsPut,
    ItemsReplaced,
)
from streams.domain.ids import ContextId, IdKeys, Kind, id_text
from streams.domain.items import Item
from streams.domain.positions import After, SessionsPosition


class Created(NamedTuple):
    """What was made: its raw id, and where and when the log took it."""

    id: bytes
    written: Written


class ContextCommands:
    """
    Writes of contexts. None of them looks anything up: a context's id proves whose it is.

    All raise `LogUnavailableError` where it is not known whether the event was recorded.
    """

    def __init__(
        self,
        *,
        ids: IdKeys,
        events: EventWriter,
        views: ContextViews,
        now_s: Callable[[], int],
        entropy: Callable[[int], bytes],
    ) -> None:
        """Take what is needed to mint ids (Unix time and randomness), to append events and to find subscriptions."""
        self._ids = ids
        self._events = events
        self._views = views
        self._now_s = now_s
        self._entropy = entropy

    async def create(self, caller: Caller) -> Created:
        """Make a context of the caller's app."""
        raw = caller.mint(self._ids, Kind.CONTEXT, self._now_s, self._entropy)
        event = ContextCreated(**caller.cause(self._entropy), app=tenant_text(caller.client))
        return Created(raw, await self._events.write_context(ContextId(raw), event))

    async def put_item(self, caller: Caller, context: ContextId, item: Item) -> Written:
        """Add *item* to the caller's context, or replace it whole."""
        # Spelled out: of all events there are most of these.
        event = ItemPut(
            id=caller.event_id(self._entropy),
            client=caller.client.client_id,
            request=caller.request_id,
            idempotency_key=caller.idempotency_key,
            app=tenant_text(caller.client),
            item=item,
        )
        return await self._events.write_context(context, event)

    async def put_items(self, caller: Caller, context: ContextId, items: list[Item]) -> Written:
        """Put *items* into the caller's context at once, the later the newer; at most 500, of 1 MiB as JSON."""
        return await self._events.write_context(context, self._items_put(caller, items))

    async def replace_items(self, caller: Caller, context: ContextId, items: list[Item]) -> Written:
        """Replace the list of the caller's context by *items*, likewise."""
        event = ItemsReplaced(**caller.cause(self._entropy), app=tenant_text(caller.client), items=items)
        return await self._events.write_context(context, event)

    async def put_items_of_many(
        self, caller: Caller, items_of: Sequence[tuple[ContextId, list[Item]]]
    ) -> list[Written | UnavailableError]:
        """
        Put items into each of many contexts of the caller's, those of one at once.

        Returns:
            What became of each, in their order. An `UnavailableError` other than of the log: nothing was written.
        """
        writes = [
            self._write(context, self._items_put(caller, items, number))
            for number, (context, items) in enumerate(items_of)
        ]
        return await asyncio.gather(*writes)

    async def _write(self, context: ContextId, event: ContextEvent) -> Written | UnavailableError:
        try:
            return await self._events.write_context(context, event)
        except UnavailableError as error:
            return error

    def _items_put(self, caller: Caller, items: list[Item], number: int = 0) -> ItemsPut:
        return ItemsPut(**caller.cause(self._entropy, number), app=tenant_text(caller.client), items=items)

    async def remove_item(self, caller: Caller, context: ContextId, content_id: str) -> Written:
        """Remove an item from the caller's context, whether it is there or not."""
        event = ItemRemoved(**caller.cause(self._entropy), content_id=content_id)
        return await self._events.write_context(context, event)

    async def erase(self, caller: Caller, context: ContextId) -> Written:
        """Erase the caller's context, whether anything is recorded of it or not."""
        return await self._events.write_context(context, ContextErased(**caller.cause(self._entropy)))

    async def detach_all(self, caller: Caller, context: ContextId, after: After) -> SessionsPosition:
        """
        Detach the caller's context from every session that it feeds now; attachments made later stay.

        Raises:
            LogUnavailableError: Some of the sessions may not have been reached; the call can be repeated.
            ViewBehindError, ViewUnavailableError, OverloadedError: Nothing was written.
        """
        sessions = await self._views.subscriptions(context, after=after, client=caller.client.client_id)
        text = id_text(Kind.CONTEXT, context)
        return await self._events.write_sessions(
            [
                (at.session, ContextDetached(**caller.cause(self._entropy), context=text, epoch=at.epoch))
                for at in sessions
            ]
        )
