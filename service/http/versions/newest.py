"""How the newest version of `/v1` writes what others write in another way."""

from __future__ import annotations


def list_body(total: int, next_key: int | None, entries: bytes, limit: int) -> bytes:
    """Return a list: its entries, and beside them what is to be known of the page."""
    following = b"null" if next_key is None else b'"?limit=%d&next_key=%d"' % (limit, next_key)
    return b'{"items":[%b],"page":{"total":%d,"next":%b}}' % (entries, total, following)
