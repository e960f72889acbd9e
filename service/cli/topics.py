"""`upnext topics`: the log's topics, made or checked without starting a node."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

import click

from service.adapters.kafka import kafka_config
from service.cli.setting_options import with_settings
from service.data_directory import held
from service.setting_sources import Loaded
from service.settings import Settings
from streams.domain.errors import RefusedStartError
from streams.domain.view_versions import kept
from streams.engine.fatal import die
from streams.log.embedded import EmbeddedLog
from streams.log.embedded_directory import DATABASE
from streams.log.embedded_files import EmbeddedFiles
from streams.log.kafka import KafkaLog
from streams.log.port import Readable
from streams.registry_once import folded_once
from streams.topics import TopicSpec, shared_specs, view_specs

LOG_DIRECTORY = "log"
L = TypeVar("L", EmbeddedLog, KafkaLog)


@click.group(short_help="Create or check the log's topics.")
def topics() -> None:
    """Create or check the log's topics. A node creates what is missing by itself where it may."""


@topics.command(short_help="Create those that are missing.")
@with_settings
def create(loaded: Loaded) -> None:
    """Create the topics that are missing, with their settings."""
    made = asyncio.run(_create(loaded.settings))
    for name in made:
        click.echo(f"created {name}")
    click.echo(f"{len(made)} topics created." if made else "All topics are there.")


@topics.command(short_help="Say what is not as it should be.")
@with_settings
def check(loaded: Loaded) -> None:
    """Say which topics are missing or not as they should be, and what to do; exit status 1 where there are any."""
    complaints = asyncio.run(_check(loaded.settings))
    for complaint in complaints[:-1]:
        click.echo(complaint)
    if complaints:
        raise RefusedStartError(complaints[-1])
    click.echo("All topics are there, and as they should be.")


async def _create(settings: Settings) -> list[str]:
    async with opened_log(settings) as log:
        specs = shared_specs(settings.partition_count)
        made = await log.create_topics(specs)
        specs += await _of_views(settings, log)
        made += await log.create_topics(specs)
        if complaints := await log.check_topics(specs):
            raise RefusedStartError(" ".join(complaints))
        return made


async def _check(settings: Settings) -> list[str]:
    check_there(settings)
    async with opened_log(settings) as log:
        shared = shared_specs(settings.partition_count)
        if complaints := await log.check_topics(shared):
            return complaints
        return await log.check_topics(await _of_views(settings, log))


async def _of_views(settings: Settings, log: EmbeddedLog | KafkaLog) -> list[TopicSpec]:
    views = kept(await folded_once(log))
    return [spec for view in views for spec in view_specs(settings.partition_count, view)]


def check_there(settings: Settings) -> None:
    """Raise `RefusedStartError` where the log is embedded and was never made."""
    if settings.kafka is None and not (settings.data / LOG_DIRECTORY / DATABASE).exists():
        raise RefusedStartError(f"There is no log in {settings.data}: run `upnext topics create`, or start a node.")


@asynccontextmanager
async def opened_log(settings: Settings) -> AsyncIterator[EmbeddedLog | KafkaLog]:
    """Open the log that the settings name; the embedded one is then nobody else's."""
    kafka = kafka_config(settings)
    if kafka is not None:
        async with _started(KafkaLog(kafka)) as on_kafka:
            yield on_kafka
    else:
        with held(settings.data):
            async with _started(EmbeddedLog(settings.data / LOG_DIRECTORY, die)) as embedded:
                yield embedded


@asynccontextmanager
async def readable(settings: Settings) -> AsyncIterator[Readable]:
    """Give the log that the settings name; a node may have it open."""
    if settings.kafka is not None:
        async with opened_log(settings) as on_kafka:
            yield on_kafka
        return
    files = await asyncio.to_thread(EmbeddedFiles, settings.data / LOG_DIRECTORY)
    try:
        yield files
    finally:
        files.close()


@asynccontextmanager
async def _started(log: L) -> AsyncIterator[L]:
    await log.start()
    try:
        yield log
    finally:
        await log.stop()
