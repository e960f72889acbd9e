"""Lists as they were at some moment, and why, from the log alone: any node can say it, and no table is asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from msgspec.structs import replace

from streams.domain.errors import NotAttachedError, SessionDeletedError
from streams.domain.explain import Explanation
from streams.domain.ids import AppId, ContextId, SessionId
from streams.domain.past_lists import NOW, Moment, PastList, items_of, merged, seats_in
from streams.domain.session_rows import Member
from streams.explain import explanations
from streams.folded import FoldedContext, FoldedSession
from streams.refold import Bound, Refold

OPERATORS = Bound(100_000_000, 60.0)
"""What a node reads of the log for one call of an operator: they can wait."""


class _Past(NamedTuple):
    history: FoldedSession
    members: dict[ContextId, Member]
    folded: dict[ContextId, FoldedContext]
    past: PastList


class History:
    """
    Reads the past of sessions and contexts.

    All raise `HistoryTooLongError`, `HistoryGoneError`, `LogUnavailableError`, `OverloadedError`; those of sessions
    `SessionDeletedError`, where that was so by then. Implements `service.ports.History`.

    A context that feeds as many sessions as it may is shown with its items, though their lists do not have them: which
    of them it fed does not follow from the sources.
    """

    def __init__(self, refold: Refold, *, bound: Bound = OPERATORS) -> None:
        """Take what folds again, and how much of the log one call may read."""
        self._refold, self._bound = refold, bound

    async def context_list(self, context: ContextId, at: Moment = NOW) -> PastList:
        """Return a context's list as it was."""
        ends = {context: _end(at.offset)}
        with self._refold.reading(self._bound) as reading:
            folded = await self._refold.contexts(ends, reading, until_ms=at.time_ms)
        return PastList(merged(items_of(folded[context].rows, context)), [(context, None)])

    async def session_list(self, session: SessionId, at: Moment = NOW) -> PastList:
        """Return a session's merged list as it was."""
        return (await self._past(session, at)).past

    async def explain(
        self, session: SessionId, content_id: str, context: ContextId | None, at: Moment = NOW
    ) -> Sequence[Explanation]:
        """
        Explain an item as `streams.explain` does, as of a moment.

        Raises:
            NotAttachedError: The context was not attached up to then.
        """
        found = await self._past(session, at, watched=(content_id,))
        seats = seats_in(found.past, content_id)
        attached = found.history.attached
        if context is not None and context not in attached:
            raise NotAttachedError
        had = [one for one in sorted(attached) if one in found.folded and found.folded[one].steps[content_id]]
        contexts: Sequence[ContextId | None] = [context] if context is not None else sorted(seats) or had or [None]
        return explanations(
            session, content_id, contexts, found.folded, found.history, members=found.members, seats=seats
        )

    async def _past(self, session: SessionId, at: Moment, watched: Sequence[str] = ()) -> _Past:
        with self._refold.reading(self._bound) as reading:
            history = await self._refold.session(session, reading, end=_end(at.offset), until_ms=at.time_ms)
            if history.deleted:
                raise SessionDeletedError
            # What each has loaded is what its events say: all of it.
            members = {context: replace(member, load=0) for context, member in history.members().items()}
            ends = {
                context: None if at.sequences is None else _end(at.sequences.get(member.epoch, -1))
                for context, member in members.items()
            }
            folded = await self._refold.contexts(ends, reading, until_ms=at.time_ms, watched=watched)
        items = merged(item for context, one in folded.items() for item in items_of(one.rows, context))
        contexts = [(context, AppId(member.app)) for context, member in sorted(members.items())]
        return _Past(history, members, folded, PastList(items, contexts))


def _end(last: int | None) -> int | None:
    return None if last is None else last + 1
