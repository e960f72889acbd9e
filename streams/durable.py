"""Names of files and directories that outlive a loss of power: a name is on the disk once its directory is synced."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def sync_directory(path: Path) -> None:
    """Return once the names in a directory are on the disk."""
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def make_directory(path: Path, sync: Callable[[Path], None] = sync_directory) -> None:
    """Make a directory where there is none, and those above it; each that is made is in one that is synced."""
    if path.is_dir():
        return
    if path.parent != path:
        make_directory(path.parent, sync)
    path.mkdir(exist_ok=True)
    sync(path.parent)


def put_in_place(new: Path, path: Path, sync: Callable[[Path], None] = sync_directory) -> None:
    """Have a file that is whole and synced bear the name *path*, whatever bore it before."""
    new.replace(path)
    sync(path.parent)
