"""The days of the protocol's runs, and the owners of their partitions: log first, as the engine is."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from streams.domain.feed import Limits
from streams.domain.memory_rows import MemoryRows
from streams.engine.overlay import Overlay

IN_PARTS, WHOLE = 1_000, 100_000
"""Bytes in one message: two items, or all of them."""


class Day(NamedTuple):
    """What goes wrong in a run, apart from messages that are there twice."""

    lost: float
    damaged: float
    crashes: bool
    zombies: bool
    torn: bool
    """Of what a crashed owner appended, any part may be there, not only the first of it."""
    limits: Limits

    @property
    def expected(self) -> set[str]:
        """What the folds may notice: that a member has missed something, or was fed something else."""
        # A snapshot that nobody stands behind may come before the one that counts: then the member asks again.
        return {"refused", *(["gap"] if self.crashes else []), *(["digest_difference"] if self.damaged else [])}


def day_of(rng: random.Random) -> Day:
    """Return what goes wrong today."""
    calm = rng.random() < 0.15
    limits = Limits(
        items=4,
        sessions=1 if rng.random() < 0.2 else 3,
        contexts=1 if rng.random() < 0.1 else 3,
        message_bytes=WHOLE if calm or rng.random() < 0.3 else IN_PARTS,
        ask_again=3,
        sweep_rows=2,
    )
    return Day(
        lost=0.1 if rng.random() < 0.4 and not calm else 0.0,
        damaged=0.3 if rng.random() < 0.3 and not calm else 0.0,
        crashes=not calm,
        zombies=rng.random() < 0.8,
        torn=rng.random() < 0.4,
        limits=limits,
    )


class Entry(NamedTuple):
    """One record: when the log took it, to whom it is, and what it says; None where it was lost."""

    time_ms: int
    to: Any
    message: Any


Log = list[Entry]
Fold = Callable[[Overlay, int, int, Entry], Iterator[tuple[Log, Any, Any]]]


class Owner:
    """One owner of one partition: what it has committed, and what it has folded and appended beyond."""

    def __init__(self, inputs: list[Log], fold: Fold, rows: MemoryRows, positions: list[int], bias: float) -> None:
        """Take *bias*: how much rather it folds its second input."""
        self.rows, self.positions = rows, positions
        self.pending: list[tuple[Log, Any, Any]] = []
        self._inputs, self._fold, self._bias = inputs, fold, bias
        self._overlay, self._folded = Overlay(rows), list(positions)

    def step(self, rng: random.Random) -> bool:
        """Fold the next record of either input, where there is one."""
        ready = [i for i, log in enumerate(self._inputs) if self._folded[i] < len(log)]
        if not ready:
            return False
        i = ready[rng.random() < self._bias] if len(ready) == 2 else ready[0]
        offset = self._folded[i]
        self._folded[i] += 1
        self.pending += self._fold(self._overlay, i, offset, self._inputs[i][offset])
        return True

    def take(self, count: int) -> list[tuple[Log, Any, Any]]:
        """Return the next outputs to append, and forget them."""
        taken, self.pending = self.pending[:count], self.pending[count:]
        return taken

    def commit(self) -> None:
        """Write what was folded. Its outputs are in the log."""
        assert not self.pending
        for key, value in self._overlay.rows.items():
            if value is None:
                self.rows.delete(key)
            else:
                self.rows.put(key, value)
        self._overlay, self.positions = Overlay(self.rows), list(self._folded)

    def successor(self, bias: float) -> Owner:
        """Return who takes over from what is committed; this one keeps what it has."""
        return Owner(self._inputs, self._fold, self.rows.copy(), list(self.positions), bias)
