"""Times: UTC epoch milliseconds inside, ISO 8601 where a reader sees them."""

from __future__ import annotations

import struct
from datetime import UTC, datetime

LAST_MS = 253_402_300_799_999
"""9999-12-31T23:59:59.999Z: the last time that can be written."""

_BIG_ENDIAN = struct.Struct(">Q")
_ALL_ONES = (1 << 64) - 1


def iso_ms(time_ms: int) -> str:
    """Write *time_ms* as `2024-02-16T04:41:06.596Z`."""
    seconds, ms = divmod(time_ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ms:03d}Z"


def newest_first(time_ms: int) -> bytes:
    """Return 8 bytes that sort the later a time, the earlier: the big-endian complement. *time_ms* is at least 0."""
    return _BIG_ENDIAN.pack(_ALL_ONES - time_ms)


def time_of_newest_first(key: bytes) -> int:
    """Return the time whose `newest_first` *key* is."""
    time_ms: int = _BIG_ENDIAN.unpack(key)[0]
    return _ALL_ONES - time_ms
