"""Where a session's merged list has the items of one content id."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

from streams.domain import session_rows as layout
from streams.domain.explain import Seat
from streams.domain.feed import NONE
from streams.domain.ids import ContextId, SessionId
from streams.domain.rows import Rows
from streams.views import sessions
from streams.views.session_lists import ATTEMPTS, PIECE
from streams.views.sessions import Entry, SessionState


class Seats(NamedTuple):
    """A session's state, and where its list has the items: context → seat."""

    state: SessionState
    found: dict[ContextId, Seat]


async def find_seats(
    read_rows: Callable[[], Rows], session: SessionId, content_id: str, *, piece: int = PIECE
) -> Seats:
    """
    Find the items of a content id in a session's merged list, letting other tasks run in between.

    Args:
        read_rows: Returns the partition's rows as they are now.
        session: Whose list.
        content_id: Of the items; there is at most one a context.
        piece: Rows that are passed at one go.

    Raises:
        SessionDeletedError: The session was deleted.
    """
    for attempt in range(ATTEMPTS + 1):
        seats = await _find(read_rows, session, content_id.encode(), piece, lets_others=attempt < ATTEMPTS)
        if seats is not None:
            return seats
    raise AssertionError  # The last attempt waits for nothing, so nothing can change.


async def _find(
    read_rows: Callable[[], Rows], session: SessionId, content_id: bytes, piece: int, *, lets_others: bool
) -> Seats | None:
    """Return what `find_seats` does; None where the session has changed meanwhile."""
    rows = read_rows()
    state = sessions.read_state(rows, session)
    sought = dict(_keys(rows, state, content_id))
    found: dict[ContextId, Seat] = {}
    index = 0
    before: Entry | None = None
    while sought:
        # One more than a piece: the first of the next one is the neighbour of its last.
        entries = list(islice(sessions.newest(rows, state, beyond=None if before is None else before.key), piece + 1))
        is_last = len(entries) <= piece
        for entry, older in zip(entries if is_last else entries[:-1], [*entries[1:], None], strict=False):
            context = sought.pop(entry.key, None)
            if context is not None:
                found[context] = Seat(index, state.row.total, entry.item[1], _fragment(before), _fragment(older))
            index, before = index + 1, entry
        if is_last:
            break
        if lets_others:
            await asyncio.sleep(0)
            rows = read_rows()
            if rows.get(layout.session_key(session)) != state.value:
                return None
    return Seats(state, found)


def _keys(rows: Rows, state: SessionState, content_id: bytes) -> Iterator[tuple[bytes, ContextId]]:
    """Yield the keys of the list rows of a content id that count, each with its context."""
    for context, member in state.members.items():
        if member.load == NONE:
            continue
        value = rows.get(layout.place_key(state.session, context, member.load, content_id))
        if value is not None:
            time_ms, _ = layout.decode_place(value)
            yield layout.list_key(state.session, time_ms, content_id, context, member.load), context


def _fragment(entry: Entry | None) -> bytes | None:
    return None if entry is None else entry.item[1]
