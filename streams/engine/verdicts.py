"""Verdicts on events that commands wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from streams.engine.fold import Judged
from streams.engine.partition import OwnedPartition


class Verdicts:
    """Who waits for what the fold makes of an event."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self._expected: dict[str, list[asyncio.Future[Any]]] = {}
        """Event id → who waits: a command that is repeated bears the same one."""

    def __len__(self) -> int:
        """Return of how many events a verdict is waited for."""
        return len(self._expected)

    @contextmanager
    def expecting(self, event_id: str, owned: OwnedPartition) -> Iterator[asyncio.Future[Any]]:
        """Give a future that gets the verdict, or a `LogUnavailableError` once *owned* is not folded here any more."""
        verdict: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        expected = self._expected.setdefault(event_id, [])
        expected.append(verdict)
        owned.expected.add(verdict)
        try:
            yield verdict
        finally:
            owned.expected.discard(verdict)
            expected.remove(verdict)
            if not expected:
                del self._expected[event_id]
            if verdict.done() and not verdict.cancelled():
                verdict.exception()  # heard of, also by who did not wait for it

    def tell(self, judged: Iterable[Judged]) -> None:
        """Tell who waits."""
        for one in judged:
            for waiting in self._expected.get(one.event_id, ()):
                if not waiting.done():
                    waiting.set_result(one.verdict)
