"""What an app's items are closed with in a platform's lists: `platform_data` and `app_media`, as JSON."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw

from streams.domain.templates import Attributes, ItemField, Parts, Value, computed, fits, percent_encoded

MAX_BYTES = 16 << 10
"""Of one item's attributes: as much as an item may have itself. Those that do not fit any more are left out."""

_TEXTS = frozenset({"STRING", "URL"})
_UNRESERVED = re.compile(rb"[A-Za-z0-9._~-]*")
_ABSENT = Raw(b"")
_START = b',"platform_data":{'


class _Made(NamedTuple):
    """JSON that is made anew for each item."""

    template: bytes
    """With `%b` where a field of the item goes."""
    places: tuple[int, ...]
    """Which of the fields go there."""

    def json(self, fields: Sequence[bytes | None]) -> bytes | None:
        """Return it, None where the item lacks a field that is in it."""
        written = tuple([fields[place] for place in self.places])
        return None if None in written else self.template % written


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
        self._members: list[_Made] = []
        for name, attribute in attributes.items():
            if name in told:
                self._members.append(self._member(name, _escaped(msgspec.json.encode(told[name])), ()))
            elif name in made:
                quote = b'"' if attribute.value_type in _TEXTS else b""
                self._members.append(self._member(name, quote, made[name], quote))
        self._end = b'},"app_media":%b}' % msgspec.json.encode(media)
        self._whole = _Made(
            _START + b",".join([member.template for member in self._members]) + _escaped(self._end),
            tuple([place for member in self._members for place in member.places]),
        )
        self._longest = len(_START) + MAX_BYTES + len(self._end)
        self.tag = blake2b(repr((self._whole, self._fields)).encode(), digest_size=12).hexdigest()
        self._read = _reader(tuple(sorted({field.name for field in self._fields})))
        self.end = None if self._fields else self._closed(())

    def closing(self, fragment: bytes) -> bytes:
        """Return what the fragment of an item is closed with."""
        return self._closed(self._fields_of(fragment)) if self.end is None else self.end

    def _member(self, name: str, before: bytes, parts: Parts, after: bytes = b"") -> _Made:
        head = _escaped(msgspec.json.encode(name)) + b":" + before
        template = [b"%b" if isinstance(part, ItemField) else _escaped(_inner(part)) for part in parts]
        places = [self._place(part) for part in parts if isinstance(part, ItemField)]
        return _Made(b"".join((head, *template, after)), tuple(places))

    def _place(self, field: ItemField) -> int:
        if field not in self._fields:
            self._fields.append(field)
        return self._fields.index(field)

    def _fields_of(self, fragment: bytes) -> list[bytes | None]:
        """Return those fields of the item that are asked for, as they are written; None for what it lacks."""
        item = self._read(fragment + b"}")
        return [_written(bytes(getattr(item, name)), encoded) for name, encoded in self._fields]

    def _closed(self, fields: Sequence[bytes | None]) -> bytes:
        whole = self._whole.json(fields)
        if whole is not None and len(whole) <= self._longest:
            return whole
        left = MAX_BYTES + 1
        members: list[bytes] = []
        for member in self._members:
            json = member.json(fields)
            if json is not None and len(json) < left:
                left -= len(json) + 1
                members.append(json)
        return _START + b",".join(members) + self._end


def _is_told(attributes: Attributes, values: Mapping[str, Value], name: str) -> bool:
    attribute = attributes[name]
    return attribute.template is None and name in values and fits(attribute.value_type, values[name])


def _written(json: bytes, encoded: int) -> bytes | None:
    """Return a field's JSON as it stands within a string of JSON, percent-encoded so many times; None for nothing."""
    if not json:
        return None
    text = json[1:-1] if json.startswith(b'"') else json
    if not encoded or _UNRESERVED.fullmatch(text):
        return text
    decoded: str = msgspec.json.decode(b'"%b"' % text)
    for _ in range(encoded):
        decoded = percent_encoded(decoded)
    return decoded.encode()


def _inner(text: str) -> bytes:
    """Return *text* as it stands within a string of JSON."""
    return msgspec.json.encode(text)[1:-1]


def _escaped(json: bytes) -> bytes:
    """Return *json* as it stands in what bytes are formatted with."""
    return json.replace(b"%", b"%%")


@lru_cache(maxsize=128)
def _reader(names: Sequence[str]) -> Callable[[bytes], Any]:
    """Return what reads these fields of an item's JSON object and passes over all others: 0.5 µs."""
    fields = [(name, Raw, _ABSENT) for name in names]
    return msgspec.json.Decoder(msgspec.defstruct("ItemFields", fields, gc=False)).decode


NO_EXTRAS = AppExtras({}, {}, {})
"""Of an app without files, on a platform without attributes."""
