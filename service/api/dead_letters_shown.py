"""Dead letters as people see them: what can be read of bytes that no fold could."""

from __future__ import annotations

import base64
from typing import Any

import msgspec

from service.api.kinds import API, Json, link
from streams.domain.dead_letters import Decided, FoundLetter
from streams.domain.ids import ID_BYTES, Kind, id_text
from streams.domain.times import iso_ms
from streams.topics import view_topics

PATH = f"{API}/deadletters"
MOST_LISTED_BYTES = 1_024
"""Of a value in a list, as much is shown; one letter alone shows all that it has."""
_NAMES = view_topics("")
_PACKED = {_NAMES.subscriptions: Kind.CONTEXT, _NAMES.feed: Kind.SESSION}
"""How topics of messages between the processors end, and of what their keys are the raw ids."""


def show_letter(found: FoundLetter, *, most_bytes: int | None = None) -> Json:
    """
    Return a letter, with at most *most_bytes* of its key and value.

    What was said in them is shown as JSON where they are that, or MessagePack of ours; else as text and in hexadecimal.
    """
    letter = found.letter
    return {
        "id": letter.place.text,
        "url": f"{PATH}/{letter.place.text}",
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "time": iso_ms(letter.time_ms),
        "reason": letter.reason,
        "key": _key(letter.topic, _bytes(letter.key, most_bytes)),
        "value": _value(letter.topic, _bytes(letter.value, most_bytes)),
        "valueBytes": letter.value_bytes,
        "decision": None if found.decided is None else _decision(found.decided),
    }


def _decision(decided: Decided) -> Json:
    decision = decided.decision
    return {
        "what": decision.what,
        "user": link("users", decided.by),
        "time": iso_ms(decided.at_ms),
        "of": decision.of or None,
        "standsAt": decision.stands_at or None,
    }


def _bytes(text: str | None, most: int | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)[:most]


def _packed(topic: str) -> Kind | None:
    return next((kind for end, kind in _PACKED.items() if topic.endswith(end)), None)


def _key(topic: str, key: bytes | None) -> Json | None:
    kind = _packed(topic)
    if key is not None and kind is not None and len(key) == ID_BYTES:
        return {"text": id_text(kind, key), "hex": key.hex()}
    return None if key is None else _said(key)


def _value(topic: str, value: bytes | None) -> Json | None:
    if value is None:
        return None
    try:
        if _packed(topic) is not None:
            return {"json": _plain(msgspec.msgpack.decode(value))}
        msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _said(value)
    return {"json": msgspec.Raw(value)}


def _said(content: bytes) -> Json:
    return {"text": content.decode("utf-8", "replace"), "hex": content.hex()}


def _plain(value: Any) -> Any:
    """Return a MessagePack value as JSON has it: bytes in hexadecimal, what JSON lacks as text."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case bytes():
            return value.hex()
        case list():
            return [_plain(one) for one in value]
        case dict():
            return {str(_plain(name)): _plain(one) for name, one in value.items()}
        case _:
            return str(value)
