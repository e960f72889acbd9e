"""Positions: what a reader has seen or written, as opaque tokens."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from streams.domain.ids import ContextId, SessionId


class ContextPosition(msgspec.Struct, frozen=True, array_like=True, tag="w"):
    """A context's event at *offset* of its partition: of a write, or the last that a context's list had folded."""

    context: bytes
    offset: int


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


Position = ContextPosition | SessionsPosition | ListPosition


class Written(NamedTuple):
    """An acknowledged write: where it stands, and the log's time of it."""

    position: ContextPosition | SessionsPosition
    time_ms: int


class After(NamedTuple):
    """Every position that a request must not be answered from before; the empty one asks for nothing."""

    contexts: tuple[ContextPosition, ...] = ()
    sessions: tuple[SessionsPosition, ...] = ()
    lists: tuple[ListPosition, ...] = ()

    def offset_of_context(self, context: ContextId) -> int:
        """Return the highest offset asked of *context*, -1 where none is."""
        return max((p.offset for p in self.contexts if p.context == context), default=-1)

    def offset_of_sessions(self, partition: int, session: SessionId) -> int:
        """Return the highest offset of `session-events` asked of *session* in its *partition*, -1 where none is."""
        written = (p.offsets.get(partition, -1) for p in self.sessions)
        seen = (p.offset for p in self.lists if p.session == session)
        return max(*written, *seen, -1, -1)


NOTHING = After()
