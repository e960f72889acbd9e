"""`upnext log`: the sources written to files, read from files, moved from the embedded log to Kafka."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import click

from service.cli.setting_options import with_settings
from service.cli.topics import LOG_DIRECTORY, opened_log, readable
from service.data_directory import held
from service.setting_sources import Loaded
from service.settings import Settings
from streams.domain.errors import RefusedStartError
from streams.engine.fatal import die
from streams.folding import TABLES
from streams.keys import FILE as KEY_FILE
from streams.keys import MasterKey, load_master_key
from streams.log.embedded import EmbeddedLog
from streams.log.embedded_directory import mark_moved
from streams.log.embedded_files import EmbeddedFiles
from streams.log.kafka import KafkaLog
from streams.moves.archive import opened_archive
from streams.moves.export import Tell, export
from streams.moves.sinks import EmbeddedSink, KafkaSink, Sink
from streams.moves.sources import deployment_of, ends_of
from streams.moves.transfer import Transfer

_NEW_LOG = "log.new"
_DIRECTORY = "service.cli.log.directory"


@click.group(short_help="Write the log to files, read it from files, move it to Kafka.")
def log() -> None:
    """Write the sources to files, read them from files, move them from the embedded log to Kafka."""


def _keep(context: click.Context, _parameter: click.Parameter, directory: Path) -> None:
    context.meta[_DIRECTORY] = directory


def _directory() -> Path:
    directory: Path = click.get_current_context().meta[_DIRECTORY]
    return directory


_with_directory = click.argument(
    "directory", type=click.Path(path_type=Path, file_okay=False), expose_value=False, callback=_keep
)


@log.command("export", short_help="Write the sources to files.")
@_with_directory
@with_settings
def export_(loaded: Loaded) -> None:
    """
    Write what context-events, session-events and registry-events hold to files in DIRECTORY.

    One a partition, gzip of JSON lines, and manifest.json with their checksums. Nodes may be running. What was
    interrupted, or what came since, is written when this is run again. The files are as secret as the log is: whoever
    has them and the master key has the deployment.
    """
    asyncio.run(_export(loaded.settings, _directory()))


async def _export(settings: Settings, directory: Path) -> None:
    async with readable(settings) as source:
        deployment = await deployment_of(source)
        ends = await ends_of(source, deployment.partitions)
        with _bar("exporting", sum(map(sum, ends.values()))) as tell:
            exported = await export(source, directory, tell)
    click.echo(f"{exported.new:,} records written to {directory}, which has {exported.records:,}.")


@log.command("import", short_help="Read the sources from files.")
@_with_directory
@with_settings
def import_(loaded: Loaded) -> None:
    """
    Put what `upnext log export` has written to DIRECTORY into an empty log.

    Into the embedded log of --data, or into Kafka; with as many partitions as --partitions says, and the master key of
    the deployment. Records keep their times. What was interrupted goes on when this is run again.
    """
    asyncio.run(_import(loaded.settings, _directory()))


async def _import(settings: Settings, directory: Path) -> None:
    key = _key(settings)
    click.echo(f"checking the files in {directory}")
    archive = await opened_archive(directory)
    async with _sink(settings) as sink:
        transfer = Transfer(archive, sink, settings.partition_count, directory / f"import-{sink.id}.json")
        moved = await _transferred(transfer, key)
        await transfer.finish()
    click.echo(f"{moved:,} records imported: start the nodes, which fold them.")


@log.command(short_help="Move the embedded log to Kafka.")
@with_settings
def copy(loaded: Loaded) -> None:
    """
    Move the deployment from the embedded log in --data to the brokers at --kafka.

    With as many partitions as --partitions says. While the node runs, this puts what the log holds into Kafka, as often
    as it is run. Stop the node, and run it once more: it puts the rest, and has the deployment go on there. Then start
    the node with --kafka. Ids, keys and lists stay as they are; the embedded log stays where it is, and is not started
    on any more.
    """
    if loaded.settings.kafka is None:
        raise RefusedStartError("Say where Kafka is: --kafka HOST:PORT.")
    asyncio.run(_copy(loaded.settings))


async def _copy(settings: Settings) -> None:
    key, directory = _key(settings), settings.data / LOG_DIRECTORY
    with _alone(settings.data) as is_alone:
        source = await asyncio.to_thread(EmbeddedFiles, directory)
        try:
            async with _sink(settings) as sink:
                transfer = Transfer(source, sink, settings.partition_count, settings.data / f"copy-{sink.id}.json")
                moved = await _transferred(transfer, key)
                if is_alone:
                    await asyncio.to_thread(mark_moved, directory, sink.id)
                    # Of the log that was left: no node would start on them here. Removed before the move is finished,
                    # for whoever is interrupted in between runs this again.
                    await asyncio.to_thread(_remove, settings.data / TABLES)
                    await transfer.finish()
        finally:
            source.close()
    if is_alone:
        click.echo(f"{moved:,} records copied, and all that came before: start the node with --kafka.")
    else:
        click.echo(f"{moved:,} records copied. The node goes on: stop it, then run this again, which moves the rest.")


def _key(settings: Settings) -> MasterKey:
    if settings.master_key is None and not (settings.data / KEY_FILE).exists():
        raise RefusedStartError(
            f"There is no {settings.data / KEY_FILE}: put the deployment's there, or give it as UPNEXT_MASTER_KEY."
        )
    return load_master_key(settings.data, settings.master_key)


async def _transferred(transfer: Transfer, key: MasterKey) -> int:
    with _bar("moving", await transfer.begin(key.fingerprint)) as tell:
        return await transfer.run(tell)


def _remove(directory: Path) -> None:
    if directory.exists():
        shutil.rmtree(directory)


@contextmanager
def _alone(data: Path) -> Iterator[bool]:
    """Hold the data directory where no node does; say whether it is held."""
    holding = held(data)
    try:
        holding.__enter__()
    except RefusedStartError:
        yield False
        return
    try:
        yield True
    finally:
        holding.__exit__(None, None, None)


@contextmanager
def _bar(label: str, records: int) -> Iterator[Tell]:
    with click.progressbar(length=records, label=label, show_pos=True, show_eta=True) as bar:
        yield bar.update


@asynccontextmanager
async def _sink(settings: Settings) -> AsyncIterator[Sink]:
    """Give the log that the settings name, to be filled."""
    async with AsyncExitStack() as stack:
        sink = await (_embedded_sink if settings.kafka is None else _kafka_sink)(settings, stack)
        stack.push_async_callback(sink.close)
        yield sink


async def _kafka_sink(settings: Settings, stack: AsyncExitStack) -> Sink:
    opened = await stack.enter_async_context(opened_log(settings))
    assert isinstance(opened, KafkaLog)  # noqa: S101 - as the settings say
    return KafkaSink(opened)


async def _embedded_sink(settings: Settings, stack: AsyncExitStack) -> Sink:
    stack.enter_context(held(settings.data))
    place, directory = settings.data / LOG_DIRECTORY, settings.data / _NEW_LOG
    if place.exists():
        raise RefusedStartError(f"There is a log in {settings.data} already: give an empty data directory.")
    opened = EmbeddedLog(directory, die)
    await opened.start()
    return EmbeddedSink(opened, directory, place)
