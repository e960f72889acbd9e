"""Templates: what a platform's computed attributes are made from, out of what apps tell it and items' own fields."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple
from urllib.parse import quote

ValueType = Literal["STRING", "INTEGER", "BOOLEAN", "URL"]
Value = str | int | bool

ITEM_FIELDS: Mapping[str, ValueType] = {
    "content_id": "STRING",
    "app_id": "STRING",
    "context_id": "STRING",
    "updated_at": "STRING",
    "action": "STRING",
    "media_type": "STRING",
    "title": "STRING",
    "description": "STRING",
    "season": "INTEGER",
    "episode": "INTEGER",
    "poster_art_uri": "STRING",
    "poster_art_aspect_ratio": "STRING",
    "preview_video_uri": "STRING",
    "position": "INTEGER",
    "duration": "INTEGER",
    "hidden": "BOOLEAN",
}
"""An item's own fields, as sessions see them: what a name in a template means where no attribute has it."""
MAX_ITEM_FIELDS = 16
"""Places in one computed value for fields of the item, those of the attributes that it refers to counted."""
MAX_DEPTH = 16
"""Attributes each of which refers to the next."""
MAX_TEXT = 4_096
"""Characters of the rest of it. Without these bounds, a few lines that each double the one before fill a page."""

_REFERENCE = re.compile(r"\{\{([a-z][a-z0-9_]*)\}\}")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+")
_TEXTS = frozenset({"STRING", "URL"})
_ANY: Mapping[ValueType, Value] = {"STRING": "", "URL": "", "INTEGER": 0, "BOOLEAN": False}


class Attribute(NamedTuple):
    """One attribute of a platform: computed where there is a template, else requested of each app."""

    value_type: ValueType = "STRING"
    required: bool = False
    """Whether an app must tell it."""
    template: str | None = None
    encodes: bool = False
    """Whether values are percent-encoded: of a computed one, those in its template; of a requested one, in any."""


Attributes = Mapping[str, Attribute]
"""A platform's attributes by name; not those computed ones that have no template, and so no value ever."""


class ItemField(NamedTuple):
    """A place in a computed value for a field of the item, percent-encoded so many times."""

    name: str
    encoded: int


Parts = Sequence[str | ItemField]
"""A computed value: text as it is, and fields of the item."""


FaultCode = Literal["malformed", "unknown", "cycle", "too_long", "wrong_type"]


class Fault(NamedTuple):
    """Why a computed attribute has no value, whatever apps tell the platform."""

    attribute: str
    code: FaultCode
    name: str
    """What its template refers to and is not there; else empty."""


def fits(value_type: ValueType, value: Value) -> bool:
    """Say whether *value* is one of a type."""
    match value_type:
        case "INTEGER":
            return isinstance(value, int) and not isinstance(value, bool)
        case "BOOLEAN":
            return isinstance(value, bool)
        case "URL":
            return isinstance(value, str) and _URL.fullmatch(value) is not None
        case "STRING":
            return isinstance(value, str)


def faults(attributes: Attributes) -> Sequence[Fault]:
    """Return everything that keeps computed attributes from having values; that others then lack them, is left out."""
    requested = {name: one for name, one in attributes.items() if one.template is None}
    expansion = _Expansion(attributes, {name: _ANY[one.value_type] for name, one in requested.items()})
    expansion.run()
    return expansion.faults


def computed(attributes: Attributes, values: Mapping[str, Value]) -> Mapping[str, Parts]:
    """
    Return the computed attributes that have a value, in the order of *attributes*. Never fails.

    Args:
        attributes: Of a platform, whatever is wrong with them.
        values: Of requested attributes, each of its attribute's type; those that an app has told.
    """
    return _Expansion(attributes, values).run()


