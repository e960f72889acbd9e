"""Files of objects: YAML or JSON, several documents, each one object or a list of them."""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Any

import yaml

from streams.domain.errors import UpNextError

_NUMBER = r"-?(?:0|[1-9][0-9]*)"
_PLAIN: Sequence[tuple[str, Sequence[str], str]] = (
    ("bool", "tf", "true|false"),
    ("null", ("n", "~", ""), "null|~|"),
    ("int", "-0123456789", _NUMBER),
    ("float", "-0123456789", rf"{_NUMBER}(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?"),
)
"""What is no string though it is plain: its kind, the characters that it may begin with, and its pattern."""


class ObjectFileError(UpNextError):
    """A file holds no objects; the message says where and why."""


def read_objects(text: str, name: str) -> list[dict[str, Any]]:
    """
    Return the objects of a file, in its order.

    Raises:
        ObjectFileError: It is neither YAML nor JSON, or something in it is no object that says its type.
    """
    objects = [one for document in _documents(text, name) for one in _objects(document)]
    for number, one in enumerate(objects, 1):
        if not isinstance(one, dict) or not isinstance(one.get("type"), str):
            raise ObjectFileError(f"{name}: object {number} is no object with a type, as type: apps.")
    return objects


def _objects(document: object) -> Iterable[Any]:
    if document is None:
        return ()
    return document if isinstance(document, list) else (document,)


def _documents(text: str, name: str) -> Iterator[object]:
    if text.lstrip()[:1] in ("{", "["):
        # YAML reads nearly all of JSON, but not pairs of surrogates. What is no JSON may still be YAML.
        try:
            yield json.loads(text, object_pairs_hook=_without_repeats)
        except json.JSONDecodeError:
            pass
        except ValueError as error:
            raise ObjectFileError(f"{name}: {error}.") from error
        else:
            return
    try:
        yield from yaml.load_all(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        where = "" if error.problem_mark is None else f", line {error.problem_mark.line + 1}"
        raise ObjectFileError(f"{name}{where}: {error.problem or error.context}.") from error
    except yaml.YAMLError as error:
        raise ObjectFileError(f"{name}: {error}.") from error


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [key for key, _ in pairs]
        raise ValueError(f"{next(key for key in names if names.count(key) > 1)} is given twice")
    return found


def _by_first_character() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    """Return what plain words that begin like this may be, beside strings."""
    found: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
    for name, characters, pattern in _PLAIN:
        for character in characters:
            found.setdefault(character, []).append((f"tag:yaml.org,2002:{name}", re.compile(f"^(?:{pattern})$")))
    return found


class _Loader(yaml.SafeLoader):
    """
    YAML whose plain words are strings, but for those that JSON has.

    YAML 1.1 makes a bool of `NO`, which is a country, a time of `12:30` and a date of `2024-02-16`, which the API takes
    as strings.

    Source:
        YAML 1.2.2, 10.3, "Core Schema".
    """

    yaml_implicit_resolvers = _by_first_character()

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Return an object; refuse one that has a field twice, of which only one would count."""
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        problem=f"{key.value} is given twice", problem_mark=key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)
