"""Lists as they were at some moment, and why, from the log alone: any node can say it, and no table is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from streams.domain.errors import ContextErasedError, NotAttachedError, SessionDeletedError
from streams.domain.explain import Explanation
from streams.domain.ids import AppId, ContextId, SessionId
from streams.domain.pages import SessionContext
from streams.domain.past_lists import NOW, Moment, PastList, items_of, merged, seats_in
from streams.domain.positions import ContextPosition, ListPosition
from streams.domain.session_rows import Member
from streams.explain import explanations
from streams.folded import FoldedContext, FoldedSession
from streams.refold import Bound, Reading, Refold

OPERATORS = Bound(100_000_000, 60.0)
"""What a node reads of the log for one call of an operator: they can wait."""

CLIENTS = Bound(2_000_000, 1.5, 64 << 20, 4.0)
"""What a node reads for one call of a client, and no more than a fifth of the time: others are served meanwhile."""


class _Past(NamedTuple):
    history: FoldedSession
    members: dict[ContextId, Member]
    folded: dict[ContextId, FoldedContext]
    past: PastList


class History:
    """
    Reads the past of sessions and contexts.

    All raise `HistoryTooLongError`, `HistoryGoneError`, `HistoryUnorderedError`, `LogUnavailableError`,
    `OverloadedError`; those of sessions `SessionDeletedError`, where that was so by then, those of contexts
    `ContextErasedError`, where that is so now: of what was erased, nothing is told as of any moment. Implements
    `service.ports.History`.

    A context that feeds as many sessions as it may is shown with its items, though their lists do not have them: which
    of them it fed does not follow from the sources.
    """

    def __init__(self, refold: Refold, *, bound: Bound = OPERATORS) -> None:
        """Take what folds again, and how much of the log one call may read."""
        self._refold, self._bound = refold, bound

    async def context_lists(self, context: ContextId, moments: Sequence[Moment], *, client: str = "") -> list[PastList]:
        """Return a context's list as it was at each of some moments."""
        del client
        lists = []
        with self._refold.reading(self._bound) as reading:
            for at in moments:
                ends = {context: _end(at.offset)}
                found = await self._refold.contexts(ends, reading, until_ms=at.time_ms, to_the_end=True)
                folded = found[context]
                if folded.is_erased:
                    raise ContextErasedError
                items = await asyncio.to_thread(merged, items_of(folded.rows, context))
                lists.append(PastList(items, ContextPosition(context, folded.sequence)))
        return lists

    async def session_lists(
        self, session: SessionId, moments: Sequence[Moment], *, client: str = "", context: ContextId | None = None
    ) -> list[PastList]:
        """
        Return a session's merged list as it was at each of some moments, or the part of it that is of one *context*.

        Raises:
            NotAttachedError: The context was attached at none of them.
        """
        del client
        with self._refold.reading(self._bound) as reading:
            lists = [(await self._past(session, at, reading)).past for at in moments]
        if context is None:
            return lists
        if not any(one.context == context for past in lists for one in past.contexts):
            raise NotAttachedError
        return [past._replace(items=[one for one in past.items if one.context == context]) for past in lists]

    async def explain(
        self, session: SessionId, content_id: str, context: ContextId | None, at: Moment = NOW
    ) -> Sequence[Explanation]:
        """
        Explain an item as `streams.explain` does, as of a moment.

        Raises:
            NotAttachedError: The context was not attached up to then.
        """
        with self._refold.reading(self._bound) as reading:
            found = await self._past(session, at, reading, watched=(content_id,))
        seats = seats_in(found.past, content_id)
        attached = found.history.attached
        if context is not None and context not in attached:
            raise NotAttachedError
        had = [one for one in sorted(attached) if one in found.folded and found.folded[one].steps[content_id]]
        contexts: Sequence[ContextId | None] = [context] if context is not None else sorted(seats) or had or [None]
        return explanations(
            session, content_id, contexts, found.folded, found.history, members=found.members, seats=seats
        )

    async def _past(self, session: SessionId, at: Moment, reading: Reading, watched: Sequence[str] = ()) -> _Past:
        history = await self._refold.session(session, reading, end=_end(at.offset), until_ms=at.time_ms)
        if history.deleted:
            raise SessionDeletedError
        # What each has loaded is what its events say: all of it.
        members = {context: replace(member, load=0) for context, member in history.members().items()}
        ends = {
            context: None if at.sequences is None else _end(at.sequences.get(member.epoch, -1))
            for context, member in members.items()
        }
        found = await self._refold.contexts(ends, reading, until_ms=at.time_ms, watched=watched, to_the_end=True)
        # Nothing is told of what was erased since: it is as if it had never been attached.
        folded = {context: one for context, one in found.items() if not one.is_erased}
        members = {context: member for context, member in members.items() if context in folded}
        past = await asyncio.to_thread(_session_list, history, members, folded)
        return _Past(history, members, folded, past)


def _session_list(
    history: FoldedSession, members: Mapping[ContextId, Member], folded: Mapping[ContextId, FoldedContext]
) -> PastList:
    session = history.session
    items = merged(item for context, one in folded.items() for item in items_of(one.rows, context))
    sequences = sorted((member.epoch, folded[context].sequence) for context, member in members.items())
    newest = sorted(members.items(), key=lambda entry: (-entry[1].created_at_ms, entry[0]))
    contexts = [SessionContext(session, context, AppId(one.app), one.created_at_ms) for context, one in newest]
    return PastList(items, ListPosition(session, history.offset, sequences), contexts)


def _end(last: int | None) -> int | None:
    return None if last is None else last + 1
