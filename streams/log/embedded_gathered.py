"""What the embedded log has taken and not yet written."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from streams.domain.errors import LogUnavailableError
from streams.log.port import Appended, Record


@dataclass(slots=True)
class Gathered:
    """Appends that go to disk together, and who waits for them."""

    size_bytes: int = 0
    expired: bool = False
    expiry: asyncio.TimerHandle | None = None
    records: dict[int, list[Record]] = field(default_factory=dict)
    waiting: list[tuple[asyncio.Future[Appended], Appended]] = field(default_factory=list)

    def add(self, partition: int, records: list[Record], size_bytes: int) -> None:
        """Take the next records of a partition."""
        self.records.setdefault(partition, []).extend(records)
        self.size_bytes += size_bytes

    def acknowledge(self) -> None:
        """Tell all who wait where their records stand."""
        for future, appended in self.waiting:
            if not future.done():
                future.set_result(appended)
        self._release()

    def give_up(self, reason: str) -> None:
        """Tell all who wait that the outcome is unknown; nothing more is taken."""
        self.expired = True
        for future, _ in self.waiting:
            if not future.done():
                future.set_exception(LogUnavailableError(reason))
        self._release()

    def _release(self) -> None:
        if self.expiry:
            self.expiry.cancel()
