"""Contexts and sessions folded again from their own events, and their rows replaced by what comes of that."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import islice
from typing import Any, Generic, TypeVar

import structlog

from streams.domain import session_rows
from streams.domain.errors import LogUnavailableError, ViewUnavailableError
from streams.domain.ids import ContextId, Kind, SessionId, id_text
from streams.domain.repairs import (
    MOST_BYTES,
    DifferingItem,
    Mended,
    Repaired,
    loaded_sequence,
    mend_context,
    mend_member,
    mend_session,
)
from streams.domain.rows import Rows, WritableRows
from streams.engine.batch import Batch
from streams.engine.overlay import Overlay
from streams.engine.partition import OwnedPartition
from streams.engine.processor import Processor
from streams.folded import FoldedContext
from streams.history import OPERATORS
from streams.processors.contexts import ContextsFold
from streams.processors.sessions import SessionsFold
from streams.refold import Bound, Reading, Refold
from streams.topics import CONTEXT_EVENTS, SESSION_EVENTS, partition_of
from streams.trail import Trail

F = TypeVar("F", ContextsFold, SessionsFold)
Mend = Callable[[Batch, WritableRows, int], Awaitable[Mended]]
"""Mends rows in a turn, as much as so many bytes hold."""

TURN_LIMIT_S = 3.0
"""For so long a turn may read what was folded since the log was read for it: a moment's events."""
_ROWS_AT_ONCE = 2_000
"""Of a session's list that are looked at before other tasks have their turn: about 2 ms."""


class Repair:
    """
    Repairs what is folded here. Implements `service.ports.Repair`.

    The log is read beside the processor. Only what has come since is read in a turn of it, in which rows are compared
    and replaced: so both sides are of the same events, and what is folded next is folded over what is right.

    All raise:
        AbsentError: There is no such version of the views here.
        ViewUnavailableError: The partition is not folded here now.
        HistoryTooLongError, HistoryGoneError, LogUnavailableError, OverloadedError: What was not repaired by then is
            not; what becomes of a turn that was begun may not be known.
    """

    def __init__(
        self,
        refold: Refold,
        processors: Callable[[str | None], Sequence[Processor]],
        partitions: int,
        *,
        bound: Bound = OPERATORS,
    ) -> None:
        """
        Take what folds again, and how much of the log one call may read.

        *processors* returns those of a version of the views, of the one that clients read here for None.
        """
        self._refold, self._processors, self._partitions, self._bound = refold, processors, partitions, bound
        self._logger = structlog.get_logger(__name__)

    async def context(self, context: ContextId, *, is_dry: bool, view: str | None = None) -> Repaired:
        """Fold a context again, and replace its rows where they differ; where it *is_dry*, only say where they do."""
        turns = _Turns(*self._find(ContextsFold, view), partition_of(context, self._partitions), is_dry=is_dry)
        with self._refold.reading(self._bound) as reading:
            trail = self._refold.context_trail(context)
            await self._catch_up(trail, turns, reading)

            async def mend(batch: Batch, rows: WritableRows, most_bytes: int) -> Mended:
                await self._reach(trail, batch.positions[CONTEXT_EVENTS], reading)
                return mend_context(rows, trail.folded.rows, context, most_bytes=most_bytes)

            await turns.run(mend, context)
        return self._told(turns, id_text(Kind.CONTEXT, context), ())

    async def session(self, session: SessionId, *, is_dry: bool, view: str | None = None) -> Repaired:
        """The same of a session: of who is attached, and of what it has of each, as of the sequence that it is at."""
        turns = _Turns(*self._find(SessionsFold, view), partition_of(session, self._partitions), is_dry=is_dry)
        with self._refold.reading(self._bound) as reading:
            history = self._refold.session_trail(session)
            await self._catch_up(history, turns, reading)
            seen = await _seen(turns, session)
            members = history.folded.members()
            loaded = {one: loaded_sequence(turns.owned.store, session, one) for one in members}
            trails = {context: self._refold.context_trail(context) for context in members}
            for context, trail in trails.items():
                sequence = loaded[context]
                trail.fold_to(sys.maxsize if sequence is None else sequence)
            await self._refold.read_on(trails.values(), reading)
            erased = {context for context, trail in trails.items() if _is_erased(trail)}

            async def mend(batch: Batch, rows: WritableRows, most_bytes: int, context: ContextId) -> Mended:
                await self._reach(history, batch.positions[SESSION_EVENTS], reading)
                items: Rows | None = None
                sequence, trail = loaded_sequence(rows, session, context), trails.get(context)
                if loaded.get(context) is not None and sequence is not None and trail is not None:
                    await self._reach(trail, sequence, reading)
                    items = trail.folded.rows
                return mend_member(
                    rows,
                    history.folded.rows,
                    session,
                    context,
                    listed=seen.get(context, ()),
                    items=items,
                    is_erased=context in erased,
                    most_bytes=most_bytes,
                )

            # One after the other, so that what is folded meanwhile never waits for more than one.
            for one in sorted({*members, *seen}):
                await turns.run(partial(mend, context=one), one)

            async def mend_own(batch: Batch, rows: WritableRows, _most_bytes: int) -> Mended:
                await self._reach(history, batch.positions[SESSION_EVENTS], reading)
                return mend_session(rows, history.folded.rows, session)

            await turns.run(mend_own, None)
        attached = [id_text(Kind.CONTEXT, one) for one in sorted(history.folded.members())]
        return self._told(turns, id_text(Kind.SESSION, session), attached)

    def _find(self, kind: type[F], view: str | None) -> tuple[Processor, F]:
        for processor in self._processors(view):
            if isinstance(processor.fold, kind):
                return processor, processor.fold
        raise ViewUnavailableError("nothing is folded on this node")

    async def _catch_up(self, trail: Trail[Any], turns: _Turns[Any], reading: Reading) -> None:
        """Read up to where the table is; twice, for it goes on meanwhile, and what a turn reads should be little."""
        for _ in range(2):
            position = turns.owned.positions[trail.topic]
            trail.fold_to(position)
            await self._refold.read_on([trail], reading, end=position + 1)

    async def _reach(self, trail: Trail[Any], position: int, reading: Reading) -> None:
        trail.fold_to(position)
        if trail.end > position:
            return
        try:
            async with asyncio.timeout(TURN_LIMIT_S):
                await self._refold.read_on([trail], reading, end=position + 1)
        except TimeoutError as error:
            raise LogUnavailableError(f"the log was not read within {TURN_LIMIT_S:g} s") from error

    def _told(self, turns: _Turns[Any], of: str, contexts: Sequence[str]) -> Repaired:
        items = [DifferingItem(*key, what) for key, what in sorted(turns.items.items())]
        self._logger.info("repaired", id=of, items=len(items), rows=turns.rows, dry_run=turns.is_dry)
        return Repaired(of, items, turns.rows, contexts)


