"""
Seeded runs of the feed protocol on the real folds: two processors, log first, on the worst of days.

One partition of contexts and one of sessions. Owners fold ahead over an overlay, append what came of it bit by bit,
then commit rows and positions together. They crash anywhere (some of their outputs are in the log, the inputs
interleave differently the second time), or are paused while another takes over, and go on appending outputs of their
old state. Feed messages are lost or damaged before they are read, and appended twice.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from msgspec import UNSET
from msgspec.structs import replace

from streams.domain.context import fold_context_event, fold_subscription
from streams.domain.events import (
    ContextAttached,
    ContextCreated,
    ContextDetached,
    ContextEvent,
    ItemHidden,
    ItemPut,
    ItemRemoved,
    ItemsPut,
    ItemsReplaced,
    SessionCreated,
    SessionDeleted,
    SessionEvent,
)
from streams.domain.feed import (
    Change,
    Effect,
    Noticed,
    Operation,
    Refused,
    Snapshot,
    Sweep,
    ToContext,
    ToErase,
    ToSession,
)
from streams.domain.ids import ContextId, Kind, SessionId, id_text
from streams.domain.items import Item
from streams.domain.memory_rows import MemoryRows
from streams.domain.notices import ToApp
from streams.domain.session import fold_feed, fold_session_event
from streams.engine.overlay import Overlay
from tests.support.protocol_checks import BrokenError, Checks
from tests.support.protocol_oracle import Oracle
from tests.support.protocol_owner import Entry, Log, Owner, day_of
from tests.support.tables import CLIENT, HASH_KEY, START_MS, Cause, app_of, context_id, make_item, session_id

STEPS = 160
CONTEXTS = [context_id(n) for n in range(2)]
SESSIONS = [session_id(n) for n in range(2)]
CONTENT_IDS = "abcde"


class Folds(NamedTuple):
    """What the two processors fold with."""

    context_event: Callable[..., Iterator[Effect]] = fold_context_event
    subscription: Callable[..., Iterator[Effect]] = fold_subscription
    session_event: Callable[..., Iterator[Effect]] = fold_session_event
    feed: Callable[..., Iterator[Effect]] = fold_feed


class Run:
    """One seeded run."""

    def __init__(self, seed: int, folds: Folds) -> None:
        self.rng = random.Random(seed)
        self.day = day_of(self.rng)
        self._folds = folds
        self._now_ms = START_MS
        self._events = 0
        self.context_events: Log = []
        self.session_events: Log = []
        self.subscriptions: Log = []
        self.feed: Log = []
        self.oracle = Oracle(CONTEXTS, SESSIONS, self.day.limits)
        self.checks = Checks(self.oracle, self.day.limits)
        self.owners = {
            "contexts": Owner(
                [self.context_events, self.subscriptions], self._fold_contexts, MemoryRows(), [0, 0], 0.5
            ),
            "sessions": Owner([self.session_events, self.feed], self._fold_sessions, MemoryRows(), [0, 0], 0.5),
        }
        self._zombies: dict[str, Owner] = {}
        self.noticed: list[str] = []

    def go(self) -> None:
        """
        Run the day, then let all of it be folded, and compare.

        Raises:
            BrokenError: An invariant was broken; it has its name.
        """
        for _ in range(STEPS):
            self._act(self.rng.random(), self.rng.choice(["contexts", "sessions"]))
        self._heal()
        self.checks.end(self.owners["contexts"].rows, self.owners["sessions"].rows)

    # What happens

    def _act(self, draw: float, who: str) -> None:
        owner = self.owners[who]
        if draw < 0.16:
            self._context_event(self.rng.choice(CONTEXTS))
        elif draw < 0.25:
            self._session_event(self.rng.choice(SESSIONS), self.rng.choice(CONTEXTS))
        elif draw < 0.62:
            owner.step(self.rng)
        elif draw < 0.72:
            self._append(owner.take(self.rng.randrange(4)))
        elif draw < 0.85:
            self._commit(who)
        elif draw < 0.89:
            self._trouble_the_feed()
        elif not self.day.crashes:
            owner.step(self.rng)
        elif draw < 0.95 or not self.day.zombies:
            self._crash(who)
        else:
            self._pause_or_wake(who)

    def _crash(self, who: str) -> None:
        """End an owner. Some of what it was about to append is in the log."""
        owner = self.owners[who]
        if self.day.torn and self.rng.random() < 0.5:
            self._append([output for output in owner.pending if self.rng.random() < 0.6])
        else:
            self._append(owner.take(self.rng.randrange(len(owner.pending) + 1)))
        self._succeed(who)

    def _succeed(self, who: str) -> None:
        self.owners[who] = self.owners[who].successor(self.rng.choice([0.1, 0.5, 0.9]))

    def _pause_or_wake(self, who: str) -> None:
        """Have another take over; the next time, the first goes on a little on its old state, and is refused then."""
        zombie = self._zombies.get(who)
        if zombie is None:
            self._zombies[who] = self.owners[who]
            self._succeed(who)
            return
        for _ in range(self.rng.randrange(6)):
            zombie.step(self.rng)
        self._append(zombie.take(self.rng.randrange(1, 5)))
        if not zombie.pending or self.rng.random() < 0.3:
            del self._zombies[who]

    def _trouble_the_feed(self) -> None:
        """Append a message again, or lose or damage one that was not folded for good."""
        unread = range(self.owners["sessions"].positions[1], len(self.feed))
        if self.feed and self.rng.random() < 0.3:
            again = self.rng.choice(self.feed)
            self._append([(self.feed, again.to, again.message)])
        for n in unread:
            entry = self.feed[n]
            # A sweep or a refusal that is lost is never said again: such losses are an operator's to repair.
            if isinstance(entry.message, Sweep | Refused | None):
                continue
            draw = self.rng.random()
            if draw < self.day.lost:
                self.feed[n] = entry._replace(message=None)
            elif draw < self.day.lost + self.day.damaged:
                self.feed[n] = entry._replace(message=_damaged(entry.message))

    def _heal(self) -> None:
        """Write to every context until whatever was missed must have been noticed, and fold all of it."""
        rounds = 2 * self.day.limits.ask_again + 1
        for who in self.owners:
            self._append(self.owners[who].take(len(self.owners[who].pending)))
        for _ in range(rounds):
            for context in CONTEXTS:
                self._put(context, "last", "")
            self._drain()

    def _drain(self) -> None:
        for _ in range(5_000):
            for who in self.owners:
                self._commit(who)
            if not sum(owner.step(self.rng) for owner in self.owners.values()):
                return
        raise BrokenError("never drained")

    def _commit(self, who: str) -> None:
        owner = self.owners[who]
        self._append(owner.take(len(owner.pending)))
        owner.commit()
        if who == "sessions":
            self.checks.step(owner.rows, owner.positions[0] - 1)

    def _append(self, outputs: list[tuple[Log, Any, Any]]) -> None:
        for log, to, message in outputs:
            log.append(Entry(self._tick(), to, message))

    # What is written

    def _tick(self) -> int:
        """Return the log's time, which now and then steps back."""
        self._now_ms += self.rng.choice([-2_000, 0, 0, 1, 1, 1, 5, 700])
        return self._now_ms

    def _cause(self) -> Cause:
        self._events += 1
        return Cause(id=f"{self._events:032x}", client=CLIENT)

    def _item(self, content_id: str, description: str) -> Item:
        hidden = self.rng.choice([UNSET, UNSET, UNSET, True, False])
        return make_item(content_id, title=f"T{self._events}", description=description, hidden=hidden)

    def _put(self, context: ContextId, content_id: str, description: str) -> None:
        app, item = id_text(Kind.APP, app_of(context)), self._item(content_id, description)
        self._append_context(context, ItemPut(**self._cause(), app=app, item=item))

    def _bulk(self, context: ContextId) -> None:
        """Put several items, of which one may be there twice, or replace the list by them, or by none."""
        app, cause = id_text(Kind.APP, app_of(context)), self._cause()
        items = [self._item(content_id, "") for content_id in self.rng.choices(CONTENT_IDS, k=self.rng.randrange(6))]
        if items and self.rng.random() < 0.6:
            self._append_context(context, ItemsPut(**cause, app=app, items=items))
        else:
            self._append_context(context, ItemsReplaced(**cause, app=app, items=items))

    def _context_event(self, context: ContextId) -> None:
        content_id, draw = self.rng.choice(CONTENT_IDS), self.rng.random()
        if draw < 0.55:
            self._put(context, content_id, "long " * 250 if draw < 0.1 else "")
        elif draw < 0.7:
            self._bulk(context)
        elif draw < 0.82:
            self._append_context(context, ItemRemoved(**self._cause(), content_id=content_id))
        elif draw < 0.95:
            hidden = self.rng.random() < 0.6
            self._append_context(context, ItemHidden(**self._cause(), content_id=content_id, hidden=hidden))
        else:
            app = id_text(Kind.APP, app_of(context))
            self._append_context(context, ContextCreated(**self._cause(), app=app))

    def _append_context(self, context: ContextId, event: ContextEvent) -> None:
        time_ms = self._tick()
        self.oracle.contexts[context].fold(event, len(self.context_events), time_ms)
        self.context_events.append(Entry(time_ms, context, event))

    def _session_event(self, session: SessionId, context: ContextId) -> None:
        text, draw = id_text(Kind.CONTEXT, context), self.rng.random()
        event: SessionEvent
        if draw < 0.6:
            event = ContextAttached(**self._cause(), context=text, app=id_text(Kind.APP, app_of(context)))
        elif draw < 0.8:
            event = ContextDetached(**self._cause(), context=text)
        elif draw < 0.93:
            epoch = self.rng.randrange(len(self.session_events) + 1)
            event = ContextDetached(**self._cause(), context=text, epoch=epoch)
        elif draw < 0.98:
            event = SessionCreated(**self._cause(), platform=id_text(Kind.PLATFORM, bytes(17)))
        else:
            event = SessionDeleted(**self._cause())
        time_ms = self._tick()
        self.oracle.sessions[session].fold(event, len(self.session_events), time_ms, context)
        self.session_events.append(Entry(time_ms, session, event))

    # How it is folded

    def _fold_contexts(self, rows: Overlay, source: int, offset: int, entry: Entry) -> Iterator[tuple[Log, Any, Any]]:
        limits = self.day.limits
        if source == 0:
            effects = self._folds.context_event(
                rows, entry.message, entry.to, sequence=offset, time_ms=entry.time_ms, hash_key=HASH_KEY, limits=limits
            )
        else:
            effects = self._folds.subscription(rows, entry.message, entry.to, time_ms=entry.time_ms, limits=limits)
        yield from self._outputs(effects, None)

    def _fold_sessions(self, rows: Overlay, source: int, offset: int, entry: Entry) -> Iterator[tuple[Log, Any, Any]]:
        if entry.message is None:
            return
        limits = self.day.limits
        if source == 0:
            effects = self._folds.session_event(
                rows, entry.message, entry.to, offset=offset, time_ms=entry.time_ms, limits=limits
            )
            yield from self._outputs(effects, self.oracle.sessions[entry.to].verdicts[offset])
        else:
            effects = self._folds.feed(rows, entry.message, entry.to, offset=offset, hash_key=HASH_KEY, limits=limits)
            yield from self._outputs(effects, None)

    def _outputs(self, effects: Iterator[Effect], verdict: object) -> Iterator[tuple[Log, Any, Any]]:
        verdicts = []
        for effect in effects:
            match effect:
                case ToSession(session, message):
                    yield self.feed, session, message
                case ToContext(context, wish):
                    yield self.subscriptions, context, wish
                case ToApp() | ToErase():
                    pass  # apps have no part in the feed, nor has who erases
                case Noticed(what):
                    self.noticed.append(what)
                    if what not in self.day.expected:
                        raise BrokenError(f"noticed {what}")
                case _:
                    verdicts.append(effect)
        if verdicts != ([] if verdict is None else [verdict]):
            raise BrokenError("verdict")


def _damaged(message: Change | Snapshot) -> Change | Snapshot:
    """Return the message with its last item written wrongly, or left out where it was removed."""
    if isinstance(message, Change):
        return replace(message, operations=_with_damage(message.operations))
    return replace(message, items=_with_damage(message.items))


def _with_damage(operations: list[Operation]) -> list[Operation]:
    if not operations:
        return []
    *rest, last = operations
    if last.fragment is None:
        return rest
    return [*rest, replace(last, fragment=last.fragment.replace(b"movie", b"m0vie"))]


def run(seed: int, folds: Folds = Folds()) -> str | None:  # noqa: B008 - a tuple of functions
    """Return the name of the invariant that the run of *seed* broke, None where it broke none."""
    try:
        Run(seed, folds).go()
    except BrokenError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - a fold never raises: what it raised is the finding
        return f"raised {type(error).__name__}"
    return None
