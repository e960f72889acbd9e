"""What readers get from the views."""

from __future__ import annotations

import enum
from typing import NamedTuple

from streams.domain.ids import AppId, ContextId, SessionId
from streams.domain.page_items import PageItems
from streams.domain.positions import ContextPosition, ListPosition


class ViewState(enum.Enum):
    """How a list stands to what it should hold."""

    WHOLE = "whole"
    CATCHING_UP = "catching-up"
    REFUSED = "refused"


class Page(NamedTuple):
    """
    Some items of a list, newest `updated_at` first, ties by `content_id` then `context_id`.

    Each item is its app's raw id and its fragment: its JSON object without the closing brace, ending in `"hidden":…`.
    `revision` names the whole list's state, and the tables that it is of (for ETags).
    """

    items: PageItems
    total: int
    next_key: int | None
    revision: str
    position: ContextPosition | ListPosition
    state: ViewState = ViewState.WHOLE
    age_s: int | None = None
    """Seconds since the node last heard of the log, where that is too long ago for the list to count as fresh."""


class SessionContext(NamedTuple):
    """One context attached to one session."""

    session: SessionId
    context: ContextId
    app: AppId
    created_at_ms: int


class SessionContextsPage(NamedTuple):
    """Some of a session's contexts, newest `created_at` first, ties by context id."""

    items: list[SessionContext]
    total: int
    next_key: int | None
    revision: str
    position: ListPosition
    age_s: int | None = None


class SubscribedSession(NamedTuple):
    """A session that a context feeds, and the epoch of the attachment."""

    session: SessionId
    epoch: int
