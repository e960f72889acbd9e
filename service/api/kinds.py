"""Kinds of fields: what is accepted, how it is stored, how it is shown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from streams.domain.registry_events import Reference
from streams.domain.registry_state import RegistryState, StoredObject

Json = dict[str, Any]

API = "/api/v1"
# The paths `.` and `..` are folded away by clients, so nothing could be found under them.
OBJECT_ID = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,64}")


class BrokenValueError(ValueError):
    """A value is not what its field takes."""

    def __init__(self, code: str, text: str, **params: str) -> None:
        """Take the message's code, its text (`{{field}}` is the field), and its other parameters."""
        super().__init__(code)
        self.code, self.text, self.params = code, text, params


class DanglingError(ValueError):
    """A link leads nowhere that the object may refer to."""

    def __init__(self, types: Sequence[str], object_id: str) -> None:
        """Take the types that it may lead to, and the id."""
        super().__init__(object_id)
        self.types, self.object_id = types, object_id


class Place(NamedTuple):
    """Where a value is read."""

    state: RegistryState
    company: str | None
    """Of the object that is written."""
    before: object
    """What is stored in the field now, None where nothing is."""
    allows_loopback: bool = False
    """Whether the deployment calls this machine, in plain HTTP."""


class Kind(Protocol):
    """How the values of a field are read, stored and shown."""

    def read(self, value: object, place: Place) -> object:
        """Return *value*, as JSON has it, as it is stored; raise `BrokenValueError` or `DanglingError`."""

    def show(self, stored: Any, of: StoredObject) -> object:
        """Return a stored value as readers of the object see it."""

    def references(self, stored: Any, company: str | None) -> Iterable[Reference]:
        """Return the objects that must be there for a new value to hold."""

    def schema(self) -> Json:
        """Return the JSON schema of what readers see."""


class Plain:
    """What is stored as it is shown, and refers to nothing."""

    def show(self, stored: Any, _of: StoredObject) -> object:
        """Return what is stored."""
        return stored

    def references(self, _stored: Any, _company: str | None) -> Iterable[Reference]:
        """Return nothing."""
        return ()


@dataclass(frozen=True)
class Text(Plain):
    """A string of *least* to *most* characters, which may have to match *pattern*; *what* says in words what it is."""

    most: int
    least: int = 1
    pattern: str = ""
    what: str = ""

    def read(self, value: object, _place: Place) -> object:
        """Return the string."""
        if not isinstance(value, str):
            raise BrokenValueError("field.wrong.type", "{{field}} must be a string")
        if not self.least <= len(value) <= self.most:
            text = "{{field}} must have {{least}} to {{most}} characters"
            raise BrokenValueError("field.length", text, least=str(self.least), most=str(self.most))
        if self.pattern and not re.fullmatch(self.pattern, value):
            raise BrokenValueError("field.format", "{{field}} must be {{what}}", what=self.what)
        return value

    def schema(self) -> Json:
        """Return the JSON schema."""
        pattern = {"pattern": f"^(?:{self.pattern})$"} if self.pattern else {}
        return {"type": "string", "minLength": self.least, "maxLength": self.most, **pattern}


COUNTRY = Text(2, least=2, pattern="[A-Z]{2}", what="two capital letters, as in ISO 3166")
EMAIL = Text(254, least=3, pattern=r"[^@\s]+@[^@\s]+", what="an e-mail address")


@dataclass(frozen=True)
class Flag(Plain):
    """True or false."""

    def read(self, value: object, _place: Place) -> object:
        """Return the bool."""
        if not isinstance(value, bool):
            raise BrokenValueError("field.wrong.type", "{{field}} must be true or false")
        return value

    def schema(self) -> Json:
        """Return the JSON schema."""
        return {"type": "boolean"}


