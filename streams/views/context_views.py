"""The readers of contexts: they wait for the positions that a request bears, then read."""

from __future__ import annotations

from streams.domain import context_rows as layout
from streams.domain.ids import ContextId
from streams.domain.pages import Page, SubscribedSession
from streams.domain.positions import After
from streams.domain.rows import Rows
from streams.topics import CONTEXT_EVENTS, partition_of
from streams.views import contexts
from streams.views.cache import Cache
from streams.views.tables import WAIT_S, Table, WaitLimit

CACHE_BYTES = 16 << 20
_PAGE_BYTES = 500


class ContextReader:
    """Contexts' lists on the node that owns them, and only what the contexts table has committed."""

    def __init__(
        self, table: Table, partitions: int, waits: WaitLimit, *, cache_bytes: int = CACHE_BYTES, edition: str = ""
    ) -> None:
        self._table, self._partitions, self._waits, self._edition = table, partitions, waits, edition
        self._pages: Cache[tuple[ContextId, int, int], tuple[bytes | None, Page]] = Cache(cache_bytes)

    async def page(self, context: ContextId, *, start: int, limit: int, after: After, client: str) -> Page:
        """
        Return a page of a context's list; of one that was never written, an empty one.

        Raises:
            ViewBehindError, ViewUnavailableError, OverloadedError
        """
        page = self._page(await self._reached(context, after, client), context, start, limit)
        age_s = self._table.age_s
        return page if age_s is None else page._replace(age_s=age_s)

    async def subscriptions(self, context: ContextId, *, after: After, client: str) -> list[SubscribedSession]:
        """
        Return the sessions that the context feeds now.

        Raises:
            ViewBehindError, ViewUnavailableError, OverloadedError
        """
        await self._reached(context, after, client)
        # A list that shows the context's items is proof enough for a client that the context knows of the session.
        partition = partition_of(context, self._partitions)
        await self._table.settled(partition)
        return contexts.subscriptions(self._table.rows(partition), context)

    def _page(self, rows: Rows, context: ContextId, start: int, limit: int) -> Page:
        """Return a page, the one served before where the context's meta row has not changed since."""
        meta = rows.get(layout.meta_key(context))
        known = self._pages.get((context, start, limit))
        if known is not None and known[0] == meta:
            return known[1]
        page = contexts.page(rows, context, start=start, limit=limit)
        page = page._replace(revision=f"{self._edition}{page.revision}")
        self._pages.put((context, start, limit), (meta, page), _PAGE_BYTES + page.items.size)
        return page

    async def _reached(self, context: ContextId, after: After, client: str) -> Rows:
        """Wait until what *after* asks of the context is folded; return its partition's rows."""
        partition = partition_of(context, self._partitions)
        offset = after.offset_of_context(context) if after.contexts or after.bulks else -1
        if self._table.position(CONTEXT_EVENTS, partition) < offset:
            with self._waits.waiting(client):
                await self._table.until(
                    partition,
                    layout.meta_key(context),
                    lambda: self._table.position(CONTEXT_EVENTS, partition) >= offset,
                    limit_s=WAIT_S,
                )
        return self._table.rows(partition)
