"""A process with a node's engine on Faust, to which something happens that it must not survive."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Collection, Iterable, MutableMapping
from pathlib import Path

import structlog

from streams.domain.rows import WritableRows
from streams.engine.copies import Partition
from streams.engine.engine import Engine
from streams.engine.fatal import die
from streams.engine.fold import Emit
from streams.log.port import Record
from streams.processors.contexts import ContextsFold
from tests.support.engine_nodes import Parts
from tests.support.engine_on_faust import OnFaust, on_faust
from tests.support.tables import context_id

MOST_S = 30.0


class Failing(ContextsFold):
    """A fold with a bug, which shows when an item is called so."""

    def fold(self, rows: WritableRows, topic: str, record: Record) -> Iterable[Emit]:
        if b'"bug"' in (record.value or b""):
            raise LookupError("no such thing")
        return super().fold(rows, topic, record)


class FailingRecovery(Engine):
    """An engine whose recovery has a bug."""

    async def recover(self, changelogs: Collection[Partition], copied: Collection[Partition] = ()) -> None:
        del copied
        raise LookupError(f"{len(changelogs)} changelogs")


def unwritable(_: object, level: str, line: MutableMapping[str, object]) -> str:
    if level == "critical":
        raise BrokenPipeError
    return repr(line)


async def happen(one: OnFaust, scenario: str) -> None:
    match scenario:
        case "fold" | "fold unlogged":
            context = next(c for c in map(context_id, range(100)) if one.writes.partition(c) == 0)
            await one.writes.put(context, "bug")
            await one.writes.put(context, "next")
        case "crash":
            await one.faust.app.crash(RuntimeError("over"))
        case "left":
            one.faust.app.consumer.has_died = True


async def main(directory: Path, scenario: str) -> None:
    processors = [unwritable] if scenario == "fold unlogged" else [structlog.processors.JSONRenderer(default=repr)]
    structlog.configure(processors=processors)
    parts = {"recovery": Parts(engine=FailingRecovery)}.get(scenario, Parts(contexts=Failing))
    async with on_faust(directory, parts, die=die) as one:
        await happen(one, scenario)
        await asyncio.sleep(MOST_S)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
