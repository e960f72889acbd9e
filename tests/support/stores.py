"""Directories of open stores: RocksDB still changes files when it has returned."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
LIMIT_S = 10.0


def at_rest(directory: Path, look: Callable[[], T], wanted: Callable[[T], bool] = lambda _: True) -> T:
    """Return what *look* finds there, once that is wanted and the files were the same before and after it."""
    end_s = time.monotonic() + LIMIT_S
    while time.monotonic() < end_s:
        with suppress(FileNotFoundError, shutil.Error):
            before, found = _files(directory), look()
            if wanted(found) and _files(directory) == before:
                return found
    raise TimeoutError(f"{directory} did not come to rest")


def copied(source: Path, target: Path) -> None:
    """Copy the directory of open stores, as who is killed leaves it."""

    def copy() -> None:
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("LOCK"))

    at_rest(source, copy)


def _files(directory: Path) -> list[Path]:
    return sorted(directory.rglob("*"))
