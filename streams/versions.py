"""Versions of the views beside each other: begun, shown, switched between, dropped."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Protocol

from streams.domain.errors import LogUnavailableError
from streams.domain.rebuilds import Rebuild, latest, rebuild_write
from streams.domain.registry import Applied
from streams.domain.registry_events import ObjectWrite, Transaction
from streams.domain.view_versions import (
    KnownVersion,
    Progress,
    Stage,
    VersionStatus,
    ViewChangeError,
    begun,
    building,
    dropped,
    last_live,
    next_live,
    switched,
    versions,
)
from streams.log.port import Log
from streams.rebuild import last_positions
from streams.registry import Registry
from streams.topics import (
    CONTEXT_EVENTS,
    KEY_EVENTS,
    SESSION_EVENTS,
    WEBHOOK_EVENTS,
    TopicSpec,
    view_specs,
    view_topics,
)

MOST_BEHIND = 1_000
"""Records that a version may not have folded yet when reads are switched to it: a fraction of a second's work, which
who has a position of theirs waits for."""
_LIMIT_S = 20.0
_USER = "superuser"
_COUNTED = (CONTEXT_EVENTS, SESSION_EVENTS)


class Topics(Log, Protocol):
    """The log, as far as topics and groups are made and deleted."""

    async def create_topics(self, specs: Iterable[TopicSpec]) -> list[str]:
        """Create those that are missing; return their names."""

    async def delete_topics(self, names: Iterable[str]) -> list[str]:
        """Delete those of *names* that are there; return them."""

    async def members(self, group: str) -> list[str]:
        """Return what the members of a consumer group call themselves."""

    async def delete_group(self, group: str) -> None:
        """Delete a consumer group that has no members, where there is one."""


class Served(Protocol):
    """Who serves which version."""

    def unserved(self, view: str) -> int:
        """Return how many partitions of a version's tables no node serves."""

    def waits_for(self, view: str) -> tuple[str, ...]:
        """Return the places of records at which the nodes that fold a version have stopped."""


