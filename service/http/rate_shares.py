"""A client's limit, shared by the nodes that it calls: each says what is asked of it, and lets through its part."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from streams.domain.nodes import Asked

MOST_SAID = 500
"""Clients that a node speaks of at a time: those who ask the most of what they may."""
WORTH_SAYING = 0.1
"""Nobody is spoken of who asks less than this part of an equal share: all such together are less than it of a limit."""
_LEAST_INTERVAL_S = 1.0
"""What was counted for less says too little."""


def level(limit: float, asked: Iterable[float]) -> float:
    """
    Return the rate up to which each node lets requests through, so that all of them let *limit* through.

    Where more is asked than that, every node that is asked for less than the level lets everything through, and the
    others share the rest equally. So the level is never below an equal share of the limit. Where less is asked than the
    limit, there is nothing to share, and the level is the limit.

    Args:
        limit: The client's, a second.
        asked: What it asks of each node, a second.

    Source:
        Max-min fairness: Bertsekas and Gallager, Data Networks, 6.5.2.
    """
    rates = sorted(asked)
    left = limit
    for count, rate in zip(range(len(rates), 0, -1), rates, strict=True):
        if rate * count > left:
            return left / count
        left -= rate
    return limit


class _Count:
    """What one client has asked for since the node last spoke."""

    __slots__ = ("asked", "limits")

    def __init__(self) -> None:
        self.asked = [0, 0]
        self.limits = [0, 0]


class Shares:
    """
    What one node gives out of each client's limits.

    Reads and writes are 0 and 1 wherever there is one of each.
    """

    def __init__(self, others: Callable[[], Sequence[Asked]], clock_s: Callable[[], float] = time.monotonic) -> None:
        """
        Take how to hear of the others.

        Args:
            others: Returns what each other node that answers clients has last said; nothing of those that are silent.
            clock_s: Monotonic seconds.
        """
        self._others, self._clock_s = others, clock_s
        self._counts: dict[str, _Count] = {}
        self._since_s = clock_s()
        self._said: Asked = {}
        self._levels: tuple[dict[str, float], dict[str, float]] = ({}, {})

    def part(self, client: str, kind: int, limit: int, count: int = 1) -> float:
        """Count a request, or as many; return how many of its kind a second the client may make here."""
        counted = self._counts.get(client)
        if counted is None:
            counted = self._counts[client] = _Count()
        counted.asked[kind] += count
        counted.limits[kind] = limit
        return self._levels[kind].get(client, limit)

    def say(self) -> Asked:
        """Return what this node is to say of the clients now, and share anew. Called every 2 s, or oftener."""
        since_s = self._clock_s() - self._since_s
        if since_s < _LEAST_INTERVAL_S:
            return self._said
        others = self._others()
        rates = {client: (count, [asked / since_s for asked in count.asked]) for client, count in self._counts.items()}
        for kind in (0, 1):
            self._levels[kind].clear()
            for client, (count, own) in rates.items():
                theirs = [said[client][kind] for said in others if client in said]
                limit = count.limits[kind]
                if theirs and limit:
                    self._levels[kind][client] = level(limit, [own[kind], *theirs])
        self._said = _worth_saying(rates, nodes=len(others) + 1) if others else {}
        self._counts.clear()
        self._since_s += since_s
        return self._said


def _worth_saying(rates: Mapping[str, tuple[_Count, list[float]]], nodes: int) -> Asked:
    """Return what is said of those who ask for a good part of what they may, at most `MOST_SAID` of them."""
    parts = {
        client: max((rate * nodes / limit for rate, limit in zip(own, count.limits, strict=True) if limit), default=0.0)
        for client, (count, own) in rates.items()
    }
    busy = sorted((client for client, part in parts.items() if part >= WORTH_SAYING), key=parts.__getitem__)
    return {client: (round(rates[client][1][0], 2), round(rates[client][1][1], 2)) for client in busy[-MOST_SAID:]}
