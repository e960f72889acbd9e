"""Guessing passwords: slowed down for those who guess, and for nobody else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.adapters.passwords import MOST_WAITING, WORKERS, Cost, PasswordPool
from service.api.auth_throttle import MEMORY_S, MOST_S, SITE_FREE, Throttle
from service.api.messages import MessagesError
from service.http.addresses import site_of
from streams.domain.errors import OverloadedError
from tests.support.api_listener import CHEAP, Clock, api_node, embedded_log
from tests.support.people import PASSWORD, log_in, make_user


class Still:
    """A clock that stands still until it is told to go."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Still:
    return Still()


@pytest.fixture
def throttle(clock: Still) -> Throttle:
    return Throttle(clock)


def wait_s(throttle: Throttle, name: str, address: str) -> int:
    """Attempt and fail; return 0, or for how long the attempt must wait instead."""
    try:
        throttle.begin(name, address)
    except MessagesError as refused:
        refusal = refused
    else:
        return 0
    (message,) = refusal.messages
    assert (refusal.status, message.params["seconds"]) == (429, refusal.headers["Retry-After"])
    return int(refusal.headers["Retry-After"])


def test_waits_double_up_to_a_bound(throttle: Throttle, clock: Still) -> None:
    """Three failures are free; then the waits are 1, 2, 4, 8, 16 and at most 30 s, and no longer after them."""
    assert [wait_s(throttle, "ann", "192.0.2.1") for _ in range(3)] == [0, 0, 0]
    waits = []
    for _ in range(8):
        waits.append(wait_s(throttle, "ann", "192.0.2.1"))
        clock.now_s += waits[-1]
        assert wait_s(throttle, "ann", "192.0.2.1") == 0
    assert waits == [1, 2, 4, 8, 16, 30, 30, 30]


def test_what_is_turned_away_is_not_counted(throttle: Throttle, clock: Still) -> None:
    """Knocking on while one must wait makes the wait no longer."""
    for _ in range(3):
        wait_s(throttle, "ann", "192.0.2.1")
    assert {wait_s(throttle, "ann", "192.0.2.1") for _ in range(100)} == {1}
    clock.now_s += 1
    assert wait_s(throttle, "ann", "192.0.2.1") == 0


def test_an_address_is_slowed_down_whatever_the_name(throttle: Throttle) -> None:
    """Who tries one password with many names waits too."""
    assert {wait_s(throttle, f"user{number}", "192.0.2.1") for number in range(SITE_FREE)} == {0}
    assert wait_s(throttle, "another", "192.0.2.1") == 1
    assert wait_s(throttle, "another", "192.0.2.2") == 0


def test_a_name_is_slowed_down_for_those_who_failed_with_it(throttle: Throttle, clock: Still) -> None:
    """Who comes to a name from many addresses waits with each of them for what all of them did, after its own three."""
    for number in range(8):
        for _ in range(3):
            assert wait_s(throttle, "ann", f"192.0.2.{number}") == 0
    clock.now_s += 1
    assert wait_s(throttle, "ann", "192.0.2.0") == MOST_S - 1


def test_a_victim_gets_in(throttle: Throttle, clock: Still) -> None:
    """While others guess at a name without end, its owner gets in from an address that has not failed, at once."""
    for number in range(200):
        wait_s(throttle, "ann", f"198.51.100.{number % 50}")
        clock.now_s += 0.1
    throttle.begin("ann", "192.0.2.1").succeeded()
    # And from there again, also after mistakes.
    assert [wait_s(throttle, "ann", "192.0.2.1") for _ in range(3)] == [0, 0, 0]
    assert wait_s(throttle, "ann", "192.0.2.1") == 1


def test_a_known_address_is_not_held_up_by_its_neighbours(throttle: Throttle) -> None:
    """Behind an address that many share, whoever has logged in before still can, whatever the others do."""
    throttle.begin("ann", "192.0.2.1").succeeded()
    for number in range(30):
        wait_s(throttle, f"user{number}", "192.0.2.1")
    assert wait_s(throttle, "other", "192.0.2.1") > 0
    assert wait_s(throttle, "ann", "192.0.2.1") == 0


def test_an_account_of_one_s_own_wipes_nothing_away(throttle: Throttle) -> None:
    """Who logs in between guesses goes on waiting for the guesses."""
    throttle.begin("mallory", "192.0.2.1").succeeded()
    for number in range(SITE_FREE):
        wait_s(throttle, f"user{number}", "192.0.2.1")
    throttle.begin("mallory", "192.0.2.1").succeeded()
    assert wait_s(throttle, "bob", "192.0.2.1") == 1


def test_a_strict_count_holds_up_every_stranger(clock: Still) -> None:
    """Where a name's count is strict, who comes from elsewhere waits too; an address that was right before does not."""
    throttle = Throttle(clock, free=1, strict=True)
    throttle.begin("ann", "192.0.2.1").succeeded()
    assert [wait_s(throttle, "ann", f"198.51.100.{number}") for number in range(3)] == [0, 1, 1]
    assert wait_s(throttle, "ann", "192.0.2.1") == 0


