"""Both logs, so that one suite holds for both: the embedded one in a directory, and Kafka on a real broker."""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NoReturn, Protocol

import pytest

from streams.log.embedded import EmbeddedLog
from streams.log.kafka import KafkaConfig, KafkaLog
from streams.log.port import Log
from streams.topics import Kept, TopicSpec
from tests.support.kafka import Broker

GROUNDS = [pytest.param("embedded", id="embedded"), pytest.param("kafka", id="kafka", marks=pytest.mark.kafka)]


class Ground(Protocol):
    """Where a log lives. Logs that it opened are stopped with the test."""

    async def open(self) -> Log:
        """Open the log, which nobody has open."""
        ...

    async def as_another_node(self) -> Log:
        """Open the log that is open already once more, where it can be; return the open one where it cannot."""
        ...


def unique(kept: Kept = Kept.FOR_EVER, *, partitions: int = 2) -> TopicSpec:
    """Return a topic that no other test has."""
    append_time = kept in {Kept.FOR_EVER, Kept.UNTIL_FOLDED}
    return TopicSpec(f"t-{uuid.uuid4().hex}", partitions, kept, log_append_time=append_time)


def die(reason: str) -> NoReturn:
    raise AssertionError(reason)


class EmbeddedGround:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._open: list[EmbeddedLog] = []

    async def open(self) -> EmbeddedLog:
        log = EmbeddedLog(self._directory, die)
        await log.start()
        self._open.append(log)
        return log

    async def as_another_node(self) -> EmbeddedLog:
        return self._open[-1]

    async def close(self) -> None:
        for log in self._open:
            if log._threads.failure is None:
                await log.stop()


class KafkaGround:
    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._open: list[KafkaLog] = []

    async def open(self) -> KafkaLog:
        log = KafkaLog(KafkaConfig(self._bootstrap))
        await log.start()
        self._open.append(log)
        return log

    async def as_another_node(self) -> KafkaLog:
        return await self.open()

    async def close(self) -> None:
        for log in self._open:
            await log.stop()


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a broker that tests share and never stop."""
    if given := os.environ.get("UPNEXT_TEST_KAFKA"):
        yield given
        return
    broker = Broker(tmp_path_factory.mktemp("kafka") / "broker")
    try:
        broker.start()
        yield broker.bootstrap
    finally:
        broker.stop()


@pytest.fixture(params=GROUNDS)
async def ground(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Ground]:
    ground: EmbeddedGround | KafkaGround
    if request.param == "kafka":
        ground = KafkaGround(request.getfixturevalue("kafka"))
    else:
        ground = EmbeddedGround(tmp_path / "log")
    yield ground
    await ground.close()


@pytest.fixture
async def log(ground: Ground) -> Log:
    return await ground.open()
