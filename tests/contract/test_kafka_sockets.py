"""A connection to Kafka that is reset, on the event loop of a node."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
import uvloop
from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.conn import create_conn
from aiokafka.errors import KafkaConnectionError, RequestTimedOutError
from aiokafka.protocol.metadata import MetadataRequest

from streams.log.kafka_sockets import mend_connections

pytestmark = pytest.mark.kafka


class Resetting:
    """A way to the broker whose connections can be reset, as by a broker that is killed."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._copies: list[asyncio.Task[None]] = []
        self._writers: list[asyncio.StreamWriter] = []

    async def pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_broker, to_broker = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers += [writer, to_broker]
        self._copies += [asyncio.create_task(_copy(reader, to_broker)), asyncio.create_task(_copy(from_broker, writer))]

    async def reset(self) -> None:
        while self._writers:
            writer = self._writers.pop()
            at_once = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
            writer.transport.abort()
        for copy in self._copies:
            copy.cancel()
        await asyncio.gather(*self._copies, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(1 << 16):
            writer.write(data)


@asynccontextmanager
async def resetting(port: int) -> AsyncIterator[tuple[Resetting, int]]:
    way = Resetting(port)
    server = await asyncio.start_server(way.pass_on, "127.0.0.1", 0)
    try:
        yield way, server.sockets[0].getsockname()[1]
    finally:
        await way.reset()
        server.close()
        await server.wait_closed()


async def what_a_sender_hears(port: int) -> BaseException:
    """Send over a connection in every turn of the loop while it is reset; return what the last one got."""
    async with resetting(port) as (way, through), asyncio.timeout(20):
        connection = await create_conn("127.0.0.1", through)
        under_way: list[asyncio.Future[object]] = []
        await way.reset()
        try:
            while True:
                under_way.append(asyncio.ensure_future(connection.send(MetadataRequest([]))))
                await asyncio.sleep(0)
        except Exception as error:  # noqa: BLE001 - whatever it is, is what the test asks for
            return error
        finally:
            await asyncio.gather(*under_way, return_exceptions=True)
            await asyncio.wait_for(asyncio.shield(connection.close() or asyncio.sleep(0)), 5)


def test_whoever_sends_over_a_reset_connection_is_told_so(kafka: str) -> None:
    """At every moment: what aiokafka does not expect would end its search for brokers, for good and without a word."""
    mend_connections()
    heard = uvloop.run(what_a_sender_hears(int(kafka.rpartition(":")[2])))
    assert isinstance(heard, KafkaConnectionError), repr(heard)


class Gone:
    """A connection that is lost, and forgotten by its client, while an answer is awaited."""

    def __init__(self, client: AIOKafkaClient) -> None:
        self._client = client

    async def send(self, _request: object, *, expect_response: bool) -> None:
        assert expect_response
        self._client._conns.clear()
        raise TimeoutError


async def test_an_answer_is_given_up_when_its_connection_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """That is no bug, for which a node would end: nobody knows what became of the request."""
    mend_connections()
    client = AIOKafkaClient()

    async def ready(_node: int, *, group: ConnectionGroup) -> bool:
        return group is ConnectionGroup.DEFAULT

    monkeypatch.setattr(client, "ready", ready)
    client._conns[2, ConnectionGroup.DEFAULT] = Gone(client)
    with pytest.raises(RequestTimedOutError):
        await client.send(2, MetadataRequest([]))
    await client.close()
