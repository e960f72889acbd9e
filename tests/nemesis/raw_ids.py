"""Ids as the log's partitions and positions know them."""

from __future__ import annotations

from functools import cache

from streams.domain.ids import Kind, known_id


@cache
def raw_id(text: str) -> bytes:
    """Return the 17 bytes of a context's or session's id."""
    return known_id(Kind(text[:2]), text)
