"""What an audit has found: lists that are not what their events say."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from hashlib import blake2b
from heapq import heappush, heappushpop

import msgspec


class Audited(enum.Enum):
    """Whose lists are looked at."""

    CONTEXTS = "contexts"
    SESSIONS = "sessions"


class Differing(msgspec.Struct, frozen=True):
    """A list that is served as something else than its events give, by the id that it is of."""

    id: str
    what: str
    """Which items, or what else."""


class AuditResult(msgspec.Struct, frozen=True):
    """What came of looking at some lists of one partition."""

    lists: int
    """That were compared."""
    moving: int
    """That changed so often meanwhile that they were not."""
    differing: Sequence[Differing]
    next: str | None
    """Where the next ones begin; None where there are no more."""


class Sample:
    """Some ids of many, the same for the same seed whatever order they come in, with no more held than are wanted."""

    def __init__(self, size: int, seed: str, beyond: str | None) -> None:
        """Take how many, what mixes them, and the mark of the last one of those before."""
        self._size, self._seed, self._beyond = size, seed.encode()[:64], beyond
        self._heap: list[tuple[int, str, bytes]] = []
        self._held: set[bytes] = set()
        self._more = False

    def add(self, prefix: bytes) -> None:
        """Take an id, which may come often."""
        if prefix in self._held:
            return
        mark = blake2b(prefix, digest_size=8, key=self._seed).hexdigest()
        if self._beyond is not None and mark <= self._beyond:
            return
        entry = (-int(mark, 16), mark, prefix)
        self._held.add(prefix)
        if len(self._heap) < self._size:
            heappush(self._heap, entry)
        else:
            self._held.discard(heappushpop(self._heap, entry)[2])
            self._more = True

    def taken(self) -> tuple[list[bytes], str | None]:
        """Return the ids, and the mark of the last one where there are more."""
        ordered = sorted(self._heap, reverse=True)
        return [prefix for _, _, prefix in ordered], ordered[-1][1] if self._more else None


def what_differs(served: Sequence[bytes], folded: Sequence[bytes]) -> str | None:
    """Return in words how two lists of fragments differ, None where they are the same."""
    if list(served) == list(folded):
        return None
    extra = [one for one in served if one not in set(folded)]
    missing = [one for one in folded if one not in set(served)]
    if not extra and not missing:
        return "the order is another"
    return f"served, and not in the log: {_named(extra)}; in the log, and not served: {_named(missing)}"


def _named(fragments: Sequence[bytes]) -> str:
    """Return the content ids of the first few."""
    names = [repr(msgspec.json.decode(one + b"}")["content_id"]) for one in fragments[:5]]
    return ", ".join(names) + (f" and {len(fragments) - 5} more" if len(fragments) > 5 else "") or "nothing"
