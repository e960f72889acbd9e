"""HMAC-SHA256 at the price of two hashes."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from hashlib import sha256

_BLOCK_BYTES = 64
_INNER, _OUTER = (bytes(byte ^ pad for byte in range(256)) for pad in (0x36, 0x5C))


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """
    Return what `hmac.digest(key, message, "sha256")` does.

    That asks OpenSSL for its HMAC each time anew, which takes a tenth of a GET; this takes a quarter of it.

    Source:
        RFC 2104.
    """
    begun_inner, begun_outer = _begun(key)
    inner, outer = begun_inner.copy(), begun_outer.copy()
    inner.update(message)
    outer.update(inner.digest())
    return outer.digest()


@lru_cache(maxsize=4096)
def _begun(key: bytes) -> tuple[hashlib._Hash, hashlib._Hash]:
    """Return both hashes as the key begins them: a client signs everything with the same one."""
    block = (sha256(key).digest() if len(key) > _BLOCK_BYTES else key).ljust(_BLOCK_BYTES, b"\0")
    return sha256(block.translate(_INNER)), sha256(block.translate(_OUTER))
