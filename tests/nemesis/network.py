"""The ways from nodes to brokers: TCP connections that can be cut, or held up without a word."""

from __future__ import annotations

import asyncio
import enum
from typing import cast


class Way(enum.Enum):
    """How a way is."""

    OPEN = "open"
    CLOSED = "closed"
    """Connections are reset, and new ones refused."""
    HELD = "held"
    """Connections stay, and nothing comes through; what was sent meanwhile arrives when the way is open again."""


class Link:
    """Passes connections on to a port of loopback, as long as its way is open."""

    def __init__(self, port: int, target: int) -> None:
        self.port, self._target = port, target
        self._ends: set[_End] = set()
        self._server: asyncio.Server | None = None
        self.way = Way.CLOSED

    async def set_way(self, way: Way) -> None:
        """Have it open, closed or held from now on."""
        self.way = way
        if way is Way.CLOSED:
            self._close()
            return
        if self._server is None:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(lambda: _End(self), "127.0.0.1", self.port)
        for end in list(self._ends):
            end.follow()

    def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for end in list(self._ends):
            end.abort()

    async def reach(self, near: _End) -> None:
        """Connect to the other side for a connection that has come."""
        loop = asyncio.get_running_loop()
        try:
            _, far = await loop.create_connection(lambda: _End(self, near), "127.0.0.1", self._target)
        except OSError:
            near.abort()
        else:
            near.meet(far)

    def add(self, end: _End) -> None:
        self._ends.add(end)

    def remove(self, end: _End) -> None:
        self._ends.discard(end)


class _End(asyncio.Protocol):
    """One of the two connections that make one through a link. What it receives, the other one sends."""

    def __init__(self, link: Link, other: _End | None = None) -> None:
        self._link, self._other = link, other
        self._transport: asyncio.Transport
        self._is_full = False
        """The other one has more to send than it can."""
        self._kept: list[bytes] = []
        """What has come all the same: a loop may begin to read after `pause_reading`."""
        self._connecting: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._link.add(self)
        if self._other is None:
            self._connecting = asyncio.ensure_future(self._link.reach(self))
        self.follow()

    def meet(self, other: _End) -> None:
        """Take the other end."""
        self._other = other
        if self._transport.is_closing():
            other.abort()
        self.follow()

    def follow(self) -> None:
        """Read, or do not, as the way is."""
        if self._transport.is_closing():
            return
        if self._other is None or self._link.way is Way.HELD:
            self._transport.pause_reading()
            return
        kept, self._kept = self._kept, []
        for data in kept:
            self._other._transport.write(data)
        if self._is_full:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        if self._other is None or self._link.way is Way.HELD:
            self._kept.append(data)
            self.follow()
        else:
            self._other._transport.write(data)

    def pause_writing(self) -> None:
        self._set_full(is_full=True)

    def resume_writing(self) -> None:
        self._set_full(is_full=False)

    def _set_full(self, *, is_full: bool) -> None:
        if self._other is not None:
            self._other._is_full = is_full
            self._other.follow()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - why does not matter
        self._link.remove(self)
        if self._other is not None:
            self._other._transport.close()

    def abort(self) -> None:
        self._transport.abort()
