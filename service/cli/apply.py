"""`upnext apply`: a file of objects, as one transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from service.api.types import TYPES
from service.cli.node_calls import NodeCalls, said
from service.cli.node_options import format_option, node_options, with_node
from service.cli.object_files import ObjectFileError, read_objects
from service.cli.output import one_line, print_json, print_yaml, printable

DIFFERENCES = 3
"""The exit status of a dry run that has found something to do."""
_WORDS = {"CREATED": "created", "UPDATED": "updated", "UNCHANGED": "unchanged"}
_SIGNS = {"CREATED": "+", "UPDATED": "~"}


@click.command(
    short_help="Create or update the objects of a file, all or none.",
    epilog="""\b
Examples:
  upnext apply -f acme.yaml
  upnext apply -f acme.yaml --dry-run || echo "there is something to do, or to mend"
  upnext get apps --context acme -o json | upnext apply -f -
\b
A file:
  type: companies
  id: acme
  name: Acme
  ---
  type: apps
  context: acme
  id: $play            # a label, for only the service makes the ids of apps and platforms:
  name: Acme Play      # the one of this name in its company, or a new one
  ---
  type: clients
  context: acme
  id: writer
  name: Writer
  tenant: $play
""",
)
@click.option(
    "--file",
    "-f",
    "files",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    multiple=True,
    required=True,
    metavar="FILE",
    help="YAML or JSON; - is standard input. All files are one transaction.",
)
@click.option("--context", metavar="COMPANY", help="The company of the objects that name none.")
@click.option("--dry-run", is_flag=True, help="Say what would change, field by field, and write nothing.")
@format_option
@node_options
def apply(
    files: tuple[Path, ...], context: str | None, dry_run: bool, output: str, url: str, token_file: Path | None
) -> None:
    """
    Create or update the objects of files: all of them, or none where something is wrong with one.

    Each object says its type, and its context or company where it belongs to one. Fields that are left out stay as they
    are. Applied again, the same file changes nothing.

    Keys and secrets that are made are printed this once.

    Exit status: 0 where it is done, or a dry run finds nothing to do; 1 where something went wrong, and nothing was
    written unless the last line says that this is not known; 2 where the command line is wrong; 3 where a dry run finds
    differences.
    """
    objects = [one for file in files for one in _read(file)]

    async def ask(node: NodeCalls) -> Sequence[dict[str, Any]]:
        return await node.write_all("transactions", objects, context=context, dryRun="true" if dry_run else None)

    results = with_node(url, token_file, ask)
    match output:
        case "json":
            print_json(results)
        case "yaml":
            print_yaml(results)
        case _:
            for result in results:
                _print_difference(result) if dry_run else _print_done(result)
    counts = Counter(result["action"] for result in results)
    summary = ", ".join(f"{counts[action]} {word}" for action, word in _WORDS.items())
    click.echo(f"upnext: {'would be: ' if dry_run else ''}{summary}", err=True)
    if dry_run and len(results) != counts["UNCHANGED"]:
        click.get_current_context().exit(DIFFERENCES)


def _read(file: Path) -> list[dict[str, Any]]:
    name = "standard input" if str(file) == "-" else str(file)
    try:
        with click.open_file(str(file), encoding="utf-8") as opened:
            return read_objects(opened.read(), name)
    except (OSError, UnicodeError) as error:
        raise ObjectFileError(f"{name} cannot be read: {error}.") from error


def _print_difference(result: Mapping[str, Any]) -> None:
    """Print what would change of an object; nothing of one that would stay as it is."""
    if result["action"] == "UNCHANGED":
        return
    click.echo(f"{_SIGNS[result['action']]} {result['type']} {result['id'] or '(new)'}")
    for name, change in result["changes"].items():
        click.echo(f"    {name}: {one_line(change['from'])} → {one_line(change['to'])}")
    _print_warnings(result)


def _print_done(result: Mapping[str, Any]) -> None:
    """Print what became of an object, with what is shown of it this once."""
    click.echo(f"{_WORDS[result['action']]:9}  {result['type']} {result['id']} {one_line(result['object']['name'])}")
    # A node that is newer than this command may know more types.
    for name in next((resource.shown_once for resource in TYPES if resource.name == result["type"]), ()):
        if name in result["object"]:
            click.echo(f"    {name}: {result['object'][name]}")
    _print_warnings(result["object"])


def _print_warnings(found: Mapping[str, Any]) -> None:
    """Print what keeps an object from working."""
    for message in found.get("validationWarnings", ()):
        click.echo(f"    warning: {printable(said(message))}")
