"""A process that appends to an embedded log and writes `<partition> <offset> <value>` for whatever is acknowledged."""

from __future__ import annotations

import asyncio
import os
import resource
import sys
from pathlib import Path
from typing import NoReturn

from streams.log.embedded import EmbeddedLog
from streams.topics import Kept, TopicSpec

EVENTS = TopicSpec("events", 4, Kept.FOR_EVER, log_append_time=True)


def die(reason: str) -> NoReturn:
    os.write(2, reason.encode())
    os._exit(70)


async def append_for_ever(log: EmbeddedLog, caller: int) -> None:
    count = 0
    while True:
        value = b"%d-%d-" % (caller, count) + b"x" * (count * 37 % 3_000)
        where = await log.append("events", (caller + count) % EVENTS.partitions, b"key", value)
        os.write(1, b"%d %d %d-%d-\n" % (where.partition, where.offset, caller, count))
        count += 1


async def main(directory: str, limit_bytes: int) -> None:
    if limit_bytes:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))
    log = EmbeddedLog(Path(directory), die)
    await log.start()
    await log.create_topics([EVENTS])
    await asyncio.gather(*(append_for_ever(log, caller) for caller in range(8)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
