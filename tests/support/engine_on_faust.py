"""A node's engine on Faust itself, over the embedded log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from streams.engine.app import ProcessorsOnFaust
from streams.engine.copies import Partition
from streams.engine.engine import Engine
from streams.engine.fatal import Die
from streams.log.embedded import EmbeddedLog
from streams.log.port import Record
from streams.topics import VIEW
from tests.support.engine_faults import FaultyLog
from tests.support.engine_nodes import Node, Parts, die, opened_log
from tests.support.engine_writes import Writes

PARTITIONS = 2


class Watched(Engine):
    """
    An engine that notes what Faust and the consumer have it do.

    Attributes:
        given: (topic, partition, offset) of every record that it was given, in order.
        done: `pause`, `recover`, `recovered`, `cancelled`, `resume` and `take`, in order.
        gate: What every recovery waits for, before it begins.
    """

    def __init__(self, *args, **kwargs) -> None:  # type: ignore[no-untyped-def] # noqa: ANN002, ANN003
        super().__init__(*args, **kwargs)
        self.given: list[tuple[str, int, int]] = []
        self.done: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()

    def take(self, topic: str, partition: int, records: Sequence[Record]) -> None:
        self.given += [(topic, partition, record.offset) for record in records]
        self.done.append("take")
        super().take(topic, partition, records)

    async def pause(self) -> None:
        self.done.append("pause")
        await super().pause()

    def resume(self) -> None:
        self.done.append("resume")
        super().resume()

    async def recover(self, changelogs: Collection[Partition], copied: Collection[Partition] = ()) -> None:
        self.done.append("recover")
        try:
            await self.gate.wait()
            await super().recover(changelogs, copied)
        except asyncio.CancelledError:
            self.done.append("cancelled")
            raise
        self.done.append("recovered")


WATCHED = Parts(engine=Watched)


class OnFaust:
    """A node that Faust runs."""

    def __init__(self, real: EmbeddedLog, directory: Path, parts: Parts, die: Die) -> None:
        self.real, self.log = real, FaultyLog(real)
        self.node = Node(self.log, directory, parts=parts, partitions=PARTITIONS, die=die)
        self.faust = ProcessorsOnFaust(self.node.engine, view=VIEW, url="http://127.0.0.1:1", name="test", die=die)
        self.faust.on_embedded(real)
        self.writes = Writes(real, PARTITIONS)

    @property
    def engine(self) -> Watched:
        assert isinstance(self.node.engine, Watched)
        return self.node.engine

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not condition():
                await asyncio.sleep(0.005)

    async def folded(self) -> None:
        """Return when it is ready and has folded all that there is, and what comes of it."""
        await self.until(lambda: self.faust.is_ready)
        await self.until(
            lambda: all(self.real.partition(*tp).end_offset == at for tp, at in self.node.engine.next_offsets().items())
        )


@asynccontextmanager
async def on_faust(
    directory: Path, parts: Parts = WATCHED, *, gate: bool = True, die: Die = die
) -> AsyncIterator[OnFaust]:
    """Give a started node in *directory*; it goes on where the last one there has stopped."""
    async with opened_log(directory / "log", partitions=PARTITIONS) as real:
        running = OnFaust(real, directory / "tables", parts, die)
        if not gate:
            running.engine.gate.clear()
        await running.faust.start()
        try:
            yield running
        finally:
            await running.faust.stop()
            running.node.close()
