"""HMAC-SHA256 at the price of two hashes."""

from __future__ import annotations

from hashlib import sha256

_BLOCK_BYTES = 64
_INNER, _OUTER = (bytes(byte ^ pad for byte in range(256)) for pad in (0x36, 0x5C))


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """
    Return what `hmac.digest(key, message, "sha256")` does.

    That asks OpenSSL for its HMAC each time anew, which takes a tenth of a GET; this takes half of it.

    Source:
        RFC 2104.
    """
    block = (sha256(key).digest() if len(key) > _BLOCK_BYTES else key).ljust(_BLOCK_BYTES, b"\0")
    inner = sha256(block.translate(_INNER) + message).digest()
    return sha256(block.translate(_OUTER) + inner).digest()
