"""The peer for folding: Faust as it comes, one agent that writes one row of its table an event. Run as a process.

Prints one line of JSON: how many rows it folded, or recovered, from the first to the last, and in which time.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Awaitable
from typing import Any, NamedTuple, NoReturn

import faust
import msgspec
import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition

_LIMIT_S = 280.0
_POLL_S = 0.1


class Measured(msgspec.Struct):
    """What the process prints."""

    count: int
    seconds: float
    cpu_s: float


class Source(NamedTuple):
    """What is folded; *name* is the app's, so the group's and the changelog's too."""

    bootstrap: str
    name: str
    directory: str
    topic: str
    partitions: int


def app(source: Source) -> tuple[faust.App, dict[str, Any]]:
    """Return the stock app, and how its table is made."""
    made = faust.App(
        source.name,
        broker=f"kafka://{source.bootstrap}",
        store="rocksdb://",
        datadir=source.directory,
        web_enabled=False,
        topic_partitions=source.partitions,
        topic_disable_leader=True,
        topic_replication_factor=1,
        consumer_auto_offset_reset="earliest",
        stream_buffer_maxsize=65_536,
        broker_max_poll_records=5_000,
        # On a busy machine its loop is blocked for long, and a rebalance half way would have it begin again.
        broker_session_timeout=120,
        broker_request_timeout=130,
    )
    return made, {"partitions": source.partitions, "key_type": bytes, "value_type": bytes}


async def ends(bootstrap: str, topic: str, partitions: int) -> dict[int, int]:
    """Return the end of each partition of *topic*."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    await consumer.start()
    try:
        found = await consumer.end_offsets([TopicPartition(topic, partition) for partition in range(partitions)])
        return {tp.partition: end for tp, end in found.items()}
    finally:
        await consumer.stop()


async def fold(source: Source) -> Measured:
    """Fold the whole topic; return once its changelog has it all, the time being that of the fold alone."""
    made, how = app(source)
    table = made.Table("rows", **how)
    topic = made.topic(source.topic, **{**how, "partitions": None}, key_serializer="raw", value_serializer="raw")
    left = {p: end for p, end in (await ends(source.bootstrap, source.topic, source.partitions)).items() if end}
    count, done = sum(left.values()), asyncio.Event()
    marks: list[tuple[float, float]] = []

    @made.agent(topic)
    async def rows(stream: Any) -> None:
        async for event in stream.events():
            table[event.key] = event.value
            if not marks:
                marks.append(_now())
            message = event.message
            if message.offset + 1 == left.get(message.partition):
                del left[message.partition]
                if not left:
                    marks.append(_now())
                    done.set()

    await made.start()
    async with asyncio.timeout(_LIMIT_S):
        await done.wait()
        changelog = f"{source.name}-rows-changelog"
        while sum((await ends(source.bootstrap, changelog, source.partitions)).values()) < count:
            await asyncio.sleep(_POLL_S)
    return _between(count, *marks)


async def recover(source: Source) -> Measured:
    """Recover the table on an empty disk."""
    made, how = app(source)
    marks: list[tuple[float, float]] = []
    done = asyncio.Event()

    async def first(_event: Any) -> None:
        if not marks:
            marks.append(_now())

    table = made.Table("rows", on_changelog_event=first, **how)

    @table.on_recover
    async def recovered() -> None:
        marks.append(_now())
        done.set()

    count = sum((await ends(source.bootstrap, f"{source.name}-rows-changelog", source.partitions)).values())
    await made.start()
    async with asyncio.timeout(_LIMIT_S):
        await done.wait()
    return _between(count, *marks)


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _between(count: int, first: tuple[float, float], last: tuple[float, float]) -> Measured:
    return Measured(count, last[0] - first[0], last[1] - first[1])


def main() -> None:
    """Run with the arguments: `fold` or `recover`, bootstrap, name, directory, topic, partitions."""
    what, bootstrap, name, directory, topic, partitions = sys.argv[1:]
    sys.argv = sys.argv[:1]  # Faust reads them too
    run = fold if what == "fold" else recover
    uvloop.run(_report(run(Source(bootstrap, name, directory, topic, int(partitions)))))


async def _report(run: Awaitable[Measured]) -> NoReturn:
    """
    Print what *run* measured, and end the process on the spot.

    The end of the loop would cancel every task, an agent that is cancelled is started again, and so for ever.
    """
    measured = await run
    print(msgspec.json.encode(measured).decode(), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
