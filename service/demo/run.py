"""The demo from its start to its end: wait for the node, fill it, say what to try, and let people watch."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import chain
from random import Random
from typing import NamedTuple

import aiohttp
import msgspec

from service.demo.catalogue import catalogue
from service.demo.examples import example_put, examples
from service.demo.filling import Filler, Household, Writer, session_path
from service.demo.household import PEOPLE, SERVICES
from service.demo.remote import Remote, wait_for_node
from service.demo.screen import Frame, Screen, Shown
from service.demo.tally import Tally
from service.demo.viewing import Act, Viewer, make_viewers, watch
from service.http.versions.v2026_11_01 import SessionListOut


class Plan(NamedTuple):
    """What was asked for."""

    url: str
    read_token: Callable[[], str]
    """Returns the administrator's token, once a node answers: it may be the node that makes it."""
    seed: int
    rate: float
    """Writes a second."""
    once: bool
    """Whether filling is all."""
    minutes: float | None
    wait_s: float


class Reader:
    """Reads the lists, each never from before the last write for its viewer, nor from before its last answer."""

    def __init__(self, remote: Remote, writer: Writer, positions: dict[int, str], rows: int) -> None:
        """Take the node, who sits where, what was written so far by viewer, and how many items to ask for."""
        self._remote, self._writer, self._positions, self._rows = remote, writer, positions, rows

    async def read(self, viewer: int, after: str, *, patience_s: float) -> Shown:
        """Return the top of a viewer's list that has the write at *after* in it."""
        platform, session = self._writer.screen(viewer)
        positions = ",".join(filter(None, (self._positions[viewer], after)))
        reply = await self._remote.call(
            "GET",
            f"{session_path(session)}?limit={self._rows}",
            platform.credentials.header,
            after=positions,
            patience_s=patience_s,
        )
        self._positions[viewer] = reply.position
        page = msgspec.json.decode(reply.body, type=SessionListOut)
        return Shown(f"{PEOPLE[viewer]} on {platform.name}", page)


async def run(plan: Plan, screen: Screen, services: dict[str, str]) -> None:
    """
    Run the demo; once people watch, a cancellation ends it as the end of its time does.

    Args:
        plan: What was asked for.
        screen: Where it is shown.
        services: Takes the names of the services by app id, for the screen.

    Raises:
        DemoError: It could not go on.
    """
    async with aiohttp.ClientSession() as http:
        remote = Remote(http, plan.url, screen.notice)
        await wait_for_node(remote, patience_s=plan.wait_s, tell=screen.tell)
        household = await Filler(remote, plan.read_token()).make_household()
        services.update({app.id: app.name for app in household.apps})
        draws = Random(plan.seed)  # noqa: S311 - a story that can be told again
        viewers = make_viewers(PEOPLE, SERVICES, catalogue(), draws)
        writer = Writer(remote, household)
        positions = await _fill(writer, viewers, screen)
        reader = Reader(remote, writer, positions, screen.rows)
        lists = {viewer: await reader.read(viewer, "", patience_s=60) for viewer in range(len(PEOPLE))}
        _tell(screen, plan, household, lists)
        if not plan.once:
            await _watch(plan, remote, writer, reader, watch(viewers, draws), lists, screen)


async def _fill(writer: Writer, viewers: list[Viewer], screen: Screen) -> dict[int, str]:
    acts = [*chain.from_iterable(viewer.first_entries() for viewer in viewers), example_put()]
    screen.tell(f"Filling the lists of {' and '.join(PEOPLE)}: {len(acts)} items of {len(SERVICES)} services")
    began = time.monotonic()
    positions = await writer.write_all(acts, partial(_tell_count, screen, len(acts)))
    screen.tell(f"Filled in {time.monotonic() - began:.1f} s.")
    return positions


def _tell_count(screen: Screen, whole: int, count: int) -> None:
    if count % 100 == 0:
        screen.notice(f"  {count} of {whole}")


def _tell(screen: Screen, plan: Plan, household: Household, lists: dict[int, Shown]) -> None:
    for shown in lists.values():
        screen.tell(f"  {shown.heading}: {shown.page.total} items")
    screen.tell("")
    screen.tell("Try this:")
    for says, line in examples(plan.url, household):
        screen.tell("")
        screen.tell(f"# {says}")
        screen.tell(line)
    screen.tell("")


async def _watch(
    plan: Plan,
    remote: Remote,
    writer: Writer,
    reader: Reader,
    acts: Iterator[Act],
    lists: dict[int, Shown],
    screen: Screen,
) -> None:
    tally, began, repeats = Tally(), time.monotonic(), remote.repeats
    screen.tell(f"Now they watch (seed {plan.seed}, {plan.rate:g} writes a second). Ctrl-C ends it.")
    limit_s = None if plan.minutes is None else plan.minutes * 60
    try:
        # Ctrl-C is how people end it.
        with suppress(TimeoutError, asyncio.CancelledError):
            async with asyncio.timeout(limit_s):
                await _follow(acts, plan.rate, writer, reader, lists, screen, tally)
    finally:
        screen.close()
        screen.tell(tally.summary(time.monotonic() - began, remote.repeats - repeats))


async def _follow(
    acts: Iterator[Act],
    rate: float,
    writer: Writer,
    reader: Reader,
    lists: dict[int, Shown],
    screen: Screen,
    tally: Tally,
) -> None:
    due = time.monotonic()
    for act in acts:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        # A node that was away is not flooded with what was missed.
        due = max(due, time.monotonic() - 1 / rate) + 1 / rate
        began = time.perf_counter()
        position = await writer.write(act, patience_s=math.inf)
        lists[act.viewer] = await reader.read(act.viewer, position, patience_s=math.inf)
        took_ms = (time.perf_counter() - began) * 1_000
        tally.add(act, took_ms)
        screen.show(Frame(act.says, took_ms, act.viewer, lists))
