"""Objects as readers see them."""

from __future__ import annotations

from collections.abc import Mapping

from service.api.kinds import API, Json, link
from service.api.messages import Message, warning
from service.api.resource import Field, ResourceType
from streams.domain.registry_state import RegistryState, StoredObject
from streams.domain.times import iso_ms

ENVELOPE = ("url", "createTime", "createUser", "updateTime", "updateUser", "validationWarnings")
"""What every answer has and the service alone sets: taken back in a write without a word, and without effect."""


def show(
    resource: ResourceType, stored: StoredObject, state: RegistryState, shown_once: Mapping[str, str] | None = None
) -> Json:
    """Return an object as it is answered; *shown_once* are the secrets made with it."""
    shown: Json = {"id": stored.id, "url": f"{API}/{resource.name}/{stored.id}", "name": stored.name}
    if stored.company is not None:
        shown["company"] = link("companies", stored.company)
    shown |= {
        "objectState": stored.state,
        "createTime": iso_ms(stored.created_ms),
        "createUser": link("users", stored.created_by),
        "updateTime": iso_ms(stored.updated_ms),
        "updateUser": link("users", stored.updated_by),
    }
    shown |= {field.name: show_now(field, stored, state) for field in resource.fields if not field.write_only}
    shown |= shown_once or {}
    warnings = [*resource.warnings(stored, state), *_not_obeyed(resource, stored)]
    if warnings:
        shown["validationWarnings"] = warnings
    return shown


def show_name(resource: ResourceType, stored: StoredObject) -> Json:
    """Return what every company may see of an object."""
    return {"id": stored.id, "url": f"{API}/{resource.name}/{stored.id}", "name": stored.name}


def show_now(field: Field, stored: StoredObject, state: RegistryState) -> object:
    """Return one field of an object as it is answered, also where it follows from other objects."""
    return show_field(field, stored) if field.derived is None else field.derived(stored, state)


def show_field(field: Field, stored: StoredObject) -> object:
    """Return one field of an object as it is stored, or was in an earlier version of it."""
    if field.key in stored.fields:
        return field.kind.show(stored.fields[field.key], stored)
    return list(field.empty) if isinstance(field.empty, tuple) else field.empty


def _not_obeyed(resource: ResourceType, stored: StoredObject) -> list[Message]:
    text = "{{field}} is stored, but nothing acts on it in this version"
    return [
        warning("field.not.obeyed", text, field=field.name)
        for field in resource.fields
        if not field.is_obeyed and field.key in stored.fields
    ]


def etag(stored: StoredObject) -> str:
    """Return the entity tag of an object: its version."""
    return f'"{stored.version}"'
