"""The stores of one table of a node."""

from __future__ import annotations

import shutil

from streams.engine.storage import Storage, is_held
from streams.engine.store import PartitionStore


class TableFiles:
    """The partitions of one table that are open here."""

    def __init__(self, storage: Storage, name: str) -> None:
        self._storage = storage
        self.directory = storage.directory / name
        self.open_partitions: dict[int, PartitionStore] = {}
        self._is_closed = False

    @property
    def set_aside(self) -> int:
        """Stores of this table that could not be trusted."""
        return self._storage.aside[self.directory]

    def partition(self, partition: int) -> PartitionStore:
        """Return a partition, opened where it is not yet."""
        store = self.open_partitions.get(partition)
        if store is None:
            store = PartitionStore(self._storage, self.directory / str(partition))
            self.open_partitions[partition] = store
        return store

    def close_partition(self, partition: int) -> None:
        """Close a partition, where it is open."""
        store = self.open_partitions.pop(partition, None)
        if store is not None:
            store.close()

    def remove_unused(self) -> bool:
        """
        Remove the stores of partitions that are not open: nobody removes what is erased from them.

        Returns:
            Whether there is none any more.
        """
        if self._is_closed:
            return False  # others remove the directory, or open it
        is_done = True
        for path in self.directory.glob("[0-9]*"):
            # One that somebody is still reading is left for the next time, and so is what was set aside for people.
            if not path.name.isdigit() or int(path.name) in self.open_partitions:
                continue
            if not is_held(self._storage, path):
                shutil.rmtree(path, ignore_errors=True)
            is_done = is_done and not path.exists()
        return is_done

    def close(self) -> None:
        """Close every partition, for good."""
        self._is_closed = True
        for partition in list(self.open_partitions):
            self.close_partition(partition)
