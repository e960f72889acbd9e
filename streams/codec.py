"""
The wire: events ↔ JSON, feed messages and subscriptions ↔ msgpack. Everything that is stored goes through here.

A record that is no event of ours, or breaks the rules of its type, is poison; an event of ours of a type that this
version does not know is worse: skipping it would lose it.
"""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec
from msgspec import UNSET

from streams.domain.dead_letters import parse_place
from streams.domain.errors import NewerEventError, PoisonError
from streams.domain.events import (
    ContextAttached,
    ContextCreated,
    ContextDetached,
    ContextEvent,
    ItemHidden,
    ItemPut,
    ItemRemoved,
    ItemsPut,
    ItemsReplaced,
    SessionCreated,
    SessionEvent,
)
from streams.domain.feed import Change, FeedMessage, Operation, Snapshot, Subscription, Wipe
from streams.domain.idempotency_events import AnyKeyEvent
from streams.domain.ids import ID_BYTES, ContextId, EventId, Kind, SessionId, id_text, parse_id
from streams.domain.items import Item, content_id_fault, item_faults
from streams.domain.notices import Notice
from streams.domain.webhook_events import AnyWebhookEvent, ContextForgotten, DeliveriesPlanned, SessionForgotten

MAX_EVENT_BYTES = (1 << 20) + (4 << 10)
"""An item is never larger encoded than it was sent, so this is the largest body, and what an event says beside it."""
_TAG = re.compile(r"(context|session|registry|webhook|key)\.[a-z0-9_]+\.v[0-9]+")
_ID_CHARACTERS = 43
_APPEND = re.compile("[0-9a-f]{16}")

E = TypeVar("E", ContextEvent, SessionEvent, AnyWebhookEvent)
D = TypeVar("D")
M = TypeVar("M", FeedMessage, Subscription, Notice)

_CONTEXT_EVENT: msgspec.json.Decoder[ContextEvent] = msgspec.json.Decoder(ContextEvent)
_SESSION_EVENT: msgspec.json.Decoder[SessionEvent] = msgspec.json.Decoder(SessionEvent)
_WEBHOOK_EVENT: msgspec.json.Decoder[AnyWebhookEvent] = msgspec.json.Decoder(AnyWebhookEvent)
_KEY_EVENT: msgspec.json.Decoder[AnyKeyEvent] = msgspec.json.Decoder(AnyKeyEvent)
_FEED: msgspec.msgpack.Decoder[FeedMessage] = msgspec.msgpack.Decoder(FeedMessage)
_SUBSCRIPTION: msgspec.msgpack.Decoder[Subscription] = msgspec.msgpack.Decoder(Subscription)

_NOTICE: msgspec.msgpack.Decoder[Notice] = msgspec.msgpack.Decoder(Notice)


class _Tagged(msgspec.Struct):
    type: str


_TAGGED = msgspec.json.Decoder(_Tagged)


def event_key(kind: Kind, raw: bytes, event_id: str, append: str = "") -> bytes:
    """
    Return the record key of an event: `<id>/<event id>`, unique, so that one event can be removed for good.

    An event that may be appended again has a key of its own each time: *append*, 16 hexadecimal digits, follows.
    """
    return f"{id_text(kind, raw)}/{event_id}{append and '/'}{append}".encode()


def encode_event(event: ContextEvent | SessionEvent | AnyWebhookEvent | AnyKeyEvent) -> bytes:
    """Return an event's JSON."""
    return msgspec.json.encode(event)


def decode_context_event(key: bytes | None, value: bytes | None) -> tuple[ContextId, ContextEvent]:
    """
    Return the event of a record of `context-events`, and its context.

    Raises:
        PoisonError: It is none, or breaks the rules of its type.
        NewerEventError: It was written by a newer version.
    """
    raw, event_id = _key(Kind.CONTEXT, key)
    event = _event(_CONTEXT_EVENT, value, event_id)
    match event:
        case ItemPut():
            _item(event.item)
            _id(Kind.APP, event.app)
        case ItemsPut() | ItemsReplaced():
            for item in event.items:
                _item(item)
            _id(Kind.APP, event.app)
        case ItemRemoved() | ItemHidden():
            fault = content_id_fault(event.content_id)
            if fault:
                raise PoisonError(f"content_id: {fault[1]}")
        case ContextCreated():
            _id(Kind.APP, event.app)
    return ContextId(raw), event


