"""Position tokens: positions as opaque text that only this deployment can have written."""

from __future__ import annotations

import binascii
import hmac
import struct
from collections.abc import Iterable, Sequence
from hashlib import blake2b

from streams.domain.errors import InvalidPositionError
from streams.domain.ids import ID_BYTES
from streams.domain.positions import (
    MARK_BYTES,
    NOTHING,
    After,
    ContextPosition,
    ContextsPosition,
    ListPosition,
    Position,
    SessionsPosition,
)

HEADER = "Paket-Position"
MAX_TOKENS = 32
"""Positions in one request."""
MAX_TOKEN_CHARS = 8_192

_MAX_REMEMBERED = 10_000
_MAC_BYTES = 12
_CONTEXT = struct.Struct(f">c{ID_BYTES}sq")
_LIST = struct.Struct(f">c{ID_BYTES}sqH")
_MANY = struct.Struct(">cH")
_COLUMN = struct.Struct(">Bq")
_TO_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_FROM_URL_SAFE = bytes.maketrans(b"-_+/", b"+/  ")


class PositionTokens:
    """
    Writes and reads tokens: base64url of a binary position and a MAC keyed by the deployment and its log's id.

    A list position of 200 members takes less than 3 KB, one of 500 contexts less than 8: numbers stand in columns, as
    offsets from the least, in as many bytes each as the greatest needs.
    """

    def __init__(self, key: bytes, log_id: str, earlier_logs: Iterable[str] = ()) -> None:
        """
        Take the deployment's key for positions, 16 to 64 bytes, and the id of its log.

        *earlier_logs* are the ids of those that the deployment was moved from: all that stood there stands here.
        """
        self._mac = _keyed(key, log_id)
        self._earlier = [_keyed(key, earlier) for earlier in earlier_logs]
        self._of_lists: dict[bytes, tuple[ListPosition, str]] = {}
        """Session → its list's last position and that one's token: most lists are read more often than they change."""

    def write(self, position: Position) -> str:
        """Return the token of *position*."""
        if not isinstance(position, ListPosition):
            return self._write(position)
        known = self._of_lists.get(position.session)
        if known is not None and known[0] == position:
            return known[1]
        if len(self._of_lists) >= _MAX_REMEMBERED:
            self._of_lists.clear()
        token = self._write(position)
        self._of_lists[position.session] = position, token
        return token

    def _write(self, position: Position) -> str:
        payload = _payload(position)
        token = binascii.b2a_base64(payload + self._sign(payload), newline=False)
        return token.rstrip(b"=").translate(_TO_URL_SAFE).decode("ascii")

    def read(self, token: str) -> Position:
        """
        Return the position that *token* was written from.

        Raises:
            InvalidPositionError: It is no token, was altered, or is of another deployment or log, also an earlier one.
        """
        position = self._read(token)
        if position is None:
            raise InvalidPositionError
        return position

    def _read(self, token: str) -> Position | None:
        """Return a token's position; None where it is of an earlier log, and so asks for nothing."""
        if not 0 < len(token) <= MAX_TOKEN_CHARS:
            raise InvalidPositionError
        try:
            text = token.encode("ascii").translate(_FROM_URL_SAFE) + b"=" * (-len(token) % 4)
            signed = binascii.a2b_base64(text, strict_mode=True)
        except (UnicodeError, binascii.Error) as error:
            raise InvalidPositionError from error
        payload, mac = signed[:-_MAC_BYTES], signed[-_MAC_BYTES:]
        if hmac.compare_digest(self._sign(payload), mac):
            return _position(payload)
        if any(hmac.compare_digest(_signed(earlier, payload), mac) for earlier in self._earlier):
            return None
        raise InvalidPositionError

    def after(self, headers: Iterable[str]) -> After:
        """
        Return what the values of a request's `Paket-Position` headers ask for together.

        Raises:
            InvalidPositionError: One of them cannot be read, or there are more than 32.
        """
        tokens = [token.strip() for value in headers for token in value.split(",")]
        if not tokens:
            return NOTHING
        if len(tokens) > MAX_TOKENS:
            raise InvalidPositionError
        positions = [position for token in tokens if (position := self._read(token)) is not None]
        return After(
            tuple(p for p in positions if isinstance(p, ContextPosition)),
            tuple(p for p in positions if isinstance(p, SessionsPosition)),
            tuple(p for p in positions if isinstance(p, ListPosition)),
            tuple(p for p in positions if isinstance(p, ContextsPosition)),
        )

    def _sign(self, payload: bytes) -> bytes:
        return _signed(self._mac, payload)


