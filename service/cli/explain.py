"""`upnext explain`: why an item is in a session's list, in its place, hidden, or not there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from service.cli.node_options import data_option
from service.cli.output import printable
from service.cli.past_calls import asked, internal_option, offline_option
from service.http.explain import ExplanationOut, ExplanationsOut


@click.command(short_help="Say why an item is in a list, or is not.")
@click.argument("session")
@click.argument("content_id")
@click.option("--context", metavar="ID", help="In whose list; each that has the item, or ever had, if not given.")
@click.option("--as-of", metavar="MOMENT", help="A time, or the Paket-Position of the session's list; else now.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole of it, as JSON.")
@offline_option
@internal_option
@data_option
def explain(
    session: str,
    content_id: str,
    context: str | None,
    as_of: str | None,
    as_json: bool,
    offline: bool,
    url: str,
    data: Path,
) -> None:
    """
    Say why an item is in a session's list, in its place, hidden, or not there.

    The events that made it so are named with their place in the log, time, client and request, and with the rules that
    were applied: all of it from the log, whatever the tables have.
    """
    body = asked(url, data, "explain", offline=offline, of=session, content_id=content_id, context=context, as_of=as_of)
    if as_json:
        click.echo(body)
        return
    for one in msgspec.json.decode(body, type=ExplanationsOut).explanations:
        for line in lines(one):
            click.echo(line)


def lines(one: ExplanationOut) -> Iterator[str]:
    """Yield an explanation as people read it."""
    yield f"{one.context_id or 'no context'}: {one.text}"
    if one.place is not None:
        yield f"  place    {one.place.index + 1} of {one.place.total}"
        for name, other in (("below", one.place.newer), ("above", one.place.older)):
            if other is not None:
                yield f"  {name}    {printable(other.content_id)} of {other.context_id}, {other.updated_at}"
    if one.omitted:
        yield f"  events   {one.omitted} older ones are not named"
    for step in one.steps:
        yield f"  {step.time}  {step.position}  {step.type}  by {step.client_id} in {step.request_id}: {step.text}"
    for elsewhere in one.elsewhere:
        yield f"  also in  {elsewhere.context_id}"
    for rule in one.rules:
        yield f"  rule     {rule.text}"
    if not one.agrees:
        yield "  differs  What is served is not what the events say."
