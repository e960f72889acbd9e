"""How the newest version of `/v1` writes what others write in another way."""

from __future__ import annotations


def list_body(total: int, next_key: int | None, entries: bytes, query: bytes) -> bytes:
    """Return a list: its entries, and beside them what is to be known of the page."""
    following = b"null" if next_key is None else b'"?%b&next_key=%d"' % (query, next_key)
    return b'{"items":[%b],"page":{"total":%d,"next":%b}}' % (entries, total, following)
