"""Embedded logs with a deployment on them, to be moved."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from streams.domain.registry_events import DeploymentDeclared
from streams.log.embedded import EmbeddedLog
from streams.log.embedded_store import now_ms
from streams.log.port import Readable, Record
from streams.registry_codec import encode_registry_event, registry_key
from streams.topics import REGISTRY_EVENTS, topic_specs
from tests.support.engine_nodes import die

FINGERPRINT = "fingerprint"


@asynccontextmanager
async def opened(directory: Path, partitions: int, clock_ms: Callable[[], int] = now_ms) -> AsyncIterator[EmbeddedLog]:
    """Open a log that has all topics."""
    log = EmbeddedLog(directory, die, clock_ms=clock_ms)
    await log.start()
    try:
        await log.create_topics(topic_specs(partitions))
        yield log
    finally:
        await log.stop()


@asynccontextmanager
async def begun(directory: Path, partitions: int, clock_ms: Callable[[], int] = now_ms) -> AsyncIterator[EmbeddedLog]:
    """Open a log on which a deployment was declared."""
    declared = DeploymentDeclared(id="0" * 32, fingerprint=FINGERPRINT, partitions=partitions)
    async with opened(directory, partitions, clock_ms) as log:
        await log.append(REGISTRY_EVENTS, 0, registry_key(declared), encode_registry_event(declared))
        yield log


async def records_of(log: Readable, topic: str, partition: int) -> list[Record]:
    """Return all that a partition holds."""
    start, end = await log.start_offset(topic, partition), await log.end_offset(topic, partition)
    return [record async for chunk in log.read(topic, partition, start, end) for record in chunk.records]
