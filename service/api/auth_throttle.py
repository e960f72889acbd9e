"""Guessing is slowed down, by name and by address, and nobody is locked out by what others do."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TypeVar

from service.api.messages import MessagesError, error
from service.http.addresses import site_of

MOST_S = 30.0
"""The longest wait."""
MEMORY_S = 900.0
"""Failures are forgotten after so long without another."""
FREE, SITE_FREE = 3, 20
"""Failures that cost no wait: with one name, and from one address."""
_MAX_REMEMBERED = 20_000
_MAX_DOUBLINGS = 10

K = TypeVar("K")
V = TypeVar("V")


@dataclass
class _Failures:
    count: int = 0
    last_s: float = 0.0


@dataclass
class Attempt:
    """A guess that is under way. It counts as a failure until it is known to be none."""

    throttle: Throttle
    name: str
    site: str

    def succeeded(self) -> None:
        """Forget the failures that led here."""
        self.throttle.forgive(self)


class Throttle:
    """
    Counts failures and says how long to wait before the next attempt: 1 s, 2 s, 4 s, … at most 30 s.

    Each address has a count of its own, each name has one for all addresses, and each name at each address has one too.
    The name's count holds up only those who have failed with it themselves, and never where its owner has logged in
    from before: whoever guesses at a name from elsewhere keeps its owner out for no moment. Attempts that are turned
    away are not counted.
    """

    def __init__(
        self, clock_s: Callable[[], float], *, free: int = FREE, site_free: int = SITE_FREE, strict: bool = False
    ) -> None:
        """
        Take the clock.

        Args:
            clock_s: Monotonic seconds.
            free: So many failures with one name cost no wait.
            site_free: And so many from one address, behind which there may be many people.
            strict: Whether a name's count holds up also addresses that have not failed with it yet.
        """
        self._clock_s, self._free, self._site_free, self._strict = clock_s, free, site_free, strict
        self._failures: OrderedDict[Hashable, _Failures] = OrderedDict()
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()

    def begin(self, name: str, address: str | None) -> Attempt:
        """Return an attempt, counted as a failure for now; raise `MessagesError` (429) where it comes too soon."""
        attempt = Attempt(self, name, site_of(address))
        site = ("site", attempt.site)
        wait_s = max(self._wait_s(key, is_site=key == site) for key in self._keys(attempt))
        if wait_s > 0:
            seconds = str(math.ceil(wait_s))
            text = "Too many attempts failed: wait {{seconds}} seconds"
            raise MessagesError(
                429, [error("too.many.attempts", text, seconds=seconds)], headers={"Retry-After": seconds}
            )
        for key in (_pair(attempt), *self._shared(attempt)):
            self._count(key)
        return attempt

    def forgive(self, attempt: Attempt) -> None:
        """Take the attempt back, which succeeded, and remember where it came from."""
        self._failures.pop(_pair(attempt), None)
        # One's own success says nothing of the others' failures: who has an account must not wipe them away with it.
        for key in self._shared(attempt):
            failures = self._failures.get(key)
            if failures is not None:
                failures.count -= 1
        _remember(self._known, (attempt.name, attempt.site), None)

    def _keys(self, attempt: Attempt) -> list[Hashable]:
        """Return what may hold an attempt up."""
        pair = _pair(attempt)
        if (attempt.name, attempt.site) in self._known:
            return [pair]
        own = self._failures.get(pair)
        has_failed = self._strict or (own is not None and own.count >= self._free)
        return [pair, ("site", attempt.site), *([("name", attempt.name)] if has_failed else [])]

    def _shared(self, attempt: Attempt) -> list[Hashable]:
        return [("site", attempt.site), ("name", attempt.name)]

    def _wait_s(self, key: Hashable, *, is_site: bool) -> float:
        failures = self._failures.get(key)
        if failures is None:
            return 0.0
        since_s = self._clock_s() - failures.last_s
        if since_s >= MEMORY_S:
            del self._failures[key]
            return 0.0
        doublings = failures.count - (self._site_free if is_site else self._free)
        return 0.0 if doublings < 0 else min(MOST_S, 2.0 ** min(doublings, _MAX_DOUBLINGS)) - since_s

    def _count(self, key: Hashable) -> None:
        failures = self._failures.get(key) or _Failures()
        failures.count, failures.last_s = failures.count + 1, self._clock_s()
        _remember(self._failures, key, failures)


def _pair(attempt: Attempt) -> Hashable:
    return ("pair", attempt.name, attempt.site)


def _remember(memory: OrderedDict[K, V], key: K, value: V) -> None:
    """Put *key* in last; the one that has been there for longest goes where there are too many."""
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > _MAX_REMEMBERED:
        memory.popitem(last=False)