class _Turns(Generic[F]):
    """The turns of one repair, and what they have found."""

    def __init__(self, processor: Processor, fold: F, partition: int, *, is_dry: bool) -> None:
        self._fold: F = fold
        self._processor, self._partition, self.is_dry = processor, partition, is_dry
        self.items: dict[tuple[str, str], str] = {}
        """Context and content id → how the item differs."""
        self.rows = 0
        self._is_whole = False

    @property
    def owned(self) -> OwnedPartition:
        """The partition; raises `ViewUnavailableError` where it is not folded here now."""
        self._processor.owns(self._partition)
        return self._processor.table.partitions[self._partition]

    async def run(self, mend: Mend, context: ContextId | None) -> None:
        """Mend what is of a context, or of none, in as many turns as that takes."""

        async def change(batch: Batch) -> None:
            rows = Overlay(batch.owned.store) if self.is_dry else batch.overlay
            mended = await mend(batch, rows, sys.maxsize if self.is_dry else MOST_BYTES)
            if not self.is_dry:
                batch.take(self._fold.repaired(mended.effects))
            if context is not None:
                of = id_text(Kind.CONTEXT, context)
                self.items |= {(of, name.decode(errors="replace")): what for name, what in mended.items.items()}
            self.rows += mended.rows
            self._is_whole = mended.is_whole

        self._is_whole = False
        while not self._is_whole:
            await self._processor.change(self._partition, change)


def _is_erased(trail: Trail[FoldedContext]) -> bool:
    """Say whether a context was erased, as far as its events were read."""
    for record in trail.later():
        trail.folded.look(record)
    return trail.folded.is_erased


async def _seen(turns: _Turns[Any], session: SessionId) -> dict[ContextId, list[bytes]]:
    """Return the contexts that a session has rows of, each with the keys of those in the session's list."""
    seen: dict[ContextId, list[bytes]] = {}
    for kind in (session_rows.MEMBER, session_rows.PLACE, session_rows.LIST):
        prefix = kind + session
        start: bytes | None = prefix
        while start is not None:
            keys = [key for key, _ in islice(turns.owned.store.range(prefix, start=start), _ROWS_AT_ONCE)]
            for key in keys:
                of_context = seen.setdefault(session_rows.context_in(key), [])
                if kind == session_rows.LIST:
                    of_context.append(key)
            start = keys[-1] + b"\0" if len(keys) == _ROWS_AT_ONCE else None
            await asyncio.sleep(0)
    return seen
