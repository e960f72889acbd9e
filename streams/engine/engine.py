"""The processors of one node together: what the consumer, the recovery and the node's status ask of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path

import structlog

from streams.domain.errors import RefusedStartError
from streams.engine.copies import Copies, Partition
from streams.engine.fatal import Die
from streams.engine.inbox import Fetched
from streams.engine.partition import OwnedPartition
from streams.engine.processor import AGAIN_S, IsMember, Processor, Seek, is_alone, recover
from streams.engine.storage import StoreError
from streams.log.port import Record
from streams.status import ProcessorStatus

_RECOVERIES_AT_ONCE = 4

Offsets = Mapping[tuple[str, int], int]
"""By topic and partition."""


class Engine:
    """Implements `streams.engine.consumer.Intake` for all processors of a node."""

    def __init__(
        self,
        processors: Sequence[Processor],
        *,
        partitions: int,
        files_directory: Path,
        die: Die,
        copies: Copies | None = None,
        again_s: float = AGAIN_S,
        holds_back: Callable[[str], bool] = lambda _topic: False,
        is_elsewhere: Callable[[str, int], bool] = lambda _table, _partition: True,
    ) -> None:
        """
        Take the processors.

        Args:
            processors: All of this node's.
            partitions: Of each topic.
            files_directory: Where tables are.
            die: Ends the process.
            copies: What keeps warm copies up to date, where there can be other nodes.
            again_s: Passes between two attempts to recover from a log that does not answer.
            holds_back: Says of which topic nothing is to be fetched yet.
            is_elsewhere: Says of which table's partition another node says that it serves it.
        """
        self.processors = tuple(processors)
        self.partitions = partitions
        self.files_directory = files_directory
        self._die, self._again_s = die, again_s
        self.copies = copies
        self._holds_back, self._is_elsewhere = holds_back, is_elsewhere
        self._is_member: IsMember = is_alone
        self._by_topic = {topic: processor for processor in processors for topic in processor.topics}
        self._logger = structlog.get_logger(__name__)

    def use(self, seek: Seek, is_member: IsMember = is_alone) -> None:
        """Take what makes the consumer read from elsewhere, and what knows whose the partitions are."""
        self._is_member = is_member
        for processor in self.processors:
            processor.use(seek, is_member)

    def wants(self, topic: str) -> bool:
        """Say whether more of *topic* should be fetched now."""
        processor = self._by_topic.get(topic)
        return processor is not None and not processor.inbox.full and not self._holds_back(topic)

    def take(self, topic: str, partition: int, records: Sequence[Record]) -> None:
        """Take what was fetched."""
        self._by_topic[topic].inbox.put(Fetched(topic, partition, records))

    def next_offsets(self) -> Mapping[tuple[str, int], int]:
        """Return where to read on: for every owned partition, the table's own position + 1."""
        return {tp: at for processor in self.processors for tp, at in processor.next_offsets().items()}

    async def pause(self) -> None:
        """Take nothing more, and return when the turns under way are over."""
        await asyncio.gather(*(processor.pause() for processor in self.processors))

    def resume(self) -> None:
        """Take what is fetched from now on."""
        for processor in self.processors:
            processor.resume()

    async def recover(self, changelogs: Collection[Partition], copied: Collection[Partition] = ()) -> None:
        """
        Own exactly the partitions of these changelogs, and recover each; ends the process where that cannot be.

        Args:
            changelogs: Topics and partitions of what is owned.
            copied: Those of what another node owns, to be followed.
        """
        await self.pause()
        if self.copies is not None:
            self.copies.follow(())
        began = time.monotonic()
        few = asyncio.Semaphore(_RECOVERIES_AT_ONCE)
        failed: list[BaseException] = []

        async def one(owned: OwnedPartition) -> None:
            async with few:
                while not await recover(owned, self._is_member):  # noqa: ASYNC110 - neither log nor group tell when they are back
                    await asyncio.sleep(self._again_s)

        try:
            async with asyncio.TaskGroup() as group:
                for processor in self.processors:
                    topic = processor.fold.changelog
                    is_elsewhere = partial(self._is_elsewhere, processor.fold.name)
                    owned_here = await processor.table.assign(_of(topic, changelogs), _of(topic, copied), is_elsewhere)
                    for owned in owned_here:
                        group.create_task(one(owned), name=f"recover {processor.fold.name} {owned.partition}")
                if self.copies is not None:
                    # Not behind the recovery, which may take long.
                    self.copies.follow([copy for p in self.processors for copy in p.table.copies.values()])
        except* (StoreError, RefusedStartError) as errors:
            failed += errors.exceptions
        if failed:
            # Not above: up to Python 3.11.3 what is raised there is raised in a group.
            self._die(str(failed[0]))
        rows = sum(owned.recovered_rows for p in self.processors for owned in p.table.partitions.values())
        self._logger.info(
            "recovered", partitions=len(changelogs), rows=rows, seconds=round(time.monotonic() - began, 3)
        )

    async def is_member(self) -> bool:
        """Say whether the group, too, has assigned what is here; no where that is not known."""
        return await self._is_member()

    def let_go(self) -> None:
        """Let go of a partition that was kept until another node serves it, as one does by now; of each table one."""
        for processor in self.processors:
            copy = processor.table.let_go(partial(self._is_elsewhere, processor.fold.name))
            if copy is not None and self.copies is not None:
                self.copies.forget(copy)

    def status(self, starts: Offsets, ends: Offsets, now_ms: int) -> list[ProcessorStatus]:
        """
        Say how each processor is.

        Args:
            starts: Topic and partition → the offset of the first record that is still there, as far as it is known.
            ends: The same → the offset that the next record will get, as far as it is known.
            now_ms: The time.
        """
        return [_status(processor, starts, ends, now_ms) for processor in self.processors]


def _of(topic: str, partitions: Collection[Partition]) -> set[int]:
    return {number for of, number in partitions if of == topic}


def _status(processor: Processor, starts: Offsets, ends: Offsets, now_ms: int) -> ProcessorStatus:
    partitions = processor.table.partitions.values()
    oldest_ms = processor.inbox.oldest_ms
    # What is gone is nothing to fold: of a partition that has nothing left, no table says how far it is.
    lag = sum(max(0, ends.get(tp, at) - max(at, starts.get(tp, 0))) for tp, at in processor.next_offsets().items())
    return ProcessorStatus(
        name=processor.fold.name,
        folded={topic: processor.folded[topic] for topic in processor.topics},
        lag_events=lag,
        lag_ms=0 if oldest_ms is None else max(0, now_ms - oldest_ms),
        dead_letters=processor.dead_letters,
        decided=processor.decided,
        noticed=dict(processor.noticed),
        holes=processor.gaps.holes,
        ready=sum(owned.claim is not None and owned.served for owned in partitions),
        recovering=sum(owned.claim is None or not owned.served for owned in partitions),
        recovered_rows=sum(owned.recovered_rows for owned in partitions),
        recovery_s=max((owned.recovery_s for owned in partitions), default=0.0),
        stores_set_aside=processor.table.files.set_aside,
        copied=sum(copy.served for copy in processor.table.copies.values()),
    )
