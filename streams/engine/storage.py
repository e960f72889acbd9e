"""How stores of tables are opened, what they were made for, and what becomes of those that cannot be trusted."""

from __future__ import annotations

import re
import shutil
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import rocksdict

from streams.domain.errors import RefusedStartError, ViewUnavailableError

OFFSET_KEY = b"\x00offset"
IDENTITY_KEY = b"\x00identity"
SUSPECT = "suspect"
"""The file that has a store set aside when it is opened next."""
_IN_USE = re.compile("lock hold by current process|While lock file")
"""In RocksDB's words, which otherwise speak of blocks."""


class Identity(msgspec.Struct, frozen=True):
    """What a store was made for; one of another log, key or number of partitions is refused."""

    log: str
    partitions: int
    fingerprint: str
    generation: int = 0
    """How often the tables were thrown away to be folded again: a store of another one is set aside."""


class StoreError(Exception):
    """RocksDB could not read or write, or has read what it did not write."""


class StoreReadError(StoreError, ViewUnavailableError):
    """It could not read, or has read what it did not write; until the store is renewed, nobody reads it."""


@dataclass
class Storage:
    """What all stores of a node share: one block cache and one budget for what is not written out yet."""

    directory: Path
    identity: Identity
    cache_bytes: int = 64 << 20
    write_buffer_bytes: int = 8 << 20

    def __post_init__(self) -> None:
        self.cache = rocksdict.Cache(self.cache_bytes)
        self.aside: Counter[Path] = Counter()
        """Directory of a table → stores that could not be opened, had failed or were outdated, and were restored."""

    @property
    def moved_aside(self) -> int:
        """The same of all tables."""
        return self.aside.total()

    def options(self) -> rocksdict.Options:
        """Return how a store is opened: raw ordered keys, zstd in 16 KiB blocks, Bloom filters."""
        options = rocksdict.Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_max_open_files(128)
        options.set_write_buffer_size(self.write_buffer_bytes)
        options.set_max_write_buffer_number(2)
        options.set_keep_log_file_num(2)
        # Written anew with each change: it has first and last keys of files that are no more.
        options.set_max_manifest_file_size(1)
        options.set_compression_type(rocksdict.DBCompressionType.zstd())
        blocks = rocksdict.BlockBasedOptions()
        blocks.set_bloom_filter(10, False)
        blocks.set_block_size(16 << 10)
        blocks.set_block_cache(self.cache)
        options.set_block_based_table_factory(blocks)
        return options


def open_store(storage: Storage, path: Path) -> tuple[Any, bytes | None, bytes | None]:
    """Return the database, for what it was made, and its offset; set aside what cannot be trusted, and begin anew."""
    path.mkdir(parents=True, exist_ok=True)
    if (path / SUSPECT).exists():
        set_aside(storage, path, "failed")
    try:
        return load(storage, path)
    except Exception as error:
        if _IN_USE.search(str(error)):
            raise RefusedStartError(
                f"The tables in {path.parent} are in use by another process: stop it first."
            ) from error
        if "No space left" in str(error):
            raise RefusedStartError(f"There is no room on the disk for the tables in {path.parent}.") from error
        set_aside(storage, path, "corrupt")
        return load(storage, path)


def is_held(storage: Storage, path: Path) -> bool:
    """Say whether somebody in this process has a database open that was closed here."""
    try:
        rocksdict.Rdict(str(path), options=storage.options()).close()
    except Exception as error:  # noqa: BLE001 - what else is wrong with it is no news
        return _IN_USE.search(str(error)) is not None
    return False


def load(storage: Storage, path: Path) -> tuple[Any, bytes | None, bytes | None]:
    """Return what `open_store` does; raise what RocksDB does."""
    database = rocksdict.Rdict(str(path), options=storage.options())
    try:
        return database, database.get(IDENTITY_KEY), database.get(OFFSET_KEY)
    except Exception:
        database.close()
        raise


def set_aside(storage: Storage, path: Path, why: str) -> None:
    """Move a store that is not to be trusted out of the way: its changelog has it whole."""
    path.rename(path.with_name(f"{path.name}.{why}-{time.time_ns() // 1_000_000}"))
    path.mkdir()
    storage.aside[path.parent] += 1


def clear(storage: Storage, path: Path) -> None:
    """Remove a store with which nothing is wrong, but that its changelog goes on without it."""
    shutil.rmtree(path)
    path.mkdir()
    storage.aside[path.parent] += 1
