"""What commands print: tables for people, JSON and YAML for programs."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from typing import Any

import click
import yaml

_UNPRINTED = ("Cc", "Cs", "Zl", "Zp")
"""Kinds of characters that are none in a line: they move the cursor, or tell the terminal what to do."""
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""What makes a line be read in another order than it is written in."""


def print_json(value: object) -> None:
    """Print a value as JSON, its keys in the order that they have."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_yaml(value: object) -> None:
    """Print a value as YAML, its keys in the order that they have."""
    click.echo(yaml.dump(value, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=1_000), nl=False)


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under their heads, each column as wide as its widest cell."""
    lines = [head, *([printable(cell) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def printable(text: str) -> str:
    """Return *text* with what is for the terminal rather than for its reader as JSON writes it."""
    return "".join(json.dumps(one)[1:-1] if _is_for_the_terminal(one) else one for one in text)


def _is_for_the_terminal(character: str) -> bool:
    return character in _TURNING or unicodedata.category(character) in _UNPRINTED


def one_line(value: Any) -> str:
    """Return a value as a person reads it within a line: a link is its id."""
    if isinstance(value, dict) and set(value) == {"id", "url"}:
        return str(value["id"])
    if isinstance(value, str):
        return printable(json.dumps(value, ensure_ascii=False))
    if isinstance(value, list):
        return f"[{', '.join(map(one_line, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name}: {one_line(inner)}' for name, inner in value.items())}}}"
    return json.dumps(value)


class _Plain(yaml.SafeDumper):
    """YAML in which the same value twice is written twice."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the library's signature
        """Say that no value is written as a reference to another."""
        return True
