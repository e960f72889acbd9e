"""Faust on Kafka: its transport, with a consumer of our settings."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

import aiokafka
import faust
import structlog
from aiokafka.errors import KafkaError, NoError
from aiokafka.protocol.group import HeartbeatRequest
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode import Service
from mode.threads import WorkerThread
from yarl import URL

from streams.log.kafka import KafkaLog
from streams.log.kafka_follower import KafkaFollower
from streams.log.port import Record

SESSION_S = 6.0
HEARTBEAT_S = 1.0
REQUEST_S = 40.0
REBALANCE_S = 20.0
START_AGAIN_S = 0.2
GROUP_AGAIN_S = 1.0
IDLE_LIMIT_MS = 100 * 365 * 24 * 3_600_000
"""How long a consumer may fetch nothing before it leaves its group: these never do."""


class _EndsWithTheProcess(WorkerThread):  # type: ignore[misc]
    """A thread that does not keep the process alive, whatever it waits for (`mode/threads.py:59` of 0.7.1)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.daemon = True


class KafkaConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """
    The thread of the consumer, which keeps this node in its group, and fetches nothing.

    What it mends (`faust/transport/drivers/aiokafka.py` of 0.15.3): a commit that fails crashes the worker (790-826),
    though here it is only a hint; a broker that is away just now ends the start (509-513); settings for SASL and TLS
    pass through Faust's own, which know fewer. Of aiokafka 0.14.0: it names every partition in every fetch, encoded
    and decoded field by field (`consumer/fetcher.py:530-640`), which takes most of a core where there are many
    partitions and a few hundred records a second; here `KafkaFollower` fetches.
    """

    Worker = _EndsWithTheProcess

    async def on_start(self) -> None:
        """Start the consumer, however long the brokers are away."""
        self.time_started = time.monotonic()
        while not self.should_stop:
            self._consumer = self._create_consumer(loop=self.thread_loop)
            try:
                await self._consumer.start()
            except KafkaError as error:
                structlog.get_logger(__name__).warning("consumer_not_started", error=repr(error))
                await self._consumer.stop()
                await asyncio.sleep(START_AGAIN_S)
            else:
                self._consumer._fetcher._fetch_task.cancel()  # noqa: SLF001 - upstream cannot be had without it
                return

    async def on_thread_stop(self) -> None:
        """
        Leave the group for good, so that others get this node's partitions at once.

        Upstream's static members only fall silent (`aiokafka/consumer/group_coordinator.py:375` of 0.14.0), and their
        partitions are nobody's until the session has ended.
        """
        if self._consumer is not None:
            self._consumer._coordinator._group_instance_id = None  # noqa: SLF001 - by which upstream tells them
        await super().on_thread_stop()

    def _create_worker_consumer(self, transport: KafkaTransport) -> aiokafka.AIOKafkaConsumer:
        conf = self.app.conf
        self._assignor = self.app.assignor
        return aiokafka.AIOKafkaConsumer(
            **transport.log.config.client_options(),
            group_id=conf.id,
            group_instance_id=conf.consumer_group_instance_id,
            partition_assignment_strategy=[self._assignor],
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_poll_interval_ms=IDLE_LIMIT_MS,
            request_timeout_ms=round(REQUEST_S * 1000),
            session_timeout_ms=round(SESSION_S * 1000),
            rebalance_timeout_ms=round(REBALANCE_S * 1000),
            heartbeat_interval_ms=round(HEARTBEAT_S * 1000),
        )

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        if self._ensure_consumer()._coordinator._performed_join_prepare:  # noqa: SLF001 - until it has joined
            return False  # a commit that is refused has upstream join anew
        try:
            await self._ensure_consumer().commit(
                {aiokafka.TopicPartition(*tp): offset for tp, offset in offsets.items() if tp in self.assignment()}
            )
        except KafkaError as error:
            structlog.get_logger(__name__).info("positions_not_committed", error=repr(error))
            return False
        return True

    @Service.task  # type: ignore[untyped-decorator,unused-ignore]
    async def _ask_again(self) -> None:
        """
        Have the coordinator go on after an error.

        It waits until somebody has heard of one (`aiokafka/consumer/group_coordinator.py:336` of 0.14.0), which is for
        ever where records are fetched as Faust does it: out of its group the node would neither fold nor end.
        """
        while not self.should_stop:
            coordinator = self._ensure_consumer()._coordinator  # noqa: SLF001 - upstream asks where it fetches
            if coordinator._pending_exception is not None:  # noqa: SLF001
                try:
                    coordinator.check_errors()
                except KafkaError as error:
                    structlog.get_logger(__name__).error("group_refuses", error=repr(error))
            await self.sleep(GROUP_AGAIN_S)

    async def is_member(self, generation: int) -> bool:
        """
        Ask the group's coordinator whether this node belongs to *generation*, and that is the newest.

        Nothing else comes of the answer. Upstream forgets its membership where a heartbeat is refused
        (`aiokafka/consumer/group_coordinator.py:841` of 0.14.0), and stops its own while it joins: one of ours, refused
        between joining and the assignment, had this node join anew, and so on for as long as somebody asked.
        """
        coordinator = self._ensure_consumer()._coordinator  # noqa: SLF001 - upstream asks only when its timer says so
        if coordinator.generation != generation:
            return False
        request = HeartbeatRequest(coordinator.group_id, generation, coordinator.member_id)
        try:
            answer = await coordinator._send_req(request)  # noqa: SLF001
        except KafkaError as error:
            structlog.get_logger(__name__).warning("membership_unknown", error=repr(error))
            return False
        return bool(answer.error_code == NoError.errno and coordinator.generation == generation)

    @property
    def has_died(self) -> bool:
        """Whether the task that keeps this node in its group has ended: upstream ends it with a mere log line."""
        consumer = self._consumer
        if consumer is None:
            return False
        task: asyncio.Task[None] | None = getattr(consumer._coordinator, "_coordination_task", None)  # noqa: SLF001
        return task is not None and task.done() and not consumer._closed  # noqa: SLF001


