"""Second factors: enrolled, confirmed, used once, and kept sealed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from streams.topics import REGISTRY_EVENTS
from tests.support.api_listener import ApiNode, Clock, api_node, embedded_log
from tests.support.nodes import Caller
from tests.support.people import ask, bearer, code, log_in, logged_in, make_company, make_user


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def node(tmp_path: Path, clock: Clock) -> AsyncIterator[ApiNode]:
    async with embedded_log(tmp_path) as log, api_node(log, clock) as node:
        yield node


async def enrolled(node: ApiNode, clock: Clock, name: str, caller: Caller | None = None) -> str:
    """Switch on the user's second factor, and return its URI; it is then the beginning of a code's 30 s."""
    by = caller or node.admin
    otpauth = str((await by.ok("POST", f"/api/v1/users/{name}/twofactor")).json["otpauth"])
    await by.ok("POST", f"/api/v1/users/{name}/twofactor/confirm", {"code": code(otpauth, clock)})
    clock.ahead_s += 30 - clock.now_s() % 30
    return otpauth


async def test_a_code_is_good_once(node: ApiNode, clock: Clock) -> None:
    """A code that was used is none any more, on no node, nor is one from before it; of two at once one counts."""
    await make_user(node, "ann")
    otpauth = await enrolled(node, clock, "ann")
    async with api_node(node.log, clock) as other:
        shown = code(otpauth, clock)
        answers = await asyncio.gather(*(log_in(one, "ann", otp=shown) for one in (node, other)))
        assert sorted(answer.status for answer in answers) == [200, 401]
        for steps in (0, -1):
            clock.ahead_s += 1
            late = await log_in(other, "ann", otp=code(otpauth, clock, steps))
            assert late.status in (401, 429)
        clock.ahead_s += 60
        assert (await log_in(other, "ann", otp=code(otpauth, clock))).status == 200


async def test_wrong_codes(node: ApiNode, clock: Clock) -> None:
    """A wrong code gets the same bytes as a wrong password, with the password or after it."""
    await make_user(node, "ann")
    otpauth = await enrolled(node, clock, "ann")
    wrong_password = await log_in(node, "ann", "wrong")
    token = f"Bearer {(await log_in(node, 'ann')).json['access_token']}"
    for wrong in ("000000", code(otpauth, clock, 9), "", " ", "12345", "1234567", "é", "x" * 1_000):
        clock.ahead_s += 31
        assert (await log_in(node, "ann", otp=wrong)).body == wrong_password.body
        clock.ahead_s += 31
        if not wrong.strip():
            continue
        token = f"Bearer {(await log_in(node, 'ann')).json['access_token']}"
        answer = await ask(node, "/2fa", authorization=token, code=wrong)
        assert (answer.status, answer.body) == (401, wrong_password.body)
    clock.ahead_s += 31
    for authorization in ("", "Bearer x", "Basic x"):
        answer = await ask(node, "/2fa", authorization=authorization, code=code(otpauth, clock))
        assert (answer.status, answer.body) == (401, wrong_password.body)
    assert (await ask(node, "/2fa", authorization=token)).status == 400
    assert (await ask(node, "/2fa", authorization=token, code=code(otpauth, clock))).status == 200


async def test_a_device_s_clock_may_be_off(node: ApiNode, clock: Clock) -> None:
    """The code before and the one after are taken, others are not."""
    await make_user(node, "ann")
    otpauth = await enrolled(node, clock, "ann")
    for steps, status in ((-2, 401), (2, 401), (1, 200)):
        clock.ahead_s += 120
        assert (await log_in(node, "ann", otp=code(otpauth, clock, steps))).status == status
    clock.ahead_s += 120
    assert (await log_in(node, "ann", otp=code(otpauth, clock, -1))).status == 200


async def test_enrolling_again(node: ApiNode, clock: Clock) -> None:
    """A new secret counts once it is confirmed, and the old one until then."""
    await make_user(node, "ann")
    old = await enrolled(node, clock, "ann")
    caller = await logged_in(node, "ann", otp=code(old, clock))
    new = (await caller.ok("POST", "/api/v1/users/ann/twofactor")).json["otpauth"]
    assert new != old
    clock.ahead_s += 60
    refused = await log_in(node, "ann", otp=code(new, clock))
    assert refused.status == 401
    clock.ahead_s += 60
    assert (await log_in(node, "ann", otp=code(old, clock))).status == 200
    clock.ahead_s += 60
    wrong = await caller.call("POST", "/api/v1/users/ann/twofactor/confirm", {"code": code(old, clock)})
    assert wrong.status == 401
    clock.ahead_s += 60
    confirm = {"code": code(new, clock)}
    assert (await caller.call("POST", "/api/v1/users/ann/twofactor/confirm", confirm)).status == 200
    clock.ahead_s += 60
    assert (await log_in(node, "ann", otp=code(old, clock))).status == 401
    clock.ahead_s += 60
    assert (await log_in(node, "ann", otp=code(new, clock))).status == 200


async def test_confirming_nothing(node: ApiNode) -> None:
    """Without a secret that waits there is nothing to confirm."""
    await make_user(node, "ann")
    caller = await logged_in(node, "ann")
    answer = await caller.call("POST", "/api/v1/users/ann/twofactor/confirm", {"code": "123456"})
    assert answer.status == 401
    assert (await caller.call("POST", "/api/v1/users/ann/twofactor/confirm", {})).status in (400, 429)


async def test_for_whom(node: ApiNode, clock: Clock) -> None:
    """Users enrol themselves, and admins of all their companies do it for them; strangers see nobody."""
    ours, theirs = await make_company(node, "Ours"), await make_company(node, "Theirs")
    await make_user(node, "ann", {ours: "VIEWER"})
    await make_user(node, "both", {ours: "VIEWER", theirs: "VIEWER"})
    for name, roles in (
        ("boss", {ours: "ADMIN"}),
        ("editor", {ours: "EDITOR"}),
        ("foreign", {theirs: "ADMIN"}),
        ("chief", {ours: "ADMIN", theirs: "ADMIN"}),
    ):
        await make_user(node, name, roles)
    expected = {
        ("boss", "ann"): 200, ("editor", "ann"): 403, ("foreign", "ann"): 404, ("ann", "ann"): 200,
        ("boss", "both"): 403, ("foreign", "both"): 403, ("chief", "both"): 200, ("ann", "boss"): 403,
    }  # fmt: skip
    for (who, whom), status in expected.items():
        caller = await logged_in(node, who)
        answer = await caller.call("POST", f"/api/v1/users/{whom}/twofactor")
        assert answer.status == status, (who, whom, answer.body)
    foreign = await logged_in(node, "foreign")
    hidden = await foreign.call("POST", "/api/v1/users/ann/twofactor")
    absent = await foreign.call("POST", "/api/v1/users/absent/twofactor")
    assert hidden.body == absent.body.replace(b"absent", b"ann")
    assert (await Caller(node.http, node.url, {}).call("POST", "/api/v1/users/ann/twofactor")).status == 401
    assert (await node.admin.call("POST", "/api/v1/users/a%20b/twofactor")).status == 400
    clock.ahead_s += 1


async def test_the_secret_is_sealed(node: ApiNode, clock: Clock) -> None:
    """The log holds no secret in clear, the user shows that there is one, and nothing shows which."""
    await make_user(node, "ann")
    otpauth = await enrolled(node, clock, "ann")
    secret = otpauth.partition("secret=")[2].partition("&")[0]
    chunks = [chunk async for chunk in node.log.read(REGISTRY_EVENTS, 0, 0, await node.events())]
    whole = b"".join(record.value or b"" for chunk in chunks for record in chunk.records)
    assert len(secret) == 32
    assert secret.encode() not in whole
    shown = await node.admin.ok("GET", "/api/v1/users/ann")
    assert shown.json["twoFactor"] is True
    assert secret.encode() not in shown.body
    assert (await node.admin.call("GET", "/api/v1/credentials/ann")).status == 404


async def test_codes_are_not_guessed(node: ApiNode, clock: Clock) -> None:
    """After one wrong code each next one must wait, longer and longer."""
    await make_user(node, "ann")
    otpauth = await enrolled(node, clock, "ann")
    token = f"Bearer {(await log_in(node, 'ann')).json['access_token']}"
    assert (await ask(node, "/2fa", authorization=token, code="000000")).status == 401
    for wait_s in (1, 2, 4):
        answer = await ask(node, "/2fa", authorization=token, code=code(otpauth, clock))
        assert (answer.status, answer.headers["Retry-After"]) == (429, str(wait_s))
        clock.ahead_s += wait_s
        assert (await ask(node, "/2fa", authorization=token, code="000000")).status == 401
    clock.ahead_s += 8
    good = await ask(node, "/2fa", authorization=token, code=code(otpauth, clock))
    assert (await bearer(node, good.json["access_token"]).call("GET", "/api/v1/companies")).status == 200
