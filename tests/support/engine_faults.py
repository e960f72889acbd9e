"""A log that loses calls and their answers, and a process that ends between any two of them."""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

from streams.domain.errors import LogUnavailableError, OverloadedError
from streams.log.port import Appended, Chunk, Claim, Log, Record, Row
from streams.topics import TopicSpec

T = TypeVar("T")


class CrashError(BaseException):
    """The process is no more. No code may catch it, as none runs on in a process that was killed."""


class Trouble(enum.Enum):
    """What becomes of one call of the log."""

    NONE = enum.auto()
    LOST = enum.auto()
    """It never arrived; the caller does not know."""
    PART = enum.auto()
    """Of many records the first half arrived; the caller does not know."""
    LANDED = enum.auto()
    """It arrived; the caller does not know."""
    OVERLOADED = enum.auto()
    """The log has no room for what is to be appended; other calls are lost."""
    CRASH = enum.auto()
    """The process ends before it."""
    CRASH_LANDED = enum.auto()
    """The process ends before it hears of it."""


Troubles = Callable[[str], Trouble]
"""The name of a call, as `append topic-0` or `changelog topic-0` → what becomes of it."""


def none(call: str) -> Trouble:
    """Let every call be."""
    del call
    return Trouble.NONE


class FaultyLog:
    """
    Implements `streams.log.port.Log` by a real one, for one process: after its crash nothing gets through any more.

    Attributes:
        calls: The names of the calls so far, in order.
        gates: Name of a call → what it waits for first, before anything becomes of it.
    """

    def __init__(self, log: Log, troubles: Troubles = none, *, chunk: int = 7) -> None:
        self.real, self.troubles, self._chunk = log, troubles, chunk
        self.crashed = False
        self.calls: list[str] = []
        self.gates: dict[str, Callable[[], Awaitable[object]]] = {}

    @property
    def id(self) -> str:
        return self.real.id

    def _check(self) -> None:
        if self.crashed:
            raise CrashError

    def _crash(self) -> None:
        self.crashed = True
        self._check()

    async def through(self, call: str, real: Callable[[], Awaitable[T]], part: Callable[[], Awaitable[T]]) -> T:
        """Call the real log by *real*, by *part* where it gets half of it; or do not."""
        self._check()
        self.calls.append(call)
        if call in self.gates:
            await self.gates[call]()
            self._check()
        trouble = self.troubles(call)
        if trouble is Trouble.CRASH:
            self._crash()
        if trouble is Trouble.OVERLOADED and call.startswith(("append", "changelog")):
            raise OverloadedError(call)
        if trouble in {Trouble.LOST, Trouble.OVERLOADED}:
            raise LogUnavailableError(f"{call} was lost")
        result = await (part if trouble is Trouble.PART else real)()
        # Whoever was waiting when the process ended never hears.
        self._check()
        if trouble is Trouble.CRASH_LANDED:
            self._crash()
        if trouble is not Trouble.NONE:
            raise LogUnavailableError(f"the answer to {call} was lost")
        return result

    async def start(self) -> None:
        await self.real.start()

    async def stop(self) -> None:
        await self.real.stop()

    async def append(self, topic: str, partition: int, key: bytes, value: bytes | None) -> Appended:
        def append() -> Awaitable[Appended]:
            return self.real.append(topic, partition, key, value)

        return await self.through(f"append {topic}-{partition}", append, append)

    async def append_many(self, topic: str, partition: int, rows: Sequence[Row]) -> None:
        await self.through(
            f"append {topic}-{partition}",
            lambda: self.real.append_many(topic, partition, rows),
            lambda: self.real.append_many(topic, partition, rows[: len(rows) // 2]),
        )

    async def claim(self, topic: str, partition: int) -> Claim:
        def claim() -> Awaitable[Claim]:
            return self.real.claim(topic, partition)

        real = await self.through(f"claim {topic}-{partition}", claim, claim)
        return FaultyClaim(self, f"changelog {topic}-{partition}", real)

    async def start_offset(self, topic: str, partition: int) -> int:
        self._check()
        return await self.real.start_offset(topic, partition)

    async def end_offset(self, topic: str, partition: int) -> int:
        def end() -> Awaitable[int]:
            return self.real.end_offset(topic, partition)

        return await self.through(f"end {topic}-{partition}", end, end)

    def mark(self, topic: str, partition: int) -> float:
        return self.real.mark(topic, partition)

    async def has_forgotten(self, topic: str, partition: int, since: int, mark: float | None) -> bool:
        self._check()
        return await self.real.has_forgotten(topic, partition, since, mark)

    async def read(self, topic: str, partition: int, start: int, end: int | None = None) -> AsyncIterator[Chunk]:
        call = f"read {topic}-{partition}"
        await self._given(call, None)
        async for chunk in self.real.read(topic, partition, start, end):
            for part in self._parts(chunk):
                yield await self._given(call, part)

    def scan(self, topic: str, partition: int, start: int, end: int) -> AsyncIterator[Chunk]:
        return self.read(topic, partition, start, end)

    async def read_at(self, topic: str, partition: int, offsets: Sequence[int]) -> AsyncIterator[Record]:
        call = f"read {topic}-{partition}"
        await self._given(call, None)
        async for record in self.real.read_at(topic, partition, offsets):
            yield await self._given(call, record)

    async def _given(self, call: str, value: T) -> T:
        """Return *value*, which has been read, unless something becomes of the call."""

        async def give() -> T:
            return value

        return await self.through(call, give, give)

    def _parts(self, chunk: Chunk) -> Iterable[Chunk]:
        parts = [chunk.records[n : n + self._chunk] for n in range(0, len(chunk.records), self._chunk)] or [()]
        for records in parts[:-1]:
            yield Chunk(records, records[-1].offset + 1)
        yield Chunk(parts[-1], chunk.next_offset)

    async def delete_before(self, topic: str, partition: int, offset: int) -> None:
        def delete() -> Awaitable[None]:
            return self.real.delete_before(topic, partition, offset)

        await self.through(f"delete {topic}-{partition}", delete, delete)

    async def create_topics(self, specs: Iterable[TopicSpec]) -> list[str]:
        return await self.real.create_topics(specs)

    async def check_topics(self, specs: Iterable[TopicSpec]) -> list[str]:
        return await self.real.check_topics(specs)

    async def ping(self) -> None:
        await self.through("ping", self.real.ping, self.real.ping)


class FaultyClaim:
    """Implements `streams.log.port.Claim` by a real one."""

    def __init__(self, log: FaultyLog, name: str, real: Claim) -> None:
        self._log, self._name, self._real = log, name, real

    async def append(self, rows: Sequence[Row]) -> int:
        def append() -> Awaitable[int]:
            return self._real.append(rows)

        # One batch lands whole or not at all.
        return await self._log.through(self._name, append, append)
