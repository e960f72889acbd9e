"""Sources moved into another log, which may have another number of partitions."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from heapq import heapify, heappop, heapreplace
from pathlib import Path

import msgspec

from streams.codec import encode_event
from streams.domain import view_versions
from streams.domain.errors import RefusedStartError
from streams.domain.notices import LAST_NUMBER, source_text
from streams.domain.rebuilds import Rebuild, latest, rebuild_write
from streams.domain.registry_events import AnyRegistryEvent, DeploymentMoved, Transaction
from streams.domain.view_versions import dropped
from streams.domain.webhook_events import DeliveriesPlanned
from streams.log.port import Readable, Record, row_bytes
from streams.moves.archive import write_durably
from streams.moves.export import Tell
from streams.moves.sinks import Sink
from streams.moves.sources import KEYED, MOVED, deployment_of, ends_of, new_partition, partitions_in, starts_of
from streams.registry_codec import encode_registry_event, registry_key
from streams.registry_once import folded_once
from streams.topics import REGISTRY_EVENTS, WEBHOOK_EVENTS, TopicSpec, topic_specs

_ROUND_BYTES = 4 << 20
"""What is appended, and then noted, at once."""
_USER = "superuser"

Put = tuple[bytes, bytes | None, int]
"""Key, value and time of a record that stands in the new log."""


class Progress(msgspec.Struct):
    """How far a move is. All below is acknowledged."""

    source: str
    """Log's id."""
    sink: str
    partitions: int
    """Of the new log."""
    next: dict[str, list[int]]
    """Source → by partition of the old log, the offset to go on from."""
    ends: dict[str, list[int]]
    """Source → by partition of the new log, where it ended then."""
    closing: bool = False
    """Whether the new log may have been told that the deployment goes on there."""
    done: bool = False


