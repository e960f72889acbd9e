"""Lists as they were: their items in order, and what differs between two of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from streams.domain import context_rows, session_rows
from streams.domain.explain import Seat
from streams.domain.ids import ContextId, SessionId
from streams.domain.pages import SessionContext
from streams.domain.positions import ContextPosition, ListPosition
from streams.domain.rows import Rows


class Moment(NamedTuple):
    """
    Up to where events count; the empty one is now.

    With a time, what is not later counts; where the log's clock was set back over it, there is no such moment. With
    offsets, what is up to and with them counts.
    """

    time_ms: int | None = None
    offset: int | None = None
    """Of `session-events`, or of the context's own events."""
    sequences: Mapping[int, int] | None = None
    """Epoch of a member → its sequence, -1 before the first: what a list had."""


NOW = Moment()


class PastItem(NamedTuple):
    """One item: what sorts it, and what was served."""

    context: ContextId
    content_id: str
    time_ms: int
    fragment: bytes


class PastList(NamedTuple):
    """A list as of some moment, in its order."""

    items: Sequence[PastItem]
    position: ContextPosition | ListPosition
    """What it had: as a moment, it gives this very list again, whatever comes later."""
    contexts: Sequence[SessionContext] = ()
    """Of a session: those that were attached, newest first, ties by context id."""


class Difference(NamedTuple):
    """An item that two lists do not have alike: None where one does not have it."""

    context: ContextId
    content_id: str
    before: PastItem | None
    after: PastItem | None


def items_of(rows: Rows, context: ContextId) -> Iterator[PastItem]:
    """Yield the items of one context's rows, by content id."""
    for key, value in rows.range(context_rows.ITEM + context):
        stored = context_rows.decode_item(value)
        content_id = key[context_rows.TOTAL_KEY_BYTES : -1].decode()
        yield PastItem(context, content_id, stored.time_ms, stored.fragment)


def merged(items: Iterable[PastItem]) -> list[PastItem]:
    """Return items in the order of lists: that of the keys that a session's table has."""
    nobody = SessionId(b"")
    return sorted(
        items,
        key=lambda one: session_rows.list_key(nobody, one.time_ms, one.content_id.encode(), one.context, 0),
    )


def seats_in(past: PastList, content_id: str) -> dict[ContextId, Seat]:
    """Return where a list has the items of a content id, by context."""
    fragments: list[bytes | None] = [one.fragment for one in past.items]
    beside = [None, *fragments, None]
    return {
        one.context: Seat(at, len(past.items), one.fragment, beside[at], beside[at + 2])
        for at, one in enumerate(past.items)
        if one.content_id == content_id
    }


def differences(before: PastList, after: PastList) -> list[Difference]:
    """Return what was put, changed or gone between two lists: in the order of the later one, then of the earlier."""
    old, new = ({(one.context, one.content_id): one for one in past.items} for past in (before, after))
    keys = [*new, *(key for key in old if key not in new)]
    return [Difference(*key, old.get(key), new.get(key)) for key in keys if old.get(key) != new.get(key)]
