"""JSON schemas of bodies and answers, from the structs that they are read into and written from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from service.http.bulk_bodies import ItemsIn, ItemsOfContextIn
from service.http.items import ItemIn
from service.http.problems import ErrorOut
from service.http.routes import Operation
from service.http.versions.version import Version

Json = dict[str, Any]

_PREFIX = "#/components/schemas/"
CONTENT_ID: Json = {
    "type": "string",
    "minLength": 1,
    "maxLength": 255,
    "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]+$",
    "not": {"enum": ["sessions", ".", ".."]},
}


def name_of(kind: type[msgspec.Struct]) -> str:
    """Return the name under which clients know a struct."""
    return _public(kind.__name__)


def reference(kind: type[msgspec.Struct]) -> Json:
    """Return the reference to a struct's schema."""
    return {"$ref": f"{_PREFIX}{name_of(kind)}"}


def whatever(parameter: Json) -> Json:
    """Return a parameter that is not looked at: OPTIONS answers whatever it is."""
    return {**parameter, "schema": {"type": "string"}}


def components(operations: Iterable[Operation], version: Version) -> Json:
    """Return the schemas of everything that the operations take, and answer in this version, by name."""
    kinds: set[type[msgspec.Struct]] = {ErrorOut}
    for operation in operations:
        kinds |= {version.answer(kind) for kind in (operation.body, operation.answer) if kind is not None}
    ordered = sorted(kinds, key=name_of)
    _, schemas = msgspec.json.schema_components(ordered, ref_template=_PREFIX + "{name}")
    renamed = {_public(name): _renamed(schema) for name, schema in schemas.items()}
    renamed[name_of(ItemIn)].update(_item_rules(renamed[name_of(ItemIn)]["properties"]))
    for kind in (ItemsIn, ItemsOfContextIn):
        items = renamed[name_of(kind)]["properties"]["items"]
        items["items"] = {"anyOf": [items["items"], {"description": "Whatever else is refused by itself."}]}
    return dict(sorted(renamed.items()))


def _public(name: str) -> str:
    return name.removesuffix("Out").removesuffix("In")


def _renamed(schema: Any) -> Any:
    match schema:
        case {"$ref": reference}:
            return {**schema, "$ref": _PREFIX + _public(reference.removeprefix(_PREFIX))}
        case dict():
            return {
                key: _public(value) if key == "title" and isinstance(value, str) else _renamed(value)
                for key, value in schema.items()
            }
        case list():
            return [_renamed(element) for element in schema]
        case _:
            return schema


def _item_rules(properties: Json) -> Json:
    """Return what an item's struct cannot say of it (`streams.domain.items.item_faults`)."""
    uri = {"format": "uri", "pattern": "^[Hh][Tt][Tt][Pp][Ss]?://"}
    return {
        "description": "One item as a publisher writes it. `position` is at most `duration`; `hidden` stays as it was "
        "where it is left out.",
        "properties": {
            **properties,
            "content_id": CONTENT_ID,
            "poster_art_uri": {**properties["poster_art_uri"], **uri},
            "preview_video_uri": {**properties["preview_video_uri"], **uri},
        },
        "allOf": [
            {
                "if": {"properties": {"media_type": {"const": "tv_episode"}}},
                "then": {"required": ["season", "episode"]},
                "else": {"properties": {"season": False, "episode": False}},
            },
            {
                "if": {"properties": {"action": {"const": "up_next_continue"}}},
                "then": {"required": ["position"]},
            },
        ],
    }
