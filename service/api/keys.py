"""Keys that let callers in: made here, shown once, stored as hashes."""

from __future__ import annotations

import base64
from hashlib import sha256
from typing import NamedTuple

from service.api.resource import Entropy

_SECRET_BYTES = 33
"""A multiple of 3, so that base64 has no padding."""
_PREFIX_CHARS = 4
"""Of a key's random part, as many are shown for people to tell keys apart."""


class NewKey(NamedTuple):
    """A key, and what is stored of it."""

    clear: str
    prefix: str
    hash: str
    """SHA-256. A fast hash is right: nobody can guess 264 random bits."""


def new_key(marker: str, entropy: Entropy) -> NewKey:
    """Return a new key that begins with *marker*."""
    clear = marker + base64.urlsafe_b64encode(entropy(_SECRET_BYTES)).decode("ascii")
    return NewKey(clear, clear[: len(marker) + _PREFIX_CHARS], sha256(clear.encode()).hexdigest())
