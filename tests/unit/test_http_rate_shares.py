"""A client's limit is one for all nodes: what each lets through of it, and how far off they are together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.http.buckets import Buckets
from service.http.rate_limits import BURST_S
from service.http.rate_shares import MOST_SAID, WORTH_SAYING, Shares, level
from streams.domain.nodes import Asked

LIMIT = 100
READS, WRITES = 0, 1
SPEAK_S = 2
RATES = st.lists(st.floats(0, 10_000), min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ([0], 100),
        ([1_000], 100),
        ([60, 40], 100),
        ([1_000, 0], 100),
        ([1_000, 1_000], 50),
        ([1_000, 20], 80),
        ([20, 1_000, 1_000], 40),
        ([1_000, 10, 20, 1_000], 35),
        ([30, 30, 30, 30], 25),
    ],
)
def test_the_level(asked: list[float], expected: float) -> None:
    """Who is asked for little lets all through, and the others share the rest."""
    assert level(100, asked) == pytest.approx(expected)
    assert level(100, reversed(asked)) == pytest.approx(expected)


@given(RATES)
def test_all_together(asked: list[float]) -> None:
    """They let the limit through, or all that is asked for where that is less; no share is below an equal one."""
    up_to = level(LIMIT, asked)
    assert sum(min(rate, up_to) for rate in asked) == pytest.approx(min(LIMIT, sum(asked)))
    assert up_to >= LIMIT / len(asked) - 1e-9


class Fleet:
    """Nodes that hear of each other at once when they speak, which each does every 2 s, not all at the same time."""

    def __init__(self, nodes: int) -> None:
        self.now_s = 0.0
        self.said: list[Asked] = [{} for _ in range(nodes)]
        self.shares = [Shares(self._others(n), lambda: self.now_s) for n in range(nodes)]
        self.buckets = [Buckets(lambda: self.now_s, burst_s=BURST_S) for _ in range(nodes)]

    def _others(self, me: int) -> Callable[[], Sequence[Asked]]:
        return lambda: [said for n, said in enumerate(self.said) if n != me]

    def run(self, asked_per_s: Sequence[int], for_s: int) -> list[int]:
        """Ask so much of each node for so long; return how many requests all let through, by second."""
        let_through = []
        for _ in range(for_s):
            passed = 0
            for step in range(100):
                self.now_s += 0.01
                for n, rate in enumerate(asked_per_s):
                    asked = rate * (step + 1) // 100 - rate * step // 100
                    passed += sum(self._ask(n) for _ in range(asked))
                    if (self.now_s + n * SPEAK_S / len(asked_per_s)) % SPEAK_S < 0.01:
                        self.said[n] = self.shares[n].say()
            let_through.append(passed)
        return let_through

    def _ask(self, node: int) -> bool:
        return self.buckets[node].take("client", self.shares[node].part("client", READS, LIMIT)) >= 0


LOADS = [[500, 500], [500, 20], [500, 0], [300, 300, 300], [500, 10, 200], [60, 60, 60], [40, 40, 40, 400]]


@pytest.mark.parametrize("asked", LOADS, ids=str)
def test_together_they_keep_the_limit(asked: list[int]) -> None:
    """Until they know of each other each gives out a burst and 4 s of the limit; then all are a tenth off at most."""
    let_through = Fleet(len(asked)).run(asked, 20)
    for seconds, passed in enumerate(accumulate(let_through), 1):
        assert passed <= LIMIT * seconds + len(asked) * LIMIT * (4 + BURST_S)
    for first, second in pairwise(let_through[8:]):
        assert (first + second) / 2 == pytest.approx(min(LIMIT, sum(asked)), rel=0.1)


def test_a_client_that_moves() -> None:
    """Whoever goes from one node to another, as when the first one is restarted, is refused nothing on its way."""
    fleet = Fleet(3)
    for asked in ([90, 0, 0], [0, 90, 0], [0, 45, 45], [0, 0, 90]):
        assert fleet.run(asked, 5) == [90] * 5


def test_it_stays_below_its_limit() -> None:
    """A client that asks for no more than it may is refused nothing, wherever it asks."""
    assert Fleet(3).run([33, 33, 33], 20) == [99] * 20


def test_reads_and_writes_apart() -> None:
    """Writes that are shared leave the reads of the same client alone."""
    now_s = [0.0]
    shares = Shares(lambda: [{"c": (0.0, 500.0)}], lambda: now_s[0])
    for _ in range(1_000):
        shares.part("c", WRITES, 100)
        shares.part("c", READS, 100)
    now_s[0] = 2.0
    assert shares.say() == {"c": (500.0, 500.0)}
    assert (shares.part("c", READS, 100), shares.part("c", WRITES, 100)) == (100, 50)


def test_who_is_spoken_of() -> None:
    """Who asks for a good part of an equal share; and, where they are too many, those who ask for most of theirs."""
    now_s = [0.0]
    shares = Shares(lambda: [{}], lambda: now_s[0])
    little, enough = WORTH_SAYING * 1_000 / 2 - 1, WORTH_SAYING * 1_000 / 2
    for client, per_s in (("little", little), ("enough", enough)):
        for _ in range(int(per_s * 2)):
            shares.part(client, READS, 1_000)
    shares.part("small", WRITES, 1)
    now_s[0] = 2.0
    assert shares.say() == {"enough": (enough, 0), "small": (0, 0.5)}
    for number in range(MOST_SAID + 10):
        for _ in range(1 + (number >= 10)):
            shares.part(f"c{number}", READS, 10)
    now_s[0] = 4.0
    assert set(shares.say()) == {f"c{number}" for number in range(10, MOST_SAID + 10)}


def test_who_speaks_oftener() -> None:
    """A node that has something else to say repeats what it has said of clients."""
    now_s = [0.0]
    shares = Shares(lambda: [{}], lambda: now_s[0])
    for _ in range(100):
        shares.part("c", READS, 100)
    now_s[0] = 2.0
    said = shares.say()
    assert said == {"c": (50.0, 0.0)}
    now_s[0] = 2.5
    shares.part("c", READS, 100)
    assert shares.say() == said
    now_s[0] = 4.5
    assert shares.say() == {}


def test_alone() -> None:
    """Where there is no other node, nothing is said and nothing shared."""
    now_s = [0.0]
    shares = Shares(list, lambda: now_s[0])
    for _ in range(1_000):
        assert shares.part("c", READS, 100) == 100
    now_s[0] = 2.0
    assert shares.say() == {}
    assert shares.part("c", READS, 100) == 100
