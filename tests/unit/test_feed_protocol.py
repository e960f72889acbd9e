"""
The feed protocol on the real folds: on the worst of days, every list is the join of both logs.

`UPNEXT_PROTOCOL_SEED=n` runs one seed again, `UPNEXT_PROTOCOL_SEEDS=n` as many as one has time for.
"""

from __future__ import annotations

import os
from collections import Counter

import pytest

from streams.domain.feed import Change, Operation, Refused, Snapshot, Sweep
from tests.support.protocol import Folds, Run, run
from tests.support.protocol_owner import WHOLE

CHUNKS = 8
ONE = os.environ.get("UPNEXT_PROTOCOL_SEED")
COUNT = int(os.environ.get("UPNEXT_PROTOCOL_SEEDS", "1000"))


def seeds(chunk: int) -> range:
    if ONE is not None:
        return range(int(ONE), int(ONE) + 1) if chunk == 0 else range(0)
    return range(chunk * COUNT // CHUNKS, (chunk + 1) * COUNT // CHUNKS)


@pytest.mark.timeout(max(120, COUNT))
@pytest.mark.parametrize("chunk", [0, *(pytest.param(chunk, marks=pytest.mark.long) for chunk in range(1, CHUNKS))])
def test_no_invariant_is_broken(chunk: int) -> None:
    """Whatever crashes, comes twice, late, wrongly or never: `Checks` names what holds all the time and in the end."""
    for seed in seeds(chunk):
        broken = run(seed)
        assert broken is None, f"{broken}: run it again with UPNEXT_PROTOCOL_SEED={seed}"


def test_the_days_are_as_bad_as_they_are_meant_to_be() -> None:
    """The runs see losses, gaps, parts, refusals, sweeps, evictions and bulks; else they would prove little."""
    seen: Counter[str] = Counter()
    for seed in range(60):
        day = Run(seed, Folds())
        day.go()
        seen.update(day.noticed)
        for entry in day.feed:
            match entry.message:
                case None:
                    seen["lost"] += 1
                case Change(sequence=sequence, after=after) if after == sequence:
                    seen["withheld"] += 1
                case Change(operations=[Operation(fragment=None), _]):
                    seen["eviction"] += 1
                case Change(operations=[_, _, _, *_]):
                    seen["bulk"] += 1
                case Snapshot(part=part) if part:
                    assert day.day.limits.message_bytes < WHOLE
                    seen["part"] += 1
                case Sweep():
                    seen["sweep"] += 1
                case Refused():
                    seen["refusal"] += 1
    print(seen)
    wanted = {"lost", "eviction", "bulk", "withheld", "part", "sweep", "refusal", "refused", "gap", "digest_difference"}
    assert {name for name in wanted if seen[name] >= 5} == wanted
