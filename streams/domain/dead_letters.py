"""Dead letters: records that no fold can take, and what somebody has decided about them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec

from streams.domain.registry_events import ObjectWrite
from streams.domain.registry_state import RegistryState
from streams.domain.rows import Rows, WritableRows

DECISIONS = "deadletters"
"""The type of the registry's objects that say what was decided; their ids are places."""
CORRECTED = b"c"
"""Rows of both tables: this, the raw id and a place → nothing. The event that stands for that record was folded."""
_PLACE = re.compile(r"([a-z0-9-]{1,40})-(0|[1-9][0-9]{0,8})-(0|[1-9][0-9]{0,17})")


class Place(NamedTuple):
    """Where a record stands."""

    topic: str
    partition: int
    offset: int

    @property
    def text(self) -> str:
        """The key of its dead letter, and what people call it: `<topic>-<partition>-<offset>`."""
        return f"{self.topic}-{self.partition}-{self.offset}"


def parse_place(text: str) -> Place | None:
    """Return the place that *text* names, None where it names none."""
    found = _PLACE.fullmatch(text)
    return None if found is None else Place(found[1], int(found[2]), int(found[3]))


class Letter(msgspec.Struct, frozen=True):
    """A dead letter as it stands in its topic: key and value in base64, as much of them as fits into one."""

    topic: str
    partition: int
    offset: int
    time_ms: int
    reason: str
    key: str | None
    value: str | None
    value_bytes: int = 0
    """Of the whole value."""

    @property
    def place(self) -> Place:
        """Where its record stands."""
        return Place(self.topic, self.partition, self.offset)


class Decision(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was decided about a dead letter: the fields of its object in the registry."""

    what: Literal["drop", "replace"]
    time_ms: int
    """Of the record. A place alone says too little: the topics between the processors may be made anew."""
    of: str = ""
    """The context or session whose event stands for the record."""
    digest: str = ""
    """A keyed hash of that event: what it says is in its source alone, where it can be erased."""
    stands_at: str = ""
    """The place where the log has it, once that is known."""

    def is_same(self, other: Decision) -> bool:
        """Say whether both come to the same, wherever the event stands."""
        return (self.what, self.time_ms, self.of, self.digest) == (other.what, other.time_ms, other.of, other.digest)


class Decided(NamedTuple):
    """A decision, who made it and when; and its version."""

    decision: Decision
    by: str
    at_ms: int
    version: int


class FoundLetter(NamedTuple):
    """A dead letter, and what was decided about it."""

    letter: Letter
    decided: Decided | None


class Cursor(NamedTuple):
    """Where a list of dead letters goes on: in which partition of their topic, at which offset."""

    partition: int
    offset: int


class LettersPage(NamedTuple):
    """Some dead letters, partition by partition, oldest first, and where to go on; None at the end."""

    letters: Sequence[FoundLetter]
    next: Cursor | None


def decided(state: RegistryState, place: Place, time_ms: int) -> Decided | None:
    """Return what was decided about the record of a place and a time, None where nothing was."""
    stored = state.find(DECISIONS, place.text)
    if stored is None:
        return None
    decision = msgspec.convert(stored.fields, Decision)
    if decision.time_ms != time_ms:
        return None
    return Decided(decision, stored.updated_by, stored.updated_ms, stored.version)


def decision_write(state: RegistryState, place: Place, decision: Decision) -> ObjectWrite:
    """Return what writes a decision in the place of the one that *state* has."""
    before = state.find(DECISIONS, place.text)
    fields = msgspec.to_builtins(decision)
    return ObjectWrite(type=DECISIONS, id=place.text, version=0 if before is None else before.version, fields=fields)


def is_corrected(rows: Rows, raw: bytes, place: str) -> bool:
    """Say whether an event for the record at *place* was folded before."""
    return rows.get(CORRECTED + raw + place.encode()) is not None


def is_repeated(rows: WritableRows, raw: bytes, place: str) -> bool:
    """
    Say whether an event for the record at *place* was folded before; note that one is now.

    Whoever does not know whether such an event came into the log appends it again: the first one counts.
    """
    if is_corrected(rows, raw, place):
        return True
    rows.put(CORRECTED + raw + place.encode(), b"")
    return False
