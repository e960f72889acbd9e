"""Times: UTC epoch milliseconds inside, ISO 8601 where a reader sees them."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

LAST_MS = 253_402_300_799_999
"""9999-12-31T23:59:59.999Z: the last time that can be written."""


def iso_ms(time_ms: int) -> str:
    """Write *time_ms* as `2024-02-16T04:41:06.596Z`."""
    seconds, ms = divmod(time_ms, 1000)
    return f"{_iso_s(seconds)}.{ms:03d}Z"


@lru_cache(maxsize=256)
def _iso_s(time_s: int) -> str:
    # Most times that are written are of the last few seconds.
    return f"{datetime.fromtimestamp(time_s, UTC):%Y-%m-%dT%H:%M:%S}"
