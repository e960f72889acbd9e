"""What one turn of a processor makes of the records of one partition."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable

import msgspec

from streams.domain.dead_letters import Letter, Place
from streams.domain.errors import PoisonError
from streams.domain.feed import Noticed
from streams.engine.fold import Emit, Fold, Judged, Output
from streams.engine.overlay import Overlay
from streams.engine.partition import OwnedPartition, position_rows
from streams.log.port import Record, Row
from streams.topics import CONTEXT_EVENTS, SESSION_EVENTS

FULL_BYTES = 320 << 10
"""A batch is one record batch of the changelog, 6 MiB at most: it takes no further record once its rows weigh this, and
what one record can add is less than the rest: 4.5 MB, where 500 items in 1 MiB replace 1,000 others, all with the
longest content ids; 700 KB, where 300 places are swept up."""
FULL_IN_BULK_BYTES = 1 << 20
"""The same where nobody waits for what comes of it: fewer batches, with fewer rows, for the last of one key counts."""
FULL_OUTPUT_BYTES = 4 << 20
"""Nor once it has so much to tell: a thousand sessions that attach to a full list are told a gigabyte."""
DEAD_BYTES = 256 << 10
"""Of a record's key and of its value, as much goes into its dead letter: more would not fit. Its position says where
the whole of it is."""
_DECIDED_ABOUT = (CONTEXT_EVENTS, SESSION_EVENTS)
"""Sources whose records can always be shown to whoever is to decide: what lists are made of."""
_ROW_BYTES = 70
"""What a row weighs in a record batch beside its key and value, at most."""

IsDecided = Callable[[Place, int], bool]
"""Says whether somebody has decided about the record of a place and a time (ms) that cannot be folded."""


def nothing_decided(_place: Place, _time_ms: int) -> bool:
    """Say that nobody has."""
    return False


class UndecidedError(Exception):
    """A record cannot be folded, nobody has decided about it, and it is not to be passed over."""

    def __init__(self, place: Place, time_ms: int) -> None:
        """Take where it stands, and its time."""
        super().__init__(place.text)
        self.place, self.time_ms = place, time_ms


class FoldError(Exception):
    """A fold raised what it never should: a bug. Says which record it was."""


class Batch:
    """Records folded over an overlay of their partition's rows, and all that comes of it: nothing is written yet."""

    def __init__(
        self,
        fold: Fold,
        owned: OwnedPartition,
        is_decided: IsDecided = nothing_decided,
        *,
        stops: bool = False,
        full_bytes: int = FULL_BYTES,
    ) -> None:
        """Take where to fold; where it *stops*, no record of the source becomes a dead letter."""
        self._full_bytes = full_bytes
        self._fold, self._is_decided, self._stops = fold, is_decided, stops
        self.owned = owned
        self.overlay = Overlay(owned.store)
        self.positions = dict(owned.positions)
        self.outputs: list[Output] = []
        self._output_bytes = 0
        self.judged: list[Judged] = []
        self.noticed: list[str] = []
        self.dead: list[Row] = []
        """Dead letters: key and value."""
        self.decided = 0
        """Records that are none any more, for somebody has decided about them."""
        self.folded: dict[str, int] = {}

    @property
    def is_full(self) -> bool:
        """Whether there are as many rows as one batch of the changelog should hold, or as many outputs."""
        return self.weight >= self._full_bytes or self._output_bytes >= FULL_OUTPUT_BYTES

    @property
    def weight(self) -> int:
        """What the rows weigh in a record batch, at most."""
        return self.overlay.size + _ROW_BYTES * len(self.overlay.rows)

    @property
    def is_empty(self) -> bool:
        """Whether no position was moved, so that there is nothing to commit."""
        return self.positions == self.owned.positions

    @property
    def rows(self) -> dict[bytes, bytes | None]:
        """What to commit: the rows, and the positions that they are as of."""
        return {**self.overlay.rows, **position_rows(self.positions)}

    def add(self, topic: str, record: Record) -> None:
        """
        Fold one record, which follows on from the partition's position.

        Raises:
            NewerEventError: A newer version wrote it.
            UndecidedError: It stops there; the record was not folded.
            FoldError: The fold has a bug.
        """
        try:
            self.take(self._fold.fold(self.overlay, topic, record))
        except PoisonError as error:
            self._put_aside(Place(topic, self.owned.partition, record.offset), record, error)
        self.positions[topic] = record.offset
        self.folded[topic] = self.folded.get(topic, 0) + 1

    def _put_aside(self, place: Place, record: Record, error: PoisonError) -> None:
        # Whether it is known already what was decided changes no row: what stands for the record comes as an event.
        if self._is_decided(place, record.time_ms):
            self.decided += 1
        elif self._stops and place.topic in _DECIDED_ABOUT:
            raise UndecidedError(place, record.time_ms)
        else:
            self.dead.append((place.text.encode(), msgspec.json.encode(dead_letter(place, record, error))))

    def take(self, emits: Iterable[Emit]) -> None:
        """Take what a fold has to say of the records that were added."""
        for emit in emits:
            match emit:
                case Output():
                    self.outputs.append(emit)
                    self._output_bytes += len(emit.value)
                case Judged():
                    self.judged.append(emit)
                case Noticed(what):
                    self.noticed.append(what)


def dead_letter(place: Place, record: Record, error: PoisonError) -> Letter:
    """Return the dead letter of a record: where it stands, why it cannot be folded, and what it is."""
    return Letter(
        *place,
        time_ms=record.time_ms,
        reason=str(error),
        key=_base64(record.key),
        value=_base64(record.value),
        value_bytes=len(record.value or b""),
    )


def _base64(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value[:DEAD_BYTES]).decode("ascii")
