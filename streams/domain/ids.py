"""Ids of apps, platforms, sessions and contexts: minted, written, read and verified."""

from __future__ import annotations

import enum
import hmac
from functools import lru_cache
from hashlib import blake2b
from typing import NewType

AppId = NewType("AppId", bytes)
PlatformId = NewType("PlatformId", bytes)
SessionId = NewType("SessionId", bytes)
ContextId = NewType("ContextId", bytes)
EventId = NewType("EventId", str)
"""32 lower-case hexadecimal digits: 16 random bytes."""

ID_BYTES = 17
_DIGITS = 41
_STEM_BYTES = 11
_MAC_BYTES = 6
EPOCH_S = 1_577_836_800
"""2020-01-01T00:00:00Z: the seconds in an id count from here."""


class Kind(enum.Enum):
    """What an id names; the value is its prefix in text."""

    APP = "AP"
    PLATFORM = "PL"
    SESSION = "SN"
    CONTEXT = "CX"

    __hash__ = object.__hash__  # an enum's own is written in Python, and asked three times for each id


_PREFIXES = {kind: kind.value.encode() for kind in Kind}


class Mode(enum.Enum):
    """Which keys made an id, and may use it."""

    LIVE = b"live"
    TEST = b"test"

    __hash__ = object.__hash__


@lru_cache(maxsize=1 << 15)
def id_text(kind: Kind, raw: bytes) -> str:
    """Write *raw* as clients see it: the prefix and 41 zero-padded digits."""
    return f"{kind.value}{int.from_bytes(raw, 'big'):0{_DIGITS}d}"


def parse_id(kind: Kind, text: str) -> bytes | None:
    """Return the 17 bytes of *text* where it is a canonical id of *kind*, else None. Says nothing of its MAC."""
    return _parse(kind, text) if len(text) == _DIGITS + 2 else None


@lru_cache(maxsize=1 << 15)
def _parse(kind: Kind, text: str) -> bytes | None:
    digits = text[2:]
    if not text.startswith(kind.value) or not text.isascii() or not digits.isdigit():
        return None
    number = int(digits)
    return number.to_bytes(ID_BYTES, "big") if number >> (8 * ID_BYTES) == 0 else None


def known_id(kind: Kind, text: str) -> bytes:
    """Return the 17 bytes of a *text* that was checked before to be a canonical id of *kind*."""
    raw = parse_id(kind, text)
    if raw is None:
        msg = f"not a canonical id: {text!r}"
        raise ValueError(msg)
    return raw


class IdKeys:
    """
    Mints and verifies ids with the deployment's id keys: the newest signs, all verify.

    An id is 4 bytes of seconds since 2020, 7 bytes of entropy and a 6-byte MAC over kind, mode, owner and those 11.

    Source:
        docs/architecture.md, "Ids".
    """

    def __init__(self, *keys: bytes) -> None:
        """Take the keys, newest first, 16 to 64 bytes each."""
        self._keys = keys
        # An id that is used once is used again soon: a film's place is written every few seconds.
        self._verify = lru_cache(maxsize=1 << 15)(self._is_minted)

    def mint(self, kind: Kind, mode: Mode, owner: bytes, *, now_s: int, entropy: bytes) -> bytes:
        """
        Return a new raw id.

        Args:
            kind: What it names.
            mode: Of the key that asked for it.
            owner: The tenant's raw id, or for apps and platforms their company's id in UTF-8.
            now_s: Unix time in seconds.
            entropy: 7 bytes, random or derived from an idempotency key.
        """
        stem = (now_s - EPOCH_S).to_bytes(4, "big") + entropy
        if len(stem) != _STEM_BYTES:
            msg = "entropy must be 7 bytes"
            raise ValueError(msg)
        return stem + _mac(self._keys[0], kind, mode, owner, stem)

    def verify(self, kind: Kind, mode: Mode, owner: bytes, raw: bytes) -> bool:
        """Say whether *raw* was minted here for this kind, mode and owner."""
        return self._verify(kind, mode, owner, raw)

    def _is_minted(self, kind: Kind, mode: Mode, owner: bytes, raw: bytes) -> bool:
        stem, mac = raw[:_STEM_BYTES], raw[_STEM_BYTES:]
        return any(hmac.compare_digest(_mac(key, kind, mode, owner, stem), mac) for key in self._keys)


def _mac(key: bytes, kind: Kind, mode: Mode, owner: bytes, stem: bytes) -> bytes:
    # Every part but the owner has a fixed length, so the concatenation is unambiguous.
    message = _PREFIXES[kind] + mode.value + stem + owner
    return blake2b(message, digest_size=_MAC_BYTES, key=key, person=b"upnext-id").digest()
