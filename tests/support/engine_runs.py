"""
Seeded runs of the engine: both real processors, real tables, a real log, no Faust, and the worst of days.

Fetches come in pieces, twice, late, from before a seek, or not at all. Calls of the log are lost on the way there or on
the way back. Processes end between any two calls, some of their stores are gone afterwards, or another node takes over
and the old one wakes up late. In the end all is folded, and compared with what both logs say.
"""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from streams.domain.errors import FencedError, LogUnavailableError
from streams.domain.events import (
    ContextAttached,
    ContextDetached,
    ContextEvent,
    ItemHidden,
    ItemRemoved,
    SessionDeleted,
    SessionEvent,
)
from streams.domain.ids import Kind, id_text
from streams.engine.inbox import Fetched
from streams.log.embedded import EmbeddedLog
from streams.topics import CONTEXT_EVENTS, SESSION_EVENTS
from tests.support.engine_checks import check_node, spread
from tests.support.engine_faults import CrashError, FaultyLog, Trouble
from tests.support.engine_nodes import ENGINE, PARTITIONS, DiedError, Node, Parts, opened_log, quick_directory
from tests.support.engine_writes import Writes
from tests.support.protocol_checks import BrokenError, Checks
from tests.support.protocol_oracle import Oracle
from tests.support.protocol_owner import day_of
from tests.support.tables import app_of, context_id, make_item, session_id

STEPS = 150
CONTEXTS = [context_id(n) for n in range(3)]
SESSIONS = [session_id(n) for n in range(3)]
CONTENT_IDS = "abcde"