@dataclass(frozen=True)
class Number(Plain):
    """An integer from *least* to *most*."""

    least: int
    most: int

    def read(self, value: object, _place: Place) -> object:
        """Return the integer."""
        if not isinstance(value, int) or isinstance(value, bool):
            raise BrokenValueError("field.wrong.type", "{{field}} must be an integer")
        if not self.least <= value <= self.most:
            text = "{{field}} must be {{least}} to {{most}}"
            raise BrokenValueError("field.range", text, least=str(self.least), most=str(self.most))
        return value

    def schema(self) -> Json:
        """Return the JSON schema."""
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True)
class Choice(Plain):
    """One of some words."""

    words: tuple[str, ...]

    def read(self, value: object, _place: Place) -> object:
        """Return the word."""
        if not isinstance(value, str) or value not in self.words:
            words = ", ".join(self.words)
            raise BrokenValueError("field.choice", "{{field}} must be one of {{choices}}", choices=words)
        return value

    def schema(self) -> Json:
        """Return the JSON schema."""
        return {"enum": list(self.words)}


@dataclass(frozen=True)
class Many(Plain):
    """A list of at most *most* different values of a plain kind, in the order given."""

    element: Kind
    most: int = 1_000

    def read(self, value: object, place: Place) -> object:
        """Return the list; a broken element makes the whole field broken."""
        if not isinstance(value, list):
            raise BrokenValueError("field.wrong.type", "{{field}} must be a list")
        if len(value) > self.most:
            raise BrokenValueError("field.length", "{{field}} must have at most {{most}} elements", most=str(self.most))
        elements = [self.element.read(element, place) for element in value]
        if len(set(map(str, elements))) != len(elements):
            raise BrokenValueError("field.repeated", "{{field}} must not have an element twice")
        return elements

    def schema(self) -> Json:
        """Return the JSON schema."""
        return {"type": "array", "items": self.element.schema(), "maxItems": self.most, "uniqueItems": True}


@dataclass(frozen=True)
class Numbers(Plain):
    """An object of integers, all of them required."""

    names: tuple[str, ...]
    element: Number

    def read(self, value: object, place: Place) -> object:
        """Return the object."""
        if not isinstance(value, dict) or set(value) != set(self.names):
            names = ", ".join(self.names)
            raise BrokenValueError("field.wrong.type", "{{field}} must be an object of {{names}}", names=names)
        return {name: self.element.read(value[name], place) for name in self.names}

    def schema(self) -> Json:
        """Return the JSON schema."""
        properties = {name: self.element.schema() for name in self.names}
        required = list(self.names)
        return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


@dataclass(frozen=True)
class Link:
    """An object of one of some types; given by its id, alone or as `{"id"}`."""

    types: tuple[str, ...]
    of_any_company: bool = False
    """Whether it may be one that the company of the object that links to it does not see."""

    def read(self, value: object, place: Place) -> object:
        """Return the type and id of the object, which is there."""
        given = read_id(value)
        # What was there before stays, whatever became of it since.
        if isinstance(place.before, dict) and place.before["id"] == given:
            return place.before
        for type_name in self.types:
            if place.state.resolve(self._reference(type_name, given, place.company)) is not None:
                return {"type": type_name, "id": given}
        raise DanglingError(self.types, given)

    def show(self, stored: Any, _of: StoredObject) -> object:
        """Return the id and the path of the object."""
        return link(stored["type"], stored["id"])

    def references(self, stored: Any, company: str | None) -> Iterable[Reference]:
        """Return the object."""
        return (self._reference(stored["type"], stored["id"], company),)

    def schema(self) -> Json:
        """Return the JSON schema."""
        return LINK_SCHEMA

    def _reference(self, type_name: str, object_id: str, company: str | None) -> Reference:
        return Reference(type_name, object_id, None if self.of_any_company else company)


LINK_SCHEMA: Json = {"$ref": "#/components/schemas/ResourceLink"}


def read_id(value: object) -> str:
    """Return the id that *value* is or has; raise `BrokenValueError` where there is none."""
    given = value.get("id") if isinstance(value, dict) else value
    if not isinstance(given, str) or not OBJECT_ID.fullmatch(given):
        raise BrokenValueError("field.wrong.type", "{{field}} must be an id, or an object that has one")
    return given


def link(type_name: str, object_id: str) -> Json:
    """Return how readers see a reference."""
    return {"id": object_id, "url": f"{API}/{type_name}/{object_id}"}
