"""What SQLite writes and syncs, call by call, and what a disk may hold once the power was gone after any of them."""

from __future__ import annotations

import _sqlite3
import ctypes
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from ctypes import POINTER, Structure, c_char_p, c_int, c_int64, c_void_p
from pathlib import Path
from typing import Any, NamedTuple

from streams.log.embedded_directory import DATABASE

SECTOR_BYTES = 512
"""A disk writes so much at once: of a longer write any sectors may be there, and others not."""

# Source: sqlite3.h, `struct sqlite3_vfs`, `struct sqlite3_io_methods`.
# Paths go through as pointers: SQLite keeps them.
_Open = ctypes.CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, c_void_p)
_Delete = ctypes.CFUNCTYPE(c_int, c_void_p, c_void_p, c_int)
_Write = ctypes.CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
_Truncate = ctypes.CFUNCTYPE(c_int, c_void_p, c_int64)
_Sync = ctypes.CFUNCTYPE(c_int, c_void_p, c_int)


class _Vfs(Structure):
    _fields_ = (
        *((name, c_int) for name in ("iVersion", "szOsFile", "mxPathname")),
        ("pNext", c_void_p),
        ("zName", c_char_p),
        ("pAppData", c_void_p),
        ("xOpen", _Open),
        ("xDelete", _Delete),
        ("others", c_void_p * 14),
    )


class _Methods(Structure):
    _fields_ = (
        ("iVersion", c_int),
        ("xClose", c_void_p),
        ("xRead", c_void_p),
        ("xWrite", _Write),
        ("xTruncate", _Truncate),
        ("xSync", _Sync),
        ("others", c_void_p * 13),
    )


class _File(Structure):
    _fields_ = (("pMethods", POINTER(_Methods)),)


class Written(NamedTuple):
    """One call for one file."""

    file: str
    call: str
    """`open`, `write`, `truncate`, `delete` or `sync`."""
    at: int = 0
    """Where in the file; of a sync, its flags."""
    content: bytes = b""


class Recorded:
    """The calls so far, in order. Files are told apart by name: one directory only."""

    def __init__(self) -> None:
        self.calls: list[Written] = []

    def left(self, calls: int, source: random.Random) -> dict[str, bytes]:
        """Return the files that may be left where the power goes after so many calls: what was synced, and more."""
        files: dict[str, _Left] = {}
        opened: set[str] = set()
        for written in self.calls[:calls]:
            file = files.setdefault(written.file, _Left())
            if written.call == "open":
                opened.add(written.file)
            elif written.call != "sync":
                file.pending.append(written)
            else:
                file.sync()
                if written.file in opened and not written.file.endswith(DATABASE):
                    # With the first sync of a log of its own SQLite syncs the directory, and so what was deleted there.
                    opened.remove(written.file)
                    for other in files.values():
                        other.sync_deletion()
        left = {name: file.left(source) for name, file in files.items()}
        return {name: content for name, content in left.items() if content is not None}


class _Left:
    """One file: what is on the disk for good, and what was written since."""

    def __init__(self) -> None:
        self.pending: list[Written] = []
        self._durable: bytearray | None = None

    def sync(self) -> None:
        for written in self.pending:
            self._durable = _apply(self._durable, written)
        self.pending.clear()
        if self._durable is None:
            self._durable = bytearray()

    def sync_deletion(self) -> None:
        deleted = [at for at, written in enumerate(self.pending) if written.call == "delete"]
        if deleted:
            self._durable, self.pending = None, self.pending[deleted[-1] + 1 :]

    def left(self, source: random.Random) -> bytes | None:
        """Return the file with nothing of what is pending, with all of it, or with any sectors of it."""
        how = source.choice(("nothing", "everything", "sectors"))
        content = None if self._durable is None else bytearray(self._durable)
        for written in self.pending if how != "nothing" else ():
            if how == "everything" or written.call != "write":
                content = _apply(content, written)
                continue
            for sector in _sectors(written):
                if source.random() < 0.5:
                    content = _apply(content, sector)
        return None if content is None else bytes(content)


def _apply(content: bytearray | None, written: Written) -> bytearray | None:
    if written.call == "delete":
        return None
    content = bytearray() if content is None else content
    if written.call == "truncate":
        del content[written.at :]
        return content
    content.extend(bytes(max(0, written.at - len(content))))
    content[written.at : written.at + len(written.content)] = written.content
    return content


