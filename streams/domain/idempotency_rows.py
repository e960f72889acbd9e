"""
What the idempotency table holds.

| row | key | value |
| --- | --- | --- |
| key | `k` K | what `Held` says |
| of a client | `c` C time K | nothing |
| count | `n` C | how many keys of the client are held |
| by time | `t` zeros time K | nothing |
| oldest | `s` C, or zeros | a time before which there is no row of a client, or by time |

K is a key and C a client, as 17 bytes derived from them; the time is that of the key's last admission. Each partition
has its own count of each client. Rows are read from the oldest on, and not from before it: that is full of what was
deleted, which costs as much to pass by as what is there.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from hashlib import blake2b

import msgspec

from streams.domain.ids import ID_BYTES
from streams.domain.rows import Rows, WritableRows

KEY, OF_CLIENT, COUNT, BY_TIME, OLDEST = b"k", b"c", b"n", b"t", b"s"
_EVERYBODY = b"\0" * ID_BYTES
_TIME = struct.Struct(">Q")
_COUNT = struct.Struct(">Q")


class Answered(msgspec.Struct, frozen=True, array_like=True):
    """An answer that is given again: its body compressed (zlib), and its position's token; or both, sealed."""

    status: int
    body: bytes
    position: str
    sealed: bool = False


class Held(msgspec.Struct, frozen=True, array_like=True):
    """
    One key.

    Attributes:
        generation: The offset of the event by which it was first admitted: ids of what it writes derive from it.
        client: The client's 17 bytes.
        fingerprint: Of the request.
        time_ms: When a request was last admitted.
        lease: The id of the event by which it was; empty once it has let go.
        answer: Of the request that was executed.
        again: Whether others were admitted before, of which one may have written.
    """

    generation: int
    client: bytes
    fingerprint: str
    time_ms: int
    lease: str
    answer: Answered | None = None
    again: bool = False


_HELD = msgspec.msgpack.Decoder(Held)
_ENCODER = msgspec.msgpack.Encoder()


def client_bytes(client: str) -> bytes:
    """Return the 17 bytes that a client's rows are together by."""
    return blake2b(client.encode(), digest_size=ID_BYTES).digest()


def read_held(rows: Rows, key: bytes) -> Held | None:
    """Return what is known of a key, None where nothing is."""
    value = rows.get(KEY + key)
    return None if value is None else _HELD.decode(value)


def read_count(rows: Rows, client: bytes) -> int:
    """Return how many keys of a client are held."""
    value = rows.get(COUNT + client)
    return 0 if value is None else int(_COUNT.unpack(value)[0])


def put_held(rows: WritableRows, key: bytes, held: Held, before: Held | None) -> None:
    """Write a key's rows in the place of those of *before*, None where there are none."""
    rows.put(KEY + key, _ENCODER.encode(held))
    if before is None:
        _count(rows, held.client, 1)
    elif before.time_ms == held.time_ms:
        return
    else:
        _delete_times(rows, key, before)
    time = _TIME.pack(held.time_ms)
    for kind, group in ((OF_CLIENT, held.client), (BY_TIME, _EVERYBODY)):
        rows.put(kind + group + time + key, b"")
        if time < (rows.get(OLDEST + group) or b""):
            rows.put(OLDEST + group, time)  # a broker's clock was set back


def delete_key(rows: WritableRows, key: bytes) -> None:
    """Delete all rows of a key that is held."""
    held = read_held(rows, key)
    if held is not None:
        rows.delete(KEY + key)
        _delete_times(rows, key, held)
        _count(rows, held.client, -1)


def oldest(rows: Rows) -> Iterator[tuple[bytes, int]]:
    """Yield the keys that were admitted the longest ago first, and when."""
    return _by_time(rows, BY_TIME, _EVERYBODY)


def note_oldest(rows: WritableRows, time_ms: int) -> None:
    """Note that no key is left that was last admitted before then."""
    _note(rows, _EVERYBODY, time_ms)


def drop_oldest_of(rows: WritableRows, client: bytes) -> bool:
    """Delete the key of a client that was admitted the longest ago; return whether there was one."""
    found = next(_by_time(rows, OF_CLIENT, client), None)
    if found is None:
        return False
    key, time_ms = found
    _note(rows, client, time_ms)
    delete_key(rows, key)
    return True


def _by_time(rows: Rows, kind: bytes, group: bytes) -> Iterator[tuple[bytes, int]]:
    prefix = kind + group
    for row, _ in rows.range(prefix, start=prefix + (rows.get(OLDEST + group) or b"")):
        time_ms = int(_TIME.unpack(row[len(prefix) : len(prefix) + _TIME.size])[0])
        yield row[len(prefix) + _TIME.size :], time_ms


def _note(rows: WritableRows, group: bytes, time_ms: int) -> None:
    time = _TIME.pack(time_ms)
    if rows.get(OLDEST + group) != time:
        rows.put(OLDEST + group, time)


def _delete_times(rows: WritableRows, key: bytes, held: Held) -> None:
    time = _TIME.pack(held.time_ms)
    rows.delete(OF_CLIENT + held.client + time + key)
    rows.delete(BY_TIME + _EVERYBODY + time + key)


def _count(rows: WritableRows, client: bytes, more: int) -> None:
    count = read_count(rows, client) + more
    if count:
        rows.put(COUNT + client, _COUNT.pack(count))
    else:
        rows.delete(COUNT + client)
        rows.delete(OLDEST + client)
