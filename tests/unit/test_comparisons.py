"""Two versions of the views compared: what is the same is, what differs is found, and what moves is looked at again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from service.cli.compare_calls import CompareError, Seat
from service.cli.compare_lists import PARTITIONS_AT_ONCE, Comparison, PartitionCompared, Patience
from streams.digests import MOST_DIGESTS, PartitionDigests, ReadTables
from streams.domain import context_rows, session_rows
from streams.domain.audits import Audited
from streams.domain.comparisons import (
    Finding,
    Proved,
    Unsettled,
    as_of_one_event,
    compared_contexts,
    compared_sessions,
    differing_items,
    offsets,
)
from streams.domain.digests import ContextDigest, Digests, MemberDigest, SessionDigest, context_items, member_items
from streams.domain.errors import AbsentError
from streams.domain.feed import NONE, Limits
from streams.domain.ids import Kind, id_text, known_id
from streams.refold import Bound, Refold
from tests.support.tables import HASH_KEY, Views, context_id, served_views, session_id
from tests.unit.test_explain import MOVES, make

C1, C2 = context_id(1), context_id(2)
S = session_id(1)
CONTEXT, SESSION = id_text(Kind.CONTEXT, C1), id_text(Kind.SESSION, S)
PATIENCE = Patience(settle=0.3, still=0.1, again=0.01, look=0.05)


def digests_of(views: Views) -> PartitionDigests:
    tables, refold = ReadTables(views.contexts, views.sessions), Refold(views.log, 1, hash_key=HASH_KEY)
    return PartitionDigests(lambda _view: tables, refold, 1, hash_key=HASH_KEY, bound=Bound(100_000, 30.0))


@dataclass
class Beside:
    """Two versions of which neither is on a node."""

    views: Sequence[Views]
    names: Sequence[str] = ("one", "other")
    looks: int = field(default=0)

    @property
    def partitions(self) -> range:
        return range(1)

    async def both(
        self, of: Audited, partition: int, *, beyond: str | None = None, only: Sequence[str] | None = None
    ) -> list[Digests]:
        self.looks += 1
        return [await self.digests(Seat(name, of, partition), beyond=beyond, only=only) for name in self.names]

    async def digests(self, seat: Seat, *, beyond: str | None = None, only: Sequence[str] | None = None) -> Digests:
        kind = Kind.CONTEXT if seat.of is Audited.CONTEXTS else Kind.SESSION
        asked = digests_of(self.views[self.names.index(seat.view)])
        return await asked.digests(
            seat.view,
            seat.of,
            seat.partition,
            beyond=None if beyond is None else known_id(kind, beyond),
            only=None if only is None else [known_id(kind, text) for text in only],
        )

    async def touched(self, of: Audited, partition: int, between: range) -> frozenset[str]:
        return frozenset(await digests_of(self.views[0]).touched(of, partition, between.start, between.stop))


async def compared(*views: Views) -> tuple[list[PartitionCompared], list[tuple[Audited, Finding]]]:
    comparison = Comparison(Beside(views), 1_000_000, PATIENCE)
    return [one async for one in comparison.partitions()], comparison.findings


@settings(deadline=None)
@given(moves=st.lists(MOVES, max_size=30), items=st.integers(1, 4), order=st.randoms(use_true_random=False))
def test_the_same_events_are_the_same_lists(moves: list[tuple[str, bytes, str]], items: int, order: object) -> None:
    """Whatever was written, and in whatever order the sources and what is between them were folded."""
    both = Views(Limits(items=items)), Views(Limits(items=items))
    for views in both:
        make(views, moves)
    for _ in range(200):
        both[1].step(order.choice(both[1].topics))  # type: ignore[attr-defined]
    for views in both:
        views.drain()
    parts, findings = asyncio.run(compared(*both))
    assert findings == []
    for part in parts:
        assert (part.moving, len(set(part.digests.values()))) == ([], 1)


@pytest.mark.parametrize("wrong", ["changed", "gone", "moved"])
async def test_a_context_that_is_wrong(wrong: str) -> None:
    """An item that is another, that is missing, or in another place, though its meta row is right."""
    views = served_views()
    rows = views.contexts.stored
    key = next(key for key, _ in rows.range(context_rows.ITEM + C1))
    if wrong == "changed":
        rows.put(key, rows.values[key].replace(b"Title", b"Tidal"))
    elif wrong == "gone":
        rows.delete(key)
    else:
        order = next(key for key, _ in rows.range(context_rows.ORDER + C1))
        rows.delete(order)
        rows.put(order[:18] + b"\xff" * 8 + order[26:], b"")
    (part, _), findings = await compared(served_views(), views)
    assert (part.lists, part.differing, len(set(part.digests.values()))) == (2, 1, 2)
    # That a session has what its context had is no news of the session's, unless its own rows say something else.
    assert [finding.id for of, finding in findings if of is Audited.CONTEXTS] == [CONTEXT]
    one, other = (context_items(of.contexts.stored, C1).items for of in (served_views(), views))
    assert [item.content_id for item in differing_items(one, other)] == ["c" if wrong == "moved" else "a"]


@pytest.mark.parametrize("wrong", ["changed", "gone", "moved"])
async def test_a_session_that_is_wrong(wrong: str) -> None:
    """What it has of a context is not what the context has, in the version of which that is so."""
    views = served_views()
    rows = views.sessions.stored
    key, value = next(iter(rows.range(session_rows.LIST + S)))
    if wrong == "changed":
        rows.put(key, value.replace(b"Title", b"Tidal"))
    else:
        rows.delete(key)
    if wrong == "moved":
        rows.put(key[:18] + b"\xff" * 8 + key[26:], value)
    for version, both in enumerate(((views, served_views()), (served_views(), views))):
        _, ((of, finding),) = await compared(*both)
        assert (of, finding.id, finding.version, finding.contexts) == (Audited.SESSIONS, SESSION, version, [CONTEXT])
    itself, has = context_items(views.contexts.stored, C1), member_items(rows, S, C1)
    assert itself.sequence == has.sequence
    assert differing_items(itself.items, has.items)[0].content_id == "c"


async def test_who_is_attached() -> None:
    """A member, or a session, that one version has and the other not; and a total that is not that of the items."""
    views = served_views()
    views.sessions.stored.delete(session_rows.member_key(S, C1))
    _, ((_, finding),) = await compared(served_views(), views)
    assert (finding.what, finding.contexts) == ("attached otherwise: 1 contexts", [CONTEXT])
    views = served_views()
    state = session_rows.read_session(views.sessions.stored, S)
    key = session_rows.session_key(S)
    views.sessions.stored.put(key, session_rows.encode_session(replace(state, deleted=True)))
    _, ((_, finding),) = await compared(served_views(), views)
    assert finding.what.startswith("deleted False and True")
    views.sessions.stored.put(key, session_rows.encode_session(replace(state, total=7)))
    _, ((_, finding),) = await compared(served_views(), views)
    assert (finding.what, finding.version) == ("total 7, and it has 3 items", 1)


async def test_a_version_that_is_behind() -> None:
    """It is waited for; what it has not folded yet is no difference, and what it never folds was moving."""
    views = served_views()
    ahead = served_views()
    for of in (views, ahead):
        of.put(C1, "d")
        of.detach(S, C2)
    ahead.drain()
    beside = Beside((ahead, views))
    comparison = Comparison(beside, 1_000_000, PATIENCE)
    parts = [one async for one in comparison.partitions()]
    assert comparison.findings == []
    assert [(part.lists, part.moving) for part in parts] == [(1, [CONTEXT]), (0, [SESSION])]
    assert beside.looks > 4
    views.drain()
    parts, findings = await compared(ahead, views)
    assert findings == []
    assert [(part.lists, part.moving) for part in parts] == [(2, []), (1, [])]


async def test_a_member_that_stays_behind() -> None:
    """It is as of an event that its context is beyond, and stays so: that is a difference."""
    views = served_views()
    views.put(C1, "d")
    while views.step("context-events"):
        pass
    good = served_views()
    good.put(C1, "d")
    good.drain()
    _, ((of, finding),) = await compared(good, views)
    assert (of, finding.id) == (Audited.SESSIONS, SESSION)
    assert finding.what.startswith(f"{CONTEXT} is as of 2, and itself")


class TakenOver(Beside):
    """Two versions, of one of which nobody has the sessions for a while; whoever has them then folds what there is."""

    async def both(self, of: Audited, partition: int, **which: Any) -> list[Digests]:
        if of is Audited.SESSIONS and self.looks and which.get("only"):
            if self.looks == self.away_at:
                await asyncio.sleep(2 * PATIENCE.settle)  # nobody answers for so long
            elif self.looks > self.away_at:
                self.views[1].drain()
        return await super().both(of, partition, **which)

    away_at = 2


async def test_nothing_moves_while_nobody_has_a_partition() -> None:
    """A session that its next owner has still to bring up to date is no difference, however long it took to be one."""
    views, good = served_views(), served_views()
    views.put(C1, "d")
    while views.step("context-events"):
        pass
    good.put(C1, "d")
    good.drain()
    comparison = Comparison(TakenOver((good, views)), 1_000_000, PATIENCE)
    parts = [one async for one in comparison.partitions()]
    assert comparison.findings == []
    assert [(part.lists, part.moving) for part in parts] == [(2, []), (1, [])]


class Busy(Beside):
    """Two versions of a context that is written to before each look; the second folds an event a look later."""

    async def both(self, of: Audited, partition: int, **which: Any) -> list[Digests]:
        ahead, behind = self.views
        if of is Audited.CONTEXTS:
            if self.looks:
                behind.step("context-events")
            for views in self.views:
                views.put(C1, f"n{self.looks % 3}")
        else:
            behind.drain()
        ahead.drain()
        return await super().both(of, partition, **which)


@pytest.mark.parametrize("is_wrong", [False, True])
async def test_a_context_that_never_stands_still(is_wrong: bool) -> None:
    """It is compared as of an event of its own that both have come to, if at different times."""
    ahead, behind = served_views(), served_views()
    if is_wrong:
        behind.contexts.stored.delete(next(iter(behind.contexts.stored.range(context_rows.ORDER + C1)))[0])
    beside = Busy((ahead, behind))
    comparison = Comparison(beside, 1_000_000, PATIENCE)
    part = await anext(comparison.partitions())
    assert (part.lists, part.moving, part.differing) == (2, [], int(is_wrong))
    assert [finding.id for _, finding in comparison.findings] == [CONTEXT] * is_wrong
    assert beside.looks < 5


class Several(Beside):
    """The same lists in each of eight partitions, of which none is told before as many are asked for as may be."""

    def __init__(self, views: Sequence[Views]) -> None:
        super().__init__(views)
        self.under_way, self.most = 0, 0
        self._all_ask = asyncio.Event()

    @property
    def partitions(self) -> range:
        return range(8)

    async def both(self, of: Audited, partition: int, **which: Any) -> list[Digests]:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        if self.under_way == PARTITIONS_AT_ONCE:
            self._all_ask.set()
        await asyncio.wait_for(self._all_ask.wait(), 5)
        # The later ones are told first.
        await asyncio.sleep(0.001 * (self.partitions.stop - partition))
        self.under_way -= 1
        return await super().both(of, partition, **which)

    async def digests(self, seat: Seat, **which: Any) -> Digests:
        return await super().digests(seat._replace(partition=0), **which)

    async def touched(self, of: Audited, _partition: int, between: range) -> frozenset[str]:
        return await super().touched(of, 0, between)


async def test_some_partitions_at_a_time() -> None:
    """A few settle beside each other; what came of them is told in order."""
    wrong = served_views()
    wrong.contexts.stored.delete(next(iter(wrong.contexts.stored.range(context_rows.ITEM + C1)))[0])
    beside = Several((served_views(), wrong))
    comparison = Comparison(beside, 1_000_000, PATIENCE)
    told = [(part.partition, part.of, part.differing) async for part in comparison.partitions()]
    assert told == [(number, of.value, 1) for number in range(8) for of in Audited]
    assert [finding.id for _, finding in comparison.findings] == [CONTEXT, SESSION] * 8
    assert beside.most == PARTITIONS_AT_ONCE


class Refused(Several):
    async def both(self, of: Audited, partition: int, **which: Any) -> list[Digests]:
        both = await super().both(of, partition, **which)
        if partition == 2:
            raise CompareError("2")
        return both


async def test_one_of_several_partitions_that_cannot_be_compared() -> None:
    """It ends the comparison, and nothing is asked for afterwards."""
    comparison = Comparison(Refused((served_views(), served_views())), 1_000_000, PATIENCE)
    with pytest.raises(CompareError):
        _ = [one async for one in comparison.partitions()]
    assert asyncio.all_tasks() == {asyncio.current_task()}


class Paged(Several):
    """Of each partition three pages, of the same lists."""

    async def both(self, of: Audited, partition: int, **which: Any) -> list[Digests]:
        both = await super().both(of, partition)
        pages = {None: "~1", "~1": "~2", "~2": None}
        return [replace(one, next=pages[which["beyond"]]) for one in both]


async def test_lists_are_read_no_faster_than_they_may() -> None:
    """Of all partitions together: each waits after two of its three pages."""
    alike = served_views()
    comparison, began_s = Comparison(Paged((alike, alike)), 200, PATIENCE), time.monotonic()
    lists = sum([part.lists async for part in comparison.partitions()])
    assert time.monotonic() - began_s >= lists * 2 / 3 / 200


def test_what_was_seen_as_of_one_event() -> None:
    """Whichever version was there first; of what is erased, or was never heard of, nothing says as of which event."""
    one, two = (ContextDigest(CONTEXT, sequence, digest=f"{sequence}") for sequence in (1, 2))
    known: list[dict[tuple[str, int], ContextDigest]] = [{(CONTEXT, 1): one, (CONTEXT, 2): two}, {(CONTEXT, 1): one}]
    assert as_of_one_event((two, one), known) == (one, one)
    assert as_of_one_event((one, two), known[::-1]) == (one, one)
    assert as_of_one_event((two, two), [known[0], {}]) is None
    none = ContextDigest(CONTEXT)
    assert as_of_one_event((none, none), [{(CONTEXT, NONE): none}] * 2) is None


def member(state: str = "whole", sequence: int = 1, digest: str = "d") -> MemberDigest:
    return MemberDigest(CONTEXT, 0, "AP", 5, state, sequence, 1, digest)  # type: ignore[arg-type]


def test_what_is_not_to_be_compared_yet() -> None:
    """A context that has not come, one that was refused, and one that is erased and not taken off everywhere."""
    known = [{(CONTEXT, 1): ContextDigest(CONTEXT, 1, 1, digest="d")}] * 2
    newest = [{CONTEXT: ContextDigest(CONTEXT, 1, 1, digest="d")}] * 2
    whole, proved = SessionDigest(SESSION, total=1, members=[member()]), set[Proved]()
    assert compared_sessions((whole, whole), known, newest, proved) is None
    # What was proved as of one event need not be proved again as of the next.
    later = SessionDigest(SESSION, total=1, members=[member(sequence=2)])
    assert compared_sessions((later, later), known, newest, proved) is None
    assert isinstance(compared_sessions((later, later), known, newest, set()), Unsettled)
    waits = SessionDigest(SESSION, members=[replace(member("waits", NONE), count=0)])
    assert isinstance(compared_sessions((whole, waits), known, newest, set()), Unsettled)
    refused = SessionDigest(SESSION, members=[replace(member("refused", NONE), count=0)])
    assert compared_sessions((whole, refused), known, newest, set()) is None
    gone = SessionDigest(SESSION)
    assert isinstance(compared_sessions((whole, gone), known, newest, set()), Finding)
    erased = [newest[0], {CONTEXT: ContextDigest(CONTEXT, erased=True)}]
    assert isinstance(compared_sessions((whole, gone), known, erased, set()), Unsettled)
    assert compared_contexts(newest[0][CONTEXT], erased[1][CONTEXT]) is not None


def test_offsets_that_one_may_have_folded() -> None:
    """From behind the first that both certainly have, to the last that any has."""
    assert list(offsets([4, 6], [5, 8])) == [5, 6, 7, 8]
    assert not offsets([4, 4], [4, 4])


async def test_pages() -> None:
    """By id, a bounded number at once; where one has what the other lacks, too."""
    views, fewer = Views(), Views()
    for n in range(1, MOST_DIGESTS + 30):
        for of in (views, fewer):
            of.put(context_id(n), "a")
    views.drain()
    for _ in range(MOST_DIGESTS):
        fewer.step("context-events")
    told = digests_of(views)
    first = await told.digests("v", Audited.CONTEXTS, 0, beyond=None, only=None)
    assert (len(first.contexts), first.next) == (MOST_DIGESTS, first.contexts[-1].id)
    beyond = known_id(Kind.CONTEXT, first.next or "")
    rest = await told.digests("v", Audited.CONTEXTS, 0, beyond=beyond, only=None)
    assert (len(rest.contexts), rest.next) == (29, None)
    with pytest.raises(AbsentError):
        await told.digests("v", Audited.CONTEXTS, 1, beyond=None, only=None)
    (part, _), findings = await compared(views, fewer)
    assert (part.lists, len(part.moving), findings) == (MOST_DIGESTS, 29, [])
    fewer.drain()
    (part, _), findings = await compared(views, fewer)
    assert (part.lists, part.moving, findings) == (MOST_DIGESTS + 29, [], [])
