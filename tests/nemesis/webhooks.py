"""Webhooks: the apps' endpoints, which fail now and then, and what must have arrived there by the log."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from aiohttp import web

from tests.nemesis.history import Entries, Logged
from tests.nemesis.oracle import ContextStates, SessionStates
from tests.support.nodes import Caller, Deployment
from tests.support.webhooks import Received, Receiver, receiving

ARRIVED_S = 120.0
"""The third attempt is made some 20 s after the first, the fifth after two minutes."""
_FAILS, _IS_SLOW, _SLOW_S = 0.08, 0.01, 2.0


class Told(NamedTuple):
    """Something that happened to a context, as its app hears of it."""

    type: str
    """Without `context.`."""
    context: str
    of: str
    """The session, or the content id."""
    created_ms: int


@dataclass
class Endpoints:
    """Receives what the apps are told, and fails at random."""

    receiver: Receiver
    source: random.Random
    accepted: list[tuple[str, Told]] = field(default_factory=list)
    """Path and event, in the order in which they were taken."""
    bodies: dict[str, set[bytes]] = field(default_factory=lambda: defaultdict(set))
    """Event id → what came under it."""
    ids: dict[Told, set[str]] = field(default_factory=lambda: defaultdict(set))

    async def answer(self, received: Received) -> web.Response:
        """Take an event, or fail."""
        event = received.json
        told = told_of(event)
        self.bodies[event["id"]].add(received.body)
        self.ids[told].add(event["id"])
        draw = self.source.random()
        if draw < _FAILS:
            return web.Response(status=500)
        if draw < _FAILS + _IS_SLOW:
            await asyncio.sleep(_SLOW_S)
        self.accepted.append((received.path, told))
        return web.Response(status=204)

    async def make(self, registry: Deployment, company: str, app: Caller, *, ordered: bool) -> None:
        """Make an endpoint of an app's client, whose path says whether it is told in order."""
        listed = (await registry.admin.ok("GET", f"/api/v1/clients?context={company}")).json["results"]
        client = next(one["id"] for one in listed if one["clientId"] == app.client_id)
        url = self.receiver.url("/ordered" if ordered else "/any")
        body = {"client": client, "endpointUrl": url, "ordered": ordered}
        await registry.admin.ok("POST", f"/api/v1/webhookendpoints?context={company}", body)

    async def check(self, context_events: list[Logged], session_events: list[Logged]) -> list[str]:
        """Return what is wrong once all has arrived, or will not: lost, made up, under several ids, or out of order."""
        expected = set(told_by(context_events, session_events))
        end_s = time.monotonic() + ARRIVED_S
        while expected - {told for _, told in self.accepted} and time.monotonic() < end_s:
            await asyncio.sleep(0.2)
        return [*self._wrong(expected)]

    def _wrong(self, expected: set[Told]) -> Iterator[str]:
        accepted = {told for _, told in self.accepted}
        yield from (f"an app has not heard of {told}" for told in sorted(expected - accepted))
        yield from (f"an app has heard of {told}, which did not happen" for told in sorted(self.ids.keys() - expected))
        yield from (f"{told} came under {ids}" for told, ids in self.ids.items() if len(ids) > 1)
        yield from (f"{event} came as {bodies}" for event, bodies in self.bodies.items() if len(bodies) > 1)
        last: dict[tuple[str, str], Told] = {}
        seen: set[Told] = set()
        for path, told in self.accepted:
            if path == "/ordered" and told not in seen:
                seen.add(told)
                before = last.setdefault((told.context, told.of), told)
                if before.created_ms > told.created_ms:
                    yield f"an ordered endpoint heard of {told} after {before}"
                last[told.context, told.of] = told


@asynccontextmanager
async def endpoints(source: random.Random) -> AsyncIterator[Endpoints]:
    """Run the apps' endpoints."""
    async with receiving() as receiver:
        made = Endpoints(receiver, source)
        receiver.answer = made.answer
        yield made


def told_of(event: Mapping[str, Any]) -> Told:
    """Return what an event says."""
    data = event["data"]
    of = data["session_id"] if "session_id" in data else data["content_id"]
    return Told(event["type"].removeprefix("context."), data["context_id"], of, event["created"])


def told_by(context_events: Iterable[Logged], session_events: Iterable[Logged]) -> Iterator[Told]:
    """Yield what apps must hear of, by the log and the plain oracle."""
    sessions: dict[str, SessionStates] = defaultdict(SessionStates)
    for logged in session_events:
        states = sessions[logged.of]
        before = states.last.members
        states.fold(logged)
        after = states.last.members
        gone = "session.deleted" if states.last.deleted else "session.context_removed"
        for context in before.keys() ^ after.keys():
            what = "session.context_added" if context in after else gone
            yield Told(what, context, logged.of, logged.time_ms)
    entries = Entries()
    contexts: dict[str, ContextStates] = {}
    for logged in context_events:
        state = contexts.setdefault(logged.of, ContextStates(logged.of, entries))
        last = state.sequences[-1] if state.sequences else -1
        rows = Counter(state.at(last) or ())
        state.fold(logged)
        if logged.event["type"] == "context.item_hidden.v1" and Counter(state.at(logged.offset) or ()) != rows:
            what = "list.item_hidden" if logged.event["hidden"] else "list.item_unhidden"
            yield Told(what, logged.of, logged.event["content_id"], logged.time_ms)
