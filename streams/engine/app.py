"""The processors on Faust: the app, the transport of either log, and the end of both."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from typing import Any

import faust
import structlog
from faust.app.base import BootStrategy
from faust.exceptions import ConsumerNotStarted
from faust.types import TP

from streams.engine.consumer import WholeFetches
from streams.engine.engine import Engine
from streams.engine.fatal import Die
from streams.engine.faust_tables import LogFirstTableManager, RowTable
from streams.log.embedded import EmbeddedLog
from streams.log.embedded_consumer import EmbeddedConsumer
from streams.log.embedded_transport import EmbeddedTransport
from streams.log.kafka import KafkaLog
from streams.log.kafka_transport import HEARTBEAT_S, REBALANCE_S, REQUEST_S, SESSION_S, KafkaConsumer, KafkaTransport

STOP_S = 5.0
"""For each step of an orderly stop: what takes longer is left, as everything that matters is in the log."""
_WATCH_S = 0.5
_COPIES = 1
"""How many other nodes follow each partition, as far as there are so many."""


class _EmbeddedFetches(WholeFetches, EmbeddedConsumer):
    """The consumer of the embedded log."""

    has_died = False

    async def is_member(self, generation: int) -> bool:
        """Say that there is no other."""
        del generation
        return True


class _KafkaFetches(WholeFetches, KafkaConsumer):
    """The consumer of Kafka."""


class _EmbeddedEngineTransport(EmbeddedTransport):
    Consumer = _EmbeddedFetches


class _KafkaEngineTransport(KafkaTransport):
    Consumer = _KafkaFetches


class _Boot(BootStrategy):  # type: ignore[misc]
    """No producer of Faust's (outputs and changelogs go through the log's own), no sensors, no web server."""

    enable_kafka_producer = False
    enable_sensors = False
    enable_web = False


class EngineApp(faust.App):  # type: ignore[misc]
    """Faust's app, embedded: its web server, worker and command line are never used."""

    BootStrategy = _Boot

    async def _wait_for_table_recovery_completed(self) -> bool:
        """
        Have the start wait for nothing: a node takes writes, and says how far it is, while its tables come back.

        Upstream's (`faust/app/base.py:620, 637`) waits for the recovery, lest its web server serve half a table.
        """
        return False


