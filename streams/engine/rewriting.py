"""The files of a node's tables written anew, so that the disk has nothing more of what was removed from them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from streams.engine.store import PartitionStore
from streams.engine.table import OwnedTable


class Rewriting:
    """
    Rewrites every store of a node once it has what its changelog had at a time, also those that are opened meanwhile.

    What is deleted in a store only after it was rewritten would stay in its files until somebody does that again.

    Attributes:
        since_s: That time, by the tables' clock.
    """

    def __init__(self, tables: Sequence[OwnedTable], since_s: float) -> None:
        self._tables, self.since_s = tables, since_s
        self._offsets: dict[PartitionStore, int] = {}

    async def go_on(self) -> bool:
        """
        Do what can be done now; say whether all is done: if not, go on later.

        Raises:
            StoreError: A store cannot be read or written.
        """
        for table in self._tables:
            for number, store in list(table.files.open_partitions.items()):
                if store not in self._offsets and table.has_all_since(number, self.since_s):
                    offset = store.offset
                    # Broken off where it is closed meanwhile, or has failed: what is restored then is another store's.
                    if await asyncio.to_thread(store.compact):
                        self._offsets[store] = offset
        # From here on nothing is opened or closed in between.
        is_unused_gone = all(table.is_assigned and table.files.remove_unused() for table in self._tables)
        return is_unused_gone and all(store in self._offsets for _, _, store in self._open())

    def _open(self) -> list[tuple[str, int, PartitionStore]]:
        return [
            (table.name, number, store)
            for table in self._tables
            for number, store in sorted(table.files.open_partitions.items())
        ]

    @property
    def offsets(self) -> dict[str, int]:
        """`<table>/<partition>` of each store that was rewritten → the changelog's last offset that was in it."""
        return {
            f"{name}/{number}": self._offsets[store] for name, number, store in self._open() if store in self._offsets
        }
