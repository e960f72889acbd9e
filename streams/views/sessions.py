"""What readers see of a session: pages of its merged list, of one context in it, and of its contexts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from streams.domain import session_rows as layout
from streams.domain.errors import NotAttachedError, SessionDeletedError
from streams.domain.feed import NONE
from streams.domain.ids import ID_BYTES, AppId, ContextId, SessionId
from streams.domain.page_items import PageItems
from streams.domain.pages import Page, SessionContext, SessionContextsPage, ViewState
from streams.domain.positions import ListPosition
from streams.domain.rows import Rows
from streams.domain.session_rows import Member, Session

_TAIL = ID_BYTES + 8
"""A list row's key ends with its context and its load."""


class Entry(NamedTuple):
    """One row of the merged list that counts: its key, which sorts it, and what is served."""

    key: bytes
    item: tuple[AppId, bytes]


@dataclass(slots=True)
class SessionState:
    """A session's row and members as of one revision."""

    session: SessionId
    value: bytes | None
    """The session's row as it is stored: another one is another state."""
    row: Session
    members: dict[ContextId, Member]
    current: dict[bytes, AppId]
    """Context and current load, as the keys of list rows end → the context's app."""
    sequences: list[tuple[int, int]]
    """Epoch, which is unique, and sequence of each member, in order."""
    view: ViewState
    revision: str
    """The tables' edition and the row's own."""

    def member(self, context: ContextId) -> Member:
        """Return a context's member; raise `NotAttachedError` where it has none."""
        try:
            return self.members[context]
        except KeyError:
            raise NotAttachedError from None


def read_state(rows: Rows, session: SessionId, edition: str = "") -> SessionState:
    """
    Return a session's state; one that was never heard of has no members.

    Tables that are folded again may have other lists under the revisions of before: *edition* tells them apart.

    Raises:
        SessionDeletedError: The session was deleted.
    """
    value = rows.get(layout.session_key(session))
    row = layout.decode_session(value)
    if row.deleted:
        raise SessionDeletedError
    members = dict(layout.members(rows, session)) if row.members else {}
    sequences = sorted((member.epoch, member.sequence) for member in members.values())
    revision = f"{edition}{row.revision}"
    view = view_state(members.values())
    return SessionState(session, value, row, members, current_loads(members), sequences, view, revision)


def current_loads(members: dict[ContextId, Member]) -> dict[bytes, AppId]:
    """Return how the keys of the list rows that count end, each with its app."""
    return {
        context + member.load.to_bytes(8, "big"): AppId(member.app)
        for context, member in members.items()
        if member.load != NONE
    }


def newest(rows: Rows, state: SessionState, *, beyond: bytes | None = None) -> Iterator[Entry]:
    """Yield the merged list in its order, from its beginning or from the first row *beyond* a key."""
    current = state.current
    start = None if beyond is None else beyond + b"\0"
    for key, fragment in rows.range(layout.LIST + state.session, start=start):
        app = current.get(key[-_TAIL:])
        if app is not None:
            yield Entry(key, (app, fragment))


def first(rows: Rows, state: SessionState, count: int) -> list[tuple[AppId, bytes]]:
    """Return the first *count* items of the merged list; as `newest`, in a third less time."""
    current, items = state.current, []
    for key, fragment in rows.range(layout.LIST + state.session):
        app = current.get(key[-_TAIL:])
        if app is not None:
            items.append((app, fragment))
            if len(items) == count:
                break
    return items


def page(state: SessionState, items: PageItems, *, start: int, offset: int, age_s: int | None = None) -> Page:
    """
    Return a page of the merged list.

    Args:
        state: The session's.
        items: What the list holds from *start* on, as much as the page may hold.
        start: 0-based index of the first item; past the end gives an empty page.
        offset: Of `session-events`: what the view has folded.
        age_s: How old the view is, where that is too old to count as fresh.

    Source:
        docs/architecture.md, "Lists".
    """
    return Page(
        items,
        state.row.total,
        next_key(start, len(items), state.row.total),
        state.revision,
        position(state, offset),
        state.view,
        age_s,
    )


def context_page(
    rows: Rows,
    state: SessionState,
    context: ContextId,
    *,
    start: int,
    limit: int,
    offset: int,
    age_s: int | None = None,
) -> Page:
    """
    Return a page of one attached context's list, in the order of the merged one.

    Raises:
        NotAttachedError: The context is not attached.
    """
    member = state.member(context)
    items = PageItems(
        (AppId(member.app), fragment)
        for key in _places(rows, state.session, context, member)[start : start + limit]
        if (fragment := rows.get(key)) is not None
    )
    return Page(
        items,
        member.count,
        next_key(start, len(items), member.count),
        state.revision,
        position(state, offset),
        view_state([member]),
        age_s,
    )


def _places(rows: Rows, session: SessionId, context: ContextId, member: Member) -> list[bytes]:
    """Return the keys of a member's list rows, in the list's order; at most 1,000."""
    if member.load == NONE:
        return []
    places = rows.range(layout.place_prefix(session, context, member.load))
    return sorted(
        layout.list_key(session, layout.decode_place(value)[0], layout.place_content_id(key), context, member.load)
        for key, value in places
    )


def contexts_page(
    state: SessionState, *, start: int, limit: int, offset: int, age_s: int | None = None
) -> SessionContextsPage:
    """Return a page of the session's contexts, newest attachment first, ties by context id."""
    ordered = sorted(state.members.items(), key=lambda entry: (-entry[1].created_at_ms, entry[0]))
    items = [
        SessionContext(state.session, context, AppId(member.app), member.created_at_ms)
        for context, member in ordered[start : start + limit]
    ]
    total = len(ordered)
    following = next_key(start, len(items), total)
    return SessionContextsPage(items, total, following, state.revision, position(state, offset), age_s)


def holds(rows: Rows, state: SessionState, context: ContextId, content_id: str) -> bool:
    """
    Say whether an item is in the list of an attached context.

    Raises:
        NotAttachedError: The context is not attached.
    """
    member = state.member(context)
    if member.load == NONE:
        return False
    return rows.get(layout.place_key(state.session, context, member.load, content_id.encode())) is not None


def next_key(start: int, count: int, total: int) -> int | None:
    """Return the index of the item after a page of *count*, None where the list ends with it."""
    following = start + count
    return following if count and following < total else None


def position(state: SessionState, offset: int) -> ListPosition:
    """Return what the state had folded."""
    return ListPosition(state.session, offset, state.sequences)


def view_state(members: Iterable[Member]) -> ViewState:
    """Say whether the members hold what they should; while one is still on its way, that is what counts."""
    refused = False
    for member in members:
        if member.waits:
            return ViewState.CATCHING_UP
        refused |= member.refused
    return ViewState.REFUSED if refused else ViewState.WHOLE