def _sectors(written: Written) -> Iterator[Written]:
    at, end = written.at, written.at + len(written.content)
    while at < end:
        to = min(end, (at // SECTOR_BYTES + 1) * SECTOR_BYTES)
        yield written._replace(at=at, content=written.content[at - written.at : to - written.at])
        at = to


@contextmanager
def recorded() -> Iterator[Recorded]:
    """Have all databases that are opened meanwhile, and closed before the end, tell what they write."""
    # The very library that the module uses, by a handle on the module; where it is built in, on the program.
    sqlite = ctypes.CDLL(getattr(_sqlite3, "__file__", None))
    sqlite.sqlite3_vfs_find.restype = POINTER(_Vfs)
    real = sqlite.sqlite3_vfs_find(None)
    calls = Recorded()
    telling, kept = _telling(real.contents, calls)
    assert sqlite.sqlite3_vfs_register(ctypes.byref(telling), 1) == 0
    try:
        yield calls
    finally:
        sqlite.sqlite3_vfs_unregister(ctypes.byref(telling))
        sqlite.sqlite3_vfs_register(real, 1)
        kept.clear()


def _telling(real: _Vfs, calls: Recorded) -> tuple[_Vfs, list[Any]]:
    """Return a copy of SQLite's way to the disk that tells what goes over it, and what must be kept as long as it."""
    telling = _Vfs.from_buffer_copy(real)
    names: dict[int, str] = {}
    methods: dict[int, _Methods] = {}
    """Those of databases and those of their logs, by where SQLite's own are."""
    kept: list[Any] = [methods]

    def opened(vfs: int, path: int | None, file: int, flags: int, out_flags: int) -> int:
        result = int(real.xOpen(vfs, path, file, flags, out_flags))
        there = ctypes.cast(file, POINTER(_File)).contents
        if result == 0 and path is not None and there.pMethods:
            names[file] = _name(path)
            calls.calls.append(Written(names[file], "open"))
            own = ctypes.addressof(there.pMethods.contents)
            if own not in methods:
                methods[own] = _telling_methods(there.pMethods.contents, names, calls, kept)
            there.pMethods = ctypes.pointer(methods[own])
        return result

    def deleted(vfs: int, path: int, sync_directory: int) -> int:
        calls.calls.append(Written(_name(path), "delete"))
        return int(real.xDelete(vfs, path, sync_directory))

    telling.zName = b"telling"
    telling.xOpen, telling.xDelete = _Open(opened), _Delete(deleted)
    kept += [telling.xOpen, telling.xDelete]
    return telling, kept


def _name(path: int) -> str:
    return Path(ctypes.string_at(path).decode()).name


def _telling_methods(real: _Methods, names: dict[int, str], calls: Recorded, kept: list[Any]) -> _Methods:
    telling = _Methods.from_buffer_copy(real)
    note: Callable[[Written], None] = calls.calls.append

    # Each is noted before it is done: what it does may be there from then on.
    def write(file: int, content: int, size: int, at: int) -> int:
        note(Written(names[file], "write", at, ctypes.string_at(content, size)))
        return int(real.xWrite(file, content, size, at))

    def truncate(file: int, size: int) -> int:
        note(Written(names[file], "truncate", size))
        return int(real.xTruncate(file, size))

    def sync(file: int, flags: int) -> int:
        result = int(real.xSync(file, flags))
        note(Written(names[file], "sync", flags))
        return result

    telling.xWrite, telling.xTruncate, telling.xSync = _Write(write), _Truncate(truncate), _Sync(sync)
    kept += [telling.xWrite, telling.xTruncate, telling.xSync, real]
    return telling


def put(files: dict[str, bytes], directory: Path) -> Path:
    """Write *files* into a new directory, and return it."""
    directory.mkdir()
    for name, content in files.items():
        (directory / name).write_bytes(content)
    return directory


def cuts(count: int, most: int, source: random.Random) -> Sequence[int]:
    """Return at most *most* numbers of calls, of *count*, after which the power goes."""
    return sorted(source.sample(range(count + 1), min(most, count + 1)))
