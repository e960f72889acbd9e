"""What two versions of the views do not have alike: the items, and the events that made them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from service.cli.compare_calls import Seat, Versions
from service.cli.compare_lists import PartitionCompared
from service.cli.output import printable
from service.http.explain import StepOut
from streams.domain.audits import Audited
from streams.domain.comparisons import Finding, differing_items
from streams.domain.digests import DigestItems
from streams.domain.ids import Kind, known_id
from streams.domain.times import iso_ms
from streams.topics import partition_of

MOST_SHOWN = 20
"""Lists that are looked into: each has partitions of the log read. Of the others the ids are named."""
_MOST_ITEMS, _MOST_STEPS = 5, 10
_ATTEMPTS = 10


class PlacedOut(msgspec.Struct, rename="camel"):
    """An item as a list has it: what sorts it, and the JSON that is served."""

    placed_at: str
    item: str


class ItemOut(msgspec.Struct, rename="camel"):
    """An item of a context that differs: as each list has it, not at all, once or twice; and its last events."""

    context_id: str
    content_id: str
    has: dict[str, list[PlacedOut]]
    events: Sequence[StepOut]


class DifferenceOut(msgspec.Struct, rename="camel"):
    """A list that two versions do not have alike, or of which one version's session has something else."""

    of: str
    id: str
    what: str
    items: list[ItemOut] = msgspec.field(default_factory=list)
    """The newest few of those that differ."""
    items_differing: int = 0
    events: list[StepOut] = msgspec.field(default_factory=list)
    """Of attachments, the last ones."""


class ComparedOut(msgspec.Struct, rename="camel"):
    """Two versions compared."""

    versions: Sequence[str]
    partitions: list[PartitionCompared]
    differences: list[DifferenceOut]


class Looking:
    """Looks into differences."""

    def __init__(self, versions: Versions) -> None:
        """Take whom to ask."""
        self._versions = versions

    async def into(self, of: Audited, finding: Finding, *, events: bool) -> DifferenceOut:
        """Return what differs, and where asked for *events*, the items, and what made them so, attached or detached."""
        version = finding.version
        what = finding.what if version is None else f"{self._versions.names[version]}: {finding.what}"
        out = DifferenceOut(of.value, finding.id, what)
        if not events:
            return out
        if of is Audited.CONTEXTS or (version is not None and finding.contexts):
            for context in finding.contexts:
                await self._items(out, context, None if of is Audited.CONTEXTS else version)
        elif finding.contexts:
            for context in finding.contexts:
                out.events += (await self._versions.steps(session=finding.id, context=context)).steps[-_MOST_STEPS:]
        else:
            out.events += (await self._versions.steps(session=finding.id)).steps[-_MOST_STEPS:]
        return out

    async def _items(self, out: DifferenceOut, context: str, member_of: int | None) -> None:
        names = self._versions.names
        if member_of is not None:
            names = [f"{names[member_of]} itself", f"{names[member_of]} in the session"]
        one, other = await self._as_of_the_same(out, context, member_of)
        found = differing_items(one.items, other.items)
        out.items_differing += len(found)
        for item in found[:_MOST_ITEMS]:
            steps = (await self._versions.steps(context=context, content_id=item.content_id)).steps
            has = [[PlacedOut(iso_ms(at.placed_at_ms), at.item) for at in places] for places in (item.one, item.other)]
            out.items.append(
                ItemOut(context, item.content_id, dict(zip(names, has, strict=True)), steps[-_MOST_STEPS:])
            )

    async def _as_of_the_same(
        self, out: DifferenceOut, context: str, member_of: int | None
    ) -> tuple[DigestItems, DigestItems]:
        """Return both lists as of the same event, or, where there is no such moment, as they are."""
        ask, names = self._versions.items, self._versions.names
        count = len(self._versions.partitions)
        number = partition_of(known_id(Kind.CONTEXT, context), count)
        for _ in range(_ATTEMPTS):
            if member_of is None:
                one, other = [await ask(Seat(name, Audited.CONTEXTS, number), context) for name in names]
            else:
                name = names[member_of]
                at = Seat(name, Audited.SESSIONS, partition_of(known_id(Kind.SESSION, out.id), count))
                one = await ask(Seat(name, Audited.CONTEXTS, number), context)
                other = await ask(at, context, out.id)
            if one.sequence == other.sequence:
                break
        return one, other


def partition_line(compared: PartitionCompared) -> str:
    """Return what came of a partition, in one line."""
    moving = f", {len(compared.moving):,} did not stand still" if compared.moving else ""
    as_of = f" as of offset {compared.last_offset:,} of their events" if compared.last_offset is not None else ""
    return (
        f"{compared.of} of partition {compared.partition}: {compared.lists:,} compared{as_of}, "
        f"{compared.differing:,} differ{moving}"
    )


def difference_lines(one: DifferenceOut) -> Iterator[str]:
    """Yield a difference as people read it."""
    yield f"{one.id}: {one.what}"
    for item in one.items:
        yield f"  {printable(item.content_id)} of {item.context_id}"
        for name, places in item.has.items():
            for place in places:
                yield f"    {name} has, placed at {place.placed_at}, {printable(place.item)}"
            if not places:
                yield f"    {name} has nothing"
        yield from (f"    {_step(step)}" for step in item.events)
    if one.items_differing > len(one.items):
        yield f"  and {one.items_differing - len(one.items):,} more items"
    yield from (f"  {_step(step)}" for step in one.events)


def _step(step: StepOut) -> str:
    return f"{step.time}  {step.position}  {step.type}  by {step.client_id} in {step.request_id}: {step.text}"
