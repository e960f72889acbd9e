"""Batches that reach the broker when their sender has given them up long ago."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from streams.domain.errors import LogUnavailableError
from streams.log.kafka import KafkaConfig, KafkaLog
from streams.topics import Kept
from tests.contract.appending import records
from tests.contract.conftest import unique
from tests.support.kafka import Broker
from tests.support.ports import free_ports
from tests.support.proxy import Proxy

pytestmark = pytest.mark.kafka

LIMIT_S = 1.0


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker that sends those who come by the listener `HELD` to the proxy."""
    (public,) = free_ports(1)
    broker = Broker(
        tmp_path_factory.mktemp("late") / "broker", listeners={"HELD": "PLAINTEXT"}, advertised={"HELD": public}
    )
    try:
        broker.start()
        yield broker
    finally:
        broker.stop()


@pytest.fixture
async def proxy(broker: Broker) -> AsyncIterator[Proxy]:
    proxy = Proxy(broker.advertised["HELD"], broker.ports["HELD"])
    await proxy.start()
    yield proxy
    await proxy.stop()


@pytest.fixture
async def direct(broker: Broker) -> AsyncIterator[KafkaLog]:
    """The log of a node that comes to the broker by another way."""
    log = KafkaLog(KafkaConfig(broker.bootstrap))
    await log.start()
    yield log
    await log.stop()


@pytest.fixture
async def log(broker: Broker, proxy: Proxy) -> AsyncIterator[KafkaLog]:  # noqa: ARG001 - must be there first
    log = KafkaLog(KafkaConfig(f"127.0.0.1:{broker.advertised['HELD']}", append_limit_s=LIMIT_S))
    await log.start()
    yield log
    await log.stop()


async def test_what_was_given_up_never_comes_after_what_was_acknowledged_since(log: KafkaLog, proxy: Proxy) -> None:
    """A batch of which nobody knew what became is refused, if it comes after a later one of its partition."""
    spec = unique()
    await log.create_topics([spec])
    await log.append(spec.name, 0, b"k", b"1")
    await log.append_many(spec.name, 0, [(b"k", b"2")] * 3)
    proxy.hold()
    with pytest.raises(LogUnavailableError):
        await log.append_many(spec.name, 0, [(b"k", b"late")] * 2)
    assert (await log.append(spec.name, 0, b"k", b"3")).offset == 4
    await proxy.release()
    await log.append(spec.name, 0, b"k", b"4")
    assert [r.value for r in await records(log, spec.name)] == [b"1", b"2", b"2", b"2", b"3", b"4"]


async def test_what_was_sent_twice_is_there_once(direct: KafkaLog, proxy: Proxy, broker: Broker) -> None:
    """A batch whose first sending comes behind its second one is in the log once."""
    patient = KafkaLog(KafkaConfig(f"127.0.0.1:{broker.advertised['HELD']}", append_limit_s=20))
    await patient.start()
    try:
        spec = unique()
        await direct.create_topics([spec])
        await patient.append(spec.name, 0, b"k", b"1")
        proxy.hold()
        appending = patient._appender.append(spec.name, 0, b"k", b"2")
        while not any(lane.under_way for lane in patient._appender._lanes.values()):
            await direct.ping()
        for connection in list(patient._connection.client._conns.values()):
            connection.close()
        assert (await appending).offset == 1
        await proxy.release()
        assert (await patient.append(spec.name, 0, b"k", b"3")).offset == 2
        assert [r.value for r in await records(direct, spec.name)] == [b"1", b"2", b"3"]
    finally:
        await patient.stop()


async def test_an_earlier_owners_batch_never_comes_after_the_claim(
    log: KafkaLog, direct: KafkaLog, proxy: Proxy
) -> None:
    """What an owner had sent is refused, if it comes after another node has claimed the partition."""
    spec = unique(Kept.COMPACTED)
    await log.create_topics([spec])
    earlier = await log.claim(spec.name, 0)
    await earlier.append([(b"k", b"1")])
    proxy.hold()
    with pytest.raises(LogUnavailableError):
        await earlier.append([(b"k", b"late")])
    later = await direct.claim(spec.name, 0)
    await proxy.release()
    await later.append([(b"k", b"2")])
    assert [r.value for r in await records(direct, spec.name)] == [b"1", b"2"]
