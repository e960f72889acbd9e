"""`upnext nodes`: which nodes a deployment has, and which partitions each serves."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

import aiohttp
import click
import msgspec

from service.http.internal import NodeOut, NodesOut
from streams.domain.errors import UpNextError
from streams.domain.nodes import TableName

_LIMIT_S = 5.0
_HEADINGS = (
    "node",
    "internal url",
    "roles",
    "view",
    *TableName,
    *(f"{'of' if n else 'copies of'} {table}" for n, table in enumerate(TableName)),
    "lag",
    "heard",
)


class NodesError(UpNextError):
    """The nodes cannot be shown; the message says what to do."""


@click.command(short_help="Show the nodes of a deployment.")
@click.option(
    "--url", default="http://127.0.0.1:8081", show_default=True, help="Where the internal listener of any node is."
)
@click.option("--json", "as_json", is_flag=True, help="Print what the node says, as JSON.")
def nodes(url: str, as_json: bool) -> None:
    """
    Show the nodes of a deployment as one of them knows them.

    For each its roles, the partitions whose lists it serves, those of which it has a warm copy, how many records are in
    the log that it has not folded, and how long ago it was heard of. After 7 s without a word others ask it no more.
    """
    answer = asyncio.run(_asked(url.rstrip("/")))
    if as_json:
        click.echo(answer)
        return
    for line in table(msgspec.json.decode(answer, type=NodesOut).nodes):
        click.echo(line)


async def nodes_known_to(url: str) -> NodesOut:
    """Return the nodes that the one with this internal listener knows of; raise `NodesError` where it does not say."""
    return msgspec.json.decode(await _asked(url.rstrip("/")), type=NodesOut)


async def _asked(url: str) -> bytes:
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(_LIMIT_S)) as http,
            http.get(f"{url}/nodes") as a,
        ):
            body = await a.read()
            if a.status == 503:
                raise NodesError(f"The node at {url} is starting: ask again.")
            if a.status != 200:
                raise NodesError(f"{url} is no internal listener of a node ({a.status}): give --url.")
            return body
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise NodesError(f"No node answers at {url} ({error}): give its internal listener with --url.") from error


def table(known: Sequence[NodeOut]) -> Iterator[str]:
    """Yield the lines of a table of nodes."""
    rows = [_HEADINGS, *(_row(node) for node in known)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _row(node: NodeOut) -> tuple[str, ...]:
    held = [*map(node.served, TableName), *map(node.copied, TableName)]
    return (
        node.name,
        node.url,
        ",".join(node.roles),
        node.view,
        *map(ranges, held),
        f"{node.lag_events:,}",
        f"{node.silent_ms / 1000:.1f} s ago",
    )


def ranges(numbers: Sequence[int]) -> str:
    """Return ascending numbers as people write them: `0-3, 7`; `-` where there are none."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1] = [parts[-1][0], number]
        else:
            parts.append([number])
    return ", ".join("-".join(map(str, part)) for part in parts) or "-"
