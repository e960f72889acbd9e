"""What an app's items are closed with in a platform's lists: `platform_data` and `app_media`, as JSON."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw

from streams.domain.items import content_id_json
from streams.domain.templates import Attributes, ItemField, Parts, Value, computed, fits, percent_encoded

MAX_BYTES = 16 << 10
"""Of one item's attributes: as much as an item may have itself. Those that do not fit any more are left out."""

_TEXTS = frozenset({"STRING", "URL"})
_is_unreserved = re.compile(rb"[A-Za-z0-9._~-]*").fullmatch
_START = b',"platform_data":{'


Texts = tuple[bytes | None, ...]
"""Fields of an item, each as it is written in a string of JSON; None where the item lacks it."""


class _Member(NamedTuple):
    """An attribute in `platform_data`: its name and value as JSON."""

    template: bytes
    """With `%b` where a field of the item goes."""
    places: tuple[int, ...]
    """Which of the fields go there."""


class AppExtras:
    """
    Implements `service.ports.Extras`: whatever does not depend on the item is written once, in here.

    Nothing fails: an attribute that has no value is left out.
    """

    def __init__(self, attributes: Attributes, values: Mapping[str, Value], media: Mapping[str, str]) -> None:
        """
        Write what can be written without an item.

        Args:
            attributes: The platform's.
            values: What the app tells the platform, whether it is asked for and of the right type or not.
            media: The app's files: name → URL.
        """
        told = {name: values[name] for name in attributes if _is_told(attributes, values, name)}
        made = computed(attributes, told)
        self._fields: list[ItemField] = []
        self._members: list[_Member] = []
        for name, attribute in attributes.items():
            if name in told:
                self._members.append(_Member(_named(name, _escaped(msgspec.json.encode(told[name]))), ()))
            elif name in made:
                quote = b'"' if attribute.value_type in _TEXTS else b""
                self._members.append(self._member(name, made[name], quote))
        self._end = b'},"app_media":%b}' % msgspec.json.encode(media)
        # Almost always an item has all that is asked of it: then all attributes are written at one go.
        self._template = _START + b",".join([member.template for member in self._members]) + _escaped(self._end)
        self._places = [place for member in self._members for place in member.places]
        self._is_in_order = self._places == list(range(len(self._fields)))
        self._longest = len(_START) + MAX_BYTES + len(self._end)
        self.size = len(self._template) + sum(len(member.template) for member in self._members)
        """About how many bytes it takes."""
        self.tag = blake2b(repr((self._template, self._places, self._fields)).encode(), digest_size=12).hexdigest()
        self._read = _reader(tuple(self._fields))
        self.end = None if self._fields else self._closed(())

    def closing(self, fragment: bytes) -> bytes:
        """Return what the fragment of an item is closed with."""
        return self._closed(self._read(fragment)) if self.end is None else self.end

    def _member(self, name: str, parts: Parts, quote: bytes) -> _Member:
        texts = [b"%b" if isinstance(part, ItemField) else _escaped(_inner(part)) for part in parts]
        places = [self._place(part) for part in parts if isinstance(part, ItemField)]
        return _Member(_named(name, quote + b"".join(texts) + quote), tuple(places))

    def _place(self, field: ItemField) -> int:
        if field not in self._fields:
            self._fields.append(field)
        return self._fields.index(field)

    def _closed(self, texts: Texts) -> bytes:
        if None not in texts:
            placed = texts if self._is_in_order else tuple([texts[place] for place in self._places])
            # Before it is written: what is too long may be so a thousand times.
            if len(self._template) + sum(map(len, placed)) <= self._longest:  # type: ignore[arg-type] # none is None
                return self._template % placed
        left = MAX_BYTES + 1
        members: list[bytes] = []
        for template, places in self._members:
            written = tuple([texts[place] for place in places])
            if None in written or sum(map(len, written)) >= left:  # type: ignore[arg-type] # none is None
                continue
            json = template % written
            if len(json) < left:
                left -= len(json) + 1
                members.append(json)
        return _START + b",".join(members) + self._end


def _is_told(attributes: Attributes, values: Mapping[str, Value], name: str) -> bool:
    attribute = attributes[name]
    return attribute.template is None and name in values and fits(attribute.value_type, values[name])


def _named(name: str, json: bytes) -> bytes:
    return _escaped(msgspec.json.encode(name)) + b":" + json


def _inner(text: str) -> bytes:
    """Return *text* as it stands within a string of JSON."""
    return msgspec.json.encode(text)[1:-1]


def _escaped(json: bytes) -> bytes:
    """Return *json* as it stands in what bytes are formatted with."""
    return json.replace(b"%", b"%%")


def _reader(fields: Sequence[ItemField]) -> Callable[[bytes], Texts]:
    """Return what reads fields of an item from its fragment, as they are written in a string of JSON."""
    if len(fields) == 1 and fields[0].name == "content_id":
        # What most links are made of stands first: it is had for a fifth of what looking through the item takes.
        encoded = fields[0].encoded
        return lambda fragment: (_encoded(content_id_json(fragment), encoded),)
    decode = _decoder(tuple(sorted({field.name for field in fields})))

    def read(fragment: bytes) -> Texts:
        item = decode(fragment + b"}")
        return tuple([_written(bytes(getattr(item, name)), encoded) for name, encoded in fields])

    return read


@lru_cache(maxsize=128)
def _decoder(names: Sequence[str]) -> Callable[[bytes], Any]:
    """Return what reads these fields of a JSON object as JSON, empty where they are not there; it skips all others."""
    fields = [(name, Raw, Raw(b"")) for name in names]
    return msgspec.json.Decoder(msgspec.defstruct("ItemFields", fields, gc=False)).decode


def _written(json: bytes, encoded: int) -> bytes | None:
    """Return a JSON value as it stands in a string of JSON, percent-encoded so many times; None for none."""
    return _encoded(json[1:-1] if json.startswith(b'"') else json, encoded) if json else None


def _encoded(text: bytes, times: int) -> bytes | None:
    """Return text within a string of JSON, percent-encoded so many times; None where that is too long to be shown."""
    if not times or _is_unreserved(text):
        return text
    once, again = _percent_encoded(text), times - 1
    # Of what is encoded already, only the percent signs are written differently.
    if len(once) + once.count(b"%") * 2 * again > MAX_BYTES:
        return None
    return once.replace(b"%", b"%" + b"25" * again) if again else once


@lru_cache(maxsize=256)
def _percent_encoded(text: bytes) -> bytes:
    decoded: str = msgspec.json.decode(b'"%b"' % text)
    return percent_encoded(decoded).encode()


NO_EXTRAS = AppExtras({}, {}, {})
"""Of an app without files, on a platform without attributes."""