class KafkaConsumer(driver.Consumer):  # type: ignore[misc]
    """
    Faust's consumer on Kafka: its thread is in the group, records are fetched by the log's follower.

    Upstream fetches in the thread as well (`faust/transport/consumer.py:1432-1462` of 0.15.3), so that every record
    changes threads, and two of them want the interpreter at once.
    """

    _thread: KafkaConsumerThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._follower: KafkaFollower = self.transport.log.follower()

    async def on_start(self) -> None:
        """Begin to fetch."""
        await super().on_start()
        self._follower.start()

    async def on_stop(self) -> None:
        """End the fetches, then commit and leave as upstream does."""
        await self._follower.stop()
        await super().on_stop()

    def stop_flow(self) -> None:
        """Deliver nothing more, and end the fetch that is waited for."""
        super().stop_flow()
        self._follower.wake()

    async def _getmany(self, active_partitions: set[TP], timeout: float) -> dict[Any, Sequence[Record]]:  # noqa: ASYNC109 - upstream's
        return {TP(*at): records for at, records in (await self._follower.fetched(active_partitions, timeout)).items()}

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        """Read partitions from other offsets."""
        self._follower.seek(partitions)

    async def _seek(self, partition: TP, offset: int) -> None:
        self._follower.seek({partition: offset})

    def start_offset(self, tp: TP) -> int:
        """Return the offset of a partition's first record as it was last heard of."""
        return self._follower.start_offset(tp)

    def highwater(self, tp: TP) -> int | None:
        """Return the end of a partition as it was last heard of."""
        return self._follower.end_offset(tp)

    def _new_consumer_thread(self) -> KafkaConsumerThread:
        return KafkaConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def is_member(self, generation: int) -> bool:
        """Say whether the group's coordinator takes this node for a member of *generation*, and that is the newest."""
        thread = self._thread
        asked = asyncio.run_coroutine_threadsafe(thread.is_member(generation), thread.thread_loop)
        return await asyncio.wrap_future(asked)

    @property
    def has_died(self) -> bool:
        """Whether the consumer is in no group any more, and will never be again."""
        return self._thread.has_died


class KafkaTransport(driver.Transport):  # type: ignore[misc]
    """
    The transport of an app on Kafka.

    Give it to the app before anything else is asked of it: `app.transport = KafkaTransport(log, app)`. A subclass may
    name another class of `Consumer`.
    """

    Consumer = KafkaConsumer

    def __init__(self, log: KafkaLog, app: faust.App, loop: asyncio.AbstractEventLoop | None = None) -> None:
        super().__init__([URL(f"kafka://{address.strip()}") for address in log.config.bootstrap.split(",")], app, loop)
        self.log = log
