"""Digests of what a version of the views has here, read beside all that is served."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import islice
from typing import NamedTuple, Protocol

from streams.domain import context_rows, session_rows
from streams.domain.audits import Audited
from streams.domain.digests import (
    ContextDigest,
    DigestItems,
    Digests,
    SessionDigest,
    SessionSum,
    context_digest,
    context_items,
    member_items,
)
from streams.domain.errors import AbsentError
from streams.domain.ids import ContextId, Kind, SessionId, id_text
from streams.domain.rows import Rows
from streams.domain.steps import Step
from streams.history import OPERATORS
from streams.refold import Bound, Refold
from streams.topics import CONTEXT_EVENTS, SESSION_EVENTS, partition_of

MOST_DIGESTS = 100
"""Contexts, or sessions, of which one call tells."""
_ROWS_AT_ONCE = 1_000
"""Rows of a list that are hashed before other tasks have their turn: about 4 ms."""
_ATTEMPTS = 3
_HEAD = {Audited.CONTEXTS: context_rows.META, Audited.SESSIONS: session_rows.SESSION}
_TOPICS = {Audited.CONTEXTS: CONTEXT_EVENTS, Audited.SESSIONS: SESSION_EVENTS}


class ReadTable(Protocol):
    """A table of this node; see `streams.views.tables.Table`."""

    def rows(self, partition: int) -> Rows:
        """Return a partition's rows as they are now; good until the caller waits for anything."""

    def position(self, topic: str, partition: int) -> int:
        """Return the offset of the last folded record of an input topic, -1 before the first."""


class ReadTables(NamedTuple):
    """Those of one version of the views."""

    contexts: ReadTable
    sessions: ReadTable


class PartitionDigests:
    """
    Tells what partitions have. Implements `service.ports.PartitionDigests`.

    All raise:
        AbsentError: There is no such version here, or no such partition.
        ViewUnavailableError: The partition is not served here, or not yet.
    """

    def __init__(
        self,
        tables: Callable[[str], ReadTables],
        refold: Refold,
        partitions: int,
        *,
        hash_key: bytes,
        bound: Bound = OPERATORS,
    ) -> None:
        """
        Take what there is.

        Args:
            tables: Returns those of a version of the views; raises `AbsentError` where it is not folded here.
            refold: Reads what events were.
            partitions: Of each topic.
            hash_key: What items are hashed with.
            bound: How much of the log one call may read.
        """
        self._tables, self._refold, self._partitions = tables, refold, partitions
        self._hash_key, self._bound = hash_key, bound

    async def digests(
        self, view: str, of: Audited, partition: int, *, beyond: bytes | None, only: Sequence[bytes] | None
    ) -> Digests:
        """Tell of the first `MOST_DIGESTS` whose ids are *beyond* a raw one, in order; or of *only* some."""
        self._check(partition)
        tables = self._tables(view)
        table = tables.contexts if of is Audited.CONTEXTS else tables.sessions
        first = table.position(_TOPICS[of], partition)
        following: bytes | None = None
        if only is None:
            only = self._ids(table.rows(partition), _HEAD[of], beyond)
            following = only[-1] if len(only) == MOST_DIGESTS else None
        contexts: list[ContextDigest] = []
        sessions: list[SessionDigest] = []
        moving: list[str] = []
        for raw in only:
            if of is Audited.CONTEXTS:
                contexts.append(context_digest(table.rows(partition), ContextId(raw), self._hash_key))
            elif (found := await self._session(table, partition, SessionId(raw))) is not None:
                sessions.append(found)
            else:
                moving.append(id_text(Kind.SESSION, raw))
            await asyncio.sleep(0)
        kind = Kind.CONTEXT if of is Audited.CONTEXTS else Kind.SESSION
        last = table.position(_TOPICS[of], partition)
        return Digests(first, last, contexts, sessions, moving, None if following is None else id_text(kind, following))

    def _check(self, partition: int) -> None:
        if partition >= self._partitions:
            raise AbsentError(f"there is no partition {partition}")

    def _ids(self, rows: Rows, head: bytes, beyond: bytes | None) -> list[bytes]:
        start = None if beyond is None else head + beyond + b"\0"
        return [key[len(head) :] for key, _ in islice(rows.range(head, start=start), MOST_DIGESTS)]

    async def _session(self, table: ReadTable, partition: int, session: SessionId) -> SessionDigest | None:
        """Return the digest of a session as of one moment; None where it never stood still for so long."""
        prefix = session_rows.LIST + session
        for _ in range(_ATTEMPTS):
            found = SessionSum(table.rows(partition), session, self._hash_key)
            start: bytes | None = None
            while True:
                # No iterator outlives a turn: a store that fails meanwhile could not be made anew.
                listed = list(islice(table.rows(partition).range(prefix, start=start), _ROWS_AT_ONCE))
                found.add(listed)
                if len(listed) < _ROWS_AT_ONCE:
                    break
                start = listed[-1][0] + b"\0"
                await asyncio.sleep(0)
            if session_rows.read_session(table.rows(partition), session).revision == found.state.revision:
                return found.digest()
        return None

    async def touched(self, of: Audited, partition: int, first: int, end: int) -> list[str]:
        """
        Return the ids of which the source has events from the offset *first* up to, not including, *end*.

        Raises what `Refold` does.
        """
        found: set[bytes] = set()
        with self._refold.reading(self._bound) as reading:
            await self._refold.each_id(_TOPICS[of], partition, reading, found.add, first=first, end=end)
        return sorted(prefix[:-1].decode("ascii") for prefix in found)

    def items(self, view: str, context: ContextId, session: SessionId | None) -> DigestItems:
        """Return the items of a context's own list, or of what a session's has of it."""
        tables = self._tables(view)
        if session is None:
            return context_items(tables.contexts.rows(partition_of(context, self._partitions)), context)
        return member_items(tables.sessions.rows(partition_of(session, self._partitions)), session, context)

    async def item_steps(self, context: ContextId, content_id: str) -> Sequence[Step]:
        """Return what events did to an item, oldest first; raise what `Refold` does."""
        with self._refold.reading(self._bound) as reading:
            folded = await self._refold.contexts({context: None}, reading, watched=(content_id,))
        return folded[context].steps[content_id].named

    async def attachment_steps(self, session: SessionId, context: ContextId | None) -> Sequence[Step]:
        """Return what events did to an attachment, None: to any, in their order; raise what `Refold` does."""
        with self._refold.reading(self._bound) as reading:
            history = await self._refold.session(session, reading)
        asked = [context] if context is not None else list(history.attachments)
        steps = [step for one in asked if one in history.attachments for step in history.attachments[one].named]
        return sorted(steps, key=lambda step: step.offset)
