"""Who calls `/v1` too often hears for how long to wait, and nobody else does."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from service.http.rate_limits import BURST_S, FAILURES_BURST_S, RateLimits, Rates
from service.setting_kinds import NETWORKS
from tests.support.api_listener import api_node, embedded_log
from tests.support.forwarding import pair_of_nodes
from tests.support.listener import Listener, basic, problem, public_listener
from tests.support.nodes import Answer, Caller, item

LOCAL = NETWORKS.read("127.0.0.1") or ()


class Still:
    """A clock that only tests move."""

    def __init__(self) -> None:
        self.at_s = 1_000.0

    def __call__(self) -> float:
        return self.at_s


@asynccontextmanager
async def limited(clock: Still, *rates: int) -> AsyncIterator[Listener]:
    """Run a listener whose limits are those of *rates*, behind a proxy that is trusted."""
    async with public_listener(limits=RateLimits(Rates(*rates), LOCAL, clock_s=clock)) as listener:
        yield listener


@pytest.fixture
def clock() -> Still:
    return Still()


def said(answer: Answer) -> tuple[str, str]:
    return answer.headers["RateLimit-Policy"], answer.headers["RateLimit"]


async def test_clients_are_told(clock: Still) -> None:
    """What they may and what is left, reads and writes apart, each client for itself."""
    async with limited(clock) as listener:
        for left in (999, 998, 997):
            assert said(await listener.app.ok("GET", "/v1")) == ('"reads";q=1000;w=1', f'"reads";r={left};t=1')
        assert said(await listener.app.ok("HEAD", "/v1"))[1] == '"reads";r=996;t=1'
        made = await listener.app.ok("POST", "/v1/contexts")
        assert said(made) == ('"writes";q=1000;w=1', '"writes";r=999;t=1')
        assert said(await listener.callers["other_app"].ok("GET", "/v1"))[1] == '"reads";r=999;t=1'
        clock.at_s += 0.002
        assert said(await listener.app.ok("GET", "/v1"))[1] == '"reads";r=997;t=1'
        clock.at_s += 1
        assert said(await listener.app.ok("GET", "/v1"))[1] == '"reads";r=999;t=1'


async def test_one_too_many(clock: Still) -> None:
    """Twice the rate at once, then 429 with the seconds, and nothing done; then what comes in the meantime."""
    async with limited(clock, 10, 2) as listener:
        context = await listener.context()
        put = f"/v1/contexts/upnext/{context}"
        left = [said(await listener.app.ok("PUT", put, item()))[1] for _ in range(3)]
        assert left == ['"writes";r=0;t=1', '"writes";r=0;t=2', '"writes";r=0;t=2']
        recorded = listener.recorded
        for _ in range(3):
            refused = await listener.app.call("PUT", put, data=b"x" * 100_000)
            assert problem(refused, 429) == "too_many_requests"
            assert refused.headers["Retry-After"] == "1"
            assert said(refused) == ('"writes";q=2;w=1', '"writes";r=0;t=2')
        assert listener.recorded == recorded
        await listener.app.ok("GET", put)
        clock.at_s += 0.5
        await listener.app.ok("PUT", put, item())
        assert (await listener.app.call("PUT", put, item())).status == 429
        clock.at_s += BURST_S
        assert [(await listener.app.call("PUT", put, item())).status for _ in range(5)] == [200] * 4 + [429]


async def test_a_bulk_is_as_many_writes_as_it_has_items(clock: Still) -> None:
    """It is let in as one; whoever comes after it waits until the others have come in."""
    async with limited(clock, 10, 10) as listener:
        context = await listener.context()
        path = f"/v1/contexts/upnext/{context}"
        items = {"items": [item(f"c{n}") for n in range(15)]}
        for method, where, body in (
            ("POST", f"{path}/items", items),
            ("PUT", f"{path}/items", items),
            ("POST", "/v1/contexts/bulk", {"contexts": [{"context_id": context, "items": [{}] * 5}] * 3}),
        ):
            clock.at_s += 10 * BURST_S
            await listener.app.ok(method, where, body)
            assert [(await listener.app.call("PUT", path, item())).status for _ in range(6)] == [200] * 5 + [429]
            clock.at_s += 10 * BURST_S
            await listener.app.ok(method, where, body)
            await listener.app.ok(method, where, body)
            refused = await listener.app.call(method, where, body)
            assert (problem(refused, 429), refused.headers["Retry-After"]) == ("too_many_requests", "2")


async def test_a_bulk_says_what_it_has_left(clock: Still) -> None:
    """And when the quota is whole again, also where it has failed: whoever keeps to that never hears 429."""
    async with limited(clock, 10, 10) as listener:
        context = await listener.context()
        path = f"/v1/contexts/upnext/{context}"
        clock.at_s += BURST_S

        def items(count: int) -> dict[str, Any]:
            return {"items": [item(f"c{n}") for n in range(count)]}

        assert said(await listener.app.ok("POST", f"{path}/items", items(1)))[1] == '"writes";r=9;t=1'
        assert said(await listener.app.ok("PUT", f"{path}/items", items(4)))[1] == '"writes";r=5;t=1'
        many = {"contexts": [{"context_id": context, **items(3)}]}
        assert said(await listener.app.ok("POST", "/v1/contexts/bulk", many))[1] == '"writes";r=2;t=1'
        broken = {"items": [*items(3)["items"], {}]}
        failed = await listener.app.call("PUT", f"{path}/items", broken)
        assert (failed.status, said(failed)) == (400, ('"writes";q=10;w=1', '"writes";r=0;t=2'))
        in_debt = await listener.app.ok("POST", f"{path}/items", items(45))
        assert said(in_debt) == ('"writes";q=10;w=1', '"writes";r=0;t=6')
        refused = await listener.app.call("PUT", path, item())
        assert (problem(refused, 429), refused.headers["Retry-After"]) == ("too_many_requests", "4")
        assert said(refused)[1] == '"writes";r=0;t=6'
        clock.at_s += 5.8
        assert said(await listener.app.ok("PUT", path, item()))[1] == '"writes";r=9;t=1'


async def test_a_list_that_is_emptied_is_one_write(clock: Still) -> None:
    async with limited(clock, 2, 2) as listener:
        url = f"/v1/contexts/upnext/{await listener.context()}/items"
        answers = [await listener.app.call("PUT", url, {"items": []}) for _ in range(4)]
        assert [answer.status for answer in answers] == [200, 200, 200, 429]
        assert said(answers[0])[1] == '"writes";r=0;t=1'


async def test_a_limit_of_its_own(clock: Still) -> None:
    """A client that has one is held to it, and to nothing else."""
    async with limited(clock, 1, 1) as listener:
        own = listener.app
        digest, client = listener.world.clients[own.client_id]
        listener.world.clients[own.client_id] = digest, client._replace(reads_per_s=3)
        answers = [await own.call("GET", "/v1") for _ in range(7)]
        assert [answer.status for answer in answers] == [200] * 6 + [429]
        assert said(answers[0]) == ('"reads";q=3;w=1', '"reads";r=2;t=1')
        assert [(await own.call("POST", "/v1/contexts")).status for _ in range(3)] == [200, 200, 429]


async def test_no_limit(clock: Still) -> None:
    """A rate of 0 is none, and clients are told nothing."""
    async with limited(clock, 0, 0) as listener:
        answers = [await listener.app.ok("GET", "/v1") for _ in range(10)]
        assert not any("ratelimit" in name.lower() for answer in answers for name in answer.headers)


async def test_every_answer_to_a_client_says_so(clock: Still) -> None:
    """Also one that has no body, and any error; never one to somebody who has shown no good credentials."""
    async with limited(clock) as listener:
        context = await listener.context()
        path = f"/v1/contexts/upnext/{context}"
        etag = (await listener.app.ok("GET", path)).headers["ETag"]
        answers = [
            await listener.app.call("GET", path, headers={"If-None-Match": etag}),
            await listener.app.call("DELETE", f"{path}/absent"),
            await listener.app.call("PUT", path, data=b"{"),
            await listener.app.call("PUT", path, data=b"x" * 100_000),
            await listener.app.call("PUT", path, data=b"{}", headers={"Content-Type": "text/plain"}),
            await listener.app.call("GET", f"{path}?limit=x"),
            await listener.app.call("GET", "/v1/contexts/upnext/x"),
            await listener.app.call("GET", "/nothing"),
            await listener.app.call("PATCH", path),
            await listener.app.call("GET", "/v1/sessions/upnext/x"),
        ]
        assert [answer.status for answer in answers] == [304, 204, 400, 413, 415, 400, 404, 404, 405, 403]
        for answer in answers:
            policy, left = said(answer)
            assert policy.partition(";")[0] == left.partition(";")[0] in ('"reads"', '"writes"')
        strangers = [await listener.nobody.call("GET", "/v1"), await listener.app.call("OPTIONS", path)]
        assert [answer.status for answer in strangers] == [401, 204]
        assert all("RateLimit" not in answer.headers for answer in strangers)


async def test_when_it_counts(clock: Still) -> None:
    """After credentials, path, method and tenant, before the body; what is refused for those counts all the same."""
    async with limited(clock, 1, 1) as listener:
        for _ in range(2):
            assert (await listener.app.call("PUT", "/v1/sessions/upnext/x")).status == 403
        assert problem(await listener.app.call("PUT", "/nothing"), 404) == "unknown_path"
        assert problem(await listener.app.call("PUT", "/v1"), 405) == "method_not_allowed"
        assert problem(await listener.app.call("PUT", "/v1/sessions/upnext/x"), 403) == "wrong_tenant"
        large = await listener.app.call("PUT", "/v1/contexts/upnext/x", data=b"x" * 100_000)
        assert problem(large, 429) == "too_many_requests"
        assert (await listener.nobody.call("PUT", "/v1/contexts/upnext/x")).status == 401


async def behind(caller: Caller, address: str, method: str, path: str, body: Any = None) -> Answer:
    return await caller.call(method, path, body, headers={"X-Forwarded-For": address})


async def test_who_guesses_credentials(clock: Still) -> None:
    """An address that fails too often hears 429, whichever names it tries; its good clients hear nothing of it."""
    async with limited(clock, 0, 0, 1) as listener:
        wrong = Caller(listener.http, listener.app.url, {"Authorization": basic(listener.app.client_id, "sk_wrong")})
        token = Caller(listener.http, listener.app.url, {"Authorization": f"Bearer {b64encode(b'x').decode()}"})
        guessers, paths = (listener.nobody, wrong, token), ("/v1", "/v1/contexts", "/nothing")
        for number in range(int(FAILURES_BURST_S)):
            answer = await behind(guessers[number % 3], "192.0.2.1", "GET", paths[number % 2])
            assert answer.status == 401
        for guesser in guessers:
            for path in paths:
                refused = await behind(guesser, "192.0.2.1", "GET", path)
                assert problem(refused, 429) == "too_many_failures"
                assert refused.headers["Retry-After"] == "1"
                assert "WWW-Authenticate" not in refused.headers
        assert (await behind(listener.app, "192.0.2.1", "GET", "/v1")).status == 200
        assert (await behind(wrong, "192.0.2.2", "GET", "/v1")).status == 401
        clock.at_s += 1
        assert (await behind(wrong, "192.0.2.1", "GET", "/v1")).status == 401
        assert (await behind(wrong, "192.0.2.1", "GET", "/v1")).status == 429


async def test_who_guesses_ids(clock: Still) -> None:
    """So it is with ids that are not the caller's; what is the caller's and gone is no guess."""
    async with limited(clock, 0, 0, 1) as listener:
        context, foreign = await listener.context(), await listener.context("other_app")
        session = await listener.session()
        own = f"/v1/contexts/upnext/{context}"
        for number in range(int(FAILURES_BURST_S)):
            guessed = foreign if number % 2 else "x"
            assert (await behind(listener.app, "192.0.2.1", "GET", f"/v1/contexts/upnext/{guessed}")).status == 404
        refused = await behind(listener.app, "192.0.2.1", "GET", f"/v1/contexts/upnext/{foreign}")
        assert problem(refused, 429) == "too_many_failures"
        attach = {"app_id": listener.app.tenant, "context_id": foreign}
        attached = await behind(listener.platform, "192.0.2.1", "PUT", f"/v1/sessions/upnext/{session}", attach)
        assert problem(attached, 429) == "too_many_failures"
        assert (await behind(listener.app, "192.0.2.1", "GET", own)).status == 200
        assert (await behind(listener.app, "192.0.2.2", "GET", f"/v1/contexts/upnext/{foreign}")).status == 404
        for _ in range(20):
            absent = await behind(listener.platform, "192.0.2.3", "GET", f"/v1/sessions/upnext/{session}/{context}")
            assert absent.status == 404


async def test_who_guesses_ids_that_another_node_looks_at(clock: Still) -> None:
    """They are counted in front, and the client hears nothing of that."""
    async with pair_of_nodes(limits=RateLimits(Rates(0, 0, 1), LOCAL, clock_s=clock)) as pair:
        owner, foreign = pair.owner, await pair.owner.context("other_app")
        caller = owner.platform
        platform = Caller(pair.front.http, pair.front.app.url, caller.headers, caller.tenant)
        session = f"/v1/sessions/upnext/{await owner.session()}"
        attach = {"app_id": owner.app.tenant, "context_id": foreign}
        for number in range(int(FAILURES_BURST_S)):
            body = attach if number % 2 else {"app_id": "x", "context_id": "x"}
            answer = await behind(platform, "192.0.2.1", "PUT", session, body)
            assert problem(answer, 404) == "not_found"
            assert not [name for name in answer.headers if name.lower().startswith("upnext")]
        refused = await behind(platform, "192.0.2.1", "PUT", session, attach)
        assert problem(refused, 429) == "too_many_failures"
        assert (await behind(platform, "192.0.2.1", "GET", session)).status == 200
        assert pair.outcome("answered") == FAILURES_BURST_S + 2


async def test_what_was_refused_is_counted(clock: Still) -> None:
    """By kind, for operators."""
    metrics = CollectorRegistry()
    limits = RateLimits(Rates(1, 1, 1), clock_s=clock)
    async with public_listener(limits=limits, metrics=metrics) as listener:
        for _ in range(3):
            await listener.app.call("GET", "/v1")
        for _ in range(4):
            await listener.app.call("POST", "/v1/contexts")
        for _ in range(int(FAILURES_BURST_S) + 3):
            await listener.nobody.call("GET", "/v1")
    text = generate_latest(metrics).decode()
    counted = dict(line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("upnext_rate_limited"))
    assert {name.split('"')[1]: float(count) for name, count in counted.items()} == {
        "reads": 1, "writes": 2, "past": 0, "credentials": 3, "ids": 0,
    }  # fmt: skip


async def test_a_limit_that_is_configured(tmp_path: Path) -> None:
    """What `/api/v1` sets on a client holds from its next call on, without a warning."""
    async with embedded_log(tmp_path) as log, api_node(log) as node:
        company = (await node.admin.ok("POST", "/api/v1/companies", {"name": "C"})).json["id"]
        app = (await node.admin.ok("POST", f"/api/v1/apps?context={company}", {"name": "A"})).json["id"]
        sent = {"name": "K", "tenant": app}
        made = (await node.admin.ok("POST", f"/api/v1/clients?context={company}", sent)).json
        own = Caller(node.http, node.url, {"Authorization": basic(made["clientId"], made["secretKey"])})
        assert said(await own.call("GET", "/v1"))[0] == '"reads";q=1000;w=1'
        path = f"/api/v1/clients/{made['id']}?context={company}"
        changed = await node.admin.ok("PUT", path, {"rateLimit": {"read": 3, "write": 2}})
        assert "validationWarnings" not in changed.json
        assert said(await own.call("GET", "/v1"))[0] == '"reads";q=3;w=1'
        assert said(await own.call("POST", "/v1/contexts")) == ('"writes";q=2;w=1', '"writes";r=1;t=1')
