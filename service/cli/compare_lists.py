"""Two versions of the views compared, list by list, while events go on to be folded."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterable, Iterator, Sequence
from contextlib import aclosing
from hashlib import sha256
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec

from service.cli.compare_calls import Seat
from streams.domain.audits import Audited
from streams.domain.comparisons import (
    Finding,
    Proved,
    Unsettled,
    as_of_one_event,
    compared_contexts,
    compared_sessions,
    offsets,
)
from streams.domain.digests import ContextDigest, Digests, SessionDigest
from streams.domain.ids import Kind, known_id
from streams.topics import partition_of

T = TypeVar("T")

MOST_AT_ONCE = 100
PARTITIONS_AT_ONCE = 4
"""Where all is written to, most of the time is waiting until lists settle, which those of several do meanwhile."""

Digest = ContextDigest | SessionDigest


class Patience(NamedTuple):
    """How long lists are looked at that cannot be compared yet, in seconds."""

    settle: float = 20.0
    still: float = 8.0
    """What has not changed for so long by then is behind for good."""
    again: float = 0.1
    """Passes between two looks."""
    look: float = 1.0
    """Of this a look counts at most: who takes longer waits for a partition that nobody has, in which nothing moves."""


PATIENCE = Patience()


class Compared(Protocol):
    """Two versions of the views; see `service.cli.compare_calls.Versions`."""

    names: Sequence[str]

    @property
    def partitions(self) -> range:
        """The partitions of each table."""

    async def both(
        self, of: Audited, partition: int, *, beyond: str | None = None, only: Sequence[str] | None = None
    ) -> list[Digests]:
        """Return what each version has of a partition, both read at the same time."""

    async def digests(self, seat: Seat, *, beyond: str | None = None, only: Sequence[str] | None = None) -> Digests:
        """Return what one has of a partition."""

    async def touched(self, of: Audited, partition: int, between: range) -> frozenset[str]:
        """Return the ids of which the source has events at some offsets."""


class PartitionCompared(msgspec.Struct, rename="camel"):
    """What came of comparing the contexts, or the sessions, of one partition."""

    of: str
    partition: int
    lists: int = 0
    """That were compared."""
    first_offset: int | None = None
    """Of the source: as of this event or a later one …"""
    last_offset: int | None = None
    """… and of this one or an earlier one each list was compared."""
    digests: dict[str, str] = msgspec.field(default_factory=dict)
    """Version → the SHA-256 of its lists, a line each, by id; of sessions, of what their events say."""
    moving: list[str] = msgspec.field(default_factory=list)
    """Lists that changed all the time."""
    differing: int = 0


class Comparison:
    """Compares the versions, a few partitions at a time; what differs is in `findings` by then."""

    def __init__(self, versions: Compared, rate: float, patience: Patience = PATIENCE) -> None:
        """Take both, how many lists are read in a second, at most, and how long is waited for some."""
        self._versions, self._rate, self._patience = versions, rate, patience
        self._turns = asyncio.Semaphore(PARTITIONS_AT_ONCE)
        self._due_s = 0.0
        self.findings: list[tuple[Audited, Finding]] = []

    async def partitions(self) -> AsyncIterator[PartitionCompared]:
        """Compare all, and yield what came of each partition, in order."""
        async with aclosing(_in_order(self._partition(number) for number in self._versions.partitions)) as partitions:
            async for found in partitions:
                for compared, findings in found:
                    self.findings += [(Audited(compared.of), finding) for finding in findings]
                    yield compared

    async def _partition(self, partition: int) -> list[tuple[PartitionCompared, list[Finding]]]:
        async with self._turns:
            return [await self._lists(of, partition) for of in Audited]

    async def _lists(self, of: Audited, partition: int) -> tuple[PartitionCompared, list[Finding]]:
        compared, findings = PartitionCompared(of.value, partition), list[Finding]()
        sums = [sha256() for _ in self._versions.names]
        beyond: str | None = None
        while True:
            began_s = time.monotonic()
            both = await self._versions.both(of, partition, beyond=beyond)
            # As far as both have told.
            beyond = min((one.next for one in both if one.next is not None), default=None)
            ids = sorted({id_ for one in both for id_ in _ids(one) if beyond is None or id_ <= beyond})
            page = _Page(self._versions, of, partition, compared, self._patience)
            findings += await page.settled(ids, both)
            for id_ in ids:
                for hashed, line in zip(sums, page.lines.get(id_, ()), strict=False):
                    hashed.update(line + b"\n")
            if beyond is None:
                break
            await self._rest(began_s, len(ids))
        compared.digests = {name: hashed.hexdigest() for name, hashed in zip(self._versions.names, sums, strict=True)}
        return compared, findings

    async def _rest(self, began_s: float, lists: int) -> None:
        """Wait until what was read of all partitions, these *lists* since a moment, was not too fast."""
        self._due_s = max(self._due_s, began_s) + lists / self._rate
        await asyncio.sleep(max(0.0, self._due_s - time.monotonic()))


class _Page:
    """Some lists of one partition, looked at until both versions have each as of the same events."""

    def __init__(
        self, versions: Compared, of: Audited, partition: int, compared: PartitionCompared, patience: Patience
    ) -> None:
        self._patience = patience
        self._versions, self._of, self._partition, self._compared = versions, of, partition, compared
        self._known: list[dict[tuple[str, int], ContextDigest]] = [{} for _ in versions.names]
        self._newest: list[dict[str, ContextDigest]] = [{} for _ in versions.names]
        self._proved: dict[str, set[Proved]] = defaultdict(set)
        self._still: dict[str, tuple[Unsettled, float]] = {}
        self._looked_s = 0.0
        self.lines: dict[str, Sequence[bytes]] = {}
        """Of those that were compared, by version."""

    async def settled(self, ids: Sequence[str], both: Sequence[Digests]) -> list[Finding]:
        """Compare *ids*, of which the versions have *both* told; return what differs."""
        findings: list[Finding] = []
        while True:
            began_s = time.monotonic()
            ids = [id_ async for id_ in self._looked_at(ids, both, findings)]
            if not ids:
                break
            if self._looked_s > self._patience.settle:
                findings += self._given_up(ids)
                break
            await asyncio.sleep(self._patience.again)
            both = await self._versions.both(self._of, self._partition, only=ids)
            self._looked_s += min(self._patience.look, time.monotonic() - began_s)
        self._compared.differing += len(findings)
        return findings

    async def _looked_at(
        self, ids: Sequence[str], both: Sequence[Digests], findings: list[Finding]
    ) -> AsyncIterator[str]:
        """Compare those that both versions have as of the same events; yield the others."""
        between = offsets((one.first for one in both), (one.last for one in both))
        moved = await self._versions.touched(self._of, self._partition, between)
        moved = moved.union(*(one.moving for one in both))
        if self._of is Audited.SESSIONS:
            await self._look_at_contexts(both)
        for known, digests in zip(self._known, both, strict=True):
            known.update({(one.id, one.sequence): one for one in digests.contexts})
        told: list[dict[str, Digest]] = [
            {**{one.id: one for one in digests.contexts}, **{one.id: one for one in digests.sessions}}
            for digests in both
        ]
        for id_ in ids:
            # Who has never heard of it has it empty.
            pair: Sequence[Digest] = [of.get(id_) or self._empty(id_) for of in told]
            offset = between.start - 1
            if id_ in moved:
                pair = self._as_of_one_event(pair)
                offset = max((one.sequence for one in pair if isinstance(one, ContextDigest)), default=offset)
            judged = self._judged(pair) if pair else Unsettled("")
            if isinstance(judged, Unsettled):
                self._note(id_, judged)
                yield id_
                continue
            if isinstance(judged, Finding):
                findings.append(judged)
            self._count(offset)
            self.lines[id_] = [_line(one) for one in pair]

    def _empty(self, id_: str) -> Digest:
        return ContextDigest(id_) if self._of is Audited.CONTEXTS else SessionDigest(id_)

    def _as_of_one_event(self, pair: Sequence[Digest]) -> Sequence[Digest]:
        """Return the same of one event of it, where it is a context that both versions were seen to have so."""
        match pair:
            case ContextDigest() as one, ContextDigest() as other:
                return as_of_one_event((one, other), self._known) or ()
            case _:
                return ()

    def _judged(self, pair: Sequence[Digest]) -> Finding | Unsettled | None:
        match pair:
            case ContextDigest() as one, ContextDigest() as other:
                return compared_contexts(one, other)
            case SessionDigest() as one, SessionDigest() as other:
                return compared_sessions((one, other), self._known, self._newest, self._proved[one.id])
            case _:
                msg = f"{pair} are no two lists of one kind"
                raise TypeError(msg)

    def _count(self, offset: int) -> None:
        compared = self._compared
        compared.lists += 1
        first, last = compared.first_offset, compared.last_offset
        compared.first_offset = offset if first is None else min(first, offset)
        compared.last_offset = offset if last is None else max(last, offset)

    def _note(self, id_: str, judged: Unsettled) -> None:
        before = self._still.get(id_)
        if before is None or before[0] != judged:
            self._still[id_] = judged, self._looked_s

    def _given_up(self, ids: Iterable[str]) -> Iterator[Finding]:
        """Yield those of which a part has been behind all the while, and count the others as moving."""
        for id_ in ids:
            judged, since_s = self._still[id_]
            if judged.why and self._looked_s - since_s > self._patience.still:
                yield Finding(id_, judged.why)
            else:
                self._compared.moving.append(id_)

    async def _look_at_contexts(self, both: Sequence[Digests]) -> None:
        """Have each version tell of the contexts that its sessions have as of what is not known yet."""
        await asyncio.gather(*(self._look_at(version, digests) for version, digests in enumerate(both)))

    async def _look_at(self, version: int, digests: Digests) -> None:
        known, wanted = self._known[version], defaultdict(set)
        for session in digests.sessions:
            for member in session.members:
                if member.state != "refused" and (member.context, member.sequence) not in known:
                    number = partition_of(known_id(Kind.CONTEXT, member.context), len(self._versions.partitions))
                    wanted[number].add(member.context)
        for number, contexts in sorted(wanted.items()):
            ordered = sorted(contexts)
            for at in range(0, len(ordered), MOST_AT_ONCE):
                seat = Seat(self._versions.names[version], Audited.CONTEXTS, number)
                told = await self._versions.digests(seat, only=ordered[at : at + MOST_AT_ONCE])
                for context in told.contexts:
                    known[context.id, context.sequence] = context
                    self._newest[version][context.id] = context


async def _in_order(each: Iterable[Coroutine[Any, Any, T]]) -> AsyncGenerator[T, None]:
    """Yield what they return, in their order; no one goes on where one fails, or where no more is asked for."""
    tasks = [asyncio.create_task(one) for one in each]
    try:
        for task in tasks:
            yield await task
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _ids(digests: Digests) -> Iterator[str]:
    yield from (one.id for one in digests.contexts)
    yield from (one.id for one in digests.sessions)
    yield from digests.moving


def _line(digest: Digest) -> bytes:
    """Return the line of a list: of a session, what its own events say, for of members each version is elsewhere."""
    if isinstance(digest, SessionDigest):
        return msgspec.json.encode([digest.id, *digest.seats])
    return msgspec.json.encode(digest)
