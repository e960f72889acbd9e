"""Platform values: what an app tells a platform, attribute by attribute."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from service.api.kinds import BrokenValueError, Json, Link, Place, Plain
from service.api.messages import Message, invalid, warning
from service.api.pairs import PAIR
from service.api.platform_attributes import ATTRIBUTE_NAME, attributes_of
from service.api.resource import Change, Field, ResourceType
from streams.domain.registry_state import RegistryState, StoredObject
from streams.domain.templates import fits

_MAX_VALUES = 1_000
_MAX_CHARS = 2048
_MAX_NUMBER = 2**53
_MAX_BYTES = 8 << 10
"""Of all values as JSON: each item of the app bears them."""


@dataclass(frozen=True)
class Values(Plain):
    """Values by the names of attributes."""

    def read(self, value: object, place: Place) -> object:
        """Return the values."""
        if not isinstance(value, dict):
            raise BrokenValueError("field.wrong.type", "{{field}} must be an object of values by attribute names")
        if len(value) > _MAX_VALUES:
            text = "{{field}} must have at most {{most}} values"
            raise BrokenValueError("field.length", text, most=str(_MAX_VALUES))
        for name, one in value.items():
            ATTRIBUTE_NAME.read(name, place)
            if not _is_value(one):
                text = "{{field}} must hold strings of at most {{most}} characters, integers, true and false alone"
                raise BrokenValueError("field.wrong.type", text, most=str(_MAX_CHARS))
        if len(msgspec.json.encode(value)) > _MAX_BYTES:
            raise BrokenValueError("field.length", "{{field}} must have at most {{most}} bytes", most=str(_MAX_BYTES))
        return value

    def schema(self) -> Json:
        """Return the JSON schema."""
        one = {"type": ["string", "integer", "boolean"], "maxLength": _MAX_CHARS}
        return {
            "type": "object",
            "propertyNames": ATTRIBUTE_NAME.schema(),
            "additionalProperties": one,
            "maxProperties": _MAX_VALUES,
        }


def _is_value(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= _MAX_CHARS
    return isinstance(value, int) and abs(value) <= _MAX_NUMBER


class _Fault(NamedTuple):
    """What a platform asks for, and is not told."""

    code: str
    text: str
    params: tuple[tuple[str, str], ...]


def _faults(stored: StoredObject, state: RegistryState) -> Iterator[_Fault]:
    """Yield where the values are not what the platform asks for now; it may have asked for others before."""
    platform, values = stored.fields["platform"]["id"], stored.fields.get("values", {})
    for name, attribute in attributes_of(state, platform).items():
        params = (("platform", platform), ("name", name))
        if attribute.template is not None:
            continue
        if name not in values:
            if attribute.required:
                yield _Fault("value.missing", "Platform {{platform}} requires a value of {{name}}", params)
        elif not fits(attribute.value_type, values[name]):
            text = "The value of {{name}} is not of the type that platform {{platform}} requests"
            yield _Fault("value.wrong.type", text, params)


def _breaks(change: Change) -> Iterable[Message]:
    """Return what the app does not tell as it should, where that is the app's own doing."""
    if change.after.state != "ACTIVE":
        return
    before = change.before
    known = () if before is None or before.state != "ACTIVE" else tuple(_faults(before, change.there))
    for fault in _faults(change.after, change.planned):
        if fault not in known:
            yield invalid(fault.code, fault.text, field="values", **dict(fault.params))


def _warnings(stored: StoredObject, state: RegistryState) -> Iterable[Message]:
    platform = stored.fields["platform"]["id"]
    attributes = attributes_of(state, platform)
    for name in stored.fields.get("values", {}):
        if name not in attributes or attributes[name].template is not None:
            text = "Platform {{platform}} requests no attribute {{name}}"
            yield warning("value.not.requested", text, platform=platform, name=name)
    for fault in _faults(stored, state):
        yield warning(fault.code, fault.text, **dict(fault.params))


PLATFORM_VALUES = ResourceType(
    name="platformvalues",
    label="PlatformValue",
    says="What an app tells a platform: one object for each pair of them.",
    in_company=True,
    name_required=False,
    fields=(
        Field(name="app", kind=Link(("apps",)), says="Whose values they are.", required=True, immutable=True),
        Field(
            name="platform",
            kind=Link(("platforms",), of_any_company=True),
            says="Whom they are for.",
            required=True,
            immutable=True,
        ),
        Field(name="values", kind=Values(), says="The values, by the attributes' names.", empty={}),
    ),
    unique=(PAIR,),
    breaks=_breaks,
    warnings=_warnings,
)
