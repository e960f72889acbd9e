"""The readers of sessions: they wait for the positions that a request bears, then read."""

from __future__ import annotations

from streams.domain import session_rows as layout
from streams.domain.ids import ContextId, SessionId
from streams.domain.pages import Page, SessionContextsPage
from streams.domain.positions import NOTHING, After
from streams.domain.session_rows import Member
from streams.topics import SESSION_EVENTS, partition_of
from streams.views import sessions
from streams.views.reached import Asked, asked_of_session
from streams.views.seats import Seats, find_seats
from streams.views.session_lists import NEAR, SessionLists
from streams.views.tables import WAIT_S, Table, WaitLimit


class SessionReader:
    """Sessions' lists on the node that owns them, and only what the session table has committed."""

    def __init__(self, table: Table, partitions: int, lists: SessionLists, waits: WaitLimit) -> None:
        self._table, self._partitions, self._lists, self._waits = table, partitions, lists, waits

    async def page(self, session: SessionId, *, start: int, limit: int, after: After, client: str) -> Page:
        """
        Return a page of the merged list of all of a session's contexts.

        Raises:
            SessionDeletedError, ViewBehindError, ViewUnavailableError, OverloadedError
        """
        partition = partition_of(session, self._partitions)
        if after != NOTHING:
            await self._reach(session, partition, after, client)
        if start + limit <= NEAR:
            state, items = self._lists.near(self._table.rows(partition), session, start=start, limit=limit)
        else:
            state, items = await self._lists.far(lambda: self._table.rows(partition), session, start=start, limit=limit)
        return sessions.page(state, items, start=start, offset=self._offset(partition), age_s=self._table.age_s)

    async def context_page(
        self, session: SessionId, context: ContextId, *, start: int, limit: int, after: After, client: str
    ) -> Page:
        """
        Return a page of one attached context's list.

        Raises:
            SessionDeletedError, NotAttachedError, ViewBehindError, ViewUnavailableError, OverloadedError
        """
        partition = partition_of(session, self._partitions)
        if after != NOTHING:
            await self._reach(session, partition, after, client, only=context)
        rows = self._table.rows(partition)
        state = self._lists.state(rows, session)
        offset = self._offset(partition)
        return sessions.context_page(
            rows, state, context, start=start, limit=limit, offset=offset, age_s=self._table.age_s
        )

    async def contexts(
        self, session: SessionId, *, start: int, limit: int, after: After, client: str
    ) -> SessionContextsPage:
        """
        Return a page of a session's contexts.

        Raises:
            SessionDeletedError, ViewBehindError, ViewUnavailableError, OverloadedError
        """
        partition = partition_of(session, self._partitions)
        if after != NOTHING:
            await self._reach(session, partition, after, client, members=False)
        state = self._lists.state(self._table.rows(partition), session)
        offset = self._offset(partition)
        return sessions.contexts_page(state, start=start, limit=limit, offset=offset, age_s=self._table.age_s)

    async def holds(
        self, session: SessionId, context: ContextId, content_id: str, *, after: After, client: str
    ) -> bool:
        """
        Say whether the item is in the list of that attached context.

        Raises:
            SessionDeletedError, NotAttachedError, ViewBehindError, ViewUnavailableError, OverloadedError
        """
        partition = partition_of(session, self._partitions)
        if after != NOTHING:
            await self._reach(session, partition, after, client, only=context)
        rows = self._table.rows(partition)
        return sessions.holds(rows, self._lists.state(rows, session), context, content_id)

    async def seats(self, session: SessionId, content_id: str, *, after: After, client: str) -> tuple[Seats, int]:
        """
        Return where the merged list has the items of a content id, and the offset of `session-events` folded then.

        Raises:
            SessionDeletedError, ViewBehindError, ViewUnavailableError, OverloadedError
        """
        partition = partition_of(session, self._partitions)
        if after != NOTHING:
            await self._reach(session, partition, after, client)
        seats = await find_seats(lambda: self._table.rows(partition), session, content_id)
        return seats, self._offset(partition)

    async def reach(self, session: SessionId, after: After) -> None:
        """
        Wait until the session's view has all that *after* asks of it.

        Raises:
            ViewBehindError, ViewUnavailableError
        """
        if after != NOTHING:
            partition = partition_of(session, self._partitions)
            await self._wait(session, partition, asked_of_session(after, session, partition), None)

    async def _reach(
        self,
        session: SessionId,
        partition: int,
        after: After,
        client: str,
        *,
        only: ContextId | None = None,
        members: bool = True,
    ) -> None:
        asked = asked_of_session(after, session, partition)
        if not members:
            asked = Asked(asked.offset, -1, {}, {}, {})
        if not self._has(session, partition, asked, only):
            with self._waits.waiting(client):
                await self._wait(session, partition, asked, only)

    async def _wait(self, session: SessionId, partition: int, asked: Asked, only: ContextId | None) -> None:
        await self._table.until(
            partition,
            layout.session_key(session),
            lambda: self._has(session, partition, asked, only),
            limit_s=WAIT_S,
        )

    def _has(self, session: SessionId, partition: int, asked: Asked, only: ContextId | None) -> bool:
        if self._offset(partition) < asked.offset:
            return False
        rows = self._table.rows(partition)
        row = layout.read_session(rows, session)
        if row.deleted:
            # There is nothing left to wait for; whoever reads next says so.
            return True
        members: dict[ContextId, Member]
        if only is None:
            members = dict(layout.members(rows, session))
        else:
            member = layout.read_member(rows, session, only)
            members = {} if member is None else {only: member}
        return asked.holds(members)

    def _offset(self, partition: int) -> int:
        return self._table.position(SESSION_EVENTS, partition)
