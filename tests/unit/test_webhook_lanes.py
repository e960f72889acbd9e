"""How much is on its way at once, and to whom."""

from __future__ import annotations

from service.webhooks.lanes import ILL, PER_ENDPOINT, WELL, Lanes


def begun(lanes: Lanes, endpoint: str, now_s: float = 0.0) -> int:
    """Begin as much as there is room for; return how much that was."""
    count = 0
    while lanes.room(endpoint, now_s) > 0:
        lanes.begin(endpoint)
        count += 1
    return count


def answered(lanes: Lanes, *names: str) -> None:
    for name in names:
        lanes.begin(name)
        lanes.end(name, now_s=0, took_s=0.01, answers=True)


def failed(lanes: Lanes, endpoint: str, times: int, now_s: float = 0.0) -> None:
    for _ in range(times):
        lanes.begin(endpoint)
        lanes.end(endpoint, now_s=now_s, took_s=0.01, answers=False)


def test_one_endpoint() -> None:
    """It is sent one event, and once it has answered four at a time."""
    lanes = Lanes()
    assert lanes.room("e", 0) == 1
    answered(lanes, "e")
    assert begun(lanes, "e") == PER_ENDPOINT
    lanes.end("e", now_s=0, took_s=0.01, answers=True)
    assert lanes.room("e", 0) == 1


def test_one_that_fails() -> None:
    """It is sent one at a time, until it answers."""
    lanes = Lanes()
    failed(lanes, "e", 1)
    assert (begun(lanes, "e"), lanes.ill) == (1, 1)
    lanes.end("e", now_s=0, took_s=0.01, answers=True)
    assert (lanes.room("e", 0), lanes.ill, lanes.running) == (PER_ENDPOINT, 0, 0)


def test_one_that_is_slow() -> None:
    """One event that hangs does not hold back its endpoint's others, and it is ill until it is quick again."""
    lanes = Lanes()
    answered(lanes, "e")
    lanes.begin("e")
    lanes.slow("e")
    assert (lanes.room("e", 0), lanes.ill) == (PER_ENDPOINT - 1, 1)
    lanes.end("e", now_s=0, took_s=2.0, answers=True)
    assert lanes.ill == 1
    lanes.begin("e")
    lanes.end("e", now_s=0, took_s=0.01, answers=True)
    assert (lanes.ill, lanes.running) == (0, 0)


def test_those_that_are_ill_have_a_bound_of_their_own() -> None:
    """However many there are, there is room for those that answer."""
    lanes = Lanes()
    names = [f"h{n}" for n in range(WELL)]
    answered(lanes, "new", *names)
    on_way = [name for name in names for _ in range(begun(lanes, name))]
    assert (len(on_way), lanes.room("new", 0)) == (WELL, 0)
    for name in set(on_way):
        lanes.slow(name)
    assert lanes.room("new", 0) == PER_ENDPOINT
    for name in on_way:
        lanes.end(name, now_s=0, took_s=10, answers=False)
    assert sum(begun(lanes, name) for name in names) <= ILL + WELL
    assert lanes.running <= ILL + WELL


def test_one_that_fails_in_a_row_is_left_alone() -> None:
    """For a second, then twice as long, up to five minutes; then it is tried with one."""
    lanes = Lanes()
    failed(lanes, "e", 4)
    assert lanes.room("e", 0) == 1
    closed = []
    for now_s in range(0, 10_000, 1_000):
        failed(lanes, "e", 1, now_s)
        closed.append(next(s for s in range(1_000) if lanes.room("e", now_s + s)))
    assert closed == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]
    lanes.begin("e")
    lanes.end("e", now_s=20_000, took_s=0.01, answers=True)
    assert lanes.room("e", 20_000) == PER_ENDPOINT


def test_what_is_known_of_others_is_forgotten() -> None:
    """Of those for which nothing is pending any more, once their pause is over; so nobody counts as ill for ever."""
    lanes = Lanes()
    failed(lanes, "pending", 1)
    failed(lanes, "left alone", 5)
    failed(lanes, "over", 1)
    lanes.begin("on its way")
    lanes.slow("on its way")
    assert lanes.ill == 4
    lanes.forget_others({"pending"}, 0)
    assert lanes.ill == 3
    assert lanes.room("left alone", 0) == 0
    lanes.forget_others({"pending"}, 1_000)
    assert lanes.ill == 2
