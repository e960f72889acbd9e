"""Events that may come twice, those of requests with an idempotency key: how the folds know that they have come."""

from __future__ import annotations

import struct

from streams.domain.rows import Rows, WritableRows

EVENT, BY_TIME, OLDEST = b"e", b"f", b"g"
"""
Rows of both tables, of the context or session R whose event it is:

`e` R event id → when it came last, and what the fold keeps of its verdict; `f` R time event id → nothing; `g` R →
a time before which there is no `f`, but many that were deleted, which cost as much to pass by.
"""
KEPT_MS = 73 * 3600 * 1000
"""For how long an event is known, by the log's time. A key is known for 72 h, and may be used up to their end: what is
written then comes seconds later, and another partition's clock may be another one."""
_FORGET_AT_ONCE = 4
"""Old rows that one fold forgets; it adds one."""
_TIME = struct.Struct(">Q")


def known(rows: Rows, raw: bytes, event_id: str) -> bytes | None:
    """Return what was kept of an event's verdict when it was folded before, None where it was not."""
    row = rows.get(EVENT + raw + bytes.fromhex(event_id))
    return None if row is None else row[_TIME.size :]


def note(rows: WritableRows, raw: bytes, event_id: str, time_ms: int, kept: bytes = b"") -> None:
    """Note that an event has come, for the first time or again; it is known from now on for `KEPT_MS`."""
    short = bytes.fromhex(event_id)
    before = rows.get(EVENT + raw + short)
    if before is not None:
        rows.delete(BY_TIME + raw + before[: _TIME.size] + short)
    now = _TIME.pack(time_ms)
    rows.put(EVENT + raw + short, now + kept)
    rows.put(BY_TIME + raw + now + short, b"")
    _forget(rows, raw, now)


def _forget(rows: WritableRows, raw: bytes, now: bytes) -> None:
    old_before = _TIME.pack(max(0, _TIME.unpack(now)[0] - KEPT_MS))
    noted = rows.get(OLDEST + raw) or b""
    if old_before <= noted <= now:
        return
    prefix, old, oldest = BY_TIME + raw, list[bytes](), now
    # From now on where a broker's clock was set back.
    for key, _ in rows.range(prefix, start=prefix + min(noted, now)):
        oldest = key[len(prefix) : len(prefix) + _TIME.size]
        if oldest >= old_before or len(old) == _FORGET_AT_ONCE:
            break
        old.append(key)
    for key in old:
        rows.delete(key)
        rows.delete(EVENT + raw + key[len(prefix) + _TIME.size :])
    rows.put(OLDEST + raw, oldest)
