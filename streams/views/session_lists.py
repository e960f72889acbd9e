"""The merged lists of sessions, read through a cache of their states and first items."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice

from streams.domain import session_rows as layout
from streams.domain.ids import SessionId
from streams.domain.page_items import PageItems
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
"""The first pages of some 5,500 lists. A page that is not here costs three times as much as one that is."""
_STATE_BYTES = 500
_MEMBER_BYTES = 600
_MOST_PAGES = 8
"""Of one list that are known: as many as are near, of the usual size."""


@dataclass(slots=True)
class _Known:
    """A session's state, and what was read of its list."""

    state: SessionState
    pages: dict[tuple[int, int], PageItems] = field(default_factory=dict)
    """Start and limit → the items."""

    @property
    def size(self) -> int:
        items = sum(items.size for items in self.pages.values())
        return _STATE_BYTES + _MEMBER_BYTES * len(self.state.members) + items


class SessionLists:
    """
    Reads sessions' states and lists; what it has read it knows until the session's row changes.

    That row's revision grows with whatever can be seen of a session, so one row says whether all that is known holds.
    """

    def __init__(self, max_bytes: int = CACHE_BYTES, *, piece: int = PIECE, edition: str = "") -> None:
        self._piece, self._edition = piece, edition
        self._cache: Cache[SessionId, _Known] = Cache(max_bytes)
        self._given: tuple[SessionId, PageItems, int] | None = None
        """The last page that was read, and what it took then."""

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

    def near(self, rows: Rows, session: SessionId, *, start: int, limit: int) -> tuple[SessionState, PageItems]:
        """Return a session's state and up to *limit* items from *start* on, which is not far."""
        self._reckon()
        known = self._known(rows, session)
        items = known.pages.get((start, limit))
        if items is None:
            items = PageItems(sessions.first(rows, known.state, start + limit)[start:])
            if len(known.pages) >= _MOST_PAGES:
                known.pages.clear()
            known.pages[start, limit] = items
            self._cache.put(session, known, known.size)
        self._given = session, items, items.size
        return known.state, items

    def _reckon(self) -> None:
        """Reckon anew what the last page takes, where whoever got it has joined it since."""
        if self._given is not None:
            session, items, size = self._given
            if items.size != size and (known := self._cache.get(session)) is not None:
                self._cache.put(session, known, known.size)

    async def far(
        self, read_rows: Callable[[], Rows], session: SessionId, *, start: int, limit: int
    ) -> tuple[SessionState, PageItems]:
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
                return state, PageItems()
            beyond: bytes | None = None
            skipped = 0
            while skipped < start:
                piece = min(self._piece, start - skipped)
                beyond, count = _skip(rows, state, beyond, piece)
                skipped += count
                if count < piece:
                    return state, PageItems()
                if attempt < ATTEMPTS:
                    await asyncio.sleep(0)
                    rows = read_rows()
                    if rows.get(layout.session_key(session)) != state.value:
                        break
            else:
                found = islice(sessions.newest(rows, state, beyond=beyond), limit)
                return state, PageItems(entry.item for entry in found)
        raise AssertionError  # The last attempt waits for nothing, so nothing can change.


def _skip(rows: Rows, state: SessionState, beyond: bytes | None, count: int) -> tuple[bytes | None, int]:
    """Pass *count* entries; return the key of the last, and how many there were."""
    passed = 0
    for entry in islice(sessions.newest(rows, state, beyond=beyond), count):
        beyond = entry.key
        passed += 1
    return beyond, passed
