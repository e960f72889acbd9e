"""Who asks too often: an address waits a little, a token hears for how long it must."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from service.api import RateLimits, Rates
from service.api.messages import MessagesError
from service.api.rate_limits import BURST_S, MOST_DELAY_S, MOST_DELAYED
from service.http.buckets import MOST_BUCKETS, Buckets
from service.setting_kinds import NETWORKS
from tests.support.api_listener import ApiNode, Clock, api_node, embedded_log
from tests.support.nodes import ADMIN_TOKEN, Caller

COMPANIES = "/api/v1/companies"
LOCAL = NETWORKS.read("127.0.0.1") or ()


class Stopped(Clock):
    """A clock that only tests move."""

    def monotonic_s(self) -> float:
        return 1_000.0 + self.ahead_s


class Sleeps:
    """Sleeps in no time, and remembers for how long."""

    def __init__(self) -> None:
        self.slept_s: list[float] = []

    async def __call__(self, for_s: float) -> None:
        self.slept_s.append(for_s)


def request_from(forwarded: str = "") -> web.Request:
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    return make_mocked_request("GET", "/api/v1/apps", headers=headers).clone(remote="127.0.0.1")


def test_a_bucket() -> None:
    """It gives what comes in ten seconds at once, then what comes, and is full again after as long."""
    clock = Stopped()
    buckets = Buckets(clock.monotonic_s, burst_s=10)
    assert [buckets.take("a", 5) for _ in range(50)] == pytest.approx([10 - n / 5 for n in range(1, 51)])
    for _ in range(3):
        # What is not taken is not counted.
        assert buckets.take("a", 5) == pytest.approx(-0.2)
    assert buckets.take("b", 5) == pytest.approx(9.8)
    clock.ahead_s += 0.2
    assert buckets.take("a", 5) == pytest.approx(0, abs=1e-9)
    assert buckets.take("a", 5) == pytest.approx(-0.2)
    clock.ahead_s += 10
    assert min(buckets.take("a", 5) for _ in range(50)) >= 0
    assert buckets.take("a", 5) < 0


def test_a_bucket_in_debt() -> None:
    """What may be owed is counted; beyond it nothing is."""
    clock = Stopped()
    buckets = Buckets(clock.monotonic_s, burst_s=1, most_debt_s=2)
    assert [buckets.take("a", 1) for _ in range(5)] == pytest.approx([0, -1, -2, -3, -3])


def test_a_bucket_whose_rate_changes() -> None:
    """It stays as full as it was, in parts of what it holds."""
    clock = Stopped()
    buckets = Buckets(clock.monotonic_s, burst_s=10)
    assert [buckets.take("a", 10) for _ in range(50)][-1] == pytest.approx(5)
    assert [buckets.take("a", 1) for _ in range(6)] == pytest.approx([4, 3, 2, 1, 0, -1])


def test_buckets_are_bounded() -> None:
    """Whoever comes from everywhere does not fill the memory; those who are there stay as they are."""
    clock = Stopped()
    buckets = Buckets(clock.monotonic_s, burst_s=10)
    for _ in range(10):
        buckets.take("here", 1)
    for number in range(MOST_BUCKETS + 10):
        buckets.take(str(number), 1)
        if number == MOST_BUCKETS // 2:
            buckets.take("here", 1)
            clock.ahead_s += 1
            buckets.take("here", 1)
    assert MOST_BUCKETS // 2 < len(buckets) <= MOST_BUCKETS
    assert buckets.take("here", 1) < 0


async def test_who_is_not_limited() -> None:
    """A rate of 0 lets everybody ask as often as they like."""
    limits = RateLimits(Rates(per_address=0, per_token=0), (), Stopped().monotonic_s, Sleeps())
    for _ in range(100):
        await limits.slow_down(request_from())
        limits.count("token")


async def test_an_address_is_slowed_down() -> None:
    """What is beyond the rate waits for its turn, at most two seconds, and is answered; others do not wait."""
    clock, sleeps = Stopped(), Sleeps()
    limits = RateLimits(Rates(per_address=10, per_token=0), LOCAL, clock.monotonic_s, sleeps)
    for _ in range(100):
        await limits.slow_down(request_from("192.0.2.1"))
    assert sleeps.slept_s == []
    for _ in range(40):
        await limits.slow_down(request_from("192.0.2.1"))
    assert sleeps.slept_s[:3] == pytest.approx([0.1, 0.2, 0.3])
    assert max(sleeps.slept_s) == MOST_DELAY_S
    assert len(sleeps.slept_s) == 40
    await limits.slow_down(request_from("192.0.2.2"))
    await limits.slow_down(request_from("2001:db8::1"))
    assert len(sleeps.slept_s) == 40
    clock.ahead_s += MOST_DELAY_S + 0.1
    await limits.slow_down(request_from("192.0.2.1"))
    assert len(sleeps.slept_s) == 40


async def test_so_many_wait() -> None:
    """Those beyond are refused: each that waits keeps a connection."""
    request = request_from()
    clock, enough = Stopped(), asyncio.Event()
    limits = RateLimits(Rates(per_address=1, per_token=0), (), clock.monotonic_s, lambda _: enough.wait())
    for _ in range(int(BURST_S)):
        await limits.slow_down(request)
    waiting = asyncio.gather(*(limits.slow_down(request) for _ in range(MOST_DELAYED)))
    await asyncio.sleep(0)
    with pytest.raises(MessagesError) as refused:
        await limits.slow_down(request)
    assert refused.value.status == 429
    assert int(refused.value.headers["Retry-After"]) in range(1, 5)
    enough.set()
    await waiting
    await limits.slow_down(request)


async def test_a_token_is_told_to_wait(tmp_path: Path) -> None:
    """Beyond the rate 429, with the seconds; then on again. What is no token is not counted."""
    clock = Stopped()
    limits = RateLimits(Rates(per_address=0, per_token=1), (), clock.monotonic_s)
    async with embedded_log(tmp_path) as log, api_node(log, clock, limits=limits) as node:
        for _ in range(3):
            stranger = Caller(node.http, node.url, {"Authorization": "Bearer x"})
            assert (await stranger.call("GET", COMPANIES)).status == 401
        for number in range(int(BURST_S)):
            path = COMPANIES if number % 2 else "/api/v1/users/absent"
            assert (await node.admin.call("GET", path)).status in (200, 404)
        await refused(node, 1)
        revoked = await node.admin.call("POST", "/api/authenticate/revoke", {})
        assert revoked.status == 429
        clock.ahead_s += 1
        assert (await node.admin.call("GET", COMPANIES)).status == 200
        await refused(node, 1)
        assert (await node.admin.call("OPTIONS", COMPANIES)).status == 204


async def test_a_token_however_it_is_written(tmp_path: Path) -> None:
    """Case and spaces of the header make no other token of one."""
    clock = Stopped()
    limits = RateLimits(Rates(per_address=0, per_token=1), (), clock.monotonic_s)
    async with embedded_log(tmp_path) as log, api_node(log, clock, limits=limits) as node:
        ways = [f"{scheme}{' ' * spaces}{ADMIN_TOKEN}" for scheme in ("Bearer", "bEARER") for spaces in range(1, 7)]
        callers = [Caller(node.http, node.url, {"Authorization": way}) for way in ways]
        statuses = [(await caller.call("GET", COMPANIES)).status for caller in callers]
    assert statuses == [200] * int(BURST_S) + [429] * (len(ways) - int(BURST_S))


async def refused(node: ApiNode, for_s: int) -> None:
    answer = await node.admin.call("GET", COMPANIES)
    (message,) = answer.json["errors"]
    assert (answer.status, message["code"]) == (429, "error.too.many.requests")
    assert message["params"]["seconds"] == answer.headers["Retry-After"] == str(for_s)


async def test_an_address_over_http(tmp_path: Path) -> None:
    """All of `/api` counts, whoever asks; `/v1` does not."""
    clock, sleeps = Stopped(), Sleeps()
    limits = RateLimits(Rates(per_address=1, per_token=0), (), clock.monotonic_s, sleeps)
    async with embedded_log(tmp_path) as log, api_node(log, clock, limits=limits) as node:
        nobody = Caller(node.http, node.url, {})
        for path in (COMPANIES, "/api", "/api/authenticate", "/api/nothing", "/v1", "/openapi.json"):
            for _ in range(3):
                await nobody.call("GET", path)
        assert len(sleeps.slept_s) == 12 - BURST_S
        assert (await node.admin.call("GET", COMPANIES)).status == 200
