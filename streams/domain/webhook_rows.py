"""
What the webhooks table holds. A partition has the events of the contexts of that partition.

| row | key | value |
| --- | --- | --- |
| heard | `h` Z source | offset and number of the last notice of a source's partition that was heard of |
| decided | `d` Z source | the same, of the last that was decided about |
| notice | `n` Z offset | a notice that nothing was decided about, by its offset in the notices |
| event | `e` E | what apps are told, and the endpoints that are |
| of | `c` C E | nothing: the events of a context, to be forgotten with it |
| age | `a` Z time E | nothing: the events by the time at which they were planned, to be forgotten |
| delivery | `D` H ~time E | what came of sending an event to an endpoint, newest first |
| due | `q` H time E | nothing: when an endpoint is sent what next |
| order | `o` H C offset n | E: what an endpoint is told of a context in order; the first is due, the others wait |
| endpoint | `p` Z H | the endpoint's id, and how many of its deliveries are pending; no row: none |

Z is 17 zero bytes, E an event's id and a zero byte, H a hash of an endpoint's id, C a context's raw id; `~` is the
big-endian complement.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from hashlib import blake2b
from typing import NamedTuple

import msgspec

from streams.domain.ids import ID_BYTES, ContextId, Kind, id_text
from streams.domain.notices import Notice, NoticeType
from streams.domain.rows import Rows
from streams.domain.webhook_events import Status

HEARD, DECIDED, NOTICE, EVENT, OF, AGE, DELIVERY, DUE, ORDER, ENDPOINT = (
    b"h",
    b"d",
    b"n",
    b"e",
    b"c",
    b"a",
    b"D",
    b"q",
    b"o",
    b"p",
)
ALL = bytes(ID_BYTES)
"""What the keys of rows begin with that belong to a partition as a whole, behind the kind of row."""
_U64 = (1 << 64) - 1
_PLACE = struct.Struct(">QI")
_HEAD = 1 + ID_BYTES
_SESSION = re.compile(rb'"session_id":"(SN[0-9]{41})"')
NOWHERE = (-1, -1)
"""The place before the first notice of a source."""


class Undecided(msgspec.Struct, frozen=True, array_like=True):
    """A notice of which nobody has decided who is told."""

    id: str
    """Of the event that it will be."""
    source: str
    """The partition of the record that it comes of, `<topic>-<partition>`."""
    context: bytes
    notice: Notice

    @property
    def place(self) -> tuple[int, int]:
        """Where in its source it comes of."""
        return self.notice.offset, self.notice.number


class Event(msgspec.Struct, frozen=True, array_like=True):
    """What apps are told."""

    context: bytes
    type: NoticeType
    created_ms: int
    request: str
    data: bytes
    planned_ms: int
    endpoints: list[str]
    """Those that are told, as far as their deliveries are not forgotten."""
    idempotency_key: str = ""


class Attempt(msgspec.Struct, frozen=True, array_like=True):
    """What came of sending an event once."""

    time_ms: int
    status: int | None
    error: str | None
    duration_ms: int


class Delivery(msgspec.Struct, frozen=True, array_like=True):
    """An event on its way to an endpoint."""

    endpoint: str
    event: str
    """32 hexadecimal digits."""
    type: NoticeType
    version: str
    """Of the API."""
    status: Status
    since_ms: int
    """When it became due for the first time since it was planned, or was to be sent again."""
    due_ms: int | None
    """When it is sent next; None: never, or once those before it have arrived."""
    tries: int = 0
    """Attempts since it was planned, or was to be sent again."""
    made: int = 0
    """All attempts."""
    attempts: tuple[Attempt, ...] = ()
    """The last ones."""
    order: bytes | None = None
    """The key of its order row, where it is told in order."""


class Endpoint(msgspec.Struct, frozen=True, array_like=True):
    """What is pending for an endpoint."""

    endpoint: str
    pending: int = 0


class Due(NamedTuple):
    """What an endpoint is to be sent, and when."""

    time_ms: int
    event: str


_UNDECIDED = msgspec.msgpack.Decoder(Undecided)
_EVENT = msgspec.msgpack.Decoder(Event)
_DELIVERY = msgspec.msgpack.Decoder(Delivery)
_ENDPOINT = msgspec.msgpack.Decoder(Endpoint)
_ENCODER = msgspec.msgpack.Encoder()


def encode(row: Undecided | Event | Delivery | Endpoint) -> bytes:
    """Return a row's value."""
    return _ENCODER.encode(row)


def endpoint_hash(endpoint: str) -> bytes:
    """Return what an endpoint's rows are found by."""
    return blake2b(endpoint.encode(), digest_size=ID_BYTES).digest()


def place_key(kind: bytes, source: str) -> bytes:
    """Return the key of how far a source's partition was heard of, or decided about."""
    return kind + ALL + source.encode()


def read_place(rows: Rows, kind: bytes, source: str) -> tuple[int, int]:
    """Return how far a source's partition was heard of, or decided about."""
    value = rows.get(kind + ALL + source.encode())
    return NOWHERE if value is None else _PLACE.unpack(value)


