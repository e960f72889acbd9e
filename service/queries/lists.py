"""Lists as readers get them: a page of a view, and what the registry says of the apps on it."""

from __future__ import annotations

from typing import NamedTuple

from service.ports import SessionViews, Tenants
from streams.domain.ids import AppId, ContextId, SessionId
from streams.domain.pages import Page
from streams.domain.positions import After


class SessionPage(NamedTuple):
    """A page of a session's list, and the registry's revision for each app on it, in the order of their ids."""

    page: Page
    revisions: dict[AppId, int]


class SessionLists:
    """
    The merged lists of sessions.

    Both raise `SessionDeletedError`, `ViewBehindError`, `ViewUnavailableError` and `OverloadedError`.
    """

    def __init__(self, views: SessionViews, tenants: Tenants) -> None:
        """Take the sessions' views and the registry."""
        self._views = views
        self._tenants = tenants

    async def merged(self, session: SessionId, *, start: int, limit: int, after: After, client: str) -> SessionPage:
        """Return a page of the list of all contexts of a session."""
        return self._with_apps(await self._views.page(session, start=start, limit=limit, after=after, client=client))

    async def of_context(
        self, session: SessionId, context: ContextId, *, start: int, limit: int, after: After, client: str
    ) -> SessionPage:
        """Return a page of the list of one context; raise `NotAttachedError` where it is not attached."""
        return self._with_apps(
            await self._views.context_page(session, context, start=start, limit=limit, after=after, client=client)
        )

    def _with_apps(self, page: Page) -> SessionPage:
        apps = sorted({app for app, _ in page.items})
        return SessionPage(page, {app: self._tenants.revision(app) for app in apps})
