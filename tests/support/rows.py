"""Rows in memory: what a table holds, without a disk."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator


class MemoryRows:
    """`streams.domain.rows.WritableRows` over a dict and a sorted list of its keys."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self._keys: list[bytes] = []

    def get(self, key: bytes) -> bytes | None:
        return self.values.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        if key not in self.values:
            insort(self._keys, key)
        self.values[key] = value

    def delete(self, key: bytes) -> None:
        if self.values.pop(key, None) is not None:
            del self._keys[bisect_left(self._keys, key)]

    def range(
        self, prefix: bytes, *, start: bytes | None = None, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        found = [key for key in self._keys[bisect_left(self._keys, prefix) :] if key.startswith(prefix)]
        if start is not None:
            found = [key for key in found if (key <= start if reverse else key >= start)]
        for key in reversed(found) if reverse else found:
            yield key, self.values[key]
