"""Connections to Kafka that are reset, as aiokafka should hear of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import aiokafka.conn
from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError


class _Connection(AIOKafkaConnection):  # type: ignore[misc]
    """
    A connection that says of itself when it is broken.

    A transport of uvloop that was reset refuses to write with a `RuntimeError`, until its reader has noticed. aiokafka
    expects an `OSError` (`aiokafka/conn.py:422` of 0.14.0). What it does not expect ends the task that keeps a client's
    metadata fresh (`aiokafka/client.py:245`), and without a word that client never finds a broker again.
    """

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


def tell_of_resets() -> None:
    """Have every client of aiokafka hear of connections that were reset."""
    aiokafka.conn.AIOKafkaConnection = _Connection