def decode_session_event(key: bytes | None, value: bytes | None) -> tuple[SessionId, SessionEvent]:
    """
    Return the event of a record of `session-events`, and its session.

    Raises:
        PoisonError: It is none, or breaks the rules of its type.
        NewerEventError: It was written by a newer version.
    """
    raw, event_id = _key(Kind.SESSION, key)
    event = _event(_SESSION_EVENT, value, event_id)
    match event:
        case SessionCreated():
            _id(Kind.PLATFORM, event.platform)
        case ContextAttached():
            _id(Kind.APP, event.app)
            _id(Kind.CONTEXT, event.context)
        case ContextDetached():
            _id(Kind.CONTEXT, event.context)
    return SessionId(raw), event


def decode_key_event(key: bytes | None, value: bytes | None) -> tuple[bytes, AnyKeyEvent]:
    """
    Return the event of a record of `idempotency-keys`, and its key.

    Raises:
        PoisonError: It is none, or breaks the rules of its type.
        NewerEventError: It was written by a newer version.
    """
    return _raw_key(key), _decoded(_KEY_EVENT, value)


def encode_message(message: FeedMessage | Subscription | Notice) -> bytes:
    """Return the msgpack of a feed message, a subscription or a notice."""
    return msgspec.msgpack.encode(message)


def decode_feed(key: bytes | None, value: bytes | None) -> tuple[SessionId, FeedMessage]:
    """
    Return the message of a record of the session feed, and the session it goes to.

    Raises:
        PoisonError: It is none.
    """
    message = _message(_FEED, value)
    operations: list[Operation] = []
    match message:
        case Change():
            operations = message.operations
        case Snapshot():
            operations = message.items
            if any(operation.fragment is None for operation in operations):
                raise PoisonError("a snapshot removes nothing")
    if any(b"\0" in operation.content_id for operation in operations):
        raise PoisonError("a content id holds a zero byte")
    return SessionId(_raw_key(key)), message


def decode_subscription(key: bytes | None, value: bytes | None) -> tuple[ContextId, Subscription]:
    """
    Return the message of a record of the context subscriptions, and the context it goes to.

    Raises:
        PoisonError: It is none.
    """
    message = _message(_SUBSCRIPTION, value)
    if not isinstance(message, Wipe) and len(message.session) != ID_BYTES:
        raise PoisonError("the session is not an id")
    return ContextId(_raw_key(key)), message


def decode_notice(key: bytes | None, value: bytes | None) -> tuple[ContextId, Notice]:
    """
    Return the message of a record of the notices, and the context that it is about.

    Raises:
        PoisonError: It is none.
    """
    notice = _message(_NOTICE, value)
    if len(notice.of) != ID_BYTES or len(notice.app) != ID_BYTES:
        raise PoisonError("whose record it is, or the app, is not an id")
    return ContextId(_raw_key(key)), notice


def encode_webhook_event(event: AnyWebhookEvent) -> bytes:
    """
    Return an event's JSON, once it is known that it can be read.

    It says what others have answered: what no fold takes would be as if it had never been written.

    Raises:
        PoisonError: It breaks the rules of its type.
    """
    try:
        value = encode_event(event)
    except (ValueError, OverflowError) as error:
        raise PoisonError(f"the event cannot be written: {error}") from error
    decode_webhook_event(event.id.encode(), value)
    return value


