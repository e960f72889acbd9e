"""Rows in memory: what a table holds, without a disk."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator


class MemoryRows:
    """Implements `streams.domain.rows.WritableRows` over a dict and a sorted list of its keys: for few thousand."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self._keys: list[bytes] = []

    def copy(self) -> MemoryRows:
        """Return the same rows, to be written to apart from these."""
        rows = MemoryRows()
        rows.values, rows._keys = dict(self.values), list(self._keys)
        return rows

    def get(self, key: bytes) -> bytes | None:
        """Return the row's value, None where there is no such row."""
        return self.values.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        """Write a row."""
        if key not in self.values:
            insort(self._keys, key)
        self.values[key] = value

    def delete(self, key: bytes) -> None:
        """Delete a row, whether it is there or not."""
        if self.values.pop(key, None) is not None:
            del self._keys[bisect_left(self._keys, key)]

    def range(
        self, prefix: bytes, *, start: bytes | None = None, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield the rows whose keys begin with *prefix*; see `streams.domain.rows.Rows`."""
        # No key of the prefix has so many bytes.
        first, end = bisect_left(self._keys, prefix), bisect_right(self._keys, prefix + b"\xff" * 1_100)
        if start is not None and reverse:
            end = min(end, bisect_right(self._keys, start))
        elif start is not None:
            first = max(first, bisect_left(self._keys, start))
        found = self._keys[first:end]
        for key in reversed(found) if reverse else found:
            yield key, self.values[key]
