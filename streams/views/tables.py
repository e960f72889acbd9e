"""What the readers need of a table, and of a place to wait in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from streams.domain.errors import OverloadedError
from streams.domain.rows import Rows

WAIT_S = 2.0
"""How long a read waits for a position."""
WAITS_PER_CLIENT = 100


class Table(Protocol):
    """One table of this node, as its readers see it: what is committed, and nothing else."""

    def rows(self, partition: int) -> Rows:
        """
        Return a partition's rows as they are now; good until the caller waits for anything.

        Raises:
            ViewUnavailableError: It is being recovered, is not here, or is too old to be served.
        """

    def position(self, topic: str, partition: int) -> int:
        """Return the offset of the last folded record of an input topic, -1 before the first."""

    @property
    def age_s(self) -> int | None:
        """Seconds since the node last heard of the log, where that is too long ago; else None."""

    async def until(self, partition: int, key: bytes, reached: Callable[[], bool], *, limit_s: float) -> None:
        """
        Return once *reached* says so: asked at once, and after each commit that writes *key* or moves a position.

        Raises:
            ViewBehindError: It did not within *limit_s*.
            ViewUnavailableError: The partition went away.
        """

    async def settled(self, partition: int) -> None:
        """
        Return once the rows have what was told to others, and so may have been seen, before this was asked for.

        Outputs are appended before the rows are committed: a session's list may show what its context's rows lack yet.

        Raises:
            ViewUnavailableError: It is being recovered, or is not here.
        """


class WaitLimit:
    """Counts the waits of each client, so that none can pile them up."""

    def __init__(self, per_client: int = WAITS_PER_CLIENT) -> None:
        self._per_client = per_client
        self._waits: Counter[str] = Counter()

    @contextmanager
    def waiting(self, client: str) -> Iterator[None]:
        """
        Count one more wait of *client*, for as long as it lasts.

        Raises:
            OverloadedError: It has as many as it may.
        """
        if self._waits[client] >= self._per_client:
            msg = f"{self._per_client} requests of this client wait already"
            raise OverloadedError(msg)
        self._waits[client] += 1
        try:
            yield
        finally:
            self._waits[client] -= 1
            if not self._waits[client]:
                del self._waits[client]
