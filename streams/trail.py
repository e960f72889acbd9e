"""The events of one context or session, read piece by piece, and folded up to wherever that is wanted."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

from streams.domain.ids import Kind
from streams.folded import FoldedContext, FoldedSession
from streams.log.port import Record

F = TypeVar("F", FoldedContext, FoldedSession)


class Trail(Generic[F]):
    """
    What was read of one context or session.

    Attributes:
        folded: It, as far as it was folded.
        end: The offset before which all of its events were read.
    """

    def __init__(self, folded: F, topic: str, kind: Kind, raw: bytes) -> None:
        """Take what folds, the topic that has the events, and whose they are."""
        self.folded: F = folded
        self.topic, self.kind, self.raw = topic, kind, raw
        self.end = 0
        self._wanted = -1
        self._later: deque[tuple[int, Record]] = deque()

    def take(self, partition: int, record: Record) -> None:
        """Take an event, and fold it where that is wanted already; what was read before is passed over."""
        if record.offset < self.end:
            return
        if record.offset <= self._wanted:
            self.folded.add(partition, record)
        else:
            self._later.append((partition, record))

    def later(self) -> Iterator[Record]:
        """Yield the events that were read and are not folded."""
        for _, record in self._later:
            yield record

    def fold_to(self, offset: int) -> None:
        """Fold what was read up to and with *offset*, and what will be."""
        self._wanted = max(self._wanted, offset)
        while self._later and self._later[0][1].offset <= offset:
            self.folded.add(*self._later.popleft())
