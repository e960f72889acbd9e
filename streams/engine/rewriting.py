"""The files of a node's tables written anew, so that the disk has nothing more of what was removed from them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from streams.engine.store import PartitionStore
from streams.engine.table import OwnedTable


class Rewriting:
    """
    Rewrites every store of a node once it has what its changelog had at a time, also those that are opened meanwhile.

    What is deleted in a store only after it was rewritten would stay in its files until somebody does that again.

    Attributes:
        since_s: That time, by the tables' clock.
    """

    def __init__(self, tables: Sequence[OwnedTable], since_s: float, is_member: Callable[[], Awaitable[bool]]) -> None:
        """Take the tables, the time, and what says whether the group, too, has assigned what is here."""
        self._tables, self.since_s, self._is_member = tables, since_s, is_member
        self._offsets: dict[PartitionStore, int] = {}

    async def go_on(self) -> bool:
        """
        Do what can be done now; say whether all is done: if not, go on later.

        Raises:
            StoreError: A store cannot be written.
        """
        # Who was frozen owns in vain, and has not heard what others have deleted.
        if not await self._is_member():
            return False
        for table in self._tables:
            for number, store in list(table.files.open_partitions.items()):
                if store in self._offsets or store.has_failed:
                    continue
                if table.has_all_since(number, self.since_s):
                    offset = store.offset
                    # Broken off where it is closed meanwhile, or has failed: what is restored then is another store's.
                    if await store.beside(store.compact):
                        self._offsets[store] = offset
        # From here on nothing is opened or closed in between.
        there = [store for _, _, store in self._open()]
        self._offsets = {store: self._offsets[store] for store in there if store in self._offsets}
        if len(self._offsets) < len(there):
            return False
        # Last, for what may come back while others are waited for would be restored whole.
        return all(table.is_assigned and table.files.remove_unused() for table in self._tables)

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