class ProcessorsOnFaust:
    """
    Runs the engine's processors as agents of one Faust app.

    Faust gives the consumer and its group, the assignment of partitions, agents and tables, and says when a partition
    comes and goes. What it does with records in between is the engine's.
    """

    def __init__(self, engine: Engine, *, view: str, url: str, name: str, die: Die) -> None:
        """Take the engine, the version of the views (the app's id), this node's URL, and a name that no other has."""
        self._engine, self._die = engine, die
        self._logger = structlog.get_logger(__name__)
        manager = type("TableManager", (LogFirstTableManager,), {"recover": staticmethod(self._recover)})
        self.app = EngineApp(
            view,
            broker="kafka://127.0.0.1:1",  # never used: the transport knows better
            canonical_url=url,
            consumer_group_instance_id=_member(url, name),
            datadir=str(engine.files_directory / "faust"),
            TableManager=manager,
            web_enabled=False,
            topic_partitions=engine.partitions,
            topic_allow_declare=False,
            topic_disable_leader=True,
            table_standby_replicas=_COPIES,
            stream_wait_empty=True,
            stream_recovery_delay=0.0,
            broker_session_timeout=SESSION_S,
            broker_heartbeat_interval=HEARTBEAT_S,
            broker_request_timeout=REQUEST_S,
            broker_rebalance_timeout=REBALANCE_S,
            broker_commit_interval=1.0,
        )
        self._watching: asyncio.Task[None] | None = None

    def on_embedded(self, log: EmbeddedLog) -> None:
        """Run on the embedded log."""
        self.app.transport = _EmbeddedEngineTransport(log, self.app)

    def on_kafka(self, log: KafkaLog) -> None:
        """Run on Kafka."""
        self.app.transport = _KafkaEngineTransport(log, self.app)

    def _declare(self) -> None:
        for processor in self._engine.processors:
            fold = processor.fold
            raw: dict[str, Any] = {"key_type": bytes, "value_type": bytes}
            changelog = self.app.topic(fold.changelog, **raw, key_serializer="raw", value_serializer="raw")
            self.app.tables.add(
                RowTable(
                    self.app,
                    name=fold.name,
                    files=processor.table.files,
                    partitions=self._engine.partitions,
                    changelog_topic=changelog,
                    **raw,
                )
            )
            inputs = self.app.topic(*processor.topics, **raw, key_serializer="raw", value_serializer="raw")
            self.app.agent(inputs, name=fold.name, concurrency=1)(_agent(processor.run))

    async def start(self) -> None:
        """Start the app; its tables are recovered behind it."""
        self._declare()
        consumer = self.app.consumer
        consumer.intake = self._engine
        self._engine.use(
            lambda positions: consumer.seek_wait({TP(*tp): at for tp, at in positions.items()}),
            lambda: consumer.is_member(self.app.tables.recovery._generation_id),  # noqa: SLF001 - what is assigned here
        )
        self._watching = asyncio.create_task(self._watch(), name="faust watch")
        self._engine.files_directory.mkdir(parents=True, exist_ok=True)
        await self.app.start()

    async def _watch(self) -> None:
        """End the process where Faust or its consumer has crashed: they go on as if nothing was."""
        crashed = asyncio.ensure_future(self.app._crashed.wait())  # noqa: SLF001 - mode has no other way to wait for it
        while not crashed.done() and not self.app.consumer.has_died:
            await asyncio.wait({crashed}, timeout=_WATCH_S)
        reason = self.app.crash_reason
        with suppress(Exception):
            self._logger.critical("faust_crashed", exc_info=reason)
        self._die(f"the stream processing crashed: {reason!r}" if reason else "the consumer has left its group")

    async def _recover(self, changelogs: set[TP], copied: set[TP]) -> None:
        await self._engine.recover(changelogs, copied)

    def starts(self) -> dict[tuple[str, int], int]:
        """Return where the assigned partitions begin as the consumer last heard of it."""
        consumer = self.app.consumer
        return {(tp.topic, tp.partition): consumer.start_offset(tp) for tp in consumer.assignment()}

    def ends(self) -> dict[tuple[str, int], int]:
        """Return the ends of the assigned partitions as the consumer last heard of them."""
        consumer, ends = self.app.consumer, {}
        for tp in consumer.assignment():
            end = consumer.highwater(tp)
            if end is not None:
                ends[tp.topic, tp.partition] = end
        return ends

    @property
    def is_ready(self) -> bool:
        """Whether what is assigned here is recovered and folded, and no rebalance is under way."""
        return bool(self.app.tables.actives_ready) and not self.app.rebalancing

    async def stop(self) -> None:
        """Stop the flow, finish the turn under way, commit, then stop Faust, also where it has only begun to start."""
        if self._watching is not None:
            self._watching.cancel()
        consumer = self.app.consumer
        consumer.stop_flow()
        self.app.flow_control.suspend()
        await self._engine.pause()
        with suppress(TimeoutError, ConsumerNotStarted):
            async with asyncio.timeout(STOP_S):
                await consumer.force_commit()
        # Not by a time-out around it: upstream takes the first cancellation for a child's (`mode/services.py:964`).
        stopping = asyncio.create_task(self.app.stop(), name="stop of faust")
        await asyncio.wait({stopping}, timeout=STOP_S)
        if stopping.done():
            stopping.result()
        else:
            self._logger.warning("faust_not_stopped", limit_s=STOP_S)
            self._leave()
            stopping.cancel()

    def _leave(self) -> None:
        """
        Have what has not stopped end where it is cancelled, as all is when the loop closes.

        Upstream starts agents again that are cancelled while nobody has told them to stop
        (`faust/agents/agent.py:700` of 0.15.3). That wakes their supervisor, which then does not notice that it is
        cancelled too: up to Python 3.11 `wait_for` loses a cancellation that comes together with the result.
        """
        for agent in self.app.agents.values():
            for part in (agent, agent.supervisor):
                if part is not None:
                    part._stopped_set()  # noqa: SLF001 - its stop waits for others first


def _member(url: str, name: str) -> str:
    """
    Return by what the group knows this node over restarts.

    Of the URL as well as the name: who comes back with another URL must be another member, for Faust asserts that a
    member's URL never changes (`faust/assignor/partition_assignor.py:144` of 0.15.3).
    """
    return f"{re.sub('[^A-Za-z0-9.]+', '-', url)[:200]}-{name}"


def _agent(run: Any) -> Any:
    """Return the agent that runs a processor. That it iterates its channel has the consumer subscribe to its topics."""

    async def agent(stream: Any) -> None:
        aiter(stream.channel)
        await run()

    return agent
