"""The process around the node: what ends it, and what must."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from aiokafka.errors import KafkaError

from streams.domain.errors import UpNextError
from streams.engine.fatal import Die

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_EXPECTED = (asyncio.CancelledError, TimeoutError, OSError, KafkaError, UpNextError)
"""What happens to tasks whose peer is gone; nobody needs to hear of it but the log."""
_ONE_SIGNAL_S = 0.5
"""Signals within so long are one: some tools send theirs to the process and to its group."""
_CONNECTIONS = "RequestHandler.start"
"""aiohttp's tasks for connections: what a client can bring about must not end the process."""


@contextmanager
def signals_set(stop: asyncio.Event) -> Iterator[None]:
    """Have SIGTERM and SIGINT set *stop*, and a second one, later, end the process at once."""
    loop = asyncio.get_running_loop()
    first_s = 0.0

    def heard(number: signal.Signals) -> None:
        nonlocal first_s
        if not stop.is_set():
            first_s = loop.time()
        elif loop.time() - first_s > _ONE_SIGNAL_S:
            sys.stderr.write(f"upnext: ended by a second {number.name}\n")
            sys.stderr.flush()
            os._exit(128 + number)
        stop.set()

    for number in _SIGNALS:
        loop.add_signal_handler(number, heard, number)
    try:
        yield
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


@contextmanager
def bugs_fatal(die: Die) -> Iterator[None]:
    """End the process where a task ends in a way that nobody expected: half a node is worse than none."""
    loop = asyncio.get_running_loop()
    log = structlog.get_logger(__name__)

    def heard(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if error is not None and is_bug(context):
            log.error("task_failed", where=_name(context), exc_info=error)
            die(f"{_name(context)} failed: {type(error).__name__}: {error}")
        log.warning("task_ended", what=context["message"], where=_name(context), error=repr(error))

    loop.set_exception_handler(heard)
    try:
        yield
    finally:
        loop.set_exception_handler(None)


def is_bug(context: dict[str, Any]) -> bool:
    """Say whether what the loop reports is an exception that no part of the program expects."""
    error = context.get("exception")
    source = context.get("task") or context.get("future") or context.get("handle")
    if error is None or source is None or isinstance(error, _EXPECTED):
        return False
    return not (isinstance(source, asyncio.Task) and _CONNECTIONS in repr(source.get_coro()))


def _name(context: dict[str, Any]) -> str:
    source = context.get("task") or context.get("future") or context.get("handle") or context["message"]
    return source.get_name() if isinstance(source, asyncio.Task) else repr(source)
