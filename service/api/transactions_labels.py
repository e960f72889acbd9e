"""Labels: what stands for ids that only the service makes, in the request that makes their objects."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from service.api.drafts import Given
from service.api.kinds import Link
from service.api.messages import MessagesError, error
from service.api.resource import ResourceType
from streams.domain.registry_events import UniqueValue

_LABEL = re.compile(r"\$[A-Za-z0-9._-]{1,63}")
"""No id begins like this."""
CLAIM = "label"
"""What an object that was made by a label has for itself, as long as it is found by it: no field is called so."""


class LabelTakenError(MessagesError):
    """Somebody else has just made the object that a label stands for: it is there now, to be found by its name."""

    def __init__(self) -> None:
        super().__init__(409, [error("object.changed", "Others make the same objects: try again")])


def claim(company: str | None, name: str) -> UniqueValue:
    """Return what no two objects have that labels have made: the name in its company."""
    # No company's id has a colon in it.
    return UniqueValue(CLAIM, f"{company or ''}:{name}")


def is_label(value: object) -> bool:
    """Say whether *value* can be a label."""
    return isinstance(value, str) and _LABEL.fullmatch(value) is not None


def with_ids(given: Given, resource: ResourceType, ids: Mapping[str, str]) -> Given:
    """Return an object whose references have ids in the place of labels; labels that nobody has stay."""
    fields = dict(given.fields)
    for field in resource.fields:
        if isinstance(field.kind, Link) and field.name in fields:
            fields[field.name] = _with_id(fields[field.name], ids)
    return given._replace(fields=fields)


def _with_id(value: object, ids: Mapping[str, str]) -> object:
    if isinstance(value, dict):
        named = value.get("id")
        return {**value, "id": ids.get(named, named)} if isinstance(named, str) else value
    return ids.get(value, value) if isinstance(value, str) else value


def with_labels(value: Any, labels: Mapping[str, str]) -> Any:
    """Return what is answered with labels in the place of ids: of links, and of what they lead to."""
    match value:
        case dict():
            return {name: with_labels(inner, labels) for name, inner in value.items()}
        case list():
            return [with_labels(inner, labels) for inner in value]
        case str():
            # Looked up, for there may be as many labels as strings, and these may be long.
            end = value.rfind("/") + 1
            label = labels.get(value[end:])
            return value if label is None else value[:end] + label
        case _:
            return value
