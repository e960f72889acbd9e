"""A load generator in a process of its own: N connections, one request under way on each, raw HTTP/1.1."""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import uvloop

Requests = Callable[[random.Random], bytes]
"""Draws the next request, whole, from a seeded source."""


@dataclass(frozen=True)
class Load:
    """What a run measured."""

    requests: int
    errors: int
    seconds: float
    p50_ms: float
    p99_ms: float

    @property
    def rate(self) -> float:
        return self.requests / self.seconds


class _Connection(asyncio.Protocol):
    """Sends a request, waits for the whole answer, sends the next."""

    def __init__(self, draw: Callable[[], bytes | None], done: asyncio.Future[None]) -> None:
        self.draw, self.done = draw, done
        self.buffer = b""
        self.began = 0.0
        self.times: list[float] = []
        self.errors = 0
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._send()

    def _send(self) -> None:
        request = self.draw()
        assert self.transport is not None
        if request is None:
            self.transport.close()
            if not self.done.done():
                self.done.set_result(None)
            return
        self.began = time.perf_counter()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self.buffer = self.buffer + data if self.buffer else data
        head = self.buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        at = self.buffer.find(b"Content-Length: ", 0, head)
        length = int(self.buffer[at + 16 : self.buffer.index(b"\r\n", at)]) if at >= 0 else 0
        if len(self.buffer) < head + 4 + length:
            return
        self.times.append(time.perf_counter() - self.began)
        self.errors += self.buffer[9:10] != b"2"
        self.buffer = b""
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("closed by the server"))


async def _run(port: int, draws: Requests, connections: int, seconds: float, seed: int) -> Load:
    loop = asyncio.get_running_loop()
    source = random.Random(seed)
    end = time.perf_counter() + seconds

    def draw() -> bytes | None:
        return draws(source) if time.perf_counter() < end else None

    began = time.perf_counter()
    made = []
    for _ in range(connections):
        done: asyncio.Future[None] = loop.create_future()
        _, protocol = await loop.create_connection(partial(_Connection, draw, done), "127.0.0.1", port)
        made.append((protocol, done))
    await asyncio.gather(*(done for _, done in made))
    took = time.perf_counter() - began
    times = sorted(t for protocol, _ in made for t in protocol.times)
    errors = sum(protocol.errors for protocol, _ in made)
    return Load(len(times), errors, took, times[len(times) // 2] * 1e3, times[int(len(times) * 0.99)] * 1e3)


def _process(
    pipe: multiprocessing.connection.Connection, port: int, draws: Requests, connections: int, seconds: float, seed: int
) -> None:
    pipe.send(uvloop.run(_run(port, draws, connections, seconds, seed)))


async def load(port: int, draws: Requests, *, connections: int = 32, seconds: float = 5.0, seed: int = 1) -> Load:
    """Load 127.0.0.1:*port* for *seconds* from a process of its own and return what it measured."""
    ours, theirs = multiprocessing.get_context("fork").Pipe()
    process = multiprocessing.get_context("fork").Process(
        target=_process, args=(theirs, port, draws, connections, seconds, seed)
    )
    process.start()
    theirs.close()  # so that the end of the process ends the wait for it
    loop = asyncio.get_running_loop()
    measured = await loop.run_in_executor(None, ours.recv)
    process.join()
    assert isinstance(measured, Load)
    return measured


def request(method: str, path: str, authorization: str, body: bytes = b"", *, more: Mapping[str, str] = {}) -> bytes:
    """Return one whole HTTP/1.1 request, with *more* headers."""
    headers = {"Host": "127.0.0.1", "Authorization": authorization, **more}
    head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


def zipf(count: int, exponent: float = 1.0) -> Sequence[float]:
    """Return the cumulative weights of *count* ranks, for `random.choices(..., cum_weights=…)`."""
    total, weights = 0.0, []
    for rank in range(1, count + 1):
        total += 1 / rank**exponent
        weights.append(total)
    return weights
