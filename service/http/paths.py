"""From a request's path to what is there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass
class _Node(Generic[T]):
    """What may follow one part of a path."""

    literals: dict[str, _Node[T]] = field(default_factory=dict)
    parameter: _Node[T] | None = None
    name: str = ""
    """Of the parameter that leads here."""
    target: T | None = None


class Paths(Generic[T]):
    """
    Templates like `/v1/contexts/upnext/{context_id}`, and what each leads to.

    Paths are compared as they were sent: nothing is decoded, folded or cleaned up, so a path has one meaning. A
    literal counts before a parameter, which takes any part that is not empty.
    """

    def __init__(self, targets: Mapping[str, T]) -> None:
        """Take the targets by template."""
        self._root: _Node[T] = _Node()
        for template, target in targets.items():
            self._add(template.split("/"), target)

    def find(self, path: str) -> tuple[T, dict[str, str]] | None:
        """Return what *path* leads to and its parameters, still percent-encoded; None where it leads nowhere."""
        node = self._root
        parameters: dict[str, str] = {}
        for part in path.split("/"):
            following = node.literals.get(part)
            if following is None:
                following = node.parameter
                if following is None or not part:
                    return None
                parameters[following.name] = part
            node = following
        return None if node.target is None else (node.target, parameters)

    def _add(self, parts: Iterable[str], target: T) -> None:
        node = self._root
        for part in parts:
            if not part.startswith("{"):
                node = node.literals.setdefault(part, _Node())
                continue
            if node.parameter is None:
                node.parameter = _Node(name=part[1:-1])
            node = node.parameter
        node.target = target
