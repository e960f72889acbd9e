"""Deliveries to many endpoints from many partitions, merged: newest first, and no more is read than is taken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from heapq import heapify, heappop, heapreplace
from itertools import islice, takewhile
from typing import NamedTuple

from streams.domain import webhook_rows as layout
from streams.domain.rows import Rows
from streams.domain.webhook_events import Status

_FIRST_PAGE, _LONGEST_PAGE = 4, 128
"""Rows that are read of one endpoint in one partition: few, for most are of no use, then twice as many each time."""
_PIECE = 500
"""Rows that are read before others have their turn."""
_PAGE_ROWS = 10
"""What looking for a page's first row counts for."""


class Cell(NamedTuple):
    """One endpoint's deliveries in one partition."""

    partition: int
    endpoint: str


class Found(NamedTuple):
    """A delivery."""

    cell: Cell
    planned_ms: int
    event: str
    status: Status


async def newest_first(
    rows: Callable[[int], Rows], cells: Iterable[Cell], *, from_ms: int, to_ms: int
) -> AsyncGenerator[Found, None]:
    """
    Yield the deliveries of *cells* that were planned from a time on and before another, in epoch milliseconds.

    Those that were planned together come in the order of *cells*. What is planned meanwhile may be there or not.

    Args:
        rows: Returns a partition's rows, which hold until others have their turn; may raise `ViewUnavailableError`.
        cells: Where they are looked for.
        from_ms: No earlier.
        to_ms: At least 1.
    """
    reads = _Reads(rows, from_ms, to_ms)
    heads: list[tuple[int, int, Found, Iterator[Found]]] = []
    for number, cell in enumerate(cells):
        following = reads.of(cell)
        first = next(following, None)
        if first is not None:
            heads.append((-first.planned_ms, number, first, following))
        await reads.rest()
    heapify(heads)
    while heads:
        _, number, found, following = heads[0]
        yield found
        after = next(following, None)
        if after is None:
            heappop(heads)
        else:
            heapreplace(heads, (-after.planned_ms, number, after, following))
        await reads.rest()


class _Reads:
    """Reads pages, and counts what was read since others had their turn."""

    def __init__(self, rows: Callable[[int], Rows], from_ms: int, to_ms: int) -> None:
        self._rows, self._from_ms, self._to_ms = rows, from_ms, to_ms
        self._unrested = 0

    async def rest(self) -> None:
        """Let others have their turn where much was read."""
        if self._unrested >= _PIECE:
            self._unrested = 0
            await asyncio.sleep(0)

    def of(self, cell: Cell) -> Iterator[Found]:
        """Yield a cell's deliveries, newest first."""
        endpoint = layout.endpoint_hash(cell.endpoint)
        start: bytes | None = layout.delivery_key(endpoint, self._to_ms - 1, "")[:-1]
        length = _FIRST_PAGE
        while start is not None:
            page = self._page(cell.partition, endpoint, start, length)
            for key, value in page:
                delivery = layout.decode_delivery(value)
                yield Found(cell, layout.planned_ms(key), delivery.event, delivery.status)
            start = page[-1][0] + b"\0" if len(page) == length else None
            length = min(2 * length, _LONGEST_PAGE)

    def _page(self, partition: int, endpoint: bytes, start: bytes, length: int) -> list[tuple[bytes, bytes]]:
        there = self._rows(partition).range(layout.DELIVERY + endpoint, start=start)
        page = list(islice(takewhile(lambda row: layout.planned_ms(row[0]) >= self._from_ms, there), length))
        self._unrested += len(page) + _PAGE_ROWS
        return page
