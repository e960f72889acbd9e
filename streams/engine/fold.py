"""What the engine asks of a fold, and what a fold tells the engine."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

from streams.domain.feed import Noticed
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
    verdict: Any
    """One of the fold's own: `streams.domain.feed.Verdict`, `streams.domain.idempotency.Admission`."""


Emit = Output | Judged | Noticed


class Fold(Protocol):
    """
    A processor's pure part: its input topics folded into one table.

    The same record on the same rows gives the same rows and the same emits, always.
    """

    name: str
    """Of the processor, its agent and its table: one of `streams.domain.nodes.TableName`."""
    source: str
    """The input topic that the processor does not delete from: it is kept for ever, or for some time."""
    changelog: str
    dead_letters: str

    @property
    def until_folded(self) -> str | None:
        """The input topic whose records the processor's owner deletes once they are folded, where there is one."""

    def fold(self, rows: WritableRows, topic: str, record: Record) -> Iterable[Emit]:
        """
        Fold one record of *topic* into *rows*.

        Raises:
            PoisonError: It is no event of ours, or breaks the rules of its type. *rows* were not changed.
            NewerEventError: A newer version wrote it.
        """


def inputs_of(fold: Fold) -> tuple[str, ...]:
    """Return the input topics of a fold, its source first."""
    return (fold.source,) if fold.until_folded is None else (fold.source, fold.until_folded)
