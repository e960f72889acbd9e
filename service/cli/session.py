"""`upnext session`: what operators do to one session."""

from __future__ import annotations

from pathlib import Path

import click

from service.cli import repairs


@click.group(short_help="Repair a session.")
def session() -> None:
    """Do something to one session."""


@session.command(short_help="Fold it again from its own events.")
@click.option("--contexts", "with_contexts", is_flag=True, help="The contexts that are attached as well, before it.")
@repairs.repair_options
def repair(of: str, with_contexts: bool, dry_run: bool, view: str | None, url: str, data: Path) -> None:
    """
    Fold a session again from its own events and its contexts', and replace what differs, while writes and reads go on.

    What differs is printed. The contexts' own tables stay as they are: one that is damaged goes on to tell the session
    what is wrong, and is for --contexts or `upnext context repair`.
    """
    rows = 0
    if with_contexts:
        for context in repairs.repaired("session", of, url, data, view, dry_run=True).contexts:
            rows += repairs.repair("context", context, url, data, view, dry_run=dry_run)
    rows += repairs.repair("session", of, url, data, view, dry_run=dry_run)
    repairs.end(rows, dry_run=dry_run)
