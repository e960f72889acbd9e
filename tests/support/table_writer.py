"""
A process that writes batches to a table until it is killed, and says each that is written.

The batches are a function of their number alone, so whoever reads the table can tell what must be there.
"""

from __future__ import annotations

import sys
from pathlib import Path

from streams.engine.storage import Identity, Storage
from streams.engine.store import POSITION, PartitionStore, encode_position

IDENTITY = Identity("log", 8, "fingerprint")
TOPIC = "input"
KEYS = 40


def key(n: int) -> bytes:
    return b"k" + bytes(17) + b"%03d" % n


def batch(number: int) -> dict[bytes, bytes | None]:
    """Return what batch *number* writes: some rows, some deletes, and the position."""
    rows: dict[bytes, bytes | None] = {}
    for n in range(5):
        rows[key((number * 7 + n) % KEYS)] = b"%d " % number * 40
    rows[key(number * 3 % KEYS)] = None
    rows[POSITION + TOPIC.encode()] = encode_position(number)
    return rows


def state(last: int) -> dict[bytes, bytes]:
    """Return the rows after batches 0 to *last*."""
    rows: dict[bytes, bytes] = {}
    # Later batches write every key again.
    for number in range(max(0, last - 10 * KEYS), last + 1):
        for row, value in batch(number).items():
            if value is None:
                rows.pop(row, None)
            else:
                rows[row] = value
    return rows


def found(store: PartitionStore) -> dict[bytes, bytes]:
    """Return the rows that *store* has, one by one and as a range; say if the two differ."""
    ranged = dict(store.range(b"k" + bytes(17)))
    singly = {row: value for n in range(KEYS) if (value := store.get(row := key(n))) is not None}
    assert ranged == singly
    assert dict(store.range(b"k" + bytes(17), reverse=True)) == ranged
    return ranged


def expected(last: int) -> dict[bytes, bytes]:
    """Return the rows of `state` that `found` looks for."""
    return {row: value for row, value in state(last).items() if not row.startswith(POSITION)}


if __name__ == "__main__":
    writing = PartitionStore(Storage(Path(sys.argv[1]), IDENTITY, write_buffer_bytes=64 << 10), Path(sys.argv[1]) / "0")
    offset = writing.offset
    while True:
        offset += 1
        writing.write(batch(offset), offset)
        print(offset, flush=True)
