"""`upnext context repair` and `upnext session repair`: have the node that folds one fold it again from its events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from service.cli.node_options import data_option
from service.cli.nodes import nodes_known_to
from service.cli.output import printable
from service.cli.past_calls import UNREACHABLE, PastError, internal_option, told
from streams.domain.errors import UpNextError
from streams.domain.nodes import TableName
from streams.domain.repairs import Repaired

Command = TypeVar("Command", bound=Callable[..., Any])

_TABLES = {"context": TableName.CONTEXTS, "session": TableName.SESSIONS}
_MOST_NAMED = 50


class RepairError(UpNextError):
    """Something differs and was not to be replaced; the message says what to do."""


def repair_options(command: Command) -> Command:
    """Give a command the id that it is about, and how it is done."""
    for option in (
        data_option,
        internal_option,
        click.option("--view", metavar="NAME", help="In a version of the views; in the live one, if not given."),
        click.option("--dry-run", is_flag=True, help="Only say what differs; where something does, exit with 1."),
        click.argument("of", metavar="ID"),
    ):
        command = option(command)
    return command


def repair(what: str, of: str, url: str, data: Path, view: str | None, *, dry_run: bool) -> int:
    """Have a `context` or a `session` repaired, say what differed, and return how many rows that were."""
    found = repaired(what, of, url, data, view, dry_run=dry_run)
    for one in found.items[:_MOST_NAMED]:
        name = f"{printable(one.content_id)} of {one.context}" if one.content_id else one.context
        click.echo(f"{name} {one.what}")
    if len(found.items) > _MOST_NAMED:
        click.echo(f"and {len(found.items) - _MOST_NAMED:,} more")
    if not found.rows:
        click.echo(f"{of} is what its events give.")
    elif dry_run:
        click.echo(f"{of} is to be repaired: {len(found.items):,} differences, {found.rows:,} rows to write.")
    else:
        click.echo(f"{of} was repaired: {len(found.items):,} differences, {found.rows:,} rows written.")
    return found.rows


def end(rows: int, *, dry_run: bool) -> None:
    """Raise `RepairError` where rows differ and were not to be replaced."""
    if rows and dry_run:
        raise RepairError("Nothing was replaced: without --dry-run it is.")


def repaired(what: str, of: str, url: str, data: Path, view: str | None, *, dry_run: bool) -> Repaired:
    """Have the node repair one that folds it; raise `PastError` where none does, or it does not."""
    nodes = asyncio.run(nodes_known_to(url)).nodes
    elsewhere = PastError("No node folds it now: try again when `upnext nodes` says that one does.")
    for node in [node for node in nodes if node.view == view] or nodes:
        if not node.served(_TABLES[what]):
            continue
        query = {"of": of, "dry_run": str(dry_run).lower(), "view": view}
        try:
            return msgspec.json.decode(told(node.url, data, f"repair/{what}", **query), type=Repaired)
        except PastError as error:
            # Each node has some partitions; one that was killed is named for a while, and another may have its own.
            if error.code not in ("view_unavailable", UNREACHABLE):
                raise
    raise elsewhere
