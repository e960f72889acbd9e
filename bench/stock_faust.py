"""The bound for folding: Faust as it comes, one agent writing one table row an event. Run as a process.

Prints one line of JSON: rows folded (or recovered) a second, from the first to the last.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from typing import Any

import faust
import uvloop


def app(bootstrap: str, topic: str, directory: str, partitions: int) -> tuple[faust.App, Any]:
    """Return the stock app and its table."""
    made = faust.App(
        "bench-stock",
        broker=f"kafka://{bootstrap}",
        store="rocksdb://",
        datadir=directory,
        web_enabled=False,
        topic_partitions=partitions,
        topic_disable_leader=True,
        topic_replication_factor=1,
        consumer_auto_offset_reset="earliest",
        stream_buffer_maxsize=65_536,
        broker_max_poll_records=5_000,
    )
    table = made.Table("rows", partitions=partitions, key_type=bytes, value_type=bytes)
    source = made.topic(topic, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
    return made, (table, source)


async def fold(bootstrap: str, topic: str, directory: str, partitions: int, count: int) -> float:
    """Fold *count* events of *topic* and return events a second."""
    made, (table, source) = app(bootstrap, topic, directory, partitions)
    done = asyncio.Event()
    marks = [0.0, 0.0]
    folded = 0

    @made.agent(source)  # type: ignore[untyped-decorator,unused-ignore]
    async def rows(stream: Any) -> None:
        nonlocal folded
        async for event in stream.events():
            table[event.key] = event.value
            folded += 1
            if folded == 1:
                marks[0] = time.perf_counter()
            if folded == count:
                marks[1] = time.perf_counter()
                done.set()

    await made.start()
    await asyncio.wait_for(done.wait(), 300)
    await made.producer.flush()
    await asyncio.wait_for(asyncio.shield(asyncio.ensure_future(made.consumer.commit())), 60)
    return (count - 1) / (marks[1] - marks[0])


async def recover(bootstrap: str, topic: str, directory: str, partitions: int, count: int) -> float:
    """Recover the table on an empty disk and return rows a second."""
    made, (table, _) = app(bootstrap, topic, directory, partitions)
    began = 0.0
    done = asyncio.Event()

    @table.on_recover  # type: ignore[untyped-decorator,unused-ignore]
    async def recovered() -> None:
        done.set()

    await made.start()
    began = time.perf_counter()
    await asyncio.wait_for(done.wait(), 300)
    return count / (time.perf_counter() - began)


def main() -> None:
    """Run what the arguments say: fold or recover, bootstrap, topic, directory, partitions, count."""
    what, bootstrap, topic, directory, partitions, count = sys.argv[1:]
    sys.argv = sys.argv[:1]
    run = fold if what == "fold" else recover
    rate = uvloop.run(run(bootstrap, topic, directory, int(partitions), int(count)))
    print(json.dumps(rate), flush=True)
    os._exit(0)  # a stock app's own stop takes long, and says nothing about its rates


if __name__ == "__main__":
    main()
