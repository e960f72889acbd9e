"""`upnext context`: what operators do to one context."""

from __future__ import annotations

from pathlib import Path

import click

from service.cli import repairs


@click.group(short_help="Repair a context.")
def context() -> None:
    """Do something to one context."""


@context.command(short_help="Fold it again from its own events.")
@repairs.repair_options
def repair(of: str, dry_run: bool, view: str | None, url: str, data: Path) -> None:
    """
    Fold a context again from its own events, and replace what differs in its table, while writes and reads go on.

    What differs is printed. Sessions that it is attached to and that have something else from it get its items again;
    a session whose own rows are damaged is for `upnext session repair`.
    """
    repairs.end(repairs.repair("context", of, url, data, view, dry_run=dry_run), dry_run=dry_run)
