"""What is recorded of a context that was erased, and what is said of it once that is gone."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import msgspec

from streams.domain.dead_letters import Letter
from streams.domain.events import ContextErased

_ID = re.compile(rb"CX[0-9]{41}")
_MARK = str(ContextErased.__struct_config__.tag).encode()


class Requested(msgspec.Struct, frozen=True, tag_field="type", tag="erasure.requested.v1"):
    """Something is recorded of a context that was erased: it is to go."""

    id: str


class ErasedFrom(msgspec.Struct, frozen=True):
    """What was removed from one partition of a topic."""

    topic: str
    partition: int
    records: int
    first: int
    """Offset of the first of them."""
    last: int
    """And of the last."""


class Receipt(msgspec.Struct, frozen=True, tag_field="type", tag="erasure.receipt.v1"):
    """All that was recorded of a context is gone."""

    id: str
    until: int
    """The offset of the last request, in the same partition, that this is the answer to."""
    begun_ms: int
    done_ms: int
    erased: list[ErasedFrom]
    searched: dict[str, list[int]]
    """Topic → by partition, the offset before which nothing is left of it."""


Erasure = Requested | Receipt

_ERASURE: msgspec.json.Decoder[Erasure] = msgspec.json.Decoder(Erasure)


def encode_erasure(erasure: Erasure) -> bytes:
    """Return a record's value."""
    return msgspec.json.encode(erasure)


def decode_erasure(value: bytes | None) -> Erasure | None:
    """Return what a record's value says, None where nobody here has written it."""
    try:
        return _ERASURE.decode(value or b"")
    except msgspec.DecodeError:
        return None


class Open(NamedTuple):
    """Requests of one context that no receipt answers yet."""

    since_ms: int
    last: int
    """The offset of the last one."""


class Requests:
    """The requests and receipts of one partition."""

    def __init__(self) -> None:
        self.open: dict[str, Open] = {}
        self.receipts: list[Receipt] = []

    def take(self, offset: int, time_ms: int, value: bytes | None) -> None:
        """Take the next record."""
        match decode_erasure(value):
            case Requested(id_):
                self.open[id_] = self.open.get(id_, Open(time_ms, offset))._replace(last=offset)
            case Receipt() as receipt:
                self.receipts.append(receipt)
                found = self.open.get(receipt.id)
                if found is not None and found.last <= receipt.until:
                    del self.open[receipt.id]
            case None:
                pass


Find = Callable[[bytes | None, bytes | None], Iterable[str]]
"""Key and value of a record → the ids of the contexts of which it says something that is to go once they are erased."""


def in_context_events(key: bytes | None, value: bytes | None) -> Iterator[str]:
    """Yield the context whose event a record is; that it was erased is all that stays known of it."""
    if value is not None and key is not None and not _is_mark(value):
        found = _ID.match(key)
        if found is not None:
            yield found[0].decode()


def _is_mark(value: bytes) -> bool:
    if _MARK not in value:
        return False
    try:
        msgspec.json.decode(value, type=ContextErased)
    except msgspec.DecodeError:
        return False
    return True


class _OfContext(msgspec.Struct):
    context: str = ""


def in_session_events(_key: bytes | None, value: bytes | None) -> Iterator[str]:
    """Yield the context that a record says was attached or detached."""
    if value is None or _ID.search(value) is None:
        return
    try:
        yield msgspec.json.decode(value, type=_OfContext).context
    except msgspec.DecodeError:
        return


class _Planned(msgspec.Struct):
    events: list[_OfContext] = []


def in_webhook_events(_key: bytes | None, value: bytes | None) -> Iterator[str]:
    """Yield the contexts that an event plans to tell apps of."""
    if value is None or _ID.search(value) is None:
        return
    try:
        yield from {planned.context for planned in msgspec.json.decode(value, type=_Planned).events}
    except msgspec.DecodeError:
        return


def in_dead_letters(_key: bytes | None, value: bytes | None) -> Iterator[str]:
    """Yield every context that a letter's record names, in its key or value."""
    try:
        letter = msgspec.json.decode(value or b"", type=Letter)
    except msgspec.DecodeError:
        return
    for text in (letter.key, letter.value):
        try:
            found = _ID.findall(base64.b64decode(text or ""))
        except binascii.Error:
            continue
        yield from (id_.decode() for id_ in found)
