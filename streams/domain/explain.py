"""Why an item is where it is, or is not there: what events did to it, and the rules that were applied."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from heapq import merge
from typing import NamedTuple, TypeGuard

from streams.domain.context_rows import StoredItem
from streams.domain.feed import NONE
from streams.domain.ids import AppId, ContextId, SessionId
from streams.domain.session_rows import Member
from streams.domain.steps import Did, Step


class Reason(enum.Enum):
    """Why an item is in a session's list, or is not."""

    LISTED = "listed"
    HIDDEN = "hidden"
    NEVER_WRITTEN = "never_written"
    OTHER_CONTEXT = "other_context"
    REMOVED = "removed"
    LEFT_OUT = "left_out"
    DROPPED = "dropped"
    CATCHING_UP = "catching_up"
    REFUSED = "refused"
    DETACHED = "detached"
    TOO_MANY = "too_many_contexts"
    DIFFERS = "differs"


class Rule(enum.Enum):
    """A rule of lists that made an item what it is."""

    NEWEST_FIRST = "newest_first"
    LATER_THAN_THE_LAST = "later_than_the_last"
    HIDDEN_KEEPS_ITS_PLACE = "hidden_keeps_its_place"
    HIDDEN_IS_KEPT = "hidden_is_kept"
    ATTACHED_LATER = "attached_later"
    AT_MOST_1000 = "at_most_1000"
    REPLACED_WHOLE = "replaced_whole"
    NOTHING_TO_DO = "nothing_to_do"


class Seat(NamedTuple):
    """Where a merged list has an item: its fragment, and those of the items before and after it."""

    at: int
    """Its 0-based index."""
    total: int
    fragment: bytes
    newer: bytes | None
    older: bytes | None


class Explanation(NamedTuple):
    """Why an item of one context is, or is not, in a session's list."""

    session: SessionId
    content_id: str
    context: ContextId | None
    """None: no context that is attached, or was, has ever had such an item."""
    app: AppId | None
    reason: Reason
    seat: Seat | None
    steps: Sequence[Step]
    """Those of the item and those of its context's attachment, oldest first."""
    omitted: int
    """Older ones, of which there were too many to be named."""
    elsewhere: Sequence[ContextId]
    """Other contexts of the session whose lists have an item of that content id."""
    rules: Sequence[Rule]
    sequence: int
    """The offset of the last event of the context that counts here, -1 where none does."""
    agrees: bool
    """Whether the context's events, folded again, give the item as it is served."""


class Account(NamedTuple):
    """What the log says of one item in one context, and of that context in the session."""

    item: StoredItem | None
    """As the context's events leave it."""
    sequence: int
    """The offset of the last event that was folded."""
    steps: Sequence[Step]
    """Of the item, oldest first."""
    omitted: int
    """Older ones, also of the attachment."""
    attachment: Sequence[Step]


NO_ACCOUNT = Account(None, NONE, (), 0, ())


def explain(
    session: SessionId,
    content_id: str,
    context: ContextId | None,
    account: Account,
    *,
    member: Member | None,
    seat: Seat | None,
    elsewhere: Sequence[ContextId] = (),
) -> Explanation:
    """
    Say why an item is where it is.

    Args:
        session: Whose list.
        content_id: The item's.
        context: In whose list it is looked for; None where no context has ever had it.
        account: What the log says, as of what the member has.
        member: The context as the session has it, None where it is not attached.
        seat: Where the list has the item, None where it does not.
        elsewhere: Other contexts whose lists have an item of that content id.
    """
    item, steps = account.item, account.steps
    return Explanation(
        session,
        content_id,
        context,
        None if member is None else AppId(member.app),
        _reason(context, account, member, seat, elsewhere),
        seat,
        # Each in the order of its log, whatever the clock did.
        list(merge(steps, account.attachment, key=lambda step: step.time_ms)),
        account.omitted,
        elsewhere,
        list(_rules(account, member, seat)),
        account.sequence,
        not _counts(member) or (None if seat is None else seat.fragment) == (None if item is None else item.fragment),
    )


def _counts(member: Member | None) -> TypeGuard[Member]:
    """Say whether the list has what the context holds."""
    return member is not None and member.load != NONE


def _reason(
    context: ContextId | None,
    account: Account,
    member: Member | None,
    seat: Seat | None,
    elsewhere: Sequence[ContextId],
) -> Reason:
    if seat is not None:
        return Reason.HIDDEN if seat.fragment.endswith(_HIDDEN) else Reason.LISTED
    if member is None:
        refused = _last_change(account.attachment) is Did.TOO_MANY
        return Reason.NEVER_WRITTEN if context is None else Reason.TOO_MANY if refused else Reason.DETACHED
    if not _counts(member):
        return Reason.REFUSED if member.refused else Reason.CATCHING_UP
    return Reason.DIFFERS if account.item is not None else _absence(account, elsewhere)


def _absence(account: Account, elsewhere: Sequence[ContextId]) -> Reason:
    gone = _last_change(account.steps)
    if gone in _GONE:
        return _GONE[gone]
    return Reason.OTHER_CONTEXT if elsewhere else Reason.NEVER_WRITTEN


def _last_change(steps: Sequence[Step]) -> Did | None:
    return next((step.did for step in reversed(steps) if step.did is not Did.NOTHING), None)


def _rules(account: Account, member: Member | None, seat: Seat | None) -> Iterator[Rule]:
    did = [step.did for step in account.steps]
    if seat is not None:
        yield Rule.NEWEST_FIRST
        put = next((step for step in reversed(account.steps) if step.did in _PUTS), None)
        if account.item is not None and put is not None and put.time_ms != account.item.time_ms:
            yield Rule.LATER_THAN_THE_LAST
        if account.item is not None and member is not None and member.created_at_ms > account.item.time_ms:
            yield Rule.ATTACHED_LATER
        if seat.fragment.endswith(_HIDDEN):
            yield Rule.HIDDEN_KEEPS_ITS_PLACE
            since = did[len(did) - did[::-1].index(Did.HIDDEN) :] if Did.HIDDEN in did else []
            if any(what in _PUTS for what in since):
                yield Rule.HIDDEN_IS_KEPT
    elif Did.DROPPED in did[-1:]:
        yield Rule.AT_MOST_1000
    elif Did.LEFT_OUT in did[-1:]:
        yield Rule.REPLACED_WHOLE
    if Did.NOTHING in did[-1:]:
        yield Rule.NOTHING_TO_DO


_HIDDEN = b',"hidden":true'
_PUTS = frozenset({Did.PUT, Did.REPLACED})
_GONE = {Did.REMOVED: Reason.REMOVED, Did.LEFT_OUT: Reason.LEFT_OUT, Did.DROPPED: Reason.DROPPED}
