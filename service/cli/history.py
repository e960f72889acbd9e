"""`upnext history`: what became of an object."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from service.cli.node_calls import HISTORY_PAGE_SIZE, NodeCalls, part
from service.cli.node_options import format_option, node_options, with_node
from service.cli.output import one_line, print_json, print_table, print_yaml


@click.command(
    short_help="Print what became of an object.",
    epilog="""\b
Examples:
  upnext history companies acme
  upnext history clients writer --context acme --output json
""",
)
@click.argument("type_name", metavar="TYPE")
@click.argument("object_id", metavar="ID")
@click.option("--context", metavar="COMPANY", help="The company that it belongs to; most types need one.")
@format_option
@node_options
def history(
    type_name: str, object_id: str, context: str | None, output: str, url: str, token_file: Path | None
) -> None:
    """
    Print the changes of an object, newest first: when, by whom, and from what to what.

    Exit status: 0, or 1 where the object is not there or something went wrong.
    """

    async def ask(node: NodeCalls) -> Sequence[dict[str, Any]]:
        path = f"{part(type_name)}/{part(object_id)}/events"
        return await node.all_of(path, page_size=HISTORY_PAGE_SIZE, context=context)

    events = with_node(url, token_file, ask)
    match output:
        case "json":
            print_json(events)
        case "yaml":
            print_yaml(events)
        case _:
            print_table(("TIME", "VERSION", "USER", "CHANGE"), [row for event in events for row in _rows(event)])


def _rows(event: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """Return a row for each field that a change was of; what it was of is said once."""
    said = [
        f"{name}: {one_line(change['from'])} → {one_line(change['to'])}" for name, change in event["changes"].items()
    ]
    first = (event["time"], str(event["version"]), event["user"]["id"])
    return [(*first, said[0] if said else ""), *(("", "", "", one) for one in said[1:])]
