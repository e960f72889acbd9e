"""How much is sent at once, and to whom: what is dead or slow holds back nobody else."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

PER_ENDPOINT = 4
WELL, ILL = 256, 128
"""Events that are on their way at once, to endpoints that answer and to those that do not, all together."""
SLOW_S = 0.5
"""An endpoint that has not answered for so long counts as one that does not."""
_OPENS_AT = 5
"""Failures in a row after which an endpoint is left alone for a while, then for twice as long, and so on."""
_LONGEST_S = 300.0
_REMEMBERED = 10_000
"""Endpoints that are known to answer."""


@dataclass(slots=True)
class _Lane:
    """One endpoint, while there is something to be known of it."""

    running: int = 0
    failures: int = 0
    """In a row."""
    is_slow: bool = False
    closed_until_s: float = 0.0

    @property
    def is_ill(self) -> bool:
        return self.is_slow or self.failures > 0


class Lanes:
    """
    Counts what is on its way to each endpoint.

    Endpoints that fail or are slow share a bound of their own, so that however many there are, the others go on. One
    that has not answered yet, or not the last time, has one event on its way until it does; after several failures in a
    row it is left alone for longer and longer before it is tried with the next.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self._lanes: dict[str, _Lane] = {}
        self._answering: dict[str, None] = {}
        """Endpoints that answered the last time; who did so last stands last."""
        self._well = self._ill = 0

    def room(self, endpoint: str, now_s: float) -> int:
        """Return how many more events may be sent to an endpoint now."""
        lane = self._lanes.get(endpoint, _NEW)
        if now_s < lane.closed_until_s:
            return 0
        most = PER_ENDPOINT if endpoint in self._answering else 1
        return min(most - lane.running, ILL - self._ill if lane.is_ill else WELL - self._well)

    def begin(self, endpoint: str) -> None:
        """Note that an event is on its way."""
        lane = self._lanes.setdefault(endpoint, _Lane())
        self._count(lane, 1)
        lane.running += 1

    def slow(self, endpoint: str) -> None:
        """Note that an event has been on its way for `SLOW_S`."""
        self._change(self._lanes[endpoint], is_slow=True)

    def end(self, endpoint: str, *, now_s: float, took_s: float, answers: bool) -> None:
        """Note that an event is not on its way any more, and whether the endpoint is one that answers."""
        lane = self._left(endpoint)
        self._answering.pop(endpoint, None)
        if answers:
            self._answering[endpoint] = None
            if len(self._answering) > _REMEMBERED:
                del self._answering[next(iter(self._answering))]
            self._change(lane, failures=0, is_slow=took_s >= SLOW_S)
            lane.closed_until_s = 0.0
        else:
            self._change(lane, failures=lane.failures + 1, is_slow=lane.is_slow)
            if lane.failures >= _OPENS_AT:
                lane.closed_until_s = now_s + min(2.0 ** (lane.failures - _OPENS_AT), _LONGEST_S)
        self._drop(endpoint, lane)

    def leave(self, endpoint: str) -> None:
        """Note that an event is not on its way any more, for it was not sent."""
        self._drop(endpoint, self._left(endpoint))

    def forget_others(self, endpoints: Collection[str], now_s: float) -> None:
        """
        Forget what fails or is slow of others, where nothing is on its way, once they need not be left alone any more.

        *endpoints* are those for which something is pending.
        """
        for endpoint in [name for name, lane in self._lanes.items() if lane.is_ill and not lane.running]:
            if endpoint not in endpoints and now_s >= self._lanes[endpoint].closed_until_s:
                del self._lanes[endpoint]

    @property
    def running(self) -> int:
        """How many events are on their way."""
        return self._well + self._ill

    @property
    def ill(self) -> int:
        """How many endpoints fail or are slow."""
        return sum(lane.is_ill for lane in self._lanes.values())

    def _left(self, endpoint: str) -> _Lane:
        lane = self._lanes[endpoint]
        self._count(lane, -1)
        lane.running -= 1
        return lane

    def _drop(self, endpoint: str, lane: _Lane) -> None:
        if not lane.running and not lane.is_ill:
            del self._lanes[endpoint]

    def _change(self, lane: _Lane, *, is_slow: bool, failures: int | None = None) -> None:
        self._count(lane, -lane.running)
        lane.is_slow, lane.failures = is_slow, lane.failures if failures is None else failures
        self._count(lane, lane.running)

    def _count(self, lane: _Lane, more: int) -> None:
        if lane.is_ill:
            self._ill += more
        else:
            self._well += more


_NEW = _Lane()