class _Expansion:
    """Writes attributes out, until nothing but text and fields of items is left."""

    def __init__(self, attributes: Attributes, values: Mapping[str, Value]) -> None:
        self._attributes, self._values = attributes, values
        self._entered: list[str] = []
        self._known: dict[str, Parts | None] = {}
        self.faults: list[Fault] = []

    def run(self) -> Mapping[str, Parts]:
        """Return the computed attributes that have a value."""
        every = {name: self._of(name) for name, one in self._attributes.items() if one.template is not None}
        return {name: parts for name, parts in every.items() if parts is not None}

    def _of(self, name: str) -> Parts | None:
        """Return an attribute's value, None where it has none."""
        template = self._attributes[name].template
        if template is None:
            return _text(text_of(self._values[name])) if name in self._values else None
        if name in self._entered:
            self._note("cycle")
            return None
        if name not in self._known:
            self._entered.append(name)
            self._known[name] = self._written_out(self._attributes[name], _REFERENCE.split(template))
            self._entered.pop()
        return self._known[name]

    def _written_out(self, attribute: Attribute, pieces: Sequence[str]) -> Parts | None:
        """Return a value; *pieces* are the template's texts and, in between, names."""
        if self._is_faulty(attribute, pieces):
            return None
        written: list[str | ItemField] = []
        for place, piece in enumerate(pieces):
            value = self._inserted(piece, attribute) if place % 2 else _text(piece)
            if value is None:
                return None
            written += value
        if not self._is_short(written):
            self._note("too_long")
            return None
        return written

    def _is_faulty(self, attribute: Attribute, pieces: Sequence[str]) -> bool:
        """Note what is wrong with the template itself; say whether anything is."""
        unknown = [name for name in pieces[1::2] if name not in self._attributes and name not in ITEM_FIELDS]
        if any("{{" in text or "}}" in text for text in pieces[::2]):
            self._note("malformed")
        elif len(self._entered) > MAX_DEPTH:
            self._note("too_long")
        elif unknown:
            for name in dict.fromkeys(unknown):
                self._note("unknown", name)
        elif attribute.value_type not in _TEXTS and not self._is_one(pieces, attribute.value_type):
            self._note("wrong_type")
        else:
            return False
        return True

    def _is_one(self, pieces: Sequence[str], value_type: ValueType) -> bool:
        """Say whether a template is nothing but one reference to a value of that type."""
        if len(pieces) != 3 or pieces[0] or pieces[2]:
            return False
        referred = self._attributes.get(pieces[1])
        return value_type == (ITEM_FIELDS[pieces[1]] if referred is None else referred.value_type)

    def _inserted(self, name: str, into: Attribute) -> Parts | None:
        """Return what stands for a reference, None where that has no value."""
        referred = self._attributes.get(name)
        value: Parts | None = [ItemField(name, 0)] if referred is None else self._of(name)
        encodes = into.encodes or (referred is not None and referred.template is None and referred.encodes)
        return [_encoded(part) for part in value] if value is not None and encodes else value

    def _is_short(self, written: Parts) -> bool:
        texts = [part for part in written if isinstance(part, str)]
        return len(written) - len(texts) <= MAX_ITEM_FIELDS and sum(map(len, texts)) <= MAX_TEXT

    def _note(self, code: FaultCode, name: str = "") -> None:
        """Note what is wrong with the attribute that is being written out: it has no value."""
        self.faults.append(Fault(self._entered[-1], code, name))


def _text(text: str) -> Parts:
    """Return *text* as a value; nothing is no part, of which there would be no bound."""
    return [text] if text else []


def text_of(value: Value) -> str:
    """Return a value as it is written into a template."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def percent_encoded(text: str) -> str:
    """
    Return *text* with all but letters, digits and `-._~` percent-encoded.

    Source:
        RFC 3986, 2.1 and 2.3; UTF-8.
    """
    return quote(text, safe="")


def _encoded(part: str | ItemField) -> str | ItemField:
    # Percent-encoding goes character by character: what is put together later is encoded now.
    return percent_encoded(part) if isinstance(part, str) else ItemField(part.name, part.encoded + 1)
