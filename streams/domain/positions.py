"""Positions: what a reader has seen or written, as opaque tokens."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from streams.domain.ids import ContextId, SessionId


class ContextPosition(msgspec.Struct, frozen=True, array_like=True, tag="w"):
    """A context's event at *offset* of its partition: of a write, or the last that a context's list had folded."""

    context: bytes
    offset: int


class ContextsPosition(msgspec.Struct, frozen=True, array_like=True, tag="c"):
    """Writes to many contexts: the mark of each (`context_mark`) → its event's offset."""

    offsets: dict[bytes, int]


class SessionsPosition(msgspec.Struct, frozen=True, array_like=True, tag="s"):
    """Offsets of `session-events` by partition: from session commands."""

    offsets: dict[int, int]


class ListPosition(msgspec.Struct, frozen=True, array_like=True, tag="l"):
    """
    What a session's list had folded: the offset of `session-events`, and for each member its epoch and sequence.

    Good on any node and any version of the views, for none of it is about how a fold got there.
    """

    session: bytes
    offset: int
    members: list[tuple[int, int]]


Position = ContextPosition | ContextsPosition | SessionsPosition | ListPosition

MARK_BYTES = 6


def context_mark(context: bytes) -> bytes:
    """
    Return what stands for a context in a position of many: its id's MAC, so that a token of 500 fits into a header.

    Where two contexts had the same, which is as good as never, a reader of one would wait for a write to the other.
    """
    return context[-MARK_BYTES:]


class Written(NamedTuple):
    """An acknowledged write: where it stands, and the log's time of it."""

    position: ContextPosition | SessionsPosition
    time_ms: int


class After(NamedTuple):
    """Every position that a request must not be answered from before; the empty one asks for nothing."""

    contexts: tuple[ContextPosition, ...] = ()
    sessions: tuple[SessionsPosition, ...] = ()
    lists: tuple[ListPosition, ...] = ()
    bulks: tuple[ContextsPosition, ...] = ()

    def offset_of_context(self, context: ContextId) -> int:
        """Return the highest offset asked of *context*, -1 where none is."""
        written = (p.offset for p in self.contexts if p.context == context)
        mark = context_mark(context)
        return max(*written, *(p.offsets.get(mark, -1) for p in self.bulks), -1, -1)

    def offset_of_sessions(self, partition: int, session: SessionId) -> int:
        """Return the highest offset of `session-events` asked of *session* in its *partition*, -1 where none is."""
        written = (p.offsets.get(partition, -1) for p in self.sessions)
        seen = (p.offset for p in self.lists if p.session == session)
        return max(*written, *seen, -1, -1)


NOTHING = After()
