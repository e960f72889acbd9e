"""Secrets that must be read back: encrypted with a key of the deployment's."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES = 12
"""What AES-GCM takes. Random ones of one key may number 2^32 (NIST SP 800-38D, 8.3), far beyond what is kept here."""
_VERSION = "v1."


class BrokenSealError(ValueError):
    """What was sealed is damaged, was sealed with another key, or for another purpose."""


class Vault:
    """
    AES-256-GCM, each text bound to its purpose.

    Source:
        NIST SP 800-38D.
    """

    def __init__(self, key: bytes, entropy: Callable[[int], bytes] = os.urandom) -> None:
        """Take the 32-byte key, `MasterKey.derive(b"secrets")`."""
        self._cipher, self._entropy = AESGCM(key), entropy

    def seal(self, clear: str, purpose: str) -> str:
        """Return *clear* encrypted, to be opened for the same purpose alone."""
        nonce = self._entropy(_NONCE_BYTES)
        sealed = nonce + self._cipher.encrypt(nonce, clear.encode(), purpose.encode())
        return _VERSION + base64.urlsafe_b64encode(sealed).decode("ascii")

    def open(self, sealed: str, purpose: str) -> str:
        """Return what was sealed for this purpose; raise `BrokenSealError` where that cannot be told."""
        if not sealed.startswith(_VERSION):
            raise BrokenSealError("not sealed in a way that is known here")
        try:
            raw = base64.b64decode(sealed.removeprefix(_VERSION), altchars=b"-_", validate=True)
            return self._cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], purpose.encode()).decode()
        except (InvalidTag, ValueError) as error:
            raise BrokenSealError("the seal is broken") from error
