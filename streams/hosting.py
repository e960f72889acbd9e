"""The versions of the views that one node folds: on Kafka one of them, on the embedded log all that are kept."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import structlog

from streams.digests import ReadTables
from streams.domain.errors import AbsentError
from streams.domain.events import SessionEvent
from streams.domain.feed import Verdict
from streams.domain.idempotency import Admission
from streams.domain.idempotency_events import KeyBegun, KeyFinished, KeyReleased
from streams.domain.ids import ContextId, SessionId
from streams.domain.nodes import TableName
from streams.domain.pages import Page, SessionContextsPage, SubscribedSession
from streams.domain.positions import After, Written
from streams.domain.registry_state import RegistryState
from streams.domain.view_versions import Stage, kept, live, versions, view_name
from streams.engine import fatal
from streams.engine.fatal import Die
from streams.folding import Folding, tables_directory
from streams.topics import VIEW
from streams.views.seats import Seats

_LOOK_S = 0.1
_Make = Callable[[str], Folding]


class Hosting:
    """
    Folds versions of the views, and knows which of them clients read here.

    The embedded log is one process's: the same that serves the live version builds the next one beside it, as the
    registry says, and which of them is read changes from one call to the next.
    """

    def __init__(self, make: _Make, state: Callable[[], RegistryState], data: Path, die: Die) -> None:
        """Take what makes a version's folding, what returns the registry's state, and the node's directory and end."""
        self._make, self._state, self._data, self._die = make, state, data, die
        self._foldings: dict[str, Folding] = {}
        self.on_live: Callable[[Folding], None] = lambda _folding: None
        """Called with what is read from now on."""
        self._alone: Folding | None = None
        self._changing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def start_one(self, view: str, *, folds: bool) -> None:
        """Host one version for good; where this node *folds* nothing, without its tables."""
        self._alone = self._foldings[view] = self._make(view)
        if folds:
            await self._alone.start()

    async def start_all(self) -> None:
        """Host all that are kept, the live one first, and those that will be begun."""
        for view in kept(self._state()):
            await self._begin(view)
        self._task = fatal.begin(self._follow(), "versions of the views", self._die)

    async def stop(self) -> None:
        """Stop folding."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        for folding in list(self._foldings.values()):
            await folding.stop()

    async def _begin(self, view: str) -> None:
        folding = self._foldings[view] = self._make(view)
        await folding.start()

    async def _follow(self) -> None:
        revision = -1
        while True:
            state = self._state()
            if state.revision != revision:
                revision = state.revision
                async with self._changing:
                    for view in kept(state):
                        if view not in self._foldings:
                            await self._begin(view)
                self.on_live(self.current)
            await asyncio.sleep(_LOOK_S)

    async def let_go(self, view: str) -> None:
        """Fold a version no more that was dropped, and remove its stores."""
        async with self._changing:
            folding = self._foldings.pop(view, None)
            if folding is not None:
                await folding.stop()
        await asyncio.to_thread(remove_tables, self._data, view)

    @property
    def current(self) -> Folding:
        """What clients read here."""
        return self._alone or self._foldings[live(self._state())]

    def find(self, view: str) -> Folding:
        """Return a version that is folded here; raise `AbsentError` where it is not."""
        folding = self._foldings.get(view)
        if folding is None:
            raise AbsentError(f"{view} is not folded here")
        return folding

    async def forget(self, since_s: float) -> dict[str, int] | None:
        """Implement `streams.eraser.Tables` for all versions that are folded here, and those that were."""
        found = [await folding.forget(since_s) for folding in list(self._foldings.values())]
        rewritten: dict[str, int] = {}
        for stores in found:
            if stores is None:
                return None
            rewritten |= stores
        if self._alone is not None:
            # Nobody folds into what is left of another version that something was erased: it is restored, if ever.
            for view in versions(self._state()).keys() - self._foldings.keys():
                if not await asyncio.to_thread(remove_tables, self._data, view):
                    return None
        return rewritten

    def read_tables(self, view: str) -> ReadTables:
        """Return the tables of a version that is folded here; raise `AbsentError` where it is not."""
        tables = {processor.fold.name: processor.table for processor in self.find(view).processors}
        if not tables:
            raise AbsentError(f"{view} is not folded here")
        return ReadTables(tables[TableName.CONTEXTS], tables[TableName.SESSIONS])

    @property
    def building(self) -> Folding | None:
        """What is folded here and was never read; None where nothing is."""
        known = versions(self._state())
        return next((f for view, f in self._foldings.items() if known[view].version.stage is Stage.BUILDING), None)

    def unserved(self, view: str) -> int:
        """Return how many versions of that name are not served whole here: 0 or 1."""
        folding = self._foldings.get(view)
        return int(folding is None or not folding.is_ready)

    def waits_for(self, view: str) -> tuple[str, ...]:
        """Return the places of records at which a version has stopped until somebody decides about them."""
        folding = self._foldings.get(view)
        return () if folding is None else folding.waits_for


def remove_tables(data: Path, view: str) -> bool:
    """Remove what a node keeps of a version of the views; say whether nothing is left of it."""
    directory = tables_directory(data, view)
    # Beside the first version's tables stand the others' directories.
    there = [one for one in directory.glob("*") if view != VIEW or view_name(one.name) is None]
    for one in there:
        shutil.rmtree(one, ignore_errors=True)
    with suppress(OSError):
        directory.rmdir()
    left = [str(one) for one in there if one.exists()]
    if there:
        structlog.get_logger(__name__).info("tables_removed", view=view, left=left)
    return not left


class LiveContexts:
    """Implements `service.ports.ContextViews` by the version that is live."""

    def __init__(self, hosting: Hosting) -> None:
        self._hosting = hosting

    async def page(self, context: ContextId, *, start: int, limit: int, after: After, client: str) -> Page:
        """See `streams.views.context_views.ContextReader`."""
        views = self._hosting.current.context_views
        return await views.page(context, start=start, limit=limit, after=after, client=client)

    async def subscriptions(self, context: ContextId, *, after: After, client: str) -> list[SubscribedSession]:
        """See `streams.views.context_views.ContextReader`."""
        return await self._hosting.current.context_views.subscriptions(context, after=after, client=client)


class LiveSessions:
    """Implements `service.ports.SessionViews` by the version that is live."""

    def __init__(self, hosting: Hosting) -> None:
        self._hosting = hosting

    async def page(self, session: SessionId, *, start: int, limit: int, after: After, client: str) -> Page:
        """See `streams.views.session_views.SessionReader`."""
        views = self._hosting.current.session_views
        return await views.page(session, start=start, limit=limit, after=after, client=client)

    async def context_page(
        self, session: SessionId, context: ContextId, *, start: int, limit: int, after: After, client: str
    ) -> Page:
        """See `streams.views.session_views.SessionReader`."""
        views = self._hosting.current.session_views
        return await views.context_page(session, context, start=start, limit=limit, after=after, client=client)

    async def contexts(
        self, session: SessionId, *, start: int, limit: int, after: After, client: str
    ) -> SessionContextsPage:
        """See `streams.views.session_views.SessionReader`."""
        views = self._hosting.current.session_views
        return await views.contexts(session, start=start, limit=limit, after=after, client=client)

    async def holds(
        self, session: SessionId, context: ContextId, content_id: str, *, after: After, client: str
    ) -> bool:
        """See `streams.views.session_views.SessionReader`."""
        views = self._hosting.current.session_views
        return await views.holds(session, context, content_id, after=after, client=client)

    async def seats(self, session: SessionId, content_id: str, *, after: After, client: str) -> tuple[Seats, int]:
        """See `streams.views.session_views.SessionReader`."""
        return await self._hosting.current.session_views.seats(session, content_id, after=after, client=client)


class LiveCommands:
    """Implements `service.ports.SessionCommands`: the version that is live when a command comes judges it."""

    def __init__(self, hosting: Hosting) -> None:
        self._hosting = hosting

    async def execute(self, session: SessionId, event: SessionEvent, after: After) -> tuple[Verdict, Written]:
        """See `streams.commands.LogCommands`."""
        return await self._hosting.current.commands.execute(session, event, after)


class LiveKeys:
    """Implements `service.http.forward_keys.Keys`: the version that is live when a request comes judges its key."""

    def __init__(self, hosting: Hosting) -> None:
        self._hosting = hosting

    async def begin(self, key: bytes, event: KeyBegun) -> Admission:
        """See `streams.idempotency.KeyLog`."""
        return await self._hosting.current.keys.begin(key, event)

    async def end(self, key: bytes, event: KeyFinished | KeyReleased) -> None:
        """See `streams.idempotency.KeyLog`."""
        await self._hosting.current.keys.end(key, event)
