"""Faust on the embedded log: its transport, and a producer for Faust's own messages."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import faust
from faust.transport import base
from faust.transport.producer import Producer
from faust.types import TP, RecordMetadata
from yarl import URL

from streams.log.embedded import EmbeddedLog
from streams.log.embedded_consumer import LOG_APPEND_TIME, EmbeddedConsumer, declare, partition_for
from streams.log.port import Appended


class EmbeddedProducer(Producer):  # type: ignore[misc]
    """Sends Faust's own messages; the times that it is given are not kept, as the log has its own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._log: EmbeddedLog = self.transport.log

    async def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int | None,
        timestamp: float | None,  # noqa: ARG002
        headers: Any,
        *,
        transactional_id: str | None = None,
    ) -> Awaitable[RecordMetadata]:
        """Send a message; the result is there when it is on disk."""
        if headers or transactional_id:
            msg = "the embedded log has neither headers nor transactions"
            raise NotImplementedError(msg)
        tp = self.key_partition(topic, key) if partition is None else TP(topic, partition)
        sent: asyncio.Future[RecordMetadata] = self.loop.create_future()
        appended = self._log.submit(self._log.partition(topic, tp.partition), ((key, value),))
        appended.add_done_callback(lambda done: _hand_over(done, tp, sent))
        return sent

    async def send_and_wait(self, *args: Any, **kwargs: Any) -> RecordMetadata:
        """Send a message and wait until it is on disk."""
        return await (await self.send(*args, **kwargs))

    async def flush(self) -> None:
        """Return when all that was sent is on disk."""
        await self.buffer.flush()
        await self._log.settled()

    def key_partition(self, topic: str, key: bytes | None) -> TP:
        """Return where *key* belongs, any partition where there is none."""
        count = self._log.partition_count(topic)
        if count is None:
            msg = f"there is no topic {topic}"
            raise KeyError(msg)
        return TP(topic, partition_for(key, count))

    async def create_topic(self, topic: str, partitions: int, replication: int, **options: Any) -> None:  # noqa: ARG002
        """Create a topic that is missing."""
        await declare(self._log, topic, partitions, compacting=options.get("compacting"))


class EmbeddedTransport(base.Transport):  # type: ignore[misc]
    """
    The transport of an app over an `EmbeddedLog` that is started before the app and stopped after it.

    Give it to the app before anything else is asked of it: `app.transport = EmbeddedTransport(log, app)`. A subclass
    may name other classes of `Consumer` and `Producer`.
    """

    Consumer = EmbeddedConsumer
    Producer = EmbeddedProducer
    default_port = 0
    driver_version = "embedded"

    def __init__(self, log: EmbeddedLog, app: faust.App, loop: asyncio.AbstractEventLoop | None = None) -> None:
        super().__init__([URL("embedded://")], app, loop)
        self.log = log


def _hand_over(done: asyncio.Future[Appended], tp: TP, sent: asyncio.Future[RecordMetadata]) -> None:
    if sent.done():
        return
    if done.cancelled():
        sent.cancel()
    elif error := done.exception():
        sent.set_exception(error)
    else:
        _, offset, time_ms = done.result()
        sent.set_result(RecordMetadata(tp.topic, tp.partition, tp, offset, time_ms, LOG_APPEND_TIME))
