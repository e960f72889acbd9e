"""Folding and recovery, each beside stock Faust and a bare `getmany` loop; and what the rows take on disk."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import sys
import time
from pathlib import Path

import aiohttp
import rocksdict
from aiokafka import AIOKafkaConsumer, TopicPartition

from bench.figures import Figure
from bench.households import Filled, attach, broker, deployment, fill, node
from bench.http import lag
from bench.items import body
from service.http.json_body import decode_item
from streams.codec import encode_context_event, event_key
from streams.domain.events import ItemPut
from streams.domain.ids import Kind, parse_id
from streams.log.kafka import KafkaConfig, KafkaLog
from streams.topics import CONTEXT_EVENTS, partition_of
from tests.support.nodes import NodeProcess

EVENTS = 60_000
PARTITIONS = 16
CPU = 1


async def fold_and_recover(directory: Path, events: int = EVENTS) -> list[Figure]:
    """Fold a backlog through both processors on one core, then recover both tables on an empty disk. Kafka."""
    async with broker(directory / "broker") as kafka:
        one = NodeProcess(directory / "node", kafka=kafka.bootstrap)
        async with one, deployment(one) as made:
            filled = await fill(made, contexts=200, sessions=100)
            await attach(filled, [(filled.sessions[n // 2], context) for n, context in enumerate(filled.contexts)])
            while await lag(one) > 0:
                await asyncio.sleep(0.02)
            assert one.terminate() == 0, one.tail()
            await backlog(kafka.bootstrap, filled, events)
            rate = await _fold_rate(one, events)
            assert one.terminate() == 0, one.tail()
            shutil.rmtree(one.directory / "tables")
            await one.start()
            rows, seconds = await _recovery(one)
            assert one.terminate() == 0, one.tail()
        arguments = [kafka.bootstrap, CONTEXT_EVENTS, str(directory / "stock"), str(PARTITIONS)]
        total = events + await _events_before(kafka.bootstrap, events)
        raw = await getmany(kafka.bootstrap, CONTEXT_EVENTS)
        stock = await _stock("fold", *arguments, str(total))
        shutil.rmtree(directory / "stock", ignore_errors=True)
        recovered = await _stock("recover", *arguments, str(total))
    beside = f"stock Faust, one row an event: {stock:,.0f}/s; raw getmany: {raw:,.0f}/s"
    ours = rows / seconds
    return [
        Figure(
            "fold, events/s through both processors, one core", f"{rate:,.0f}/s", beside, rate / stock, at_least=2.0
        ),
        Figure(
            "recovery of both tables on an empty disk, rows/s",
            f"{ours:,.0f}/s ({rows:,.0f} rows)",
            f"stock Faust: {recovered:,.0f}/s",
            ours / recovered,
            at_least=8.0,
        ),
    ]


async def backlog(bootstrap: str, filled: Filled, events: int) -> None:
    """Append *events* puts to the contexts, spread evenly, straight to the log."""
    log = KafkaLog(KafkaConfig(bootstrap=bootstrap))
    await log.start()
    source = random.Random(3)
    rows: dict[int, list[tuple[bytes, bytes | None]]] = {}
    for n in range(events):
        raw = parse_id(Kind.CONTEXT, filled.contexts[n % len(filled.contexts)])
        assert raw is not None
        event_id = f"{source.getrandbits(128):032x}"
        item = decode_item(json.dumps(body(source, f"c{n % 40}")).encode())
        event = ItemPut(id=event_id, client=filled.app.client_id, app=filled.app.tenant, item=item)
        rows.setdefault(partition_of(raw, PARTITIONS), []).append(
            (event_key(Kind.CONTEXT, raw, event_id), encode_context_event(event))
        )
    await asyncio.gather(*(log.append_many(CONTEXT_EVENTS, p, some) for p, some in rows.items()))
    await log.stop()


async def _fold_rate(one: NodeProcess, events: int) -> float:
    """Start the node on one core and return events a second from the first one folded to the last."""
    process = one.spawn()
    os.sched_setaffinity(process.pid, {CPU})
    first: tuple[float, float] | None = None
    async with asyncio.timeout(180), aiohttp.ClientSession() as http:
        while True:
            folded = await _metric(http, one, 'upnext_folded_events_total{processor="contexts",topic="context-events"}')
            behind = await _metric(http, one, "upnext_fold_lag_events") if folded else 1.0
            now = time.perf_counter()
            if folded and first is None:
                first = now, folded
            if first is not None and folded >= events and behind == 0:
                return (folded - first[1]) / (now - first[0])
            await asyncio.sleep(0.02)


async def _metric(http: aiohttp.ClientSession, of: NodeProcess, name: str) -> float:
    try:
        async with http.get(f"{of.internal_url}/metrics") as answer:
            text = await answer.text()
    except aiohttp.ClientError:
        return 0.0
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))


async def _recovery(of: NodeProcess) -> tuple[float, float]:
    async with aiohttp.ClientSession() as http:
        rows = await _metric(http, of, "upnext_recovered_rows_total")
        return rows, await _metric(http, of, "upnext_recovery_seconds")


async def _events_before(bootstrap: str, events: int) -> int:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    await consumer.start()
    try:
        ends = await consumer.end_offsets([TopicPartition(CONTEXT_EVENTS, p) for p in range(PARTITIONS)])
        return sum(ends.values()) - events
    finally:
        await consumer.stop()


async def getmany(bootstrap: str, topic: str) -> float:
    """Read all of *topic* by a bare loop and return records a second."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, max_partition_fetch_bytes=4 << 20)
    await consumer.start()
    try:
        tps = [TopicPartition(topic, p) for p in range(PARTITIONS)]
        consumer.assign(tps)
        ends = await consumer.end_offsets(tps)
        await consumer.seek_to_beginning(*tps)
        left, began = sum(ends.values()), time.perf_counter()
        total = left
        while left > 0:
            for records in (await consumer.getmany(timeout_ms=500, max_records=5_000)).values():
                left -= len(records)
        return total / (time.perf_counter() - began)
    finally:
        await consumer.stop()


