"""What must hold of both tables, their changelogs and their inputs, whatever happened on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from streams.domain import context_rows, session_rows
from streams.domain.ids import ContextId
from streams.engine.storage import IDENTITY_KEY, OFFSET_KEY
from streams.engine.store import POSITION, PartitionStore
from streams.log.port import CLAIM_KEY, Log
from streams.topics import partition_of
from tests.support.engine_nodes import Node
from tests.support.protocol_checks import claim


class Spread:
    """`streams.domain.rows.Rows` of a whole table: all partitions of it as one."""

    def __init__(self, stores: Mapping[int, PartitionStore]) -> None:
        self._stores = stores

    def _store(self, key: bytes) -> PartitionStore:
        return self._stores[partition_of(key[1:18], len(self._stores))]

    def get(self, key: bytes) -> bytes | None:
        return self._store(key).get(key)

    def range(
        self, prefix: bytes, *, start: bytes | None = None, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        return self._store(prefix).range(prefix, start=start, reverse=reverse)


def spread(node: Node) -> tuple[Spread, Spread]:
    """Return the rows of contexts and of sessions."""
    contexts, sessions = (
        Spread({number: owned.store for number, owned in processor.table.partitions.items()})
        for processor in node.processors
    )
    return contexts, sessions


def stored_rows(store: PartitionStore) -> dict[bytes, bytes]:
    """Return every row of a store, positions too, but for what is about the store itself."""
    return {key: value for key, value in store.range(b"") if key not in {OFFSET_KEY, IDENTITY_KEY}}


async def changelog_rows(log: Log, topic: str, partition: int) -> dict[bytes, bytes]:
    """Return what a changelog says, read from its beginning: the last value of each key."""
    rows: dict[bytes, bytes | None] = {}
    async for chunk in log.read(topic, partition, 0, await log.end_offset(topic, partition)):
        rows.update({record.key: record.value for record in chunk.records if record.key is not None})
    rows.pop(CLAIM_KEY, None)
    return {key: value for key, value in rows.items() if value is not None}


async def check_node(node: Node, log: Log) -> None:
    """
    Check a node that has folded everything.

    changelog: a table is what its changelog says, no row more, no row less, and as of its end
    positions: every input is folded to its end, in memory as on disk, by the topic's own position
    rows: every row is of a kind that the table has, and those that stand for the same are as many
    """
    for processor, number, store in node.stores():
        topic = processor.fold.changelog
        claim(stored_rows(store) == await changelog_rows(log, topic, number), "changelog")
        claim(store.offset == await log.end_offset(topic, number) - 1, "changelog offset")
        ends = {name: await log.end_offset(name, number) - 1 for name in processor.topics}
        claim(processor.table.partitions[number].positions == ends, "positions")
        claim({name: store.position(name) for name in processor.topics} == ends, "positions")
        allowed = {POSITION + name.encode() for name in processor.topics}
        _check_kinds(stored_rows(store).keys() - allowed, sessions=processor is node.sessions)


def _check_kinds(keys: set[bytes], *, sessions: bool) -> None:
    kinds = Counter(key[:1] for key in keys)
    if sessions:
        known = {session_rows.SESSION, session_rows.MEMBER, session_rows.LIST, session_rows.PLACE, session_rows.SLOT}
        claim(kinds[session_rows.LIST] == kinds[session_rows.PLACE], "rows")
    else:
        known = {context_rows.META, context_rows.ITEM, context_rows.ORDER, context_rows.SUB, context_rows.UNSUB}
        claim(kinds[context_rows.ITEM] == kinds[context_rows.ORDER], "rows")
        both = {ContextId(key[1:]) for key in keys if key[:1] == context_rows.SUB}
        claim(not both & {ContextId(key[1:]) for key in keys if key[:1] == context_rows.UNSUB}, "rows")
    claim(kinds.keys() <= known, "rows")
