"""`upnext past`: lists as they were, and what changed between two moments."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import msgspec

from service.cli.node_options import data_option
from service.cli.output import printable
from service.cli.past_calls import asked, internal_option, offline_option


@click.group(short_help="Show lists as they were.")
def past() -> None:
    """
    Show lists as they were, from the log. ID is a context's or a session's.

    A moment is a time in ISO 8601 (UTC where it does not say), or the Paket-Position of a list of the same context or
    session, which gives that very list. The log is read from its beginning: that takes a second for each million events
    of a partition.
    """


@past.command("list", short_help="Show a list as it was.")
@click.argument("of", metavar="ID")
@click.option("--as-of", metavar="MOMENT", help="Now, if not given.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole of it, as JSON.")
@offline_option
@internal_option
@data_option
def list_(of: str, as_of: str | None, as_json: bool, offline: bool, url: str, data: Path) -> None:
    """Show the list of a context or a session as it was."""
    body = asked(url, data, "list", offline=offline, of=of, as_of=as_of)
    if as_json:
        click.echo(body)
        return
    found = msgspec.json.decode(body)
    for item in found["items"]:
        click.echo(_line(item))
    click.echo(f"{found['total']} items of {len(found['contexts'])} contexts")


@past.command(short_help="Show what changed.")
@click.argument("of", metavar="ID")
@click.option("--from", "from_", required=True, metavar="MOMENT", help="Of the earlier list.")
@click.option("--to", metavar="MOMENT", help="Of the later one; now, if not given.")
@click.option("--json", "as_json", is_flag=True, help="Print both of each item, as JSON.")
@offline_option
@internal_option
@data_option
def diff(of: str, from_: str, to: str | None, as_json: bool, offline: bool, url: str, data: Path) -> None:
    """Show what was put (+), changed (~) or gone (-) between two moments."""
    body = asked(url, data, "diff", offline=offline, of=of, **{"from": from_}, to=to)
    if as_json:
        click.echo(body)
        return
    found = msgspec.json.decode(body)["differences"]
    for one in found:
        sign = "+" if one["before"] is None else "-" if one["after"] is None else "~"
        click.echo(f"{sign} {_line(one['after'] or one['before'])}")
    click.echo(f"{len(found)} items differ")


def _line(item: Mapping[str, Any]) -> str:
    hidden = "  hidden" if item["hidden"] else ""
    return f"{item['updated_at']}  {item['context_id']}  {printable(item['content_id'])}{hidden}"
