"""Lists as platforms get them: a page of a view, and what belongs to the items of each app on it."""

from __future__ import annotations

from typing import NamedTuple

from service.ports import Client, Extras, Pairs, SessionViews
from streams.domain.ids import AppId, ContextId, SessionId
from streams.domain.pages import Page
from streams.domain.positions import After


class SessionPage(NamedTuple):
    """A page of a session's list, and what each app's items bear on it, in the order of the apps' ids."""

    page: Page
    extras: dict[AppId, Extras]


class SessionLists:
    """
    The merged lists of sessions.

    Both raise `SessionDeletedError`, `ViewBehindError`, `ViewUnavailableError` and `OverloadedError`.
    """

    def __init__(self, views: SessionViews, pairs: Pairs) -> None:
        """Take the sessions' views, and what is configured of apps on platforms."""
        self._views = views
        self._pairs = pairs

    async def merged(self, session: SessionId, *, start: int, limit: int, after: After, client: Client) -> SessionPage:
        """Return a page of the list of all contexts of a session, as the platform that asks sees it."""
        page = await self._views.page(session, start=start, limit=limit, after=after, client=client.client_id)
        return self._with_extras(page, client.tenant)

    async def of_context(
        self, session: SessionId, context: ContextId, *, start: int, limit: int, after: After, client: Client
    ) -> SessionPage:
        """Return a page of the list of one context; raise `NotAttachedError` where it is not attached."""
        page = await self._views.context_page(
            session, context, start=start, limit=limit, after=after, client=client.client_id
        )
        return self._with_extras(page, client.tenant)

    def _with_extras(self, page: Page, platform: bytes) -> SessionPage:
        return SessionPage(page, {app: self._pairs.of(platform, app).extras for app in page.items.apps})
