"""The merged lists of sessions, read through a cache of their states and first items."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice

from streams.domain import session_rows as layout
from streams.domain.ids import AppId, SessionId
from streams.domain.rows import Rows
from streams.views import sessions
from streams.views.cache import Cache
from streams.views.sessions import SessionState

NEAR = 400
"""Items from the start within which a page is read at one go: 0.3 ms. Beyond, in pieces of `PIECE` rows."""
PIECE = 2_000
"""Rows skipped before other tasks have their turn: about 1 ms."""
ATTEMPTS = 3
"""How often a far page is begun again because its session changed meanwhile; then it is read at one go."""
CACHE_BYTES = 256 << 20
"""The first pages of some 5,000 lists. A page that is not here costs twice as much as one that is."""
_STATE_BYTES = 500
_MEMBER_BYTES = 600
_ITEM_BYTES = 100

Items = list[tuple[AppId, bytes]]


@dataclass(slots=True)
class _Known:
    """A session's state, and the items with which its list begins."""

    state: SessionState
    items: Items = field(default_factory=list)
    whole: bool = False
    """*items* is the whole list."""

    @property
    def size(self) -> int:
        fragments = sum(len(fragment) + _ITEM_BYTES for _, fragment in self.items)
        return _STATE_BYTES + _MEMBER_BYTES * len(self.state.members) + fragments


class SessionLists:
    """
    Reads sessions' states and lists; what it has read it knows until the session's row changes.

    That row's revision grows with whatever can be seen of a session, so one row says whether all that is known holds.
    """

    def __init__(self, max_bytes: int = CACHE_BYTES, *, piece: int = PIECE, edition: str = "") -> None:
        self._piece, self._edition = piece, edition
        self._cache: Cache[SessionId, _Known] = Cache(max_bytes)

    @property
    def bytes(self) -> int:
        """About how much memory the cache takes."""
        return self._cache.bytes

    def state(self, rows: Rows, session: SessionId) -> SessionState:
        """
        Return a session's state.

        Raises:
            SessionDeletedError: The session was deleted.
        """
        return self._known(rows, session).state

    def _known(self, rows: Rows, session: SessionId) -> _Known:
        known = self._cache.get(session)
        if known is not None and known.state.value == rows.get(layout.session_key(session)):
            return known
        self._cache.drop(session)
        known = _Known(sessions.read_state(rows, session, self._edition))
        self._cache.put(session, known, known.size)
        return known

    def near(self, rows: Rows, session: SessionId, *, start: int, limit: int) -> tuple[SessionState, Items]:
        """Return a session's state and up to *limit* items from *start* on, which is not far."""
        known = self._known(rows, session)
        end = start + limit
        if end > len(known.items) and not known.whole:
            # One more tells whether this is all.
            found = sessions.first(rows, known.state, end + 1)
            known = _Known(known.state, found[:end], whole=len(found) <= end)
            self._cache.put(session, known, known.size)
        return known.state, known.items[start:end]

    async def far(
        self, read_rows: Callable[[], Rows], session: SessionId, *, start: int, limit: int
    ) -> tuple[SessionState, Items]:
        """
        Return a session's state and up to *limit* items from *start* on, letting other tasks run in between.

        Args:
            read_rows: Returns the partition's rows as they are now.
            session: Whose.
            start: 0-based index of the first item.
            limit: 1 to 200.
        """
        for attempt in range(ATTEMPTS + 1):
            rows = read_rows()
            state = self.state(rows, session)
            if start >= state.row.total:
                return state, []
            beyond: bytes | None = None
            skipped = 0
            while skipped < start:
                piece = min(self._piece, start - skipped)
                beyond, count = _skip(rows, state, beyond, piece)
                skipped += count
                if count < piece:
                    return state, []
                if attempt < ATTEMPTS:
                    await asyncio.sleep(0)
                    rows = read_rows()
                    if rows.get(layout.session_key(session)) != state.value:
                        break
            else:
                return state, [entry.item for entry in islice(sessions.newest(rows, state, beyond=beyond), limit)]
        raise AssertionError  # The last attempt waits for nothing, so nothing can change.


def _skip(rows: Rows, state: SessionState, beyond: bytes | None, count: int) -> tuple[bytes | None, int]:
    """Pass *count* entries; return the key of the last, and how many there were."""
    passed = 0
    for entry in islice(sessions.newest(rows, state, beyond=beyond), count):
        beyond = entry.key
        passed += 1
    return beyond, passed
