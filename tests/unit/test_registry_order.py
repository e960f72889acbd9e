"""The lists of the registry's state, beside lists that are sorted and filtered anew each time."""

from __future__ import annotations

import random

import pytest

from streams.domain.registry_events import ObjectState
from streams.domain.registry_order import BLOCK, Entry, Ordered

STATES: tuple[ObjectState, ...] = ("ACTIVE", "ACTIVE", "INACTIVE", "HIDDEN")


def entry(name: str, number: int, state: ObjectState = "ACTIVE") -> Entry:
    return Entry(name, f"i{number:05d}", state, b"", b"")


def check(ordered: Ordered, model: list[Entry], chance: random.Random) -> None:
    """Compare pages at both ends, at any place and past the end, and the counts."""
    everything = sorted(model, key=lambda one: (one.name, one.id))
    assert list(ordered) == everything
    for with_hidden in (True, False):
        wanted = [one for one in everything if with_hidden or one.state != "HIDDEN"]
        assert ordered.count(with_hidden=with_hidden) == len(wanted)
        starts = (0, chance.randint(0, len(wanted) + 1), max(0, len(wanted) - 3), len(wanted), len(wanted) + BLOCK)
        for start in starts:
            limit = chance.choice((1, 7, 100, 3 * BLOCK))
            assert ordered.page(start, limit, with_hidden=with_hidden) == wanted[start : start + limit]


@pytest.mark.parametrize("seed", range(4))
def test_whatever_comes_and_goes(seed: int) -> None:
    """Pages and counts are those of the sorted list, over several blocks, with equal names, and empty again."""
    chance = random.Random(seed)
    ordered, model = Ordered(), list[Entry]()
    for number in range(3 * BLOCK):
        one = entry(f"n{chance.randrange(200)}", number, chance.choice(STATES))
        ordered.add(one)
        model.append(one)
        if chance.random() < 0.2:
            gone = model.pop(chance.randrange(len(model)))
            ordered.remove(gone)
        if number % 400 == 0:
            check(ordered, model, chance)
    check(ordered, model, chance)
    chance.shuffle(model)
    while model:
        ordered.remove(model.pop())
        if len(model) % 400 == 0:
            check(ordered, model, chance)


@pytest.mark.parametrize("seed", range(2))
def test_what_comes_in_order(seed: int) -> None:
    """What is appended in its order, as a snapshot has it, is the same list, and can be changed like any other."""
    chance = random.Random(seed)
    model = [entry(f"n{number // 3:05d}", number, chance.choice(STATES)) for number in range(2 * BLOCK + 5)]
    ordered = Ordered()
    for one in model:
        ordered.append(one)
    check(ordered, model, chance)
    for number in range(100):
        one = entry(f"n{chance.randrange(400):05d}", 10_000 + number, chance.choice(STATES))
        ordered.add(one)
        model.append(one)
    check(ordered, model, chance)
