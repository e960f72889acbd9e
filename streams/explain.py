"""Explanations of what platforms are served: the list as it is here, and the log as it made it so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from streams.domain.errors import NotAttachedError
from streams.domain.explain import NO_ACCOUNT, Account, Explanation, Seat, explain
from streams.domain.feed import NONE
from streams.domain.ids import ContextId, SessionId
from streams.domain.positions import After
from streams.domain.session_rows import Member
from streams.domain.steps import Steps
from streams.folded import FoldedContext, FoldedSession
from streams.refold import Bound, Refold
from streams.views.seats import Seats

SERVED = Bound(2_000_000, 1.5, 64 << 20)
"""What a node reads of the log for one call of a client: with the 2 s that it may wait for positions, no more than
another node waits for the answer."""


class Seated(Protocol):
    """Sessions' lists, as far as it is asked where an item is in them."""

    async def seats(self, session: SessionId, content_id: str, *, after: After, client: str) -> tuple[Seats, int]:
        """See `streams.views.session_views.SessionReader`."""


class Explainer:
    """Says why an item is in a session's list, in its place, hidden, or not there. Implements `ports.Explainer`."""

    def __init__(self, refold: Refold, views: Seated, *, bound: Bound = SERVED) -> None:
        """Take what folds again, the lists that are served here, and how much of the log one call may read."""
        self._refold, self._views, self._bound = refold, views, bound

    async def explain(
        self, session: SessionId, content_id: str, context: ContextId | None, *, after: After, client: str
    ) -> Sequence[Explanation]:
        """
        Explain the item of one context; without one, of each whose list has it, else of each that ever had it.

        Where no context ever had it, that is one explanation without a context.

        Raises:
            SessionDeletedError, ViewBehindError, ViewUnavailableError, OverloadedError
            NotAttachedError: The context never was attached.
            HistoryTooLongError, HistoryGoneError, LogUnavailableError
        """
        seats, offset = await self._views.seats(session, content_id, after=after, client=client)
        members, found = seats.state.members, seats.found
        with self._refold.reading(self._bound) as reading:
            history = await self._refold.session(session, reading, end=offset + 1)
            known = history.attached
            if context is not None and context not in known:
                raise NotAttachedError
            asked = [context] if context is not None else sorted(found) or sorted(known)
            # Of what was detached, only that is told: what its app has written since is nobody's here.
            ends = {one: members[one].sequence + 1 for one in asked if one in members and _is_fed(members[one])}
            folded = await self._refold.contexts(ends, reading, watched=(content_id,))
        if context is None and not found:
            asked = [one for one in asked if one in folded and folded[one].steps[content_id]]
        return explanations(session, content_id, asked or [None], folded, history, members=members, seats=found)


def explanations(
    session: SessionId,
    content_id: str,
    contexts: Sequence[ContextId | None],
    folded: Mapping[ContextId, FoldedContext],
    history: FoldedSession,
    *,
    members: Mapping[ContextId, Member],
    seats: Mapping[ContextId, Seat],
) -> list[Explanation]:
    """Return an explanation for each of *contexts*: what is served, and what the log says of it."""
    return [
        explain(
            session,
            content_id,
            context,
            NO_ACCOUNT if context is None else _account(folded.get(context), context, content_id, history),
            member=None if context is None else members.get(context),
            seat=None if context is None else seats.get(context),
            elsewhere=[other for other in sorted(seats) if other != context],
        )
        for context in contexts
    ]


def _account(folded: FoldedContext | None, context: ContextId, content_id: str, history: FoldedSession) -> Account:
    attachment = history.attachments.get(context, Steps())
    if folded is None:
        return Account(None, NONE, (), attachment.omitted, attachment.named)
    steps = folded.steps[content_id]
    omitted = steps.omitted + attachment.omitted
    return Account(folded.item(content_id), folded.sequence, steps.named, omitted, attachment.named)


def _is_fed(member: Member) -> bool:
    return member.load != NONE
