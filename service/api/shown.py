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
    shown = show_name(resource, stored)
    if stored.company is not None:
        shown["company"] = link("companies", stored.company)
    maker = link("users", stored.created_by)
    made = iso_ms(stored.created_ms)
    shown |= {
        "objectState": stored.state,
        "createTime": made,
        "createUser": maker,
        "updateTime": made if stored.updated_ms == stored.created_ms else iso_ms(stored.updated_ms),
        "updateUser": maker if stored.updated_by == stored.created_by else link("users", stored.updated_by),
    }
    shown |= _show_fields(resource, stored, state)
    shown |= shown_once or {}
    return shown | show_warnings(resource, stored, state)


def show_warnings(resource: ResourceType, stored: StoredObject, state: RegistryState) -> Json:
    """Return what keeps an object from working as it is answered: a field of its own, or none."""
    warnings = [*resource.warnings(stored, state), *_not_obeyed(resource, stored)]
    return {"validationWarnings": warnings} if warnings else {}


def show_name(resource: ResourceType, stored: StoredObject) -> Json:
    """Return what every company may see of an object."""
    return {"id": stored.id, "url": f"{API}/{resource.name}/{stored.id}", "name": stored.name}


def _show_fields(resource: ResourceType, stored: StoredObject, state: RegistryState) -> Json:
    """Return all fields as they are answered; most of a page's time is here, and most fields were never set."""
    shown, by_key = dict(resource.unset), resource.by_key
    for key, value in stored.fields.items():
        if key in by_key:
            field = by_key[key]
            shown[field.name] = field.kind.show(value, stored)
    for name, derived in resource.derived.items():
        shown[name] = derived(stored, state)
    return shown


def show_now(field: Field, stored: StoredObject, state: RegistryState) -> object:
    """Return one field of an object as it is answered, also where it follows from other objects."""
    return show_field(field, stored) if field.derived is None else field.derived(stored, state)


def show_field(field: Field, stored: StoredObject) -> object:
    """Return one field of an object as it is stored, or was in an earlier version of it."""
    if field.key in stored.fields:
        return field.kind.show(stored.fields[field.key], stored)
    return list(field.empty) if isinstance(field.empty, tuple) else field.empty


def _not_obeyed(resource: ResourceType, stored: StoredObject) -> list[Message]:
    not_obeyed = resource.not_obeyed
    if stored.fields.keys().isdisjoint(not_obeyed):
        return []
    text = "{{field}} is stored, but nothing acts on it in this version"
    return [warning("field.not.obeyed", text, field=name) for key, name in not_obeyed.items() if key in stored.fields]


def etag(stored: StoredObject) -> str:
    """Return the entity tag of an object: its version."""
    return f'"{stored.version}"'
