"""What the engine asks of a fold, and what a fold tells the engine."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from streams.domain.feed import Noticed, Verdict
from streams.domain.rows import WritableRows
from streams.log.port import Record


class Output(NamedTuple):
    """A record to append: its partition is that of *key*, the addressee's raw id."""

    topic: str
    key: bytes
    value: bytes


class Judged(NamedTuple):
    """What the fold made of an event whose command may be waiting for it."""

    event_id: str
    verdict: Verdict


Emit = Output | Judged | Noticed


class Fold(Protocol):
    """
    A processor's pure part: two input topics folded into one table.

    The same record on the same rows gives the same rows and the same emits, always.
    """

    name: str
    """Of the processor, its agent and its table: `contexts` or `sessions`."""
    source: str
    """The input topic that is kept for ever."""
    until_folded: str
    """The input topic whose records the processor's owner deletes once they are folded."""
    changelog: str
    dead_letters: str

    def fold(self, rows: WritableRows, topic: str, record: Record) -> Iterable[Emit]:
        """
        Fold one record of *topic* into *rows*.

        Raises:
            PoisonError: It is no event of ours, or breaks the rules of its type. *rows* were not changed.
            NewerEventError: A newer version wrote it.
        """
