"""What a batch writes, over what is committed."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice

from streams.domain.rows import Rows

_GROUP = 18
"""Bytes of a key that a range never leaves: the kind of row and the id."""
_FEW = 64
"""Rows of one range that are remembered, for the next fold of the same batch that asks for them."""


class Overlay:
    """
    Implements `streams.domain.rows.WritableRows`: reads see the batch's own writes; `rows` is what to commit.

    What lies below does not change while the overlay is in use.

    Attributes:
        rows: Key → value, None where it is deleted, in the order of the first write.
        size: Bytes of keys and values, about.
    """

    __slots__ = ("_below", "_few", "_kinds", "rows", "size")

    def __init__(self, below: Rows) -> None:
        self._below = below
        self._kinds: dict[int, dict[bytes, set[bytes]]] = {}
        """Kind of row → group → written keys, for those kinds of which a range was asked: most never are."""
        self._few: dict[bytes, list[tuple[bytes, bytes]]] = {}
        self.rows: dict[bytes, bytes | None] = {}
        self.size = 0

    def get(self, key: bytes) -> bytes | None:
        """Return the row's value, None where there is no such row."""
        try:
            return self.rows[key]
        except KeyError:
            return self._below.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        """Write a row."""
        if key[0] in self._kinds:
            self._note(key)
        self.rows[key] = value
        self.size += len(key) + len(value)

    def delete(self, key: bytes) -> None:
        """Delete a row, whether it is there or not."""
        if key[0] in self._kinds:
            self._note(key)
        self.rows[key] = None
        self.size += len(key)

    def _note(self, key: bytes) -> None:
        self._kinds[key[0]].setdefault(key[:_GROUP], set()).add(key)

    def _written(self, prefix: bytes) -> set[bytes] | None:
        """Return the keys of a prefix's group that were written, None where none were."""
        kind = prefix[0]
        if kind not in self._kinds:
            self._kinds[kind] = {}
            for key in self.rows:
                if key[0] == kind:
                    self._note(key)
        return self._kinds[kind].get(prefix[:_GROUP])

    def range(
        self, prefix: bytes, *, start: bytes | None = None, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield the rows whose keys begin with *prefix*; see `streams.domain.rows.Rows`."""
        below = self._range_below(prefix, start, reverse=reverse)
        group = self._written(prefix)
        if group is None:
            return below
        mine = sorted(key for key in group if key.startswith(prefix) and _follows(key, start, reverse=reverse))
        if not mine:
            return below
        return self._merged(below, mine[::-1] if reverse else mine, reverse=reverse)

    def _range_below(self, prefix: bytes, start: bytes | None, *, reverse: bool) -> Iterator[tuple[bytes, bytes]]:
        if start is not None or reverse:
            return self._below.range(prefix, start=start, reverse=reverse)
        few = self._few.get(prefix)
        if few is None:
            rows = self._below.range(prefix)
            few = list(islice(rows, _FEW))
            if len(few) == _FEW:
                return chain(few, rows)
            self._few[prefix] = few
        return iter(few)

    def _merged(
        self, below: Iterator[tuple[bytes, bytes]], mine: list[bytes], *, reverse: bool
    ) -> Iterator[tuple[bytes, bytes]]:
        written = self.rows
        waiting = iter(mine)
        key = next(waiting, None)
        for row in below:
            while key is not None and (key > row[0] if reverse else key < row[0]):
                if (value := written[key]) is not None:
                    yield key, value
                key = next(waiting, None)
            if row[0] not in written:
                yield row
        while key is not None:
            if (value := written[key]) is not None:
                yield key, value
            key = next(waiting, None)


def _follows(key: bytes, start: bytes | None, *, reverse: bool) -> bool:
    return start is None or (key <= start if reverse else key >= start)
