"""All rows of a table on disk, whoever has it open."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import rocksdict

from streams.engine.storage import StoreError


def stores_in(directory: Path) -> list[Path]:
    """Return the stores below *directory*, those that were set aside too."""
    return sorted(path.parent for path in directory.glob("**/CURRENT"))


def file_lists_of(store: Path) -> list[tuple[Path, bytes]]:
    """Return the files of a store that list its tables, with their first and last keys, also of some that are gone."""
    while True:
        # Who has the store open writes another one before it removes one.
        with suppress(FileNotFoundError):
            return [(path, path.read_bytes()) for path in sorted(store.glob("MANIFEST-*"))]


def rows_of(store: Path) -> Iterator[tuple[bytes, bytes]]:
    """Yield what the files of a store hold, by key; raise `StoreError` where they cannot be read."""
    try:
        database = rocksdict.Rdict(
            str(store),
            options=rocksdict.Options(raw_mode=True),
            access_type=rocksdict.AccessType.read_only(),
        )
    except Exception as error:
        raise StoreError(f"the table in {store} cannot be read: {error}") from error
    rows = database.iter()
    rows.seek_to_first()
    while rows.valid():
        yield rows.key(), rows.value()
        rows.next()
    database.close()
