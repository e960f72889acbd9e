"""What the nemesis does comes from its seed alone, and is all that it can do."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.nemesis.faults import MADE
from tests.nemesis.schedule import BROKER_FAULTS, BROKERS, NODE_FAULTS, NODES, Kind, schedule


def test_the_same_seed_is_the_same_run() -> None:
    """Of the same length; a longer one begins with the same faults of nodes."""
    assert schedule(7, 120) == schedule(7, 120)
    assert schedule(7, 120) != schedule(8, 120)
    of_nodes = [fault for fault in schedule(7, 60) if fault.kind in NODE_FAULTS]
    longer = [fault for fault in schedule(7, 120) if fault.kind in NODE_FAULTS]
    assert longer[: len(of_nodes)] == of_nodes


def test_every_kind_is_drawn_and_can_be_made() -> None:
    """In a quarter of an hour each comes, the frequent ones more often."""
    drawn = Counter(fault.kind for fault in schedule(1, 900))
    assert set(drawn) == set(Kind) == set(MADE)
    assert drawn[Kind.NODE_KILLED] > drawn[Kind.ALL_NODES_KILLED]


@pytest.mark.parametrize("seed", range(20))
def test_faults_are_within_the_run(seed: int) -> None:
    """In order, each with a target that there is, and as long as its kind may last."""
    faults = schedule(seed, 100)
    assert [fault.at_s for fault in faults] == sorted(fault.at_s for fault in faults)
    assert len(faults) > 20
    for fault in faults:
        assert 2 < fault.at_s < 99
        draw = {**NODE_FAULTS, **BROKER_FAULTS}[fault.kind]
        assert draw.shortest_s <= fault.lasting_s <= draw.longest_s
        assert fault.target in range(BROKERS if fault.kind in BROKER_FAULTS else NODES)
