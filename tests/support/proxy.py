"""A way to a broker on which requests can be held up, to arrive when nobody expects them any more."""

from __future__ import annotations

import asyncio
from contextlib import suppress

_CHUNK_BYTES = 1 << 16


class Proxy:
    """Passes connections on to a port of loopback."""

    def __init__(self, port: int, target: int) -> None:
        self._port, self._target = port, target
        self._open: dict[asyncio.Task[None], asyncio.Event] = {}
        self._kept_back: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._pass_on, "127.0.0.1", self._port)

    async def stop(self) -> None:
        """Cut every connection."""
        self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open)
        await self._server.wait_closed()

    def hold(self) -> None:
        """Keep back whatever comes on the connections that there are; later ones are free."""
        for is_open in self._open.values():
            is_open.clear()

    async def release(self) -> None:
        """Pass on what was kept back, as if its sender had gone then, and return when the broker has dealt with it."""
        kept_back = set(self._kept_back)
        assert kept_back
        for is_open in self._open.values():
            is_open.set()
        await asyncio.wait(kept_back, timeout=30)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        is_open = self._open[task] = asyncio.Event()
        is_open.set()
        from_broker, to_broker = await asyncio.open_connection("127.0.0.1", self._target)
        answering = asyncio.create_task(_copy(from_broker, writer))
        with suppress(ConnectionError, asyncio.CancelledError):
            while data := await reader.read(_CHUNK_BYTES):
                if not is_open.is_set():
                    self._kept_back.add(task)
                    await is_open.wait()
                    to_broker.write(data)
                    break
                to_broker.write(data)
            to_broker.write_eof()
            await answering
        answering.cancel()
        to_broker.close()
        writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy until *reader* ends, also where nobody takes it any more."""
    while data := await reader.read(_CHUNK_BYTES):
        with suppress(ConnectionError):
            writer.write(data)
            await writer.drain()
