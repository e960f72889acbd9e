"""Labels: what stands for ids that only the service makes, in the request that makes their objects."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from service.api.drafts import Given
from service.api.kinds import Link
from service.api.resource import ResourceType

_LABEL = re.compile(r"\$[A-Za-z0-9._-]{1,63}")
"""No id begins like this."""


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
        return {**value, "id": _with_id(value.get("id"), ids)}
    return ids.get(value, value) if isinstance(value, str) else value


def with_labels(value: Any, labels: Mapping[str, str]) -> Any:
    """Return what is answered with labels in the place of ids, wherever these are."""
    match value:
        case dict():
            return {name: with_labels(inner, labels) for name, inner in value.items()}
        case list():
            return [with_labels(inner, labels) for inner in value]
        case str():
            for object_id, label in labels.items():
                value = value.replace(object_id, label)
            return value
        case _:
            return value
