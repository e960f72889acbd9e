"""Two versions of the views beside each other: of what both have as of the same events, what is not the same."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from streams.domain.digests import ContextDigest, DigestItem, MemberDigest, SessionDigest
from streams.domain.feed import NONE

Known = Mapping[tuple[str, int], ContextDigest]
"""Contexts as one version has had them: id and sequence → digest."""
Newest = Mapping[str, ContextDigest]
"""The same as it had them last, by id."""

Proved = tuple[int, str, int]
"""In which of the two versions, 0 or 1, which context, by which attachment."""


class Finding(NamedTuple):
    """A list that two versions do not have alike."""

    id: str
    what: str
    """In words."""
    version: int | None = None
    """Of a session's member that is not as its context: in which of the two that is so, 0 or 1."""
    contexts: Sequence[str] = ()
    """Whose attachments, or items, are to be looked at."""


class Unsettled(NamedTuple):
    """A list that cannot be compared yet."""

    why: str
    """
    With all that it depends on: where this stays the same, nothing moves any more. Empty: one version may have folded
    an event of it that the other has not.
    """


def offsets(firsts: Iterable[int], lasts: Iterable[int]) -> range:
    """Return the offsets of which one version may have folded the event already, and the other not yet."""
    return range(min(firsts) + 1, max(lasts) + 1)


def as_of_one_event(
    now: tuple[ContextDigest, ContextDigest], known: Sequence[Known]
) -> tuple[ContextDigest, ContextDigest] | None:
    """
    Return a context as both versions had it as of one event of its own, if one of them at another time.

    So one that is written to all the while is compared all the same. None where they have not been seen so yet.

    Args:
        now: As each version has it now.
        known: Contexts as each version has had them, *now* included.
    """
    one, other = now
    for sequence in (one.sequence, other.sequence):
        had = [of.get((one.id, sequence)) for of in known]
        if sequence != NONE and had[0] is not None and had[1] is not None:
            return had[0], had[1]
    return None


def compared_contexts(one: ContextDigest, other: ContextDigest) -> Finding | None:
    """Compare a context as two versions have it as of one offset of its events."""
    if one == other:
        return None
    said = zip(msgspec.structs.asdict(one).items(), msgspec.structs.asdict(other).items(), strict=True)
    differs = [f"{name} {value} and {another}" for (name, value), (_, another) in said if value != another]
    return Finding(one.id, ", ".join(differs), contexts=[one.id])


def compared_sessions(
    found: tuple[SessionDigest, SessionDigest],
    known: Sequence[Known],
    newest: Sequence[Newest],
    proved: set[Proved],
) -> Finding | Unsettled | None:
    """
    Compare a session as of one offset of its events, and its members with their contexts.

    Args:
        found: As each version has it.
        known: Contexts as each version has had them.
        newest: The same, as each version last had them.
        proved: The session's members that were what their contexts were, as of some event each; more are added.

    Returns:
        What differs; or that a member is not yet what its context is; or None, where both are right.
    """
    id_ = found[0].id
    if found[0].seats != found[1].seats:
        seats = [{member.seat for member in one.members} for one in found]
        others = sorted({seat[0] for seat in seats[0] ^ seats[1]})
        if any(one in of and of[one].erased for one in others for of in newest):
            # What is erased is taken off by the feed: one version may have heard of it, and the other not yet.
            return Unsettled(f"attached otherwise: {', '.join(others)}, some of them erased")
        deleted = "" if found[0].deleted == found[1].deleted else f"deleted {found[0].deleted} and {found[1].deleted}; "
        return Finding(id_, f"{deleted}attached otherwise: {len(others)} contexts", contexts=others)
    waits: Unsettled | None = None
    for version, one in enumerate(found):
        for member in one.members:
            judged = _compared_member(id_, version, member, known[version], newest[version])
            if isinstance(judged, Finding):
                return judged
            if judged is None:
                proved.add((version, member.context, member.epoch))
            elif (version, member.context, member.epoch) not in proved:
                waits = judged
        count = sum(member.count for member in one.members)
        if one.total != count:
            return Finding(id_, f"total {one.total}, and it has {count} items", version)
    return waits


def _compared_member(
    id_: str, version: int, member: MemberDigest, known: Known, newest: Newest
) -> Finding | Unsettled | None:
    if member.state == "refused":
        return None  # which sessions a context with too many of them feeds does not follow from the events
    if member.state == "waits":
        return Unsettled(f"{member.context} is not there yet")
    context = known.get((member.context, member.sequence))
    if context is None:
        return Unsettled(f"{member.context} is as of {member.sequence}, and itself {newest.get(member.context)}")
    if (member.count, member.digest) == (context.total, context.digest):
        return None
    what = f"{member.context} as of {member.sequence} has {member.count} items {member.digest} in the session, and "
    return Finding(id_, f"{what}{context.total} items {context.digest} itself", version, [member.context])


class ItemDifference(NamedTuple):
    """An item that two lists do not have alike, as each has it: nothing, or, where that is the difference, twice."""

    content_id: str
    one: Sequence[DigestItem]
    other: Sequence[DigestItem]


def differing_items(one: Sequence[DigestItem], other: Sequence[DigestItem]) -> list[ItemDifference]:
    """Return the items that two lists do not have alike or not in the same place, in the order of the later list."""
    olds, news = _by_content_id(one), _by_content_id(other)
    found = (ItemDifference(key, olds.get(key, ()), news.get(key, ())) for key in {**news, **olds})
    return [item for item in found if list(item.one) != list(item.other)]


def _by_content_id(items: Sequence[DigestItem]) -> dict[str, list[DigestItem]]:
    found: dict[str, list[DigestItem]] = defaultdict(list)
    for item in items:
        found[item.content_id].append(item)
    return found
