"""What bounds every fold: a bare `getmany` loop over a topic. Run as a process."""

from __future__ import annotations

import asyncio
import sys
import time

import msgspec
import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition

from bench.stock_faust import Measured


async def read_all(bootstrap: str, topic: str, partitions: int) -> Measured:
    """Read all of *topic* and do nothing with it."""
    # Not by `seek_to_beginning`: the reset to the latest offset, by default under way, can come after it.
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, auto_offset_reset="earliest", max_partition_fetch_bytes=4 << 20
    )
    await consumer.start()
    try:
        tps = [TopicPartition(topic, partition) for partition in range(partitions)]
        count = left = sum((await consumer.end_offsets(tps)).values())
        consumer.assign(tps)
        began, cpu = time.perf_counter(), time.process_time()
        async with asyncio.timeout(120):
            while left > 0:
                fetched = await consumer.getmany(timeout_ms=500, max_records=5_000)
                left -= sum(len(records) for records in fetched.values())
        return Measured(count, time.perf_counter() - began, time.process_time() - cpu)
    finally:
        await consumer.stop()


def main() -> None:
    """Run with the arguments: bootstrap, topic, partitions."""
    bootstrap, topic, partitions = sys.argv[1:]
    print(msgspec.json.encode(uvloop.run(read_all(bootstrap, topic, int(partitions)))).decode(), flush=True)


if __name__ == "__main__":
    main()