class Transfer:
    """
    Puts what the sources of a deployment hold into another log, in order and with its times.

    Records that had one partition keep their order. Those of several that come into one are put by their time. It can
    be interrupted anywhere and run again: what was appended and not noted is found in the new log, and not put twice.
    """

    def __init__(self, source: Readable, sink: Sink, partitions: int, progress: Path) -> None:
        """
        Take the logs.

        Args:
            source: Nodes may go on writing to it until the move is finished.
            sink: Empty, or what an earlier call has left.
            partitions: Of the new log.
            progress: The file that says how far the move is.
        """
        self._source, self._sink, self._partitions, self._path = source, sink, partitions, progress
        self._specs: list[TopicSpec]
        self._progress: Progress
        self._old_partitions: int

    async def begin(self, fingerprint: str) -> int:
        """
        Make the topics of the new log, or find what an earlier call has left; return how many records are to be moved.

        Raises:
            RefusedStartError: The new log has records already, or the deployment has another master key.
            LogUnavailableError: A log did not answer.
        """
        deployment = await deployment_of(self._source)
        if deployment.fingerprint != fingerprint:
            raise RefusedStartError(
                "This deployment was made with another master key: give that one "
                f"(its fingerprint is {deployment.fingerprint}, this one's {fingerprint})."
            )
        self._old_partitions = deployment.partitions
        kept = await asyncio.to_thread(_kept, self._path)
        if kept is not None and kept.done:
            raise RefusedStartError("All was moved, and the deployment goes on in the new log: start the nodes there.")
        self._specs = topic_specs(self._partitions, view_versions.live(await folded_once(self._source)))
        await self._sink.begin(self._specs, closing=kept is not None and kept.closing)
        starts = await starts_of(self._source, deployment.partitions)
        none = {topic: [0] * partitions_in(topic, self._partitions) for topic in MOVED}
        mine = Progress(self._source.id, self._sink.id, self._partitions, starts, none)
        if kept is None and await ends_of(self._sink, self._partitions) != none:
            raise RefusedStartError("The new log has records already: give one that is empty.")
        self._progress = kept or mine
        if (self._progress.source, self._progress.sink, self._progress.partitions) != mine_of(mine):
            raise RefusedStartError(
                f"{self._path} is about another move ({self._progress.source} to {self._progress.sink}, "
                f"{self._progress.partitions} partitions): finish that, or remove the file and give an empty log."
            )
        ends = await ends_of(self._source, deployment.partitions)
        return sum(end - start for topic in MOVED for start, end in zip(self._next(topic), ends[topic], strict=True))

    def _next(self, topic: str) -> list[int]:
        return self._progress.next[topic]

    async def run(self, tell: Tell) -> int:
        """Put what the old log holds now and the new one does not; return how many records that were."""
        moved = 0
        ends = await ends_of(self._source, self._old_partitions)
        if self._progress.closing and any(self._next(topic) != ends[topic] for topic in MOVED):
            raise RefusedStartError("The old log was written to after the deployment had left it: nothing is moved.")
        for topic in MOVED:
            known = await self._unnoted(topic) if not self._progress.closing else Counter[Put]()
            async for batch in self._rounds(topic, ends[topic]):
                moved += await self._put(topic, batch, known)
                tell(len(batch))
            if known:
                raise RefusedStartError(f"Somebody else has written to {topic} of the new log: give an empty one.")
        return moved

    async def _unnoted(self, topic: str) -> Counter[Put]:
        """Return what stands in the new log beyond what is noted: an earlier call appended it, and was interrupted."""
        found: Counter[Put] = Counter()
        for partition, noted in enumerate(self._progress.ends[topic]):
            end = await self._sink.end_offset(topic, partition)
            if end > noted:
                async for chunk in self._sink.read(topic, partition, noted, end):
                    found.update(_put(record) for record in chunk.records)
        return found

    async def _rounds(self, topic: str, ends: list[int]) -> AsyncIterator[list[tuple[int, Record]]]:
        """Yield some records after others, each with its old partition."""
        batch: list[tuple[int, Record]] = []
        size = 0
        async for partition, record in self._by_time(topic, ends):
            batch.append((partition, record))
            size += row_bytes((record.key, record.value))
            if size >= _ROUND_BYTES:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    async def _by_time(self, topic: str, ends: list[int]) -> AsyncIterator[tuple[int, Record]]:
        """Yield a source's records: each partition's in their order, and of several the one with the earliest time."""
        heads = []
        for partition, (start, end) in enumerate(zip(self._next(topic), ends, strict=True)):
            records = self._records(topic, partition, start, end)
            first = await anext(records, None)
            if first is not None:
                heads.append((first.time_ms, partition, first, records))
        heapify(heads)
        while heads:
            time_ms, partition, record, records = heads[0]
            yield partition, record
            following = await anext(records, None)
            if following is None:
                heappop(heads)
            else:
                # A clock that was set back holds up nothing: what comes after a record is no earlier than it.
                heapreplace(heads, (max(time_ms, following.time_ms), partition, following, records))

    async def _records(self, topic: str, partition: int, start: int, end: int) -> AsyncIterator[Record]:
        async for chunk in self._source.read(topic, partition, start, end):
            for record in chunk.records:
                yield record

    async def _put(self, topic: str, batch: list[tuple[int, Record]], known: Counter[Put]) -> int:
        batches: dict[tuple[str, int], list[Record]] = defaultdict(list)
        for partition, record in batch:
            into = new_partition(topic, record.key, partition, self._partitions)
            self._next(topic)[partition] = record.offset + 1
            self._progress.ends[topic][into] += 1
            content = _put(record)
            if known[content] > 0:
                known[content] -= 1
                if not known[content]:
                    del known[content]
                continue
            batches[topic, into].append(record)
        if batches:
            await self._sink.put(batches)
        await self._note()
        return sum(map(len, batches.values()))

    async def _note(self) -> None:
        await asyncio.to_thread(write_durably, self._path, msgspec.json.encode(self._progress))

    async def finish(self, now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> None:
        """
        Have the deployment go on in the new log. Nobody may write to the old one any more.

        No list is served there before all that was moved is folded: what anybody was served before, they are served
        again.
        """
        self._progress.closing = True
        await self._note()
        state = await folded_once(self._sink)
        view = view_versions.live(state)
        rebuild = Rebuild(latest(state, view).generation + 1, {topic: self._progress.ends[topic] for topic in KEYED})
        # Of the versions of the views that were kept, only the live one has topics in the new log.
        others = [write for name in view_versions.kept(state) if name != view for write in dropped(state, name)]
        events: list[AnyRegistryEvent] = [
            DeploymentMoved(id=self._id("moved"), log=self._source.id, partitions=self._partitions),
            Transaction(id=self._id("rebuild"), user=_USER, objects=(rebuild_write(state, view, rebuild), *others)),
        ]
        await self._decide(now_ms)
        there = await self._keys_in_registry()
        for event in events:
            if registry_key(event) not in there:
                record = Record(0, now_ms(), registry_key(event), encode_registry_event(event))
                await self._sink.put({(REGISTRY_EVENTS, 0): [record]})
        await self._sink.finish(self._specs)
        self._progress.done = True
        await self._note()

    async def _decide(self, now_ms: Callable[[], int]) -> None:
        """Have apps be told of nothing that happened in the old log: the nodes there have told them."""
        ends = self._progress.ends
        until = {
            source_text(topic, number): (end - 1, LAST_NUMBER)
            for topic in KEYED
            for number, end in enumerate(ends[topic])
            if end
        }
        event = DeliveriesPlanned(id=self._id("decided"), until=until, events=[])
        for partition in range(self._partitions):
            if await self._sink.end_offset(WEBHOOK_EVENTS, partition) == 0:
                record = Record(0, now_ms(), event.id.encode(), encode_event(event))
                await self._sink.put({(WEBHOOK_EVENTS, partition): [record]})

    def _id(self, what: str) -> str:
        """Return the id of an event that is appended once, however often this is run."""
        of = f"{what} {self._progress.source} {self._progress.sink}"
        return hashlib.blake2b(of.encode(), digest_size=16).hexdigest()

    async def _keys_in_registry(self) -> set[bytes | None]:
        first = self._progress.ends[REGISTRY_EVENTS][0]
        end = await self._sink.end_offset(REGISTRY_EVENTS, 0)
        chunks = [chunk async for chunk in self._sink.read(REGISTRY_EVENTS, 0, first, end)] if end > first else []
        return {record.key for chunk in chunks for record in chunk.records}


def _put(record: Record) -> Put:
    """Return what stands in the new log of a record: a topic that is compacted takes none without a key."""
    return record.key or b"", record.value, record.time_ms


def mine_of(progress: Progress) -> tuple[str, str, int]:
    """Return what a move is known by."""
    return progress.source, progress.sink, progress.partitions


def _kept(path: Path) -> Progress | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Progress)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise RefusedStartError(f"{path} cannot be read ({error}): it says how far a move is.") from error
