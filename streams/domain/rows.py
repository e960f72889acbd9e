"""What a table holds, as a fold or a view sees it: ordered byte keys → bytes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol


class Rows(Protocol):
    """
    One partition of a table, to read.

    Keys begin with one byte for the kind of row and the 17 bytes of a context's or session's id; a fold's range never
    spans more than one such group.
    """

    def get(self, key: bytes) -> bytes | None:
        """Return the row's value, None where there is no such row."""

    def range(
        self, prefix: bytes, *, start: bytes | None = None, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """
        Yield the rows whose keys begin with *prefix* (of an overlay at least 18 bytes), ascending, or descending.

        Begins at the first key at or after *start* (at or before it, if *reverse*). Lazy: take what you need. The
        rows must not be written to while the iterator is in use.
        """


class WritableRows(Rows, Protocol):
    """The same, over an overlay that gathers what a batch writes."""

    def put(self, key: bytes, value: bytes) -> None:
        """Write a row."""

    def delete(self, key: bytes) -> None:
        """Delete a row, whether it is there or not."""
