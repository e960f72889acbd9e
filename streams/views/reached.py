"""Whether a view has reached the positions that a request bears."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from streams.domain.ids import ContextId, SessionId
from streams.domain.positions import After, context_mark
from streams.domain.session_rows import Member


class Asked(NamedTuple):
    """What a request asks of one session's view."""

    offset: int
    """Of `session-events`: to be folded."""
    loaded: int
    """Offset of `session-events`: no member with an epoch up to it may still be on its way."""
    sequences: dict[ContextId, int]
    """Context → the sequence that its member must have, where it is attached."""
    epochs: dict[int, int]
    """Epoch → the sequence that the member must have, where it is still attached."""
    marks: dict[bytes, int]
    """Mark of a context → the sequence that its member must have, where it is attached."""

    def holds(self, members: Mapping[ContextId, Member]) -> bool:
        """Say whether *members* have what is asked. One that its context refuses never will, and is not waited for."""
        return all(
            member.refused
            or (
                not (member.waits and member.epoch <= self.loaded)
                and member.sequence >= self.sequences.get(context, member.sequence)
                and member.sequence >= self.epochs.get(member.epoch, member.sequence)
                and (not self.marks or member.sequence >= self.marks.get(context_mark(context), member.sequence))
            )
            for context, member in members.items()
        )


def asked_of_session(after: After, session: SessionId, partition: int) -> Asked:
    """Return what *after* asks of a session's view; positions of other contexts and sessions ask nothing."""
    sequences: dict[ContextId, int] = {}
    for written in after.contexts:
        context = ContextId(written.context)
        sequences[context] = max(written.offset, sequences.get(context, -1))
    epochs: dict[int, int] = {}
    for seen in after.lists:
        if seen.session == session:
            for epoch, sequence in seen.members:
                epochs[epoch] = max(sequence, epochs.get(epoch, -1))
    marks: dict[bytes, int] = {}
    for many in after.bulks:
        for mark, offset in many.offsets.items():
            marks[mark] = max(offset, marks.get(mark, -1))
    loaded = max((p.offsets.get(partition, -1) for p in after.sessions), default=-1)
    return Asked(after.offset_of_sessions(partition, session), loaded, sequences, epochs, marks)
