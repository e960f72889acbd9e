"""Answers that are streamed from another node: however slowly they are read, or come, they end."""

from __future__ import annotations

import asyncio
import time
from typing import cast

import pytest
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload

from service.adapters.forward import HELD_BYTES, HopPool
from tests.support.forwarding import KEY, read_call, talking
from tests.unit.test_forward import CALL

LIMIT_S = 0.3
LATE_S = 10.0


class Slow:
    """A client that takes a byte at a time."""

    def __init__(self) -> None:
        self.taken = 0

    async def write(self, part: bytes) -> None:
        self.taken += len(part)
        await asyncio.sleep(LIMIT_S / 10)


async def trickling(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_call(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nPaket-Request-Id: r\r\nContent-Length: %d\r\n\r\n" % (2 * HELD_BYTES))
    while not writer.is_closing():
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(LIMIT_S / 10)


async def test_a_streamed_answer_has_a_limit() -> None:
    """Its client is cut off, and the call is not under way any more: others find room."""
    hops = HopPool(KEY, most_at_once=1, held_room_bytes=0, stream_limit_s=LIMIT_S)
    try:
        async with talking(trickling) as port:
            url = f"http://127.0.0.1:{port}"
            for _ in range(2):
                began = time.monotonic()
                answer = await hops.send(url, CALL, limit_s=LATE_S)
                assert isinstance(answer.body, Payload)
                client = Slow()
                with pytest.raises(ConnectionResetError):
                    await answer.body.write(cast("AbstractStreamWriter", client))
                await answer.body.close()
                assert LIMIT_S <= time.monotonic() - began < LATE_S
                assert client.taken > 0
    finally:
        await hops.close()
