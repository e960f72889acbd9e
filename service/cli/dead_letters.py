"""`upnext dead-letters`: records that no fold could take, and what is decided about them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from service.cli.node_calls import NodeCalls, NodeError, part
from service.cli.node_options import format_option, node_options, with_node
from service.cli.output import print_json, print_table, print_yaml, printable

_PATH = "deadletters"
_PAGE = 200


@click.group(name="dead-letters", short_help="Show and decide about records that could not be folded.")
def dead_letters() -> None:
    """
    Show and decide about records that could not be folded.

    A POSITION is where such a record stands: <topic>-<partition>-<offset>. The token is the super user's.
    """


@dead_letters.command(name="list", short_help="List those that nobody has decided about.")
@click.option("--all", "with_decided", is_flag=True, help="Also those that somebody has decided about.")
@click.option(
    "--limit", type=click.IntRange(1), default=1_000, show_default=True, help="How many at most; then it says so."
)
@format_option
@node_options
def list_(with_decided: bool, limit: int, output: str, url: str, token_file: Path | None) -> None:
    """List the dead letters of the last 30 days that nobody has decided about, by partition, oldest first."""

    async def ask(node: NodeCalls) -> tuple[list[dict[str, Any]], bool]:
        found: dict[str, dict[str, Any]] = {}
        after = None
        while True:
            flag = "true" if with_decided else None
            page = await node.read(_PATH, limit=str(_PAGE), after=after, includeDecided=flag)
            for letter in page["results"]:
                if len(found) == limit and letter["id"] not in found:
                    return list(found.values()), True
                found.setdefault(letter["id"], letter)
            after = page["next"]
            if after is None:
                return list(found.values()), False

    letters, is_cut = with_node(url, token_file, ask)
    match output:
        case "json":
            print_json(letters)
        case "yaml":
            print_yaml(letters)
        case _:
            head = ("POSITION", "TIME", "DECISION", "REASON")
            print_table(head, [(one["id"], one["time"], _decision(one), one["reason"]) for one in letters])
    if is_cut:
        click.echo(f"upnext: there are more than these {limit}: give a larger --limit", err=True)


@dead_letters.command(short_help="Show one.")
@click.argument("position")
@format_option
@node_options
def show(position: str, output: str, url: str, token_file: Path | None) -> None:
    """
    Show a dead letter: its key and value as far as they can be read, why it could not be folded, what was decided.

    Of the sources context-events and session-events also when the letter itself is older than 30 days.
    """
    letter = with_node(url, token_file, lambda node: node.read(f"{_PATH}/{part(position)}"))
    if output == "json":
        print_json(letter)
    else:
        print_yaml(letter)


@dead_letters.command(short_help="Decide that they are nothing.")
@click.argument("positions", metavar="POSITION...", nargs=-1, required=True)
@node_options
def drop(positions: tuple[str, ...], url: str, token_file: Path | None) -> None:
    """
    Decide that dead letters are nothing.

    No later fold of these records makes dead letters of them or counts them, also where the tables are made again.
    """

    async def ask(node: NodeCalls) -> None:
        for position in positions:
            await node.write(f"{_PATH}/{part(position)}/drop", {})
            click.echo(f"dropped {printable(position)}")

    with_node(url, token_file, ask)


@dead_letters.command(short_help="Have an event stand for the record.")
@click.argument("position")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@click.option("--of", metavar="ID", help="The event's context or session, where the record's key does not say it.")
@node_options
def replace(position: str, file: Path, of: str | None, url: str, token_file: Path | None) -> None:
    """
    Have the event in FILE stand for a dead letter: JSON, as the topic has its events (- is standard input).

    It is checked, and what was decided is written down, before the event is appended to the topic: it is folded there,
    as what happens now, and the record itself is nothing from then on. Where it is not known whether that was done, do
    it again with the same event: it counts once.
    """
    event = _event_in(file)
    body = {"event": event, **({"of": of} if of is not None else {})}
    done = with_node(url, token_file, lambda node: node.write(f"{_PATH}/{part(position)}/replace", body))
    click.echo(f"replaced {printable(position)} by {done['decision']['standsAt']}")


def _event_in(file: Path) -> dict[str, Any]:
    try:
        with click.open_file(str(file), encoding="utf-8") as opened:
            event = json.load(opened)
    except (OSError, ValueError) as error:
        raise NodeError(f"There is no event in {file}: {error}.") from error
    if not isinstance(event, dict):
        raise NodeError(f"There is no event in {file}: it is a JSON object.")
    return event


def _decision(letter: dict[str, Any]) -> str:
    decision = letter["decision"]
    if decision is None:
        return "-"
    what = {"drop": "dropped", "replace": "replaced"}[decision["what"]]
    return f"{what} by {decision['user']['id']} at {decision['time']}"
