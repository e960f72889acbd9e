"""What becomes of idempotency keys: events of `idempotency-keys`, kept for longer than a key is known."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from streams.domain.events import Hex16

Fingerprint = Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]


class KeyEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", forbid_unknown_fields=False):
    """
    What every event bears. Its key, as 17 bytes derived from client and key, is its record's key.

    Fields are only ever added, with defaults; a changed meaning is a new tag.
    """

    id: Hex16
    client: str
    """The client whose key it is: 16 hexadecimal digits."""


class KeyBegun(KeyEvent, frozen=True, kw_only=True, tag="key.begun.v1"):
    """A request with this key wants to be executed. The fold admits it, for some seconds, or not."""

    fingerprint: Fingerprint
    """Of method, path and body."""


class KeyFinished(KeyEvent, frozen=True, kw_only=True, omit_defaults=True, tag="key.finished.v1"):
    """It was executed, and this is the answer."""

    lease: Hex16
    """The id of the event that it was admitted by: it only counts where no other was since."""
    status: int
    body: bytes
    """Compressed (zlib, RFC 1950); in base64."""
    position: str = ""
    """The answer's `Paket-Position`; empty where it is sealed."""
    sealed: bool = False
    """Whether only who sends the key can read it: body is 12 bytes of nonce, then position and body in AES-256-GCM."""


class KeyReleased(KeyEvent, frozen=True, kw_only=True, tag="key.released.v1"):
    """It was not executed, or nobody knows: whoever comes next is admitted at once."""

    lease: Hex16
    forgotten: bool
    """Whether it recorded nothing for certain. Where nobody was admitted before, the key is as good as unused."""


AnyKeyEvent = KeyBegun | KeyFinished | KeyReleased