def test_failures_are_forgotten(throttle: Throttle, clock: Still) -> None:
    """After a quarter of an hour without another, failures are as if they had not been."""
    for _ in range(3):
        wait_s(throttle, "ann", "192.0.2.1")
    clock.now_s += MEMORY_S
    assert [wait_s(throttle, "ann", "192.0.2.1") for _ in range(4)] == [0, 0, 0, 1]


def test_memory_is_bounded(throttle: Throttle) -> None:
    """However many names are tried from however many addresses, what is remembered of them has a bound."""
    for number in range(30_000):
        wait_s(throttle, f"user{number}", f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(throttle._failures) <= 20_000


def test_sites() -> None:
    """An IPv6 address is counted with its network of 64 bits, one that stands for IPv4 as that."""
    assert site_of("2001:db8:1:2:3:4:5:6") == site_of("2001:db8:1:2::1") == "2001:db8:1:2::/64"
    assert site_of("2001:db8:1:3::1") != site_of("2001:db8:1:2::1")
    assert site_of("::ffff:192.0.2.1") == site_of("192.0.2.1") == "192.0.2.1"
    assert site_of(None) == site_of("") == ""


async def test_over_http(tmp_path: Path) -> None:
    """A guesser is told when to come back; the right password is then good."""
    clock = Clock()
    async with embedded_log(tmp_path) as log, api_node(log, clock) as node:
        await make_user(node, "ann")
        for name in ("ann", "nobody") * 3:
            assert (await log_in(node, name, "wrong password")).status == 401
        told = [await log_in(node, name) for name in ("ann", "nobody")]
        assert [answer.status for answer in told] == [429, 429]
        assert told[0].body == told[1].body
        assert told[0].headers["Retry-After"] == "1"
        assert told[0].json["errors"][0]["code"] == "error.too.many.attempts"
        clock.ahead_s += 1
        assert (await log_in(node, "ann")).status == 200
        assert (await log_in(node, "ann")).status == 200


async def test_guesses_at_once_are_counted(tmp_path: Path) -> None:
    """Guesses that are made at the same time count as they come in, not when they have failed."""
    async with embedded_log(tmp_path) as log, api_node(log) as node:
        await make_user(node, "ann")
        answers = await asyncio.gather(*(log_in(node, "ann", f"wrong password {number}") for number in range(20)))
        statuses = sorted(answer.status for answer in answers)
        assert statuses[:3] == [401, 401, 401]
        assert set(statuses[4:]) == {429}


# The hashes


@pytest.fixture
def pool() -> Iterator[PasswordPool]:
    pool = PasswordPool(CHEAP)
    yield pool
    pool.close()


async def test_hashes(pool: PasswordPool) -> None:
    """A hash is argon2id with a salt of its own, good for its password alone; nobody's is good for none."""
    first, second = await pool.hash(PASSWORD), await pool.hash(PASSWORD)
    assert first.startswith("$argon2id$v=19$")
    assert first != second
    assert await pool.verify(first, PASSWORD)
    for stored, password in ((first, PASSWORD + "x"), (first, ""), (None, PASSWORD), (None, ""), ("broken", "x")):
        assert not await pool.verify(stored, password)


def test_the_cost() -> None:
    """What a hash costs is what is recommended, or more."""
    assert Cost() >= (19_456, 2, 1)


async def test_the_pool_is_bounded(pool: PasswordPool) -> None:
    """Two are hashed at a time, some wait, and the rest are told to come again; afterwards there is room again."""
    gate = threading.Event()
    running: set[str] = set()

    def hold() -> bool:
        running.add(threading.current_thread().name)
        return gate.wait(20)

    held = [asyncio.create_task(pool._run(hold)) for _ in range(MOST_WAITING)]
    while len(running) < WORKERS:
        await asyncio.sleep(0.001)
    with pytest.raises(OverloadedError):
        await pool.hash(PASSWORD)
    assert len(running) == WORKERS
    gate.set()
    assert all(await asyncio.gather(*held))
    assert await pool.verify(await pool.hash(PASSWORD), PASSWORD)


async def test_those_who_leave_make_room(pool: PasswordPool) -> None:
    """Whoever does not wait for the answer does not keep others out."""
    gate = threading.Event()
    held = [asyncio.create_task(pool._run(lambda: gate.wait(20))) for _ in range(MOST_WAITING)]
    await asyncio.sleep(0)
    for task in held:
        task.cancel()
    await asyncio.gather(*held, return_exceptions=True)
    gate.set()
    assert await pool.hash(PASSWORD)


class CountingPool(PasswordPool):
    """Counts what it checks."""

    checked = 0

    async def verify(self, stored: str | None, password: str) -> bool:
        self.checked += 1
        return await super().verify(stored, password)


async def test_unknown_names_cost_the_same(tmp_path: Path) -> None:
    """A password is checked also where there is no such user: as often as where there is."""
    clock, pool = Clock(), CountingPool(CHEAP)
    async with embedded_log(tmp_path) as log, api_node(log, clock, pool) as node:
        await make_user(node, "ann")
        for number, name in enumerate(("ann", "nobody", "x" * 300)):
            clock.ahead_s += 60
            await log_in(node, name, "wrong password")
            assert pool.checked == number + 1
