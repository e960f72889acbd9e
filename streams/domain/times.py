"""Times: UTC epoch milliseconds inside, ISO 8601 where a reader sees them."""

from __future__ import annotations

from datetime import UTC, datetime


def iso_ms(time_ms: int) -> str:
    """Write *time_ms* as `2024-02-16T04:41:06.596Z`."""
    seconds, ms = divmod(time_ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ms:03d}Z"
