"""After the faults: every node comes to the same lists, which are what the log says, and so was all that was read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from streams.domain.positions import ContextPosition, ListPosition
from tests.nemesis.checker import check
from tests.nemesis.clients import Availability, Balance, Clients
from tests.nemesis.deployment import GUEST, PARTITIONS, Deployment, Kept
from tests.nemesis.history import Read
from tests.nemesis.household import Household
from tests.nemesis.oracle import SessionStates
from tests.nemesis.readers import Reader
from tests.nemesis.truth import Truth, fold

CONVERGED_S = 60.0
STALE_S = 75.0
"""Lists may be 60 s old where no position is passed; and a little, as they are waited for."""
_QUIET_S = 3.0
"""After which nothing that clients have given up is still on its way."""
_ZERO = ("upnext_digest_differences_total", "upnext_holes_total")


async def finish(deployment: Deployment, shared: Clients, household: Household) -> list[str]:
    """Have every node read once more, and return a sentence for everything that was wrong in the whole run."""
    wrong: list[str] = []
    if not await deployment.in_sync():
        wrong.append("the brokers are not in sync again")
    try:
        await deployment.ready()
    except TimeoutError:
        wrong.append("a node has not become ready again")
    await asyncio.sleep(_QUIET_S)
    log = await deployment.read_log()
    truth = fold(*log, shared.history.entries, PARTITIONS)
    for node in deployment.nodes[:GUEST]:
        wrong += await _Afterwards(node, shared, household, truth).read()
        wrong += await _counted(node)
    context_events, session_events = await deployment.read_log()
    if (context_events, session_events) != log:
        wrong.append(f"something was written {_QUIET_S:g} s after all was over")
    if count := await deployment.dead_letters():
        wrong.append(f"there are {count} dead letters")
    return wrong + check(shared.history, context_events, session_events, partitions=PARTITIONS, stale_s=STALE_S)


class _Afterwards:
    """Reads every list from one node, until it has all that the log has."""

    def __init__(self, node: Kept, shared: Clients, household: Household, truth: Truth) -> None:
        self._name, self._household, self._truth = node.process.directory.name, household, truth
        self._shared = replace(
            shared, balance=Balance([node.process], shared.random, shared.now_s), reads=Availability(shared.now_s)
        )
        self._reader = Reader(f"node {self._name}, afterwards", self._shared, household, 0, 1)
        self._end_s = time.monotonic() + CONVERGED_S

    async def read(self) -> list[str]:
        """Return what did not come to what the log says, within the time limit."""
        wrong = []
        for context in self._household.contexts:
            own = replace(context, app=replace(context.app, shared=self._shared))
            if not await self._until(self._is_whole_context, partial(self._reader.of_context, own)):
                wrong.append(f"node {self._name} has not come to the end of {context.id}")
        for session in [*self._household.sessions, *self._household.former]:
            own_session = replace(session, platform=replace(session.platform, shared=self._shared))
            if not await self._until(self._is_whole_session, partial(self._reader.whole, own_session, [])):
                wrong.append(f"node {self._name} has not come to the end of {session.id}")
        return wrong

    async def _until(self, is_whole: Callable[[Read], bool], read: Callable[[], Awaitable[Read]]) -> bool:
        while not is_whole(await read()):
            if time.monotonic() > self._end_s:
                return False
            await asyncio.sleep(0.05)
        return True

    def _is_whole_context(self, read: Read) -> bool:
        position = read.position
        return isinstance(position, ContextPosition) and position.offset == self._last(read.of)

    def _is_whole_session(self, read: Read) -> bool:
        state = self._truth.sessions.get(read.of, SessionStates()).last
        if state.deleted or read.status == 404:
            return state.deleted and read.status == 404
        wanted = sorted((attached.epoch, self._last(context)) for context, attached in state.members.items())
        position = read.position
        return isinstance(position, ListPosition) and sorted(position.members) == wanted

    def _last(self, context: str) -> int:
        return self._truth.contexts[context].sequences[-1]


async def _counted(node: Kept) -> list[str]:
    """Return which of a node's counters are not 0, and should be."""
    async with aiohttp.ClientSession() as http, http.get(f"{node.process.internal_url}/metrics") as answer:
        families = text_string_to_metric_families(await answer.text())
    samples = [sample for family in families for sample in family.samples if sample.name in _ZERO and sample.value]
    return [f"node {node.process.directory.name} counts {sample.name} {sample.value:g}" for sample in samples]
