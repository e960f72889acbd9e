"""Platform values: what an app tells a platform, attribute by attribute."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from service.api.kinds import BrokenValueError, Json, Link, Place, Plain
from service.api.messages import Message, warning
from service.api.platform_attributes import ATTRIBUTE_NAME
from service.api.resource import Field, ResourceType
from streams.domain.registry_state import RegistryState, StoredObject

_MAX_VALUES = 1_000
_MAX_CHARS = 2048
_MAX_NUMBER = 2**53

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+")
_FITS: Mapping[str, Callable[[Any], bool]] = {
    "STRING": lambda value: isinstance(value, str),
    "INTEGER": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "BOOLEAN": lambda value: isinstance(value, bool),
    "URL": lambda value: isinstance(value, str) and _URL.fullmatch(value) is not None,
}


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
        return value

    def schema(self) -> Json:
        """Return the JSON schema."""
        one = {"type": ["string", "integer", "boolean"], "maxLength": _MAX_CHARS}
        return {"type": "object", "additionalProperties": one, "maxProperties": _MAX_VALUES}


def _is_value(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= _MAX_CHARS
    return isinstance(value, int) and abs(value) <= _MAX_NUMBER


def _warnings(stored: StoredObject, state: RegistryState) -> Iterable[Message]:
    """Return where the values are not what the platform asks for now; it may have asked for others before."""
    platform, values = stored.fields["platform"]["id"], stored.fields.get("values", {})
    requested = _requested(state, platform)
    for name, value in values.items():
        if name not in requested:
            text = "Platform {{platform}} requests no attribute {{name}}"
            yield warning("value.not.requested", text, platform=platform, name=name)
        elif not _FITS[requested[name].get("valueType", "STRING")](value):
            text = "The value of {{name}} is not of the type that platform {{platform}} requests"
            yield warning("value.wrong.type", text, platform=platform, name=name)
    for name, attribute in requested.items():
        if attribute.get("required") and name not in values:
            text = "Platform {{platform}} requires a value of {{name}}"
            yield warning("value.missing", text, platform=platform, name=name)


def _requested(state: RegistryState, platform_id: str) -> Mapping[str, Mapping[str, Any]]:
    """Return what a platform requests, by name."""
    platform = state.find("platforms", platform_id)
    company = None if platform is None else platform.company
    # A page of values asks once for each, which would read all attributes of the platform's company every time.
    requested = state.remembered(("requested", company), lambda: _requested_in(state, company))
    return requested.get(platform_id, {})


def _requested_in(state: RegistryState, company: str | None) -> Mapping[str, Mapping[str, Mapping[str, Any]]]:
    """Return what the platforms of a company request, by platform and name."""
    requested: dict[str, dict[str, Mapping[str, Any]]] = {}
    for attribute in state.ordered("platformattributes", company):
        if attribute.fields["kind"] == "REQUESTED" and attribute.state == "ACTIVE":
            requested.setdefault(attribute.fields["platform"]["id"], {})[attribute.name] = attribute.fields
    return requested


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
    unique=(("app", "platform"),),
    warnings=_warnings,
)
