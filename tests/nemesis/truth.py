"""The log as it was read from the brokers, folded into every state that there was."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from streams.domain.positions import (
    ContextPosition,
    ContextsPosition,
    ListPosition,
    Position,
    SessionsPosition,
    context_mark,
)
from streams.domain.times import iso_ms
from streams.topics import partition_of
from tests.nemesis.history import Entries, Logged
from tests.nemesis.oracle import NONE, Attached, ContextStates, SessionStates
from tests.nemesis.raw_ids import raw_id


@dataclass(frozen=True)
class Truth:
    """The states of every context and session."""

    contexts: dict[str, ContextStates]
    sessions: dict[str, SessionStates]
    partitions: int

    def partition(self, text: str) -> int:
        """Return the partition of a context or session."""
        return partition_of(raw_id(text), self.partitions)


def fold(
    context_events: Iterable[Logged], session_events: Iterable[Logged], entries: Entries, partitions: int
) -> Truth:
    """Fold the log. Records of one context or session must be in order."""
    contexts: dict[str, ContextStates] = {}
    for logged in context_events:
        contexts.setdefault(logged.of, ContextStates(logged.of, entries)).fold(logged)
    sessions: dict[str, SessionStates] = defaultdict(SessionStates)
    for logged in session_events:
        sessions[logged.of].fold(logged)
    return Truth(contexts, dict(sessions), partitions)


def session_context(session: str, context: str, attached: Attached) -> dict[str, str]:
    """Return an attachment as clients see it."""
    created_at = iso_ms(attached.created_at_ms)
    return {"session_id": session, "context_id": context, "app_id": attached.app, "created_at": created_at}


def asked_of_context(context: str, after: Iterable[Position]) -> int:
    """Return the offset of a context's events that an answer must not be from before."""
    raw = raw_id(context)
    one = (p.offset for p in after if isinstance(p, ContextPosition) and p.context == raw)
    many = (p.offsets.get(context_mark(raw), NONE) for p in after if isinstance(p, ContextsPosition))
    return max(*one, *many, NONE, NONE)


def asked_of_session(truth: Truth, session: str, after: Iterable[Position]) -> int:
    """Return the offset of a session's own events that an answer must not be from before."""
    raw = raw_id(session)
    lists = (p.offset for p in after if isinstance(p, ListPosition) and p.session == raw)
    return max(asked_of_commands(truth, session, after), *lists, NONE)


def asked_of_commands(truth: Truth, session: str, after: Iterable[Position]) -> int:
    """Return likewise, by the positions of commands alone: what they attached must have come, too."""
    partition = truth.partition(session)
    offsets = (p.offsets.get(partition, NONE) for p in after if isinstance(p, SessionsPosition))
    return max(offsets, default=NONE)