def encode_place(place: tuple[int, int]) -> bytes:
    """Return the value of the row that says how far it is."""
    return _PLACE.pack(*place)


def notice_key(offset: int) -> bytes:
    """Return the key of a notice that nothing was decided about."""
    return NOTICE + ALL + offset.to_bytes(8, "big")


def undecided(rows: Rows) -> Iterator[tuple[bytes, Undecided]]:
    """Yield notices by key, as they came; those that were decided about in the meantime too."""
    for key, value in rows.range(NOTICE + ALL):
        yield key, _UNDECIDED.decode(value)


def event_key(event: str) -> bytes:
    """Return the key of an event."""
    return b"%b%b\0" % (EVENT, bytes.fromhex(event))


def read_event(rows: Rows, event: str) -> Event | None:
    """Return an event, None where it is unknown, or forgotten."""
    value = rows.get(event_key(event))
    return None if value is None else _EVENT.decode(value)


def names_in(told: Event) -> set[str]:
    """Return the ids of the context that an event is of, and of the session."""
    sessions = {session.decode() for session in _SESSION.findall(told.data)}
    return {id_text(Kind.CONTEXT, ContextId(told.context)), *sessions}


def events(rows: Rows) -> Iterator[tuple[str, Event]]:
    """Yield all events with their ids."""
    for key, value in rows.range(EVENT):
        yield key[1:-1].hex(), _EVENT.decode(value)


def of_key(context: bytes, event: str) -> bytes:
    """Return the key by which an event is found as one of a context."""
    return b"%b%b%b\0" % (OF, context, bytes.fromhex(event))


def of_context(rows: Rows, context: bytes) -> Iterator[str]:
    """Yield the ids of the events of a context."""
    for key, _ in rows.range(OF + context):
        yield key[_HEAD:-1].hex()


def age_key(time_ms: int, event: str) -> bytes:
    """Return the key by which an event is found when it is old."""
    return b"%b%b%b%b\0" % (AGE, ALL, time_ms.to_bytes(8, "big"), bytes.fromhex(event))


def ages(rows: Rows) -> Iterator[tuple[bytes, Due]]:
    """Yield the events by key, with the time from which their age counts, oldest first."""
    for key, _ in rows.range(AGE + ALL):
        yield key, _due(key)


def delivery_key(endpoint: bytes, time_ms: int, event: str) -> bytes:
    """Return the key of a delivery to an endpoint, given by its hash, that was planned at a time."""
    return b"%b%b%b%b\0" % (DELIVERY, endpoint, (_U64 - time_ms).to_bytes(8, "big"), bytes.fromhex(event))


def decode_delivery(value: bytes) -> Delivery:
    """Return what a delivery's row says."""
    return _DELIVERY.decode(value)


def read_delivery(rows: Rows, event: str, endpoint: str) -> tuple[bytes, Delivery] | None:
    """Return a delivery and its key, None where it is unknown, or forgotten."""
    found = read_event(rows, event)
    if found is None:
        return None
    key = delivery_key(endpoint_hash(endpoint), found.planned_ms, event)
    value = rows.get(key)
    return None if value is None else (key, _DELIVERY.decode(value))


def planned_ms(key: bytes) -> int:
    """Return when the delivery of a key was planned."""
    return _U64 - int.from_bytes(key[_HEAD : _HEAD + 8], "big")


def due_key(endpoint: bytes, time_ms: int, event: str) -> bytes:
    """Return the key that says when an endpoint, given by its hash, is sent an event."""
    return b"%b%b%b%b\0" % (DUE, endpoint, time_ms.to_bytes(8, "big"), bytes.fromhex(event))


def due(rows: Rows, endpoint: bytes) -> Iterator[Due]:
    """Yield what an endpoint, given by its hash, is to be sent, what is due first before the others."""
    for key, _ in rows.range(DUE + endpoint):
        yield _due(key)


def _due(key: bytes) -> Due:
    return Due(int.from_bytes(key[_HEAD : _HEAD + 8], "big"), key[_HEAD + 8 : -1].hex())


def order_prefix(endpoint: bytes, context: bytes) -> bytes:
    """Return what the keys of an endpoint's order rows for a context begin with."""
    return ORDER + endpoint + context


def order_key(endpoint: bytes, context: bytes, offset: int, number: int) -> bytes:
    """Return the key of an order row: where it was planned, or was to be sent again."""
    return order_prefix(endpoint, context) + offset.to_bytes(8, "big") + number.to_bytes(4, "big")


def endpoint_key(endpoint: bytes) -> bytes:
    """Return the key of an endpoint, given by its hash."""
    return ENDPOINT + ALL + endpoint


def read_endpoint(rows: Rows, endpoint: str) -> Endpoint:
    """Return what is pending for an endpoint."""
    value = rows.get(endpoint_key(endpoint_hash(endpoint)))
    return Endpoint(endpoint) if value is None else _ENDPOINT.decode(value)


def endpoints(rows: Rows) -> Iterator[Endpoint]:
    """Yield the endpoints for which something is pending."""
    for _, value in rows.range(ENDPOINT + ALL):
        yield _ENDPOINT.decode(value)