class Versions:
    """
    The versions of the views of a deployment, as any node can change them.

    What is there, and what is live, stands in the registry, which all nodes follow; it judges two changes at once.
    """

    def __init__(
        self,
        log: Topics,
        registry: Registry,
        partitions: int,
        served: Served,
        let_go: Callable[[str], Awaitable[None]],
    ) -> None:
        """Take the log, the registry, who serves what, and what has this node fold a version no more that is gone."""
        self._log, self._registry, self._partitions = log, registry, partitions
        self._served, self._let_go = served, let_go

    async def begin(self, max_events_per_s: int = 0) -> str:
        """
        Have the next version built beside the live one, from the first event on; return its name.

        Where one is being built already, that one goes on, and may be folded as fast as is said now: so all its nodes
        may begin it at once.

        Raises:
            ViewChangeError: Somebody else changed the versions at the same time.
            LogUnavailableError: It may or may not have begun.
        """
        try:
            return await self._begin(max_events_per_s)
        except ViewChangeError:
            return await self._begin(max_events_per_s)

    async def _begin(self, max_events_per_s: int) -> str:
        await self._registry.catch_up()
        state = self._registry.state
        name, write = begun(state, max_events_per_s)
        if building(state):
            if versions(state)[name].version.max_events_per_s != max_events_per_s:
                await self._write((write,))
            return name
        await self._log.create_topics(view_specs(self._partitions, name))
        ends = {topic: await self._ends(topic) for topic in (CONTEXT_EVENTS, SESSION_EVENTS, KEY_EVENTS)}
        # As after any loss of all tables: no list of it is served before what the sources hold now is folded.
        await self._write((write, rebuild_write(state, name, Rebuild(1, ends))))
        return name

    async def switch(self) -> str:
        """
        Have the version read that is being built, or was left by the way back; return its name.

        Nodes hear of it from the registry.

        Raises:
            ViewChangeError: There is none, or it is not ready; the message says why.
            LogUnavailableError: It may or may not have been switched.
        """
        await self._registry.catch_up()
        return await self._switch(next_live(self._registry.state))

    async def roll_back(self) -> str:
        """Have the version read that was live before; see `switch`."""
        await self._registry.catch_up()
        return await self._switch(last_live(self._registry.state))

    async def _switch(self, name: str) -> str:
        status = await self._status(versions(self._registry.state)[name])
        if not status.is_whole:
            raise ViewChangeError(f"{name} has not folded yet what the log held when it was begun: see its status.")
        if status.unserved:
            raise ViewChangeError(f"{status.unserved} partitions of {name} are served by no node: start nodes for it.")
        if status.progress.lag > MOST_BEHIND:
            raise ViewChangeError(f"{name} is {status.progress.lag:,} records behind: wait until it has caught up.")
        await self._write(switched(self._registry.state, name))
        return name

    async def drop(self, name: str) -> None:
        """
        Remove a version that is not live: its topics, its group and, on this node, its stores. Again it does the rest.

        Raises:
            ViewChangeError: It is live, there is none of that name, or nodes fold it still.
            LogUnavailableError: It may or may not be gone.
        """
        await self._registry.catch_up()
        writes = dropped(self._registry.state, name)
        if members := await self._log.members(name):
            nodes = "a node folds" if len(members) == 1 else f"{len(members)} nodes fold"
            raise ViewChangeError(f"{nodes} {name} still: stop it, or start it without --view, first.")
        if writes:
            await self._write(writes)
        await self._let_go(name)
        await self._log.delete_topics(view_topics(name))
        await self._log.delete_group(name)

    async def status(self) -> list[VersionStatus]:
        """
        Say how each version is that was not dropped.

        Raises:
            LogUnavailableError: The log did not answer in time.
        """
        known = versions(self._registry.state).values()
        return [await self._status(one) for one in known if one.version.stage is not Stage.DROPPED]

    async def _status(self, known: KnownVersion) -> VersionStatus:
        name = known.name
        try:
            async with asyncio.timeout(_LIMIT_S):
                progress = await self._progress(name)
        except TimeoutError as error:
            raise LogUnavailableError(f"the log was not read within {_LIMIT_S:g} s") from error
        return VersionStatus(
            known,
            progress,
            latest(self._registry.state, name).done,
            self._served.unserved(name),
            self._served.waits_for(name),
        )

    async def _progress(self, name: str) -> Progress:
        topics = view_topics(name)
        tables = (
            (topics.contexts_changelog, (CONTEXT_EVENTS, topics.subscriptions)),
            (topics.sessions_changelog, (SESSION_EVENTS, topics.feed)),
            (topics.webhooks_changelog, (WEBHOOK_EVENTS, topics.notices)),
            (topics.idempotency_changelog, (KEY_EVENTS,)),
        )
        done = total = between = 0
        for changelog, inputs in tables:
            for part in await asyncio.gather(*(self._part(changelog, n, inputs) for n in self._numbers)):
                for topic, (folded, end) in part.items():
                    if topic in _COUNTED:
                        done, total = done + folded, total + end
                    else:
                        between += end - folded
        return Progress(done, total, between)

    @property
    def _numbers(self) -> range:
        return range(self._partitions)

    async def _part(self, changelog: str, number: int, inputs: Iterable[str]) -> dict[str, tuple[int, int]]:
        """Return up to where a partition of a table has folded each input that the log has, and where that ends."""
        positions = await last_positions(self._log, changelog, number)
        return {topic: await self._folded(topic, number, positions.get(topic, -1) + 1) for topic in inputs}

    async def _folded(self, topic: str, number: int, at: int) -> tuple[int, int]:
        # The end after what is folded, so that it is never before it.
        end = await self._log.end_offset(topic, number)
        if at < end:
            # What is not kept for ever may have gone before it was folded.
            at = min(end, max(at, await self._log.start_offset(topic, number)))
        return at, end

    async def _ends(self, topic: str) -> Sequence[int]:
        return [await self._log.end_offset(topic, number) for number in self._numbers]

    async def _write(self, writes: Iterable[ObjectWrite]) -> None:
        transaction = Transaction(id=secrets.token_hex(16), user=_USER, objects=tuple(writes))
        verdict = await self._registry.transact(transaction)
        if not isinstance(verdict, Applied):
            raise ViewChangeError("Somebody else changed the versions at the same time: look, then try again.")
