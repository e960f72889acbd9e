"""Three brokers and three nodes on loopback, and a way of its own from each node to each broker."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from streams.topics import CONTEXT_EVENTS, SESSION_EVENTS, topic_specs, view_topics
from tests.nemesis.history import Logged
from tests.nemesis.network import Link, Way
from tests.support.clocks import SteppedClock
from tests.support.kafka import Cluster
from tests.support.nodes import NodeProcess
from tests.support.ports import free_ports

PARTITIONS = 6
NAMES = ("a", "b", "c", "guest")
"""The last one is there now and then."""
GUEST = 3
RESTART_S = 0.3
"""After which a node that has ended by itself is started again, as whatever watches over it in operation does."""
SETTLED_S = 90.0
_ID_CHARACTERS = 43


@dataclass(frozen=True)
class End:
    """A node that ended by itself."""

    node: str
    at_s: float
    status: int
    last_line: str
    disk_full: bool
    """Its own log could not grow either: the last line may not be its last word."""


@dataclass
class Kept:
    """A node that is kept running while it is wanted."""

    process: NodeProcess
    links: list[Link]
    clock: SteppedClock
    now_s: Callable[[], float]
    wanted: bool = False
    ends: list[End] = field(default_factory=list)
    _number: int = 0

    @property
    def is_running(self) -> bool:
        return self.process.process is not None and self.process.process.poll() is None

    def start(self) -> None:
        """Start it, and keep it running from now on."""
        self.wanted = True
        self._spawn()

    def _spawn(self) -> None:
        process = self.process
        if process.output.exists():
            # A file of its own for each start: so its limit, where it has one, is not reached by what others said.
            self._number += 1
            process.output.rename(process.output.with_suffix(f".{self._number}.log"))
        process.spawn()

    async def set_way(self, way: Way) -> None:
        """Set all ways from the node to the brokers."""
        for link in self.links:
            await link.set_way(way)

    async def watch(self) -> None:
        """Start it again whenever it ends by itself."""
        while True:
            await asyncio.sleep(RESTART_S)
            if not self.wanted or self.is_running:
                continue
            process = self.process.process
            assert process is not None
            self.note_end(process.returncode)
            self._spawn()

    def note_end(self, status: int) -> None:
        """Note an end that nobody asked for, or not like this."""
        lines = self.process.tail().strip().splitlines()
        last_line = lines[-1] if lines else ""
        disk_full = self.process.file_limit is not None
        self.ends.append(End(self.process.directory.name, self.now_s(), status, last_line, disk_full))
        print(f"{self.now_s():7.1f} s  {self.ends[-1]}", flush=True)


class Deployment:
    """All of it."""

    def __init__(self, directory: Path, now_s: Callable[[], float]) -> None:
        self.directory, self.now_s = directory, now_s
        listeners = [name.upper() for name in NAMES]
        ports = iter(free_ports(3 * len(NAMES)))
        advertised = [{name: next(ports) for name in listeners} for _ in range(3)]
        self.cluster = Cluster(
            directory, listeners=dict.fromkeys(listeners, "PLAINTEXT"), advertised=advertised, metadata_apart=True
        )
        self.nodes: list[Kept] = []
        for name in listeners:
            links = [Link(broker.advertised[name], broker.ports[name]) for broker in self.cluster.brokers]
            bootstrap = ",".join(f"127.0.0.1:{link.port}" for link in links)
            flags = ["--partitions", str(PARTITIONS), "--log-level", "warning"]
            clock = SteppedClock(directory / f"{name.lower()}.clock")
            env = {"UPNEXT_WEBHOOKS_ALLOW_LOOPBACK": "true", **clock.env}
            process = NodeProcess(directory / name.lower(), *flags, kafka=bootstrap, env=env)
            self.nodes.append(Kept(process, links, clock, now_s))
        self._watching: list[asyncio.Task[None]] = []

    @property
    def ends(self) -> list[End]:
        """Every end that a node came to by itself."""
        return sorted((end for node in self.nodes for end in node.ends), key=lambda end: end.at_s)

    async def start(self) -> None:
        """Start brokers, and all nodes but the guest, and return when they are ready."""
        await asyncio.to_thread(self.cluster.start)
        for node in self.nodes:
            await node.set_way(Way.OPEN)
        for node in self.nodes[:GUEST]:
            node.start()
        self._watching = [asyncio.create_task(node.watch()) for node in self.nodes]
        await self.ready()

    async def stop(self) -> list[str]:
        """Stop the nodes in order and kill the brokers; return what was wrong with that."""
        for task in self._watching:
            task.cancel()
        await asyncio.gather(*self._watching, return_exceptions=True)
        running = [node.process for node in self.nodes if node.is_running]
        ended = [(node, await asyncio.to_thread(node.terminate)) for node in running]
        wrong = [f"{node.directory.name} stopped with {status}: {node.tail(500)}" for node, status in ended if status]
        for node in self.nodes:
            await node.set_way(Way.CLOSED)
        await asyncio.to_thread(self.cluster.stop)
        return wrong

    def kill(self) -> None:
        """End every process at once."""
        for node in self.nodes:
            if node.is_running:
                node.process.kill()
        self.cluster.stop()

    async def ready(self) -> None:
        """Return when every node that is wanted is ready; raise TimeoutError after `SETTLED_S`."""
        async with asyncio.timeout(SETTLED_S), aiohttp.ClientSession() as http:
            for node in self.nodes:
                while node.wanted and not await _answers(http, f"{node.process.internal_url}/health/ready"):
                    await asyncio.sleep(0.1)

    async def in_sync(self, limit_s: float = SETTLED_S) -> bool:
        """Say whether, within a time limit, every partition has all its copies in sync."""
        end_s = time.monotonic() + limit_s
        while time.monotonic() < end_s:
            if await self._are_in_sync():
                return True
            await asyncio.sleep(0.2)
        return False

    async def _are_in_sync(self) -> bool:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.cluster.bootstrap, request_timeout_ms=2_000)
        try:
            await admin.start()
            topics = await admin.describe_topics([spec.name for spec in topic_specs(PARTITIONS)])
        except (KafkaError, OSError):
            return False
        finally:
            await admin.close()
        return all(len(partition["isr"]) == 3 for topic in topics for partition in topic["partitions"])

    async def read_log(self) -> tuple[list[Logged], list[Logged]]:
        """Return what stands in `context-events` and in `session-events`, in order within each partition."""
        async with self._consumer() as consumer:
            return (
                [logged async for logged in _records(consumer, CONTEXT_EVENTS)],
                [logged async for logged in _records(consumer, SESSION_EVENTS)],
            )

    async def dead_letters(self) -> int:
        """Return how many records the processors have put aside."""
        async with self._consumer() as consumer:
            ends = await consumer.end_offsets(_partitions(view_topics().dead_letters))
            return sum(ends.values())

    def _consumer(self) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(bootstrap_servers=self.cluster.bootstrap, max_partition_fetch_bytes=4 << 20)


def _partitions(topic: str) -> list[TopicPartition]:
    return [TopicPartition(topic, number) for number in range(PARTITIONS)]


async def _records(consumer: AIOKafkaConsumer, topic: str) -> AsyncIterator[Logged]:
    """Yield all records of a topic, without any of the code that is tested."""
    for partition in _partitions(topic):
        consumer.assign([partition])
        end = (await consumer.end_offsets([partition]))[partition]
        consumer.seek(partition, 0)
        while (at := await consumer.position(partition)) < end:
            batch = (await consumer.getmany(partition, timeout_ms=1_000)).get(partition, [])
            assert not batch or batch[0].offset == at, (partition, at, batch[0].offset)
            for record in batch:
                of = record.key[:_ID_CHARACTERS].decode()
                yield Logged(record.partition, record.offset, record.timestamp, of, json.loads(record.value))


async def _answers(http: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with http.get(url, timeout=aiohttp.ClientTimeout(2)) as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False
