"""Tables that are folded again from the sources: how that begins, and when it is over."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence

import msgspec
import structlog

from streams.domain.errors import RefusedStartError, UnavailableError
from streams.domain.rebuilds import REBUILDS, Rebuild, latest, rebuild_write
from streams.domain.registry_events import ObjectWrite, Transaction
from streams.engine import fatal
from streams.engine.fatal import Die
from streams.engine.store import POSITION, decode_position
from streams.log.port import Log
from streams.registry import Registry
from streams.registry_codec import encode_registry_event, registry_key
from streams.registry_once import folded_once
from streams.topics import CONTEXT_EVENTS, KEY_EVENTS, REGISTRY_EVENTS, SESSION_EVENTS, VIEW, view_topics

LOOK_S = 0.5
_TAIL = 16
"""Records at the end of a changelog that are read first: its positions are the last rows of each batch."""
_USER = "superuser"


async def begin(log: Log, view: str = VIEW) -> int:
    """
    Write into the registry that the tables are to be folded again; return the deployment's number of partitions.

    No node may be folding. From then on every store that was made before is set aside when it is opened, whatever
    becomes of the topics, and no list is served until what the sources hold now is folded.

    Raises:
        RefusedStartError: There is no deployment on this log, or somebody else began at the same time.
        LogUnavailableError: It may or may not have begun.
    """
    state = await folded_once(log)
    if state.deployment is None:
        raise RefusedStartError("There is nothing to fold again: no node was ever started on this log.")
    partitions = state.deployment.partitions
    ends = {
        topic: [await log.end_offset(topic, number) for number in range(partitions)]
        for topic in (CONTEXT_EVENTS, SESSION_EVENTS, KEY_EVENTS)
    }
    rebuild = Rebuild(latest(state, view).generation + 1, ends)
    transaction = _transaction(rebuild_write(state, view, rebuild))
    value = encode_registry_event(transaction)
    appended = await log.append(REGISTRY_EVENTS, 0, registry_key(transaction), value)
    written = (await folded_once(log)).find(REBUILDS, view)
    if written is None or written.offset != appended.offset:
        raise RefusedStartError("Somebody else does the same: look whether it is done, then try again.")
    return partitions


def _transaction(write: ObjectWrite) -> Transaction:
    return Transaction(id=secrets.token_hex(16), user=_USER, objects=(write,))


class Rebuilding:
    """
    Implements `streams.engine.table.Gate`: no list is served while the tables are folded again.

    A session's list is whole once the session's events are folded, the contexts have folded theirs and what the session
    asked of them, and the session has folded what they answered. So each is waited for, in every partition, in this
    order: first both sources, up to where they ended when the rebuild began; then the subscriptions, up to where they
    end by then; then the feed, likewise; then both of these once more. How far a table is stands in its changelog,
    whichever node folds it.

    Once more, for a large change is told without its items, and a session asks only when it folds that. Twice will do:

    - By the first end of the feed every change of before the command, and the answer to every attachment, is in it.
    - What a session still lacks when it has folded up to there, it has asked for: that question is below the second end
      of the subscriptions. A question that was open already asks no second time, and serves as well: where its answer
      came before the change, the session had heard it, and asked again.
    - An answer that is not below the first end of the feed was written when the contexts had folded all of before the
      command, so it is no older than that; and it is below the second end. What is lacking then was written later.

    Attributes:
        generation: Of the tables of this node.
        ends: Source → where each of its partitions ended when that began.
        is_open: Whether lists are served.
    """

    def __init__(
        self, log: Log, registry: Registry, partitions: int, die: Die, *, view: str = VIEW, look_s: float = LOOK_S
    ) -> None:
        """Take the log, the registry, which has been folded, and how often to look."""
        self._log, self._registry, self._partitions, self._die = log, registry, partitions, die
        self._view, self._look_s = view, look_s
        self._topics = view_topics(view)
        self._task: asyncio.Task[None] | None = None
        last = self._last()
        self.generation = last.generation
        self.ends = last.ends
        self.is_open = last.done

    def _last(self) -> Rebuild:
        return latest(self._registry.state, self._view)

    def start(self) -> None:
        """Begin to look, where there is anything to wait for."""
        if not self.is_open:
            self._task = fatal.begin(self._run(), "rebuild of the tables", self._die)

    async def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        log = structlog.get_logger(__name__).bind(generation=self.generation)
        log.info("rebuild_under_way")
        while not self.is_open:
            try:
                await self._all_folded()
                if not self._last().done:
                    await self._note_done()
                self.is_open = True
            except UnavailableError as error:
                log.debug("rebuild_log_unavailable", reason=str(error))
                await asyncio.sleep(self._look_s)
        log.info("rebuild_done")

    async def _all_folded(self) -> None:
        ends, topics = self._last().ends, self._topics
        # Not there where a version that had no keys has begun it.
        await self._reached(topics.idempotency_changelog, {KEY_EVENTS: ends.get(KEY_EVENTS, [0] * self._partitions)})
        await self._reached(topics.sessions_changelog, {SESSION_EVENTS: ends[SESSION_EVENTS]})
        await self._reached(topics.contexts_changelog, {CONTEXT_EVENTS: ends[CONTEXT_EVENTS]})
        for _ in ("attachments", "what was lacking"):
            await self._reached(topics.contexts_changelog, await self._ends(topics.subscriptions))
            await self._reached(topics.sessions_changelog, await self._ends(topics.feed))

    async def _ends(self, topic: str) -> Mapping[str, Sequence[int]]:
        return {topic: [await self._log.end_offset(topic, number) for number in range(self._partitions)]}

    async def _reached(self, changelog: str, ends: Mapping[str, Sequence[int]]) -> None:
        """Return once a table has folded each topic to its end in every partition, or another node says that all is."""
        waiting = set(range(self._partitions))
        while waiting and not self._last().done:
            for number in sorted(waiting):
                positions = await last_positions(self._log, changelog, number)
                if all([await self._has(topic, number, positions, of[number]) for topic, of in ends.items()]):
                    waiting.discard(number)
            if waiting:
                await asyncio.sleep(self._look_s)

    async def _has(self, topic: str, number: int, positions: Mapping[str, int], end: int) -> bool:
        """Say whether all below *end* is folded that the log still has: keys go after some days."""
        return positions.get(topic, -1) >= end - 1 or await self._log.start_offset(topic, number) >= end

    async def _note_done(self) -> None:
        # Where another node was faster, this one is refused, which comes to the same.
        done = msgspec.structs.replace(self._last(), done=True)
        await self._registry.transact(_transaction(rebuild_write(self._registry.state, self._view, done)))


async def last_positions(log: Log, changelog: str, partition: int) -> dict[str, int]:
    """
    Return how far a partition of a table is, as its changelog says: input topic → offset of the last record folded.

    A topic of which nothing was folded is left out.
    """
    start, end = await log.start_offset(changelog, partition), await log.end_offset(changelog, partition)
    tail = _TAIL
    while True:
        first = max(start, end - tail)
        found: dict[str, tuple[int, int]] = {}
        async for chunk in log.read(changelog, partition, first, end):
            for record in chunk.records:
                if record.key is not None and record.key.startswith(POSITION) and record.value is not None:
                    found[record.key[len(POSITION) :].decode()] = record.offset, decode_position(record.value)
        # A batch ends with all positions: where one was found and what stands before it was seen, there are no more.
        if first == start or any(offset > first for offset, _ in found.values()):
            return {topic: position for topic, (_, position) in found.items()}
        tail *= _TAIL
