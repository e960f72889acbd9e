"""`upnext tables`: the tables thrown away, to be folded again from the sources."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Protocol

import click

from service.cli.setting_options import with_settings
from service.cli.topics import check_there, opened_log
from service.setting_sources import Loaded
from service.settings import Settings
from streams import rebuild as rebuilds
from streams.domain.errors import RefusedStartError
from streams.domain.view_versions import live
from streams.registry_once import folded_once
from streams.topics import (
    CONTEXT_EVENTS,
    KEY_EVENTS,
    REGISTRY_EVENTS,
    SESSION_EVENTS,
    WEBHOOK_EVENTS,
    TopicSpec,
    shared_specs,
    view_specs,
    view_topics,
)

_LEFT_LIMIT_S = 8.0
"""The group misses a node that was killed after 6 s."""
_MADE_LIMIT_S = 30.0
_AGAIN_S = 0.2
_SOURCES = (CONTEXT_EVENTS, SESSION_EVENTS, WEBHOOK_EVENTS, KEY_EVENTS, REGISTRY_EVENTS)
_YES = "service.cli.tables.yes"
_QUESTION = "All tables are thrown away, and lists are 503 until nodes have folded all events again. Go on?"


class Members(Protocol):
    """The log, as far as it knows who folds."""

    async def members(self, group: str) -> list[str]:
        """Return what the members of a consumer group call themselves."""


class Topics(Protocol):
    """The log, as far as it makes topics."""

    async def create_topics(self, specs: Iterable[TopicSpec]) -> list[str]:
        """Create those that are missing; return their names."""

    async def check_topics(self, specs: Iterable[TopicSpec]) -> list[str]:
        """Return a sentence for each topic that is missing or not as it should be."""


@click.group(short_help="Have the tables folded again from the sources.")
def tables() -> None:
    """Have the tables folded again from the sources."""


def _note(context: click.Context, _option: click.Parameter, yes: bool) -> None:
    context.meta[_YES] = yes


@tables.command(short_help="Throw the tables away, to be folded again.")
@click.option("--yes", is_flag=True, expose_value=False, callback=_note, help="Do not ask.")
@with_settings
def rebuild(loaded: Loaded) -> None:
    """
    Throw the tables away, to be folded again from context-events, session-events and webhook-events.

    For a changelog, or a topic between the processors, that was lost or replaced. Stop every node that folds. The
    topics of the views are made anew; nodes that are started then set their own stores aside and fold all events. Lists
    are 503 until that is done, on every node; items are written meanwhile. Nothing is lost, and positions hold.
    """
    asyncio.run(_rebuild(loaded.settings, asks=not click.get_current_context().meta[_YES]))
    click.echo("The tables were thrown away: start the nodes, which fold them again.")


async def _rebuild(settings: Settings, *, asks: bool) -> None:
    check_there(settings)
    async with opened_log(settings) as log:
        # All topics of one deployment have as many partitions as its registry says, whatever this is started with.
        sources = [spec for spec in shared_specs(settings.partition_count) if spec.name in _SOURCES]
        missing = [complaint for complaint in await log.check_topics(sources) if "is missing" in complaint]
        if missing:
            raise RefusedStartError(f"{missing[0]} Without it there is nothing to fold.")
        view = live(await folded_once(log))
        await _until_nobody_folds(log, view)
        if asks:
            click.confirm(_QUESTION, abort=True)
            # Whoever thinks about it for long may have had a node started meanwhile.
            await _until_nobody_folds(log, view)
        partitions = await rebuilds.begin(log, view)
        topics = [name for name in view_topics(view) if name != view_topics(view).dead_letters]
        deleted = await log.delete_topics(topics)
        await made(log, view_specs(partitions, view), deleted)
        click.echo(f"made anew: {', '.join(deleted)}" if deleted else "no topic was there")


async def made(log: Topics, specs: Sequence[TopicSpec], deleted: Iterable[str], limit_s: float = _MADE_LIMIT_S) -> None:
    """
    Return once all topics are there, those that were *deleted* anew.

    A broker may have one for a while that is gone, and say that there is nothing to create, or that nothing is missing.

    Raises:
        RefusedStartError: Some are missing, or were not made by this call, after *limit_s*.
    """
    end = asyncio.get_running_loop().time() + limit_s
    awaited = set(deleted)
    while True:
        awaited -= set(await log.create_topics(specs))
        missing = [complaint for complaint in await log.check_topics(specs) if "is missing" in complaint]
        if not missing and not awaited:
            return
        if asyncio.get_running_loop().time() > end:
            what = " ".join(missing) or f"{', '.join(sorted(awaited))} could not be made anew."
            raise RefusedStartError(f"{what} Run this again.")
        await asyncio.sleep(_AGAIN_S)


async def _until_nobody_folds(log: Members, view: str) -> None:
    """Return once the group has no member: one that was killed counts as one for a while."""
    end = asyncio.get_running_loop().time() + _LEFT_LIMIT_S
    while members := await log.members(view):
        if asyncio.get_running_loop().time() > end:
            raise RefusedStartError(f"{len(members)} of the nodes that fold are running: stop every node first.")
        await asyncio.sleep(_AGAIN_S)
