"""`upnext get`: what is configured, of one type."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from service.cli.node_calls import NodeCalls, part
from service.cli.node_options import format_option, node_options, with_node
from service.cli.output import print_json, print_table, print_yaml


@click.command(
    short_help="Print objects of a node's configuration.",
    epilog="""\b
Examples:
  upnext get companies
  upnext get apps --context acme --output json
  upnext get clients writer reader --context acme
  upnext get apps --context acme -o yaml > apps.yaml    # for upnext apply
""",
)
@click.argument("type_name", metavar="TYPE")
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--context", metavar="COMPANY", help="The company that they belong to; most types need one.")
@click.option(
    "--include-hidden", is_flag=True, help="Also those that are HIDDEN; one that is named by id is there anyway."
)
@format_option
@node_options
def get(
    type_name: str,
    ids: tuple[str, ...],
    context: str | None,
    include_hidden: bool,
    output: str,
    url: str,
    token_file: Path | None,
) -> None:
    """
    Print the objects of a TYPE, as apps or clients: all of them, or those with these ids.

    With --output json or yaml it is a list, each object with its type, which `upnext apply` takes.

    Exit status: 0, or 1 where something is not there or went wrong.
    """

    async def ask(node: NodeCalls) -> Sequence[dict[str, Any]]:
        path = part(type_name)
        if ids:
            return [await node.read(f"{path}/{part(one)}", context=context) for one in ids]
        return await node.all_of(path, context=context, includeHidden="true" if include_hidden else None)

    found = [_typed(type_name, context, one) for one in with_node(url, token_file, ask)]
    match output:
        case "json":
            print_json(found)
        case "yaml":
            print_yaml(found)
        case _:
            head = ("ID", "NAME", "STATE", "UPDATED")
            print_table(head, [(o["id"], o["name"], o["objectState"], o["updateTime"]) for o in found])


def _typed(type_name: str, context: str | None, found: dict[str, Any]) -> dict[str, Any]:
    """Return an object that says its type, and its context where that is not the company that it belongs to."""
    is_shared = "company" in found and context not in (None, found["company"]["id"])
    return {"type": type_name, **({"context": context} if is_shared else {}), **found}
