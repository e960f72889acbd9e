"""Connections to Kafka on uvloop, as aiokafka expects them: told of when they are reset, and closed when told to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import aiokafka.conn
from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError, RequestTimedOutError


class _Connection(AIOKafkaConnection):  # type: ignore[misc]
    """
    A connection that says of itself when it is broken, and ends when it is closed.

    A transport of uvloop that was reset refuses to write with a `RuntimeError`, until its reader has noticed. aiokafka
    expects an `OSError` (`aiokafka/conn.py:422` of 0.14.0). What it does not expect ends the task that keeps a client's
    metadata fresh (`aiokafka/client.py:245`), and without a word that client never finds a broker again.

    `close` (`aiokafka/conn.py:470`) ends TLS in order, and whoever stops a client waits for it: brokers do not answer,
    and uvloop gives them 30 s. What was sent is awaited before a connection is closed, so nothing is lost.
    """

    def close(self, reason: Any = None, exc: BaseException | None = None) -> Any:
        writer = self._writer
        closed = super().close(reason, exc)
        if writer is not None and self._ssl_context is not None:
            writer.transport.abort()
        return closed

    def send(self, request: Any, expect_response: bool = True) -> Any:
        return self._or_broken(super().send, request, expect_response)

    def _send_sasl_token(self, payload: Any, expect_response: bool = True) -> Any:
        return self._or_broken(super()._send_sasl_token, payload, expect_response)

    def _or_broken(self, send: Callable[..., Any], *args: Any) -> Any:
        try:
            return send(*args)
        except RuntimeError as error:
            self.close(reason=CloseReason.CONNECTION_BROKEN)
            raise KafkaConnectionError(f"Connection at {self._host}:{self._port} broken: {error}") from error


_send_unmended = AIOKafkaClient.send


async def _send(
    self: AIOKafkaClient, node_id: int, request: Any, *, group: ConnectionGroup = ConnectionGroup.DEFAULT
) -> Any:
    """
    Send as `AIOKafkaClient.send` does, also where a connection is gone by the time that its answer is given up.

    aiokafka looks for the connection again to close it (`aiokafka/client.py:481` of 0.14.0), and does not find it.
    """
    try:
        return await _send_unmended(self, node_id, request, group=group)
    except KeyError as error:
        if error.args != ((node_id, group),):
            raise
        raise RequestTimedOutError(f"no answer of node {node_id}, and its connection is gone") from error


def mend_connections() -> None:
    """Have every client of aiokafka's make and use such connections: it has no setting for what it makes."""
    aiokafka.conn.AIOKafkaConnection = _Connection
    AIOKafkaClient.send = _send
