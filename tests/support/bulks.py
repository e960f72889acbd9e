"""The largest bulks that there may be: 500 items in 1 MiB, with the longest content ids."""

from __future__ import annotations

from typing import Any

import orjson

from tests.support.nodes import item

MAX_BYTES = 1 << 20
_LONGEST = "\N{GRINNING FACE}" * 251
"""With four more characters, as many bytes as a content id can have, less a few."""


def large_items(first: int) -> list[dict[str, Any]]:
    """Return 500 items, of which each has an id of its own from the number *first* on."""
    return [item(f"{_LONGEST}{first + n:04}", title=f"T{first + n}", description="") for n in range(500)]


def largest_bulk(first: int) -> bytes:
    """Return a body of exactly 1 MiB with such items."""
    items = large_items(first)
    room = MAX_BYTES - len(orjson.dumps({"items": items}))
    for n, entry in enumerate(items):
        entry["description"] = "d" * (room // 500 + (n < room % 500))
    body = orjson.dumps({"items": items})
    assert len(body) == MAX_BYTES
    return body
