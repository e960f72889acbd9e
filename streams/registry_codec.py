"""The registry on the wire: events ↔ JSON."""

from __future__ import annotations

import re

import msgspec

from streams.codec import MAX_EVENT_BYTES
from streams.domain.errors import NewerEventError, PoisonError
from streams.domain.registry_events import AnyRegistryEvent

_EVENT: msgspec.json.Decoder[AnyRegistryEvent] = msgspec.json.Decoder(AnyRegistryEvent)
_TAG = re.compile(r"registry\.[a-z0-9_]+\.v[0-9]+")


class _Tagged(msgspec.Struct):
    type: str


_TAGGED = msgspec.json.Decoder(_Tagged)


def registry_key(event: AnyRegistryEvent) -> bytes:
    """Return the record key of an event: its id, unique, so that one event can be removed for good."""
    return event.id.encode()


def encode_registry_event(event: AnyRegistryEvent) -> bytes:
    """Return an event's JSON."""
    return msgspec.json.encode(event)


def decode_registry_event(key: bytes | None, value: bytes | None) -> AnyRegistryEvent:
    """
    Return the event of a record of `registry-events`.

    Raises:
        PoisonError: It is none, or breaks the rules of its type.
        NewerEventError: It was written by a newer version.
    """
    if key is None or value is None:
        raise PoisonError("the record has no key or no value")
    if len(value) > MAX_EVENT_BYTES:
        raise PoisonError(f"the record has {len(value)} bytes")
    try:
        event = _EVENT.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        _stop_at_newer(value)
        raise PoisonError(f"no event of this topic: {error}") from error
    if registry_key(event) != key:
        raise PoisonError("the event's id is not the record's key")
    return event


def known_registry_tags() -> frozenset[str]:
    """Return the tags of every event of the registry that this version knows."""
    return frozenset(str(event.__struct_config__.tag) for event in AnyRegistryEvent.__args__)


def _stop_at_newer(value: bytes) -> None:
    """Raise NewerEventError where *value* is an event of ours with a tag that nobody here knows."""
    try:
        tag = _TAGGED.decode(value).type
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return
    if _TAG.fullmatch(tag) and tag not in known_registry_tags():
        raise NewerEventError(f"an event of type {tag}, written by a newer version")
