"""`upnext rebuild compare`: two versions of the views, each list of one beside that of the other."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from service.cli.compare_calls import CompareError, Versions
from service.cli.compare_lists import Comparison
from service.cli.compare_shown import MOST_SHOWN, ComparedOut, Looking, difference_lines, partition_line
from service.cli.node_options import admin_token


def compare_versions(url: str, data: Path, names: Sequence[str], *, rate: float, as_json: bool) -> None:
    """Compare two versions by the nodes that serve them; raise `CompareError` where they differ."""
    out = asyncio.run(_compared(url, admin_token(data), names, rate, tells=not as_json))
    if as_json:
        click.echo(msgspec.json.encode(out))
    lists = sum(one.lists for one in out.partitions)
    differing = sum(one.differing for one in out.partitions)
    if differing:
        raise CompareError(f"{differing:,} of {lists:,} lists differ.")
    if not lists:
        raise CompareError("There was nothing to compare: there is no context and no session yet.")
    if not as_json:
        moving = sum(len(one.moving) for one in out.partitions)
        unsettled = f"; {moving:,} did not stand still" if moving else ""
        click.echo(f"All {lists:,} lists are the same in {' and '.join(names)}{unsettled}.")


async def _compared(url: str, token: str, names: Sequence[str], rate: float, *, tells: bool) -> ComparedOut:
    out = ComparedOut(names, [], [])
    async with Versions(url, token, names) as versions:
        comparison, looking = Comparison(versions, rate), Looking(versions)
        async for compared in comparison.partitions():
            out.partitions.append(compared)
            if tells:
                click.echo(partition_line(compared))
        for n, (of, finding) in enumerate(comparison.findings):
            one = await looking.into(of, finding, events=n < MOST_SHOWN)
            out.differences.append(one)
            if tells:
                for line in difference_lines(one):
                    click.echo(line)
    return out
