"""Which faults are made when: all that a run does to a deployment, from its seed."""

from __future__ import annotations

import enum
import random
from collections.abc import Iterator
from typing import NamedTuple


class Kind(enum.Enum):
    """The faults that there are."""

    NODE_KILLED = "node killed"
    NODE_STOPPED = "node stopped"
    NODE_PAUSED = "node paused"
    NODE_FROZEN = "node frozen past its session"
    NODE_BOUNCED = "node killed again as it recovers"
    NODE_CUT = "node cut off"
    NODE_HELD = "node's packets held up"
    NODE_CUT_FROM_ONE = "node cut off from one broker"
    NODE_LOST = "node cut off past its session"
    STORE_WIPED = "store wiped"
    STORE_CORRUPTED = "store corrupted"
    DISK_FULL = "disk full"
    CLOCK_STEPPED = "node's clock stepped"
    GUEST_JOINS = "node joins and leaves"
    ALL_NODES_KILLED = "all nodes killed"
    BROKER_KILLED = "broker killed"
    BROKER_PAUSED = "broker paused"
    BROKER_FROZEN = "broker frozen past its session"
    BROKER_WIPED = "broker's data wiped"
    BROKERS_ROLLED = "brokers restarted one by one"
    TWO_BROKERS_KILLED = "two brokers killed"
    TWO_BROKERS_FROZEN = "two brokers frozen"


class Fault(NamedTuple):
    """One fault."""

    at_s: float
    """When it begins, from the start of the run; where its target is busy with another one still, later."""
    kind: Kind
    target: int
    """Which node, from 0 on, or which broker."""
    lasting_s: float
    """For how long a process is away, frozen or cut off."""
    seed: int
    """Of what else is drawn for it."""


class _Draw(NamedTuple):
    weight: int
    shortest_s: float
    longest_s: float


NODE_FAULTS = {
    Kind.NODE_KILLED: _Draw(8, 0.2, 4),
    Kind.NODE_STOPPED: _Draw(5, 0.2, 4),
    Kind.NODE_PAUSED: _Draw(5, 0.3, 3),
    Kind.NODE_FROZEN: _Draw(4, 7.5, 11),
    Kind.NODE_BOUNCED: _Draw(4, 0.3, 2),
    Kind.NODE_CUT: _Draw(3, 0.3, 4),
    Kind.NODE_HELD: _Draw(4, 0.3, 5),
    Kind.NODE_CUT_FROM_ONE: _Draw(3, 0.5, 8),
    Kind.NODE_LOST: _Draw(3, 7.5, 11),
    Kind.STORE_WIPED: _Draw(3, 0.2, 2),
    Kind.STORE_CORRUPTED: _Draw(3, 0.2, 2),
    Kind.DISK_FULL: _Draw(3, 4, 10),
    Kind.CLOCK_STEPPED: _Draw(4, 2, 12),
    Kind.GUEST_JOINS: _Draw(3, 2, 8),
    Kind.ALL_NODES_KILLED: _Draw(1, 0.2, 2),
}
BROKER_FAULTS = {
    Kind.BROKER_KILLED: _Draw(6, 0.2, 5),
    Kind.BROKER_PAUSED: _Draw(5, 0.2, 0.9),
    Kind.BROKER_FROZEN: _Draw(5, 1.5, 6),
    Kind.BROKER_WIPED: _Draw(3, 1.5, 4),
    Kind.BROKERS_ROLLED: _Draw(2, 0.1, 0.5),
    Kind.TWO_BROKERS_KILLED: _Draw(2, 0.5, 4),
    Kind.TWO_BROKERS_FROZEN: _Draw(2, 1, 5),
}
NODES = BROKERS = 3
_NODE_EVERY_S = (2.0, 6.0)
_BROKER_EVERY_S = (7.0, 15.0)


def schedule(seed: int, seconds: float) -> list[Fault]:
    """Return the faults of a run, in order: none begins within the first 2 s, or in the last of *seconds*."""
    source = random.Random(seed)
    faults = [
        *_drawn(source, seconds, NODE_FAULTS, NODES, _NODE_EVERY_S),
        *_drawn(source, seconds, BROKER_FAULTS, BROKERS, _BROKER_EVERY_S),
    ]
    return sorted(faults, key=lambda fault: fault.at_s)


def _drawn(
    source: random.Random, seconds: float, kinds: dict[Kind, _Draw], targets: int, every_s: tuple[float, float]
) -> Iterator[Fault]:
    """
    Yield faults of these kinds.

    Each kind comes as often as its weight says, in an order that is drawn: the rare ones are in a short run as well.
    """
    at_s = 2.0
    left: list[Kind] = []
    while True:
        at_s += source.uniform(*every_s)
        if at_s > seconds - 1:
            return
        if not left:
            left = [kind for kind, draw in kinds.items() for _ in range(draw.weight)]
            source.shuffle(left)
        kind = left.pop()
        draw = kinds[kind]
        lasting_s = source.uniform(draw.shortest_s, draw.longest_s)
        yield Fault(at_s, kind, source.randrange(targets), lasting_s, source.getrandbits(32))
