"""What readers see of a context: pages of its list, and the sessions that it feeds."""

from __future__ import annotations

from itertools import islice

from streams.domain import context_rows as layout
from streams.domain.context_rows import Meta
from streams.domain.errors import ContextErasedError
from streams.domain.ids import AppId, ContextId, Kind, known_id
from streams.domain.page_items import PageItems
from streams.domain.pages import Page, SubscribedSession
from streams.domain.positions import ContextPosition
from streams.domain.rows import Rows
from streams.views.sessions import next_key

_NO_APP = AppId(b"")
_APP = b',"app_id":"'
_APP_TEXT = 43


def page(rows: Rows, context: ContextId, *, start: int, limit: int) -> Page:
    """
    Return a page of a context's list, newest first; of one that was never written, an empty one.

    Args:
        rows: The contexts table, or an overlay of it. Not modified.
        context: Whose list.
        start: 0-based index of the first item; past the end gives an empty page.
        limit: 1 to 200.

    Raises:
        ContextErasedError

    Source:
        docs/architecture.md, "Lists".
    """
    meta = read(rows, context)
    return page_of(context, meta, fragments(rows, context, start=start, limit=limit), start=start)


def read(rows: Rows, context: ContextId) -> Meta:
    """Return a context's meta row; raise `ContextErasedError` where it was erased."""
    meta = layout.read_meta(rows, context)
    if meta.erased:
        raise ContextErasedError
    return meta


def fragments(rows: Rows, context: ContextId, *, start: int, limit: int) -> list[bytes]:
    """Return up to *limit* of a context's fragments from the *start*-th newest on."""
    found = []
    for key, _ in islice(rows.range(layout.ORDER + context), start, start + limit):
        value = rows.get(layout.item_key(context, layout.order_content_id(key)))
        if value is not None:
            found.append(layout.decode_item(value).fragment)
    return found


def page_of(context: ContextId, meta: Meta, served: list[bytes], *, start: int) -> Page:
    """Return the page that begins at *start* and serves these fragments."""
    app = app_of(served[0]) if served else _NO_APP
    return Page(
        PageItems((app, fragment) for fragment in served),
        meta.count,
        next_key(start, len(served), meta.count),
        meta.revision,
        ContextPosition(context, meta.sequence),
    )


def app_of(fragment: bytes) -> AppId:
    """Return the app that a fragment names: one app owns a context, so all its items name the same."""
    # Within JSON strings a quote follows a backslash, so no content id looks like this.
    begin = fragment.index(_APP) + len(_APP)
    return AppId(known_id(Kind.APP, fragment[begin : begin + _APP_TEXT].decode()))


def subscriptions(rows: Rows, context: ContextId) -> list[SubscribedSession]:
    """Return the sessions that the context feeds, by session; at most 1,000. Raises as `read` does."""
    read(rows, context)
    return [SubscribedSession(session, epoch) for session, epoch in layout.subscriptions(rows, context)]
