"""What is recorded of a context that was erased or a session that was deleted, and what is said once that is gone."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import msgspec

from streams.domain.dead_letters import Letter
from streams.domain.events import ContextErased, SessionDeleted
from streams.domain.ids import ID_BYTES, Kind, id_text

_LEAST_KEPT_S = 10.0
"""Whoever reads a changelog without a pause has this much time from one record to the next."""
_ID = re.compile(rb"(?:CX|SN)[0-9]{41}")
_RAW_ID = re.compile(rb"(?s)\xc4\x11(.{%d})" % ID_BYTES)
"""In msgpack."""
_MARKS = {event: str(event.__struct_config__.tag).encode() for event in (ContextErased, SessionDeleted)}


def tombstones_kept_s(within_s: float) -> float:
    """Return for how long changelogs keep the keys of deleted rows, where an erasure may take *within_s*."""
    return max(within_s / 8, _LEAST_KEPT_S)


class Requested(msgspec.Struct, frozen=True, tag_field="type", tag="erasure.requested.v1"):
    """Something is recorded of a context that was erased, or a session that was deleted: it is to go."""

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
    """All that was recorded of it is gone."""

    id: str
    until: int
    """The offset of the last request, in the same partition, that this is the answer to."""
    begun_ms: int
    done_ms: int
    erased: list[ErasedFrom]
    searched: dict[str, list[int]]
    """Topic → by partition, the offset before which nothing is left of it."""


class TablesRewritten(msgspec.Struct, frozen=True, tag_field="type", tag="erasure.tables_rewritten.v1"):
    """The stores of a node's tables have nothing any more of what these receipts are of, also in their files."""

    node: str
    receipts: list[int]
    """By partition of this topic, of how many receipts: of the first so many there."""
    stores: dict[str, int]
    """`<version of the views>/<table>/<partition>` of all that it has → the changelog's last offset that was in it."""
    done_ms: int


Erasure = Requested | Receipt | TablesRewritten

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
    """Requests of one id that no receipt answers yet."""

    since_ms: int
    last: int
    """The offset of the last one."""


class Requests:
    """The requests and receipts of one partition."""

    def __init__(self) -> None:
        self.open: dict[str, Open] = {}
        self.receipts: list[Receipt] = []
        self.rewritten: list[TablesRewritten] = []

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
            case TablesRewritten() as rewritten:
                self.rewritten.append(rewritten)
            case None:
                pass


Find = Callable[[bytes | None, bytes | None], Iterable[str]]
"""Key and value of a record → the ids of which it says something that is to go once they are erased."""


def in_context_events(key: bytes | None, value: bytes | None) -> Iterator[str]:
    """Yield the context whose event a record is; that it was erased is all that stays known of it."""
    if value is not None and key is not None and not _is_mark(ContextErased, value):
        yield from _owner(key)


def _owner(key: bytes) -> Iterator[str]:
    found = _ID.match(key)
    if found is not None:
        yield found[0].decode()


def _is_mark(event: type[ContextErased | SessionDeleted], value: bytes) -> bool:
    if _MARKS[event] not in value:
        return False
    try:
        msgspec.json.decode(value, type=event)
    except msgspec.DecodeError:
        return False
    return True


class _OfContext(msgspec.Struct):
    context: str = ""


def in_session_events(key: bytes | None, value: bytes | None) -> Iterator[str]:
    """Yield the session whose event a record is, but for its end, and the context that was attached or detached."""
    if value is None:
        return
    if key is not None and not _is_mark(SessionDeleted, value):
        yield from _owner(key)
    if _ID.search(value) is None:
        return
    try:
        yield msgspec.json.decode(value, type=_OfContext).context
    except msgspec.DecodeError:
        return


class _Told(msgspec.Struct):
    session_id: str = ""


class _ToldOfContext(_OfContext):
    data: _Told = msgspec.field(default_factory=_Told)


class _Planned(msgspec.Struct):
    events: list[_ToldOfContext] = []


def in_webhook_events(_key: bytes | None, value: bytes | None) -> Iterator[str]:
    """Yield the contexts that an event plans to tell apps of, and the sessions."""
    if value is None or _ID.search(value) is None:
        return
    try:
        events = msgspec.json.decode(value, type=_Planned).events
    except msgspec.DecodeError:
        return
    yield from {planned.context for planned in events}
    yield from {planned.data.session_id for planned in events}


def in_dead_letters(_key: bytes | None, value: bytes | None) -> Iterator[str]:
    """Yield whatever a letter's record names, in its key or value."""
    try:
        letter = msgspec.json.decode(value or b"", type=Letter)
    except msgspec.DecodeError:
        return
    yield from in_letter(letter)


def in_letter(letter: Letter) -> Iterator[str]:
    """Yield whatever a letter's record names; in messages between the processors, ids stand raw."""
    for text in (letter.key, letter.value):
        try:
            quoted = base64.b64decode(text or "")
        except binascii.Error:
            continue
        yield from (id_.decode() for id_ in _ID.findall(quoted))
        raws = [quoted] if len(quoted) == ID_BYTES else _RAW_ID.findall(quoted)
        yield from (id_text(kind, raw) for raw in raws for kind in (Kind.CONTEXT, Kind.SESSION))