def decode_webhook_event(key: bytes | None, value: bytes | None) -> AnyWebhookEvent:
    """
    Return the event of a record of `webhook-events`.

    Raises:
        PoisonError: It is none, or breaks the rules of its type.
        NewerEventError: It was written by a newer version.
    """
    if key is None:
        raise PoisonError("the record has no key")
    event = _event(_WEBHOOK_EVENT, value, EventId(key.decode("ascii", "replace")))
    if isinstance(event, DeliveriesPlanned):
        for planned in event.events:
            _id(Kind.CONTEXT, planned.context)
    elif isinstance(event, ContextForgotten):
        _id(Kind.CONTEXT, event.context)
    elif isinstance(event, SessionForgotten):
        _id(Kind.SESSION, event.session)
    return event


def _key(kind: Kind, key: bytes | None) -> tuple[bytes, EventId]:
    if key is None:
        raise PoisonError("the record has no key")
    try:
        text = key.decode("ascii")
    except UnicodeDecodeError as error:
        raise PoisonError("the key is not ASCII") from error
    raw = parse_id(kind, text[:_ID_CHARACTERS])
    if raw is None or text[_ID_CHARACTERS : _ID_CHARACTERS + 1] != "/":
        raise PoisonError(f"the key is not <{kind.value} id>/<event id>")
    event_id, slash, append = text[_ID_CHARACTERS + 1 :].partition("/")
    if slash and _APPEND.fullmatch(append) is None:
        raise PoisonError("the key does not end in an event id, or in 16 hexadecimal digits after it")
    return raw, EventId(event_id)


def id_in_key(kind: Kind, key: bytes | None) -> bytes | None:
    """Return the raw id in a record key as `event_key` makes them, None where it is no such key."""
    try:
        return _key(kind, key)[0]
    except PoisonError:
        return None


def _decoded(decoder: msgspec.json.Decoder[D], value: bytes | None) -> D:
    if value is None:
        raise PoisonError("the record has no value")
    if len(value) > MAX_EVENT_BYTES:
        raise PoisonError(f"the record has {len(value)} bytes")
    try:
        return decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        _stop_at_newer(value)
        raise PoisonError(f"no event of this topic: {error}") from error


def _event(decoder: msgspec.json.Decoder[E], value: bytes | None, event_id: EventId) -> E:
    event = _decoded(decoder, value)
    if event.id != event_id:
        raise PoisonError("the event's id is not the one in the key")
    corrects = getattr(event, "corrects", UNSET)
    if corrects is not UNSET and parse_place(corrects) is None:
        raise PoisonError(f"corrects: not a place: {corrects[:64]!r}")
    return event


def _stop_at_newer(value: bytes) -> None:
    """Raise NewerEventError where *value* is an event of ours with a tag that nobody here knows."""
    try:
        tag = _TAGGED.decode(value).type
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return
    if _TAG.fullmatch(tag) and tag not in known_tags():
        raise NewerEventError(f"an event of type {tag}, written by a newer version")


def known_tags() -> frozenset[str]:
    """Return the tags of every event that this version knows, but for those of the registry."""
    types = (*ContextEvent.__args__, *SessionEvent.__args__, *AnyWebhookEvent.__args__, *AnyKeyEvent.__args__)
    return frozenset(str(event.__struct_config__.tag) for event in types)


def _item(item: Item) -> None:
    faults = item_faults(item)
    if faults:
        raise PoisonError("; ".join(f"{fault.name}: {fault.message}" for fault in faults))


def _id(kind: Kind, text: str) -> None:
    if parse_id(kind, text) is None:
        raise PoisonError(f"not an id of a {kind.name.lower()}: {text[:64]!r}")


def _raw_key(key: bytes | None) -> bytes:
    if key is None or len(key) != ID_BYTES:
        raise PoisonError("the key is not a raw id")
    return key


def _message(decoder: msgspec.msgpack.Decoder[M], value: bytes | None) -> M:
    if value is None:
        raise PoisonError("the record has no value")
    try:
        message = decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PoisonError(f"no message of this topic: {error}") from error
    context = getattr(message, "context", None)
    if context is not None and len(context) != ID_BYTES:
        raise PoisonError("the context is not an id")
    return message
