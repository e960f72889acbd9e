"""What commands print: tables for people, JSON and YAML for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click
import yaml


def print_json(value: object) -> None:
    """Print a value as JSON, its keys in the order that they have."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_yaml(value: object) -> None:
    """Print a value as YAML, its keys in the order that they have."""
    click.echo(yaml.dump(value, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=1_000), nl=False)


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under their heads, each column as wide as its widest cell."""
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def one_line(value: Any) -> str:
    """Return a value as a person reads it within a line: a link is its id."""
    if isinstance(value, dict) and set(value) == {"id", "url"}:
        return str(value["id"])
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
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
