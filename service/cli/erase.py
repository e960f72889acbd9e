"""`upnext erase`: what became of what was erased, and whether anything is left of them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import click
import msgspec

from service.cli.output import print_json, print_table
from service.cli.setting_options import with_settings
from service.cli.topics import readable
from service.setting_sources import Loaded
from service.settings import Settings
from streams.domain.erasure import Requests, TablesRewritten
from streams.domain.errors import RefusedStartError, UpNextError
from streams.domain.ids import Kind, parse_id
from streams.domain.times import iso_ms
from streams.domain.view_versions import kept
from streams.engine.table_scan import file_lists_of, rows_of, stores_in
from streams.folding import TABLES
from streams.log.port import Readable
from streams.moves.sources import deployment_of
from streams.registry_once import folded_once
from streams.search import Names, Search, requests_in
from streams.topics import view_topics

_IDS = "service.cli.erase.ids"
_MOST_SHOWN = 20


class LeftError(UpNextError):
    """Something is left; the message says how much."""


@click.group(short_help="Show what became of what was erased.")
def erase() -> None:
    """
    Show what became of what was erased, and whether anything is left of them.

    The log is read beside the nodes that have it open.
    """


def _keep(context: click.Context, _parameter: click.Parameter, ids: Sequence[str]) -> None:
    for id_ in ids:
        if parse_id(Kind.CONTEXT, id_) is None and parse_id(Kind.SESSION, id_) is None:
            raise click.BadParameter(f"{id_!r} is not the id of a context or a session")
    context.meta[_IDS] = list(ids)


_with_ids = click.argument("ids", metavar="ID...", nargs=-1, required=True, expose_value=False, callback=_keep)


def _ids() -> list[str]:
    ids: list[str] = click.get_current_context().meta[_IDS]
    return ids


@erase.command("list", short_help="List what was erased, and what is to be.")
@with_settings
def list_(loaded: Loaded) -> None:
    """List the contexts and sessions that were erased, and those of which something may be left."""
    rows = []
    for requests in asyncio.run(_requests(loaded.settings)):
        for receipt in requests.receipts:
            records = sum(one.records for one in receipt.erased)
            rows.append((receipt.id, iso_ms(receipt.begun_ms), iso_ms(receipt.done_ms), str(records)))
        rows += [(id_, iso_ms(one.since_ms), "-", "-") for id_, one in requests.open.items()]
    print_table(("ID", "BEGUN", "DONE", "RECORDS"), rows)


@erase.command(short_help="Print receipts.")
@_with_ids
@with_settings
def receipt(loaded: Loaded) -> None:
    """
    Print receipts as JSON: what was removed from where, and up to which offsets nothing is left.

    And which stores of its tables each node has rewritten since, up to which offset of the changelog; or that it has
    not yet.
    """
    wanted = _ids()
    receipts = receipts_out(asyncio.run(_requests(loaded.settings)), wanted)
    missing = set(wanted) - {one["id"] for one in receipts}
    if missing:
        raise RefusedStartError(f"There is no receipt of {', '.join(sorted(missing))}.")
    print_json(receipts)


def receipts_out(by_partition: Sequence[Requests], wanted: Collection[str]) -> list[dict[str, Any]]:
    """
    Return the receipts of *wanted*, as JSON.

    Each has the first that every node has said of its tables since, and the nodes that have said so of an earlier
    receipt alone; who never has, it does not know of.
    """
    rewritten = [one for requests in by_partition for one in requests.rewritten]
    nodes = sorted({one.node for one in rewritten})
    found = []
    for partition, requests in enumerate(by_partition):
        for number, receipt in enumerate(requests.receipts, start=1):
            if receipt.id not in wanted:
                continue
            since: dict[str, TablesRewritten] = {}
            for one in rewritten:
                if one.receipts[partition] >= number:
                    since.setdefault(one.node, one)
            tables = [{"node": one.node, "done_ms": one.done_ms, "stores": one.stores} for one in since.values()]
            not_yet = [node for node in nodes if node not in since]
            found.append({**msgspec.to_builtins(receipt), "tables": tables, "not_yet": not_yet})
    return found


@erase.command(short_help="Look for what is left.")
@_with_ids
@with_settings
def verify(loaded: Loaded) -> None:
    """
    Look for what is left of contexts and sessions that were erased, in all of the log and in the tables of --data.

    What is found is printed, and the exit status is 1. That they were erased is no find. Run it again after tables were
    folded again.
    """
    left = asyncio.run(_left(loaded.settings, _ids()))
    for place in left[:_MOST_SHOWN]:
        click.echo(place)
    if left:
        raise LeftError(f"{len(left):,} records and rows are left.")


async def _requests(settings: Settings) -> list[Requests]:
    async with AsyncExitStack() as stack:
        log = await stack.enter_async_context(readable(settings))
        return await requests_in(log, await _partitions(log))


async def _partitions(log: Readable) -> int:
    return (await deployment_of(log)).partitions


async def _left(settings: Settings, ids: Sequence[str]) -> list[str]:
    async with AsyncExitStack() as stack:
        log = await stack.enter_async_context(readable(settings))
        views = [view_topics(view) for view in kept(await folded_once(log))]
        search = Search(log, await _partitions(log), views)
        found = [one async for one in search.in_sources(ids)] + [one async for one in search.in_made(ids)]
        for topic, ends in search.searched.items():
            click.echo(f"searched {topic} up to {', '.join(map(str, ends))}")
    left = [f"{one.topic}-{one.partition}-{one.record.offset}: {one.id}" for one in found]
    return left + await asyncio.to_thread(_in_tables, settings.data / TABLES, ids)


def _in_tables(directory: Path, ids: Sequence[str]) -> list[str]:
    names = Names(ids)
    left = []
    for store in stores_in(directory):
        rows = 0
        for key, value in rows_of(store):
            rows += 1
            left += [f"{store}: {id_}" for id_ in names.found(key, value)]
        for file, text in file_lists_of(store):
            left += [f"{file}: {id_}" for id_ in names.found_in_file(text)]
        click.echo(f"searched {store}: {rows:,} rows")
    return left
