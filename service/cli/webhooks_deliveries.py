"""`upnext webhooks deliveries`, `show` and `resend`: what became of events, and what is to be sent again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from service.cli.node_calls import PAGE_SIZE, NodeCalls, part
from service.cli.node_options import format_option, node_options, with_node
from service.cli.output import print_json, print_table, print_yaml, printable

Command = TypeVar("Command", bound=Callable[..., Any])

_PATH = "webhookdeliveries"
_STATUSES = ("PENDING", "DELIVERED", "FAILED")
_context = click.option("--context", metavar="COMPANY", required=True, help="The company whose endpoints they are for.")


def _times(command: Command) -> Command:
    """Give a command the options `from_time` and `to_time`."""
    to = click.option("--to", "to_time", metavar="TIME", help="Those that were planned before.")(command)
    says = "Those that were planned then or later, as 2026-11-02T00:00:00Z."
    return click.option("--from", "from_time", metavar="TIME", help=says)(to)


@click.command(short_help="List what was sent, and what is still to be sent.")
@_context
@click.option("--endpoint", "endpoints", metavar="ID", multiple=True, help="Only to this endpoint; may be repeated.")
@click.option("--status", type=click.Choice(_STATUSES, case_sensitive=False), help="Only those that are this.")
@_times
@click.option(
    "--limit", type=click.IntRange(1), default=1_000, show_default=True, help="How many at most; then it says so."
)
@format_option
@node_options
def deliveries(
    context: str,
    endpoints: tuple[str, ...],
    status: str | None,
    from_time: str | None,
    to_time: str | None,
    limit: int,
    output: str,
    url: str,
    token_file: Path | None,
) -> None:
    """List what was sent to the webhook endpoints of a company, and what is still to be sent, newest first."""
    query = {
        "context": context,
        "endpoint": ";".join(endpoints) or None,
        "status": status,
        "from": from_time,
        "to": to_time,
        "pageSize": str(min(limit, PAGE_SIZE)),
    }

    async def ask(node: NodeCalls) -> tuple[list[dict[str, Any]], str | None, int]:
        found: list[dict[str, Any]] = []
        number = 0
        while True:
            page = await node.read(_PATH, **query, page=str(number))
            found += page["results"]
            number += 1
            if len(found) >= limit or number * page["pageSize"] >= page["totalCount"]:
                return found[:limit], page["since"], page["totalCount"]

    found, since, count = with_node(url, token_file, ask)
    match output:
        case "json":
            print_json(found)
        case "yaml":
            print_yaml(found)
        case _:
            head = ("ID", "TIME", "ENDPOINT", "TYPE", "STATUS", "ATTEMPTS", "LAST", "NEXT")
            print_table(head, [_row(one) for one in found])
    if len(found) < count:
        click.echo(f"upnext: there are more than these {limit}: give a larger --limit", err=True)
    elif since is not None:
        click.echo(f"upnext: there are older ones: give --to {since}", err=True)


@click.command(short_help="Show one, with its attempts.")
@click.argument("delivery")
@_context
@format_option
@node_options
def show(delivery: str, context: str, output: str, url: str, token_file: Path | None) -> None:
    """Show a delivery, with its last attempts."""
    found = with_node(url, token_file, lambda node: node.read(f"{_PATH}/{part(delivery)}", context=context))
    if output == "json":
        print_json(found)
    else:
        print_yaml(found)


@click.command(short_help="Send again, one by one or all of some time.")
@click.argument("deliveries", metavar="[DELIVERY]...", nargs=-1)
@_context
@click.option("--endpoint", metavar="ID", help="All that was planned for this endpoint from --from to --to.")
@_times
@node_options
def resend(
    deliveries: tuple[str, ...],
    context: str,
    endpoint: str | None,
    from_time: str | None,
    to_time: str | None,
    url: str,
    token_file: Path | None,
) -> None:
    """
    Send deliveries again, whatever became of them: those that are named, or all of an endpoint and some time.

    Their events are the same, ids and all. Where it is not known whether that was done, do it again.
    """
    of_some_time = (endpoint, from_time, to_time)
    if bool(deliveries) == any(of_some_time) or (any(of_some_time) and not all(of_some_time)):
        raise click.UsageError("Name deliveries, or give --endpoint, --from and --to.")

    async def ask(node: NodeCalls) -> None:
        for one in deliveries:
            await node.write(f"{_PATH}/{part(one)}/resend", {}, context=context)
            click.echo(f"sent again: {printable(one)}")
        if endpoint is not None:
            body = {"endpoint": endpoint, "from": from_time, "to": to_time}
            done = await node.write(f"{_PATH}/resend", body, context=context)
            click.echo(f"sent again: {done['count']}")

    with_node(url, token_file, ask)


def _row(found: dict[str, Any]) -> tuple[str, ...]:
    attempts = found["attempts"]
    last = "-" if not attempts else str(attempts[-1]["status"] or attempts[-1]["error"])
    return (
        found["id"],
        found["createTime"],
        found["endpoint"]["id"],
        found["eventType"],
        found["status"],
        str(len(attempts)),
        last,
        found["nextAttempt"] or "-",
    )
