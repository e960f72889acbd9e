"""The nodes of a deployment: each says in `upnext-nodes` which partitions it serves, and hears what others say."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Protocol
from urllib.parse import urlsplit

import msgspec
import structlog

from streams.domain.errors import LogUnavailableError
from streams.domain.nodes import FIELDS, SILENT_MS, Asked, KnownNode, NodeSaid, NodesState, TableName
from streams.engine import fatal
from streams.engine.fatal import Die
from streams.log.port import Log, Record
from streams.topics import NODES, partition_of

PARTITION = 0
SIGN_OF_LIFE_S = 2.0
_LOOK_S = 0.05
"""So often a node looks whether it serves what it last said: a comparison of a few short lists."""
_TAIL_RECORDS = 512
"""Read at the start: who lives speaks every 2 s, so that is more than enough, and a topic that was not compacted for
long costs nothing."""
_GOODBYE_LIMIT_S = 1.0
_NOWHERE = ("0.0.0.0", "::")  # noqa: S104 - nothing is bound to them here
_AGAIN_S = 0.2


class Held(Protocol):
    """A partition of a table, or a warm copy of one, that is here."""

    @property
    def served(self) -> bool:
        """Whether readers get what is in it."""


class Table(Protocol):
    """A table's part that is here; both change as partitions come and go."""

    @property
    def partitions(self) -> Mapping[int, Held]:
        """What is owned here."""

    @property
    def copies(self) -> Mapping[int, Held]:
        """What is another node's, and copied here."""


class _Nothing:
    """The part of a node that folds nothing."""

    partitions: Mapping[int, Held] = MappingProxyType({})
    copies = partitions


_NOTHING = _Nothing()


class Own:
    """What this node has of the version of the views that it folds, live or not: what other nodes ask it for."""

    def __init__(self, tables: Mapping[TableName, Table], partitions: int) -> None:
        self._tables, self._partitions = {table: tables.get(table, _NOTHING) for table in TableName}, partitions

    def is_here(self, table: TableName, raw_id: bytes) -> bool:
        """Say whether the partition of an id is owned here, served yet or not."""
        return partition_of(raw_id, self._partitions) in self._tables[table].partitions

    def serves(self, table: TableName, raw_id: bytes) -> bool:
        """Say whether it is owned here, and can be read."""
        return self.serves_partition(table, partition_of(raw_id, self._partitions))

    def serves_partition(self, table: TableName, partition: int) -> bool:
        """Say whether a partition, by its number, is owned here, and can be read."""
        held = self._tables[table].partitions.get(partition)
        return held is not None and held.served

    def has_copy(self, table: TableName, raw_id: bytes) -> bool:
        """Say whether there is a warm copy here of the partition of an id that can be read."""
        copy = self._tables[table].copies.get(partition_of(raw_id, self._partitions))
        return copy is not None and copy.served

    def said(self) -> dict[str, tuple[int, ...]]:
        """Return what of it is served, as the fields of `NodeSaid`."""
        held: dict[str, tuple[int, ...]] = {}
        for name, table in self._tables.items():
            served, copied = FIELDS[name]
            held[served], held[copied] = _served(table.partitions), _served(table.copies)
        return held

    def has_changed(self, last: NodeSaid) -> bool:
        """Say whether that is something else than what was last said."""
        return any(
            _served(table.partitions) != last.served(name) or _served(table.copies) != last.copied(name)
            for name, table in self._tables.items()
        )