class Run:
    """One seeded run."""

    def __init__(self, seed: int, log: EmbeddedLog, directory: Path, parts: Parts) -> None:
        self.seed, self.rng = seed, random.Random(seed)
        self._log, self._directory, self._parts = log, directory, parts
        self._writes = Writes(log, PARTITIONS)
        self._limits = day_of(self.rng).limits
        self._trouble = self.rng.choice([0.0, 0.02, 0.1])
        self._crashes = self.rng.random() < 0.7
        self._zombies = self.rng.random() < 0.5
        self._calm = False
        self._calls: Counter[str] = Counter()
        self._titles = 0
        self._lives = 0
        self._poison: set[bytes] = set()
        self._oracle = Oracle(CONTEXTS, SESSIONS, self._limits)
        self._checks = Checks(self._oracle, self._limits)
        self._held: list[Fetched] = []
        self._node = self._new("a")
        self._zombie: Node | None = None
        self.seen: Counter[str] = Counter()

    def _new(self, name: str) -> Node:
        return Node(FaultyLog(self._log, self._becomes), self._directory / name, parts=self._parts, limits=self._limits)

    def _becomes(self, call: str) -> Trouble:
        """Say what becomes of a call: by its name and how often it was made, whatever else is under way."""
        self._calls[call] += 1
        draw = random.Random(f"{self.seed} {call} {self._calls[call]}").random()
        if self._calm or draw > self._trouble:
            return Trouble.NONE
        kinds = list(Trouble)[1:] if self._crashes else [Trouble.LOST, Trouble.PART, Trouble.LANDED, Trouble.OVERLOADED]
        trouble = kinds[int(draw / self._trouble * len(kinds)) % len(kinds)]
        self.seen[trouble.name] += 1
        return trouble

    async def go(self) -> None:
        """
        Run the day, then let all of it be folded, and compare.

        Raises:
            BrokenError: Something does not hold; it has its name.
        """
        acts = self._acts()
        try:
            await self._lives_on(self._node.recover)
            for _ in range(STEPS):
                (act,) = self.rng.choices(list(acts), list(acts.values()))
                await act()
            await self._settle()
        finally:
            self._node.close()
            self._end_zombie()

    async def _settle(self) -> None:
        self._calm = True
        if self._zombie is not None:
            await self._zombie_turn()
        self._held.clear()
        self._node.seek_to_positions()
        await self._node.drain()
        self._checks.end(*spread(self._node))
        await check_node(self._node, self._log)
        await self._check_dead_letters()

    async def _check_dead_letters(self) -> None:
        topic = self._node.contexts.fold.dead_letters
        there: set[bytes | None] = set()
        for partition in range(PARTITIONS):
            async for chunk in self._log.read(topic, partition, 0, await self._log.end_offset(topic, partition)):
                there |= {record.key for record in chunk.records}
        if there != self._poison:
            raise BrokenError("dead letters")

    # What happens

    def _acts(self) -> dict[Callable[[], Awaitable[None]], int]:
        """Return what may happen, and how often of a hundred times."""
        return {
            self._context_event: 20,
            self._session_event: 10,
            self._append_poison: 1,
            self._fetch: 37,
            self._turn: 24,
            self._trim: 2,
            self._compact: 1,
            self._rebalance: 2,
            **({self._reborn: 1} if self._crashes else {}),
            **({self._take_over_or_wake: 2} if self._zombies else {}),
        }

    async def _turn(self) -> None:
        processor = self.rng.choice(self._node.processors)
        await self._lives_on(lambda: self._node.turn(processor))

    async def _trim(self) -> None:
        with suppress(LogUnavailableError):
            await self._lives_on(lambda: self._node.trimmer.trim(at_least=1))

    async def _compact(self) -> None:
        await self._log.compact(self.rng.choice(self._node.processors).fold.changelog, self.rng.randrange(PARTITIONS))

    async def _rebalance(self) -> None:
        """Assign what was assigned: what is on its way is forgotten, and everything is claimed again."""
        await self._lives_on(self._node.recover)

    async def _fetch(self) -> None:
        node, draw = self._node, self.rng.random()
        topic, partition = self.rng.choice(list(node.next))
        if draw < 0.05 and node.next[topic, partition] > 0:
            # Some of it again, as after a seek, or from before one.
            node.next[topic, partition] = self.rng.randrange(node.next[topic, partition])
        fetched = await node.read(topic, partition, self.rng.choice([1, 2, 5, 50]))
        if draw > 0.95:
            self.seen["fetch lost"] += 1
        elif draw > 0.9:
            self._held.append(fetched)
        else:
            node.engine.take(*fetched)
        if self._held and self.rng.random() < 0.2:
            node.engine.take(*self._held.pop(self.rng.randrange(len(self._held))))

    async def _lives_on(self, do: Callable[[], Awaitable[None]]) -> None:
        """Do something that the process may not survive; have it live again, until it has recovered."""
        try:
            await do()
        except CrashError:
            await self._reborn()

    async def _reborn(self) -> None:
        """Start again on what is on disk, of which some may be lost."""
        while True:
            self._lives += 1
            self.seen["crash"] += 1
            self._node.close()
            self._held.clear()
            if self.rng.random() < 0.4:
                self._wipe()
            self._node = self._new(self._node.directory.name)
            try:
                await self._node.recover()
            except CrashError:
                continue
            return

    def _wipe(self) -> None:
        for table in ("contexts", "sessions"):
            for partition in range(PARTITIONS):
                if self.rng.random() < 0.5:
                    shutil.rmtree(self._node.directory / table / str(partition), ignore_errors=True)
                    self.seen["store wiped"] += 1

    async def _take_over_or_wake(self) -> None:
        if self._zombie is not None:
            await self._zombie_turn()
            return
        self._zombie = self._node
        self.seen["taken over"] += 1
        self._held.clear()
        self._node = self._new("b" if self._node.directory.name == "a" else "a")
        await self._lives_on(self._node.recover)

    async def _zombie_turn(self) -> None:
        """Have the former owner fold what it does not know to be another's; its changelogs refuse it."""
        zombie = self._zombie
        assert zombie is not None
        zombie.log.troubles = lambda _: Trouble.NONE
        processor = self.rng.choice(zombie.processors)
        for topic in processor.topics:
            await zombie.fetch(topic, self.rng.randrange(PARTITIONS))
        try:
            await zombie.turn(processor)
        except FencedError:
            self.seen["refused"] += 1
            self._end_zombie()

    def _end_zombie(self) -> None:
        if self._zombie is not None:
            self._zombie.close()
            self._zombie = None

    # What is written

    async def _context_event(self) -> None:
        context = self.rng.choice(CONTEXTS)
        content_id, draw = self.rng.choice(CONTENT_IDS), self.rng.random()
        event: ContextEvent
        if draw < 0.06:
            items = [make_item(c, title=f"B{draw}") for c in random.Random(draw).choices(CONTENT_IDS, k=3)]
            event = (
                self._writes.items_replaced(context, items) if draw < 0.02 else self._writes.items_put(context, items)
            )
        elif draw < 0.75:
            self._titles += 1
            long = "long " * 250 if draw < 0.15 else ""
            event = self._writes.item_put(context, content_id, title=f"T{self._titles}", description=long)
        elif draw < 0.87:
            event = ItemRemoved(**self._writes.cause(), content_id=content_id)
        else:
            event = ItemHidden(**self._writes.cause(), content_id=content_id, hidden=self.rng.random() < 0.6)
        where = await self._writes.context_event(context, event)
        self._oracle.contexts[context].fold(event, where.offset, where.time_ms)

    async def _session_event(self) -> None:
        session, context = self.rng.choice(SESSIONS), self.rng.choice(CONTEXTS)
        text, draw = id_text(Kind.CONTEXT, context), self.rng.random()
        event: SessionEvent
        if draw < 0.65:
            event = ContextAttached(**self._writes.cause(), context=text, app=id_text(Kind.APP, app_of(context)))
        elif draw < 0.98:
            event = ContextDetached(**self._writes.cause(), context=text)
        else:
            event = SessionDeleted(**self._writes.cause())
        where = await self._writes.session_event(session, event)
        self._oracle.sessions[session].fold(event, where.offset, where.time_ms, context)

    async def _append_poison(self) -> None:
        topic = self.rng.choice([CONTEXT_EVENTS, SESSION_EVENTS])
        where = await self._log.append(topic, self.rng.randrange(PARTITIONS), b"no key", b"no event")
        self._poison.add(f"{topic}-{where.partition}-{where.offset}".encode())


async def run(seed: int, parts: Parts = ENGINE, seen: Counter[str] | None = None) -> str | None:
    """Return the name of what did not hold in the run of *seed*, None where all did."""
    with quick_directory() as directory:
        async with opened_log(directory / "log") as log:
            day = Run(seed, log, directory, parts)
            try:
                await day.go()
            except BrokenError as error:
                return str(error)
            except DiedError as error:
                return f"died: {error}"
            except Exception as error:  # noqa: BLE001 - whatever is raised is the finding
                return f"raised {type(error).__name__}: {error}"
            finally:
                if seen is not None:
                    seen.update(day.seen)
    return None
