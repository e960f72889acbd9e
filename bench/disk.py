"""What the rows of both tables take on disk."""

from __future__ import annotations

from pathlib import Path

import rocksdict

from bench.figures import Figure
from bench.households import pairs_of, poll_total, tenants, writer_to
from bench.nodes import Node
from bench.sizes import Sizes
from streams.engine.storage import Identity, Storage
from streams.topics import CONTEXT_EVENTS, SESSION_EVENTS

ITEMS = 100
"""Of each context."""


async def disk(directory: Path, sizes: Sizes) -> list[Figure]:
    """Bytes of both tables' RocksDB, compacted, per item that is in one session's list."""
    contexts = sizes.disk_items // ITEMS
    async with Node(directory / "node") as node, tenants(node) as made:
        node.stop()
        async with writer_to(node, made) as writer:
            there = await writer.create(contexts=contexts, sessions=contexts)
            await writer.attach(pairs_of(there, 1))
            size = await writer.put((context, f"c{n}") for n in range(ITEMS) for context in there.contexts)
        await node.start()
        await node.folded({CONTEXT_EVENTS: contexts * (1 + ITEMS), SESSION_EVENTS: contexts * 2})
        for n in (0, contexts // 2, contexts - 1):
            await poll_total(made.platform, there.session_path(n), ITEMS)
        node.stop()
    tables = directory / "node" / "tables"
    per = sum(compacted(tables, current.parent) for current in tables.rglob("CURRENT")) / sizes.disk_items
    body = size / sizes.disk_items
    what = f"bytes on disk of both tables, compacted, per item of {body:,.0f} bytes in one session"
    return [Figure(what, f"{per:,.0f} B", f"{per / body:.2f} of the item's JSON", per, at_most=1_200)]


def compacted(tables: Path, store: Path) -> int:
    """Compact one store as the node itself would, and return the bytes of its files."""
    options = Storage(tables, Identity("", 1, "")).options()
    database = rocksdict.Rdict(str(store), options=options)
    database.flush()
    database.compact_range(None, None)
    database.close()
    return sum(file.stat().st_size for file in store.glob("*.sst"))
