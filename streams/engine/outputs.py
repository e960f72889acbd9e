"""The outputs of a turn, on their way into the log."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence

from streams.log.port import Log, Row, row_bytes

AT_ONCE_BYTES = 16 << 20
"""Outputs that are given to the log at once: what it may keep waiting, 64 MiB, it keeps for everybody."""

Addressed = Mapping[tuple[str, int], Sequence[Row]]
"""Topic and partition → what to append there, in order."""


async def append_all(log: Log, addressed: Addressed) -> None:
    """
    Append everything; return when all of it is acknowledged.

    Raises:
        UnavailableError: Any of it may be there, or not.
    """
    for portion in portions(addressed):
        await _append(log, portion)


def portions(addressed: Addressed) -> Iterator[dict[tuple[str, int], list[Row]]]:
    """Yield everything in portions of at most `AT_ONCE_BYTES`, each partition's rows in their order."""
    portion: dict[tuple[str, int], list[Row]] = {}
    room = AT_ONCE_BYTES
    for at, rows in addressed.items():
        for row in rows:
            size = row_bytes(row)
            if size > room and portion:
                yield portion
                portion, room = {}, AT_ONCE_BYTES
            room -= size
            if at in portion:
                portion[at].append(row)
            else:
                portion[at] = [row]
    if portion:
        yield portion


async def _append(log: Log, addressed: Addressed) -> None:
    if len(addressed) == 1:
        (((topic, partition), rows),) = addressed.items()
        await log.append_many(topic, partition, rows)
        return
    # Each to its end: one that is given up half way could come after what its partition hears next.
    appends = (log.append_many(topic, partition, rows) for (topic, partition), rows in addressed.items())
    for outcome in await asyncio.gather(*appends, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome
