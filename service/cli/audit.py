"""`upnext audit`: lists that are served, compared with what their events give when they are folded again."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from service.cli.node_options import data_option
from service.cli.nodes import nodes_known_to
from service.cli.past_calls import asked, internal_option
from service.http.past import MOST_AUDITED
from streams.domain.audits import Audited, AuditResult
from streams.domain.errors import UpNextError
from streams.domain.nodes import SILENT_MS, TableName

Command = TypeVar("Command", bound=Callable[..., Any])

_AT_ONCE = 200
_TABLES = {Audited.CONTEXTS: TableName.CONTEXTS, Audited.SESSIONS: TableName.SESSIONS}


class AuditError(UpNextError):
    """Lists differ, or none were compared; the message says how many."""


def audit_options(command: Command) -> Command:
    """Give a command the options that say which lists are compared, and how fast."""
    for option in (
        click.option("--seed", default=None, help="Chooses the sample; another one each time, if not given."),
        click.option(
            "--rate", type=click.FloatRange(0.1), default=50.0, show_default=True, help="Lists a second, at most."
        ),
        click.option("--all", "all_", is_flag=True, help="All lists."),
        click.option(
            "--sample",
            type=click.IntRange(1, MOST_AUDITED),
            default=100,
            show_default=True,
            help="Lists of each partition, contexts' and sessions'.",
        ),
    ):
        command = option(command)
    return command


@click.command(short_help="Compare lists with what the log says.")
@audit_options
@click.option("--view", metavar="NAME", help="Of a version of the views; of what each node serves, if not given.")
@internal_option
@data_option
def audit(sample: int, all_: bool, rate: float, seed: str | None, view: str | None, url: str, data: Path) -> None:
    """
    Compare lists that the nodes serve with what their events give, folded again from the log.

    Every node is asked for the partitions that it serves, one after the other, while writes and reads go on. What
    differs is printed with the command that repairs it, logged by the node and counted in its metrics, and the exit
    status is 1.
    """
    compare(url, data, view, most=None if all_ else sample, rate=rate, seed=seed)


def compare(url: str, data: Path, view: str | None, *, most: int | None, rate: float, seed: str | None) -> None:
    """Compare *most* lists of each partition, None: all; raise `AuditError` where some differ."""
    seed = seed or secrets.token_hex(4)
    click.echo(f"seed {seed}")
    lists = moving = differing = 0
    for node, of, partition in _partitions(url, view):
        beyond: str | None = None
        while True:
            began = time.monotonic()
            found = _asked(node, data, of, partition, most or _AT_ONCE, seed, beyond, view)
            for one in found.differing:
                click.echo(f"{one.id}: {one.what}")
                click.echo(f"  to repair it: {_repair(of, one.id, view)}")
            lists, moving, differing = lists + found.lists, moving + found.moving, differing + len(found.differing)
            beyond = found.next
            if beyond is None or most is not None:
                break
            time.sleep(max(0.0, (found.lists + found.moving) / rate - (time.monotonic() - began)))
        click.echo(f"{of.value} of partition {partition}: {lists:,} lists compared so far, {differing:,} differ")
    if differing:
        raise AuditError(f"{differing:,} of {lists:,} lists are not what their events give.")
    if not lists:
        raise AuditError("There was nothing to compare: no node serves a partition that has events.")
    unsettled = f"; {moving:,} did not stand still" if moving else ""
    click.echo(f"All {lists:,} lists are what their events give{unsettled}.")


def _repair(of: Audited, id_: str, view: str | None) -> str:
    """Return the command that repairs a list. A context is repaired first, for it feeds its sessions."""
    what = "context repair" if of is Audited.CONTEXTS else "session repair --contexts"
    return f"upnext {what} {id_}" + (f" --view {view}" if view else "")


def _partitions(url: str, view: str | None) -> Iterator[tuple[str, Audited, int]]:
    nodes = asyncio.run(nodes_known_to(url)).nodes
    # The embedded log's one node says which version is live, and has the others beside it.
    # What a silent one has said that it serves is another's by now.
    heard = [node for node in nodes if node.silent_ms <= SILENT_MS]
    for node in [node for node in heard if node.view == view] or heard:
        for of, table in _TABLES.items():
            for partition in node.served(table):
                yield node.url, of, partition


def _asked(
    node: str,
    data: Path,
    of: Audited,
    partition: int,
    most: int,
    seed: str,
    beyond: str | None,
    view: str | None,
) -> AuditResult:
    body = asked(
        node,
        data,
        "audit",
        of=of.value,
        partition=str(partition),
        most=str(most),
        seed=seed,
        beyond=beyond,
        view=view,
    )
    return msgspec.json.decode(body, type=AuditResult)
