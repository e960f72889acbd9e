"""Rows that tell what a disk would have to pass by."""

from collections.abc import Iterator

from streams.domain.memory_rows import MemoryRows


class UncompactedRows(MemoryRows):
    """
    Rows that were deleted stay, and a range passes them by, as in a table that is not compacted yet.

    Attributes:
        passed: How many deleted rows were passed by on the way to rows that were asked for.
    """

    def __init__(self) -> None:
        super().__init__()
        self.passed = 0
        self._deleted: set[bytes] = set()

    def put(self, key: bytes, value: bytes) -> None:
        """Write a row."""
        self._deleted.discard(key)
        super().put(key, value)

    def delete(self, key: bytes) -> None:
        """Delete a row, whether it is there or not."""
        self._deleted.add(key)
        super().delete(key)

    def range(
        self, prefix: bytes, *, start: bytes | None = None, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield the rows whose keys begin with *prefix*, ascending."""
        assert not reverse
        at = prefix if start is None else start
        for key, value in super().range(prefix, start=start):
            self.passed += sum(at <= deleted < key for deleted in self._deleted)
            at = key
            yield key, value
        self.passed += sum(at <= deleted and deleted.startswith(prefix) for deleted in self._deleted)
