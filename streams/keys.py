"""The deployment's master key: one secret, from which every other key is derived."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from streams.domain.errors import RefusedStartError
from streams.domain.ids import IdKeys
from streams.durable import make_directory, put_in_place

KEY_BYTES = 32
FILE = "master.key"


class MasterKey:
    """
    The deployment's one secret, 32 bytes.

    Source:
        RFC 5869 (HKDF), docs/architecture.md, "Keys".
    """

    def __init__(self, secret: bytes) -> None:
        """Take the secret; raise `ValueError` where it has not 32 bytes."""
        if len(secret) != KEY_BYTES:
            msg = f"a master key has {KEY_BYTES} bytes, this one {len(secret)}"
            raise ValueError(msg)
        self._secret = secret

    def derive(self, label: bytes) -> bytes:
        """Return the 32-byte key for one purpose."""
        return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=b"upnext " + label).derive(self._secret)

    @property
    def fingerprint(self) -> str:
        """What the key is known by without being known: 16 hexadecimal digits."""
        return sha256(self.derive(b"fingerprint")).hexdigest()[:16]

    @property
    def id_keys(self) -> IdKeys:
        """What ids are minted and verified with."""
        return IdKeys(self.derive(b"ids"))

    @property
    def hash_key(self) -> bytes:
        """What items are hashed with, for digests."""
        return self.derive(b"items")

    @property
    def positions_key(self) -> bytes:
        """What position tokens are signed with."""
        return self.derive(b"positions")


def read_master_key(text: str) -> MasterKey:
    """Return the key that *text*, 64 hexadecimal digits, is; raise `RefusedStartError` where it is none."""
    try:
        return MasterKey(bytes.fromhex(text.strip()))
    except ValueError as error:
        raise RefusedStartError(
            "The master key must be 64 hexadecimal digits: make one with `openssl rand -hex 32`."
        ) from error


def keep_secret(path: Path, secret: str) -> str:
    """
    Return the secret that the file holds; where there is none, *secret*, from now on kept there.

    A crash or a loss of power leaves the file as a whole or none, and none only before this returns.
    """
    if path.exists():
        return path.read_text(encoding="ascii").strip()
    new = path.with_name(f"{path.name}.new")
    try:
        make_directory(path.parent)
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(f"{secret}\n")
            file.flush()
            os.fsync(file.fileno())
        put_in_place(new, path)
    except OSError as error:
        raise RefusedStartError(f"{path} cannot be written ({error.strerror}): give another data directory.") from error
    return secret


def load_master_key(data: Path, given: str | None) -> MasterKey:
    """Return the key that was *given*, or the one kept beside the data, made at the first start."""
    return read_master_key(keep_secret(data / FILE, os.urandom(KEY_BYTES).hex()) if given is None else given)