def _keyed(key: bytes, log_id: str) -> blake2b:
    bound = blake2b(log_id.encode(), key=key, digest_size=32).digest()
    return blake2b(key=bound, digest_size=_MAC_BYTES, person=b"upnext-position"[:16])


def _signed(keyed: blake2b, payload: bytes) -> bytes:
    mac = keyed.copy()
    mac.update(payload)
    return mac.digest()


def _payload(position: Position) -> bytes:
    match position:
        case ContextPosition():
            return _CONTEXT.pack(b"w", position.context, position.offset)
        case ContextsPosition():
            head = _MANY.pack(b"c", len(position.offsets))
            return head + b"".join(position.offsets) + _column(list(position.offsets.values()))
        case SessionsPosition():
            partitions = sorted(position.offsets)
            head = _MANY.pack(b"s", len(partitions))
            return head + _column(partitions) + _column([position.offsets[partition] for partition in partitions])
        case ListPosition():
            members = position.members
            head = _LIST.pack(b"l", position.session, position.offset, len(members))
            return head + _column([epoch for epoch, _ in members]) + _column([sequence for _, sequence in members])


def _position(payload: bytes) -> Position:
    # The MAC has said that these bytes are ours, so they are well formed.
    match payload[:1]:
        case b"w":
            _, context, offset = _CONTEXT.unpack(payload)
            return ContextPosition(context, offset)
        case b"c":
            _, count = _MANY.unpack_from(payload)
            at = [_MANY.size + MARK_BYTES * n for n in range(count + 1)]
            marks = [payload[start : start + MARK_BYTES] for start in at[:-1]]
            return ContextsPosition(dict(zip(marks, _read_column(payload[at[-1] :], count)[0], strict=True)))
        case b"s":
            _, count = _MANY.unpack_from(payload)
            partitions, rest = _read_column(payload[_MANY.size :], count)
            return SessionsPosition(dict(zip(partitions, _read_column(rest, count)[0], strict=True)))
        case b"l":
            _, session, offset, count = _LIST.unpack_from(payload)
            epochs, rest = _read_column(payload[_LIST.size :], count)
            return ListPosition(session, offset, list(zip(epochs, _read_column(rest, count)[0], strict=True)))
        case _:
            raise InvalidPositionError  # written by a newer version


def _column(values: Sequence[int]) -> bytes:
    """Write *values* as byte planes: their width and least value, then every value's lowest byte, its next, …."""
    least = min(values, default=0)
    width = (max(values, default=0) - least).bit_length() + 7 >> 3
    raw = struct.pack(f"<{len(values)}Q", *[value - least for value in values])
    return _COLUMN.pack(width, least) + b"".join([raw[plane::8] for plane in range(width)])


def _read_column(payload: bytes, count: int) -> tuple[list[int], bytes]:
    """Return the *count* values that *payload* begins with, and what follows them."""
    width, least = _COLUMN.unpack_from(payload)
    end = _COLUMN.size + width * count
    raw = bytearray(8 * count)
    for plane in range(width):
        start = _COLUMN.size + plane * count
        raw[plane::8] = payload[start : start + count]
    return [least + value for value in struct.unpack(f"<{count}Q", raw)], payload[end:]
