"""Requests with an idempotency key: what the ids of all that they write and make derive from."""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from service.ports import Client
from streams.domain.ids import EPOCH_S, ID_BYTES, Mode

_EVENT_BYTES = 16
_STEM_BYTES = 11
_SEAL_BYTES = 32
NONCE_BYTES = 12
"""What AES-GCM takes (NIST SP 800-38D)."""
_SECONDS = 130_000_000
"""Ids of what is made with a key say that they were made in one of the first four years of ids, never in the future."""


class Keyed(NamedTuple):
    """A request that was admitted, and what its ids derive from."""

    key: str
    seed: bytes
    """Of its events' ids, 16 bytes."""
    stem: bytes
    """Of the id of what it makes, 11 bytes."""

    def event_id(self, number: int = 0) -> str:
        """Return the id of one of its events."""
        return blake2b(number.to_bytes(4, "big"), digest_size=_EVENT_BYTES, key=self.seed).hexdigest()

    @property
    def made_s(self) -> int:
        """The time in the id of what it makes."""
        return EPOCH_S + int.from_bytes(self.stem[:4], "big") % _SECONDS

    @property
    def entropy(self) -> bytes:
        """The entropy in that id, 7 bytes."""
        return self.stem[4:]


class KeyIds:
    """Derives what a key is known by, and what its requests write, from the deployment's secret."""

    def __init__(self, secret: bytes, log_id: str) -> None:
        """Take the secret for idempotency keys, 16 to 64 bytes, and the id of the log that they stand in."""
        self._secret, self._log_id = secret, log_id.encode()

    def of(self, client: Client, mode: Mode, key: str) -> bytes:
        """Return the 17 bytes that a client's key is known by."""
        # Every part but the last has a fixed length, so the concatenation is unambiguous.
        message = mode.value + client.client_id.encode() + key.encode()
        return self._derived(b"upnext-key", message, ID_BYTES)

    def keyed(self, key: str, key_id: bytes, generation: int) -> Keyed:
        """
        Return what the ids of an admitted request derive from.

        Ids of events from the key's generation as well: a key that was forgotten and is used again writes anew. And
        from the log: in another one, to which the deployment was moved, generations come again, and the events that
        came along are still known.
        """
        message = key_id + generation.to_bytes(8, "big") + self._log_id
        seed = self._derived(b"upnext-key-event", message, _EVENT_BYTES)
        return Keyed(key, seed, self._derived(b"upnext-key-id", key_id, _STEM_BYTES))

    def seal(self, client: Client, mode: Mode, key: str, nonce: bytes, clear: bytes) -> bytes:
        """
        Return *clear* so that only who has the idempotency key can read it, which is recorded nowhere.

        Args:
            client: Whose key it is.
            mode: The client's.
            key: The key.
            nonce: `NONCE_BYTES`, never the same for two texts.
            clear: What is sealed.
        """
        return nonce + self._cipher(client, mode, key).encrypt(nonce, clear, None)

    def open(self, client: Client, mode: Mode, key: str, sealed: bytes) -> bytes:
        """Return what was sealed with the same key; raise `cryptography.exceptions.InvalidTag` where it was not."""
        return self._cipher(client, mode, key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], None)

    def _cipher(self, client: Client, mode: Mode, key: str) -> AESGCM:
        message = mode.value + client.client_id.encode() + key.encode()
        return AESGCM(self._derived(b"upnext-key-seal", message, _SEAL_BYTES))

    def _derived(self, purpose: bytes, message: bytes, size: int) -> bytes:
        return blake2b(message, digest_size=size, key=self._secret, person=purpose).digest()