class Nodes:
    """
    Who serves which partition of the version of the views that is live, as each node says.

    It is a hint: whoever is asked for a partition that it does not have says so. What is right is decided by claims.
    Clients are answered by the nodes of the live version. Who is asked by another node answers of the version that it
    has, whatever is live by now: the other one may not know yet, and what it hands on is not to fail for that.

    Attributes:
        own: What this node has.
    """

    def __init__(
        self,
        log: Log | None,
        me: NodeSaid,
        partitions: int,
        *,
        tables: Mapping[TableName, Table],
        lag_events: Callable[[], int],
        waits_for: Callable[[], tuple[str, ...]] = tuple,
        live: Callable[[], str],
        die: Die,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Take what is said, and where.

        Args:
            log: Its topic `upnext-nodes` is there; None where this node is the only one there can be.
            me: What this node says of itself, but for its partitions and lag.
            partitions: Of the other topics.
            tables: What is here of each; a node that folds nothing has none.
            lag_events: Returns how many records are not folded here.
            waits_for: Returns the places of records at which folding has stopped.
            live: Returns the version of the views that is live.
            die: Ends the process.
            clock_s: Tells when the next sign of life is due.
        """
        self._log, self._me, self._partitions = log, me, partitions
        self.own = Own(tables, partitions)
        self._waits_for = waits_for
        self._lag_events, self._live, self._die, self._clock_s = lag_events, live, die, clock_s
        self._asked: Callable[[], Asked] = dict
        self._state = NodesState()
        self._next = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._logger = structlog.get_logger(__name__)

    @property
    def name(self) -> str:
        """This node's name."""
        return self._me.name

    @property
    def partitions(self) -> int:
        """How many partitions each of the tables has."""
        return self._partitions

    async def start(self) -> None:
        """Read what the others have last said, then follow them and speak; raise `LogUnavailableError` where not."""
        if self._log is None:
            return
        if urlsplit(self._me.url).hostname in _NOWHERE:
            self._logger.warning("other_nodes_cannot_call", url=self._me.url, mend="give --internal-url")
        end = await self._log.end_offset(NODES, PARTITION)
        start = await self._log.start_offset(NODES, PARTITION)
        self._next = max(start, end - _TAIL_RECORDS)
        await self._fold_until(self._log, end)
        self._tasks = [
            fatal.begin(self._follow(self._log), "nodes follower", self._die),
            fatal.begin(self._speak(self._log), "nodes announcer", self._die),
        ]

    async def stop(self) -> None:
        """Follow and speak no more, and say so: from then on nobody forwards to this node."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task
        if self._log is not None and self._tasks:
            # Who does not hear of it asks here in vain once, and waits for another node to serve the partition.
            with suppress(LogUnavailableError, TimeoutError):
                async with asyncio.timeout(_GOODBYE_LIMIT_S):
                    await self._log.append(NODES, PARTITION, self.name.encode(), None)

    @property
    def _is_live(self) -> bool:
        return self._me.view == self._live()

    def is_here(self, table: TableName, raw_id: bytes) -> bool:
        """Say whether the partition of an id is owned here, served yet or not."""
        return self.own.is_here(table, raw_id) and self._is_live

    def serves(self, table: TableName, raw_id: bytes) -> bool:
        """Say whether it is owned here, and can be read."""
        return self.own.serves(table, raw_id) and self._is_live

    def has_copy(self, table: TableName, raw_id: bytes) -> bool:
        """Say whether there is a warm copy here of the partition of an id that can be read."""
        return self.own.has_copy(table, raw_id) and self._is_live

    def owner(self, table: TableName, raw_id: bytes, but: Collection[str] = ()) -> NodeSaid | None:
        """Return another node that answers for the partition of an id, None where none is known; not one of *but*."""
        partition = partition_of(raw_id, self._partitions)
        return self._state.answering(table, partition, self._live(), {self.name, *but})

    def serves_partition(self, table: TableName, partition: int) -> bool:
        """Say whether a partition, by its number, is owned here, and can be read."""
        return self.own.serves_partition(table, partition) and self._is_live

    def owner_of_partition(self, table: TableName, partition: int) -> NodeSaid | None:
        """Return another node that answers for a partition, by its number, None where none is known."""
        return self._state.answering(table, partition, self._live(), {self.name})

    def copying(self, table: TableName, raw_id: bytes, but: Collection[str] = ()) -> NodeSaid | None:
        """Return another node that has a warm copy of the partition of an id, None where none is; not one of *but*."""
        partition = partition_of(raw_id, self._partitions)
        return self._state.copying(table, partition, self._live(), {self.name, *but})

    def is_elsewhere(self, view: str, table: TableName, partition: int) -> bool:
        """Say whether another node says that it serves a partition in a version of the views."""
        return self._state.answering(table, partition, view, {self.name}) is not None

    def unserved(self, view: str) -> int:
        """Return how many partitions of the tables of a version of the views no node says that it serves."""
        state = self._state
        return sum(
            state.answering(table, number, view, ()) is None
            for table in TableName
            for number in range(self._partitions)
        )

    def lag_events(self, view: str) -> int:
        """Return how many records the nodes that fold a version of the views have not folded, as they say."""
        return sum(said.lag_events for said in self._of(view))

    def waits_for(self, view: str) -> tuple[str, ...]:
        """Return the places of records at which the nodes that fold a version of the views have stopped."""
        return tuple(sorted({place for said in self._of(view) for place in said.waits_for}))

    def _of(self, view: str) -> list[NodeSaid]:
        return [said for said, silent_ms in self.known() if said.view == view and silent_ms <= SILENT_MS]

    def doubt(self, name: str) -> None:
        """Return a node no more as an owner until it says something: it could not be reached."""
        self._state.doubt(name)

    def known(self) -> list[KnownNode]:
        """Return every node that has been heard of, by name."""
        return [KnownNode(self._said(), 0)] if self._log is None else self._state.known()

    def take(self, view: str, tables: Mapping[TableName, Table]) -> None:
        """Be about another version of the views from now on, of which *tables* are here."""
        self._me = msgspec.structs.replace(self._me, view=view)
        self.own = Own(tables, self._partitions)

    def tell_of(self, asked: Callable[[], Asked]) -> None:
        """Say from now on, with each sign of life, what clients ask of this node."""
        self._asked = asked

    def asked_of_others(self) -> list[Asked]:
        """Return what clients ask of each other node that answers them and is not silent."""
        return self._state.asked(self.name)

    def _said(self) -> NodeSaid:
        return msgspec.structs.replace(
            self._me, **self.own.said(), lag_events=self._lag_events(), waits_for=self._waits_for()
        )

    async def _speak(self, log: Log) -> None:
        last: NodeSaid | None = None
        due_s = 0.0
        while True:
            # Polled, so that the engine need not know that anybody wants to hear of its partitions.
            if last is None or self._clock_s() >= due_s or self.own.has_changed(last):
                said = msgspec.structs.replace(self._said(), asked=self._asked())
                try:
                    await log.append(NODES, PARTITION, self.name.encode(), encode_said(said))
                    last, due_s = said, self._clock_s() + SIGN_OF_LIFE_S
                except LogUnavailableError as error:
                    self._logger.debug("nodes_log_unavailable", reason=str(error))
            await asyncio.sleep(_LOOK_S)

    async def _follow(self, log: Log) -> None:
        while True:
            try:
                await self._fold_until(log, None)
            except LogUnavailableError as error:
                self._logger.debug("nodes_log_unavailable", reason=str(error))
                await asyncio.sleep(_AGAIN_S)

    async def _fold_until(self, log: Log, end: int | None) -> None:
        async for chunk in log.read(NODES, PARTITION, self._next, end):
            for record in chunk.records:
                self._fold(record)
            self._next = chunk.next_offset

    def _fold(self, record: Record) -> None:
        if record.key is None:
            return
        name = record.key.decode(errors="replace")
        try:
            said = None if record.value is None else decode_said(record.value)
        except ValueError as error:
            # A hint that cannot be read is none; the node is not asked.
            self._logger.warning("nodes_record_skipped", offset=record.offset, reason=str(error))
            return
        self._state.fold(name, said, record.offset, record.time_ms)


def _served(held: Mapping[int, Held]) -> tuple[int, ...]:
    return tuple(sorted(number for number, partition in held.items() if partition.served))


def encode_said(said: NodeSaid) -> bytes:
    """Return what a node says, as JSON."""
    return msgspec.json.encode(said)


def decode_said(value: bytes) -> NodeSaid:
    """Return what a node has said; fields that a newer version adds are left out. Raises `ValueError`."""
    return msgspec.json.decode(value, type=NodeSaid)