async def _stock(*arguments: str) -> float:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.stock_faust", *arguments, stdout=asyncio.subprocess.PIPE
    )
    os.sched_setaffinity(process.pid, {CPU})
    async with asyncio.timeout(400):
        printed, _ = await process.communicate()
    return float(printed.splitlines()[-1])


async def disk(directory: Path, items: int = 100_000) -> list[Figure]:
    """Bytes of both tables' RocksDB, compacted, per item of one session each."""
    async with node(directory / "node") as one, deployment(one) as made:
        contexts = items // 100
        filled = await fill(made, contexts=contexts, sessions=contexts)
        await attach(filled, list(zip(filled.sessions, filled.contexts, strict=True)))
        source = random.Random(13)
        size = 0

        async def put(n: int) -> None:
            nonlocal size
            data = json.dumps(body(source, f"c{n // contexts}"), separators=(",", ":")).encode()
            size += len(data)
            await filled.app.ok("PUT", f"/v1/contexts/upnext/{filled.contexts[n % contexts]}", data=data)

        from bench.households import each  # noqa: PLC0415

        await each(range(items), put)
        while await lag(one) > 0:
            await asyncio.sleep(0.05)
        assert one.terminate() == 0, one.tail()
    taken = 0
    for path in sorted((directory / "node" / "tables").rglob("CURRENT")):
        database = rocksdict.Rdict(str(path.parent), options=rocksdict.Options(raw_mode=True))
        database.compact_range(None, None)
        database.flush()
        database.close()
        taken += sum(f.stat().st_size for f in path.parent.glob("*.sst"))
    per = taken / items
    what = f"bytes on disk, both tables, compacted, per item of {size // items} bytes in one session"
    return [Figure(what, f"{per:,.0f} B", "", per, at_most=1_200)]
