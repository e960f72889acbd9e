"""Objects of the registry in the order of their lists, and as compact as they are kept."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import chain

import msgspec

from streams.domain.registry_events import ObjectState

BLOCK = 512
"""Objects in one block, at most: a change moves one block, a page skips blocks whole."""


class Entry(msgspec.Struct, frozen=True, gc=False):
    """
    One object as it is kept: its whole content as bytes, and beside it what lists are made by.

    As structs and dictionaries, 100,000 objects take four times the memory, and each pass of the garbage collector
    looks at all of them.
    """

    name: str
    id: str
    state: ObjectState
    body: bytes
    """The object, encoded: see `streams.domain.registry_state`."""
    earlier: bytes
    """Where the versions before this one were written: 8 bytes each."""


class Ordered:
    """Entries by name, then id. A page, a change or a count costs hardly more among 100,000 than among ten."""

    __slots__ = ("_blocks", "_hidden")

    def __init__(self) -> None:
        """Begin with none."""
        self._blocks: list[list[Entry]] = []
        self._hidden: list[int] = []
        """In each block."""

    def __iter__(self) -> Iterator[Entry]:
        """Yield all entries in their order."""
        return chain.from_iterable(self._blocks)

    def add(self, entry: Entry) -> None:
        """Take an entry that is not there yet."""
        place = _place(entry)
        number = self._block_of(place)
        if number == len(self._blocks):
            self.append(entry)
            return
        block = self._blocks[number]
        block.insert(bisect_left(block, place, key=_place), entry)
        self._hidden[number] += _is_hidden(entry)
        if len(block) > BLOCK:
            halves = block[: BLOCK // 2], block[BLOCK // 2 :]
            self._blocks[number : number + 1] = halves
            self._hidden[number : number + 1] = map(_count_hidden, halves)

    def append(self, entry: Entry) -> None:
        """Take an entry that is after all that are there."""
        if not self._blocks or len(self._blocks[-1]) >= BLOCK:
            self._blocks.append([])
            self._hidden.append(0)
        self._blocks[-1].append(entry)
        self._hidden[-1] += _is_hidden(entry)

    def remove(self, entry: Entry) -> None:
        """Give up an entry that is there."""
        place = _place(entry)
        number = self._block_of(place)
        block = self._blocks[number]
        del block[bisect_left(block, place, key=_place)]
        self._hidden[number] -= _is_hidden(entry)
        if not block:
            del self._blocks[number], self._hidden[number]

    def count(self, *, with_hidden: bool) -> int:
        """Return how many there are."""
        return sum(map(len, self._blocks)) - (0 if with_hidden else sum(self._hidden))

    def page(self, start: int, limit: int, *, with_hidden: bool) -> list[Entry]:
        """Return at most *limit* entries from the 0-based place *start* on."""
        found: list[Entry] = []
        for block, hidden in zip(self._blocks, self._hidden, strict=True):
            size = len(block) if with_hidden else len(block) - hidden
            if start >= size:
                start -= size
                continue
            seen = block if size == len(block) else [entry for entry in block if not _is_hidden(entry)]
            found += seen[start : start + limit - len(found)]
            start = 0
            if len(found) == limit:
                break
        return found

    def _block_of(self, place: tuple[str, str]) -> int:
        """Return the number of the first block that does not end before *place*."""
        return bisect_left(self._blocks, place, key=_last_place)


def _place(entry: Entry) -> tuple[str, str]:
    return entry.name, entry.id


def _last_place(block: list[Entry]) -> tuple[str, str]:
    return _place(block[-1])


def _is_hidden(entry: Entry) -> bool:
    return entry.state == "HIDDEN"


def _count_hidden(entries: Iterable[Entry]) -> int:
    return sum(map(_is_hidden, entries))
