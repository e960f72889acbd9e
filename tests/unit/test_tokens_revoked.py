"""One token revoked alone: by whoever holds it, on every node, and without a trace that outlives it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from service.api import RateLimits, Rates
from service.api.tokens import ACCESS_S, REFRESH_S, Claims, Purpose, Tokens
from service.api.tokens_revoked import MOST_KEPT, Kept, Revocations, mark_of
from streams.domain.errors import LogUnavailableError
from streams.log.embedded import EmbeddedLog
from streams.log.port import Appended
from tests.support.api_listener import KEY, ApiNode, Clock, api_node, embedded_log
from tests.support.nodes import ADMIN_TOKEN, Answer
from tests.support.people import ask, bearer, code, log_in, logged_in, make_company, make_user, put

LIST = "/api/v1/companies"
REVOKE = "/api/authenticate/revoke"


class Away(EmbeddedLog):
    """The embedded log, which a test can have take nothing."""

    is_away = False

    async def append(self, topic: str, partition: int, key: bytes, value: bytes | None) -> Appended:
        if self.is_away:
            raise LogUnavailableError("away")
        return await super().append(topic, partition, key, value)


@dataclass
class Setting:
    """Two nodes on one log, and a user."""

    log: Away
    nodes: tuple[ApiNode, ApiNode]
    clock: Clock

    @property
    def node(self) -> ApiNode:
        return self.nodes[0]

    async def statuses(self, token: str) -> set[int]:
        """Return what the nodes say to an access token of a user."""
        await self.nodes[1].registry.catch_up()
        return {(await bearer(node, token).call("GET", LIST)).status for node in self.nodes}

    async def refresh_statuses(self, token: str) -> set[int]:
        return {(await ask(node, grant_type="refresh_token", refresh_token=token)).status for node in self.nodes}

    def kept(self, type_name: str, object_id: str) -> Any:
        stored = self.node.registry.state.find(type_name, object_id)
        return None if stored is None else stored.fields


@pytest.fixture
async def setting(tmp_path: Path) -> AsyncIterator[Setting]:
    clock = Clock()
    async with embedded_log(tmp_path, Away) as log, api_node(log, clock) as one, api_node(log, clock) as other:
        await make_user(one, "ann")
        await other.registry.catch_up()
        assert isinstance(log, Away)
        yield Setting(log, (one, other), clock)


async def revoke(node: ApiNode, token: str) -> Answer:
    """Revoke a token as its holder does, who shows nothing else."""
    answer = await ask(node, "/revoke", token=token, token_type_hint="access_token")
    assert (answer.status, answer.body) == (200, b"{}")
    return answer


async def make_client(node: ApiNode) -> Any:
    company = await make_company(node)
    app = (await node.admin.ok("POST", f"/api/v1/apps?context={company}", {"name": "A"})).json["id"]
    return (await node.admin.ok("POST", f"/api/v1/clients?context={company}", {"name": "K", "tenant": app})).json


async def client_token(node: ApiNode, client: Any) -> Any:
    secret = client["secretKey"]
    asked = await ask(node, grant_type="client_credentials", client_id=client["clientId"], client_secret=secret)
    assert asked.status == 200
    return asked.json


def claims(setting: Setting, purpose: Purpose, token: str) -> Claims:
    read = Tokens(KEY.derive(b"tokens"), setting.clock.now_s, bytes, lambda _: False).claims(purpose, token)
    assert read is not None
    return read


async def test_an_access_token(setting: Setting) -> None:
    """An access token ends alone: at once where it was revoked, and on other nodes with the event."""
    tokens, other = (await log_in(setting.node, "ann")).json, (await log_in(setting.node, "ann")).json
    answer = await revoke(setting.node, tokens["access_token"])
    assert answer.headers["Cache-Control"] == "no-store"
    assert (await bearer(setting.node, tokens["access_token"]).call("GET", LIST)).status == 401
    assert await setting.statuses(tokens["access_token"]) == {401}
    assert await setting.statuses(other["access_token"]) == {200}
    assert await setting.refresh_statuses(tokens["refresh_token"]) == {200}


async def test_a_refresh_token(setting: Setting) -> None:
    """With a refresh token ends all of its login, what it was refreshed to included; other logins stay."""
    first, other = (await log_in(setting.node, "ann")).json, (await log_in(setting.node, "ann")).json
    second = (await ask(setting.node, grant_type="refresh_token", refresh_token=first["refresh_token"])).json
    await revoke(setting.nodes[1], second["refresh_token"])
    await setting.node.registry.catch_up()
    for tokens in (first, second):
        assert await setting.statuses(tokens["access_token"]) == {401}
        assert await setting.refresh_statuses(tokens["refresh_token"]) == {401}
    assert await setting.statuses(other["access_token"]) == {200}
    assert await setting.refresh_statuses(other["refresh_token"]) == {200}


async def test_a_client_s_token(setting: Setting) -> None:
    """A client's token is no Bearer on `/v1` any more; its key and its other tokens are good."""
    client = await make_client(setting.node)
    gone, good, login = [await client_token(setting.node, client) for _ in range(3)]
    await revoke(setting.node, gone["access_token"])
    await revoke(setting.node, login["refresh_token"])
    await setting.nodes[1].registry.catch_up()
    for node in setting.nodes:
        for tokens, status in ((gone, 401), (login, 401), (good, 404)):
            path = "/v1/contexts/ctx_0/items"
            assert (await bearer(node, tokens["access_token"]).call("GET", path)).status == status
    assert await setting.refresh_statuses(login["refresh_token"]) == {401}
    assert await setting.refresh_statuses(gone["refresh_token"]) == {200}
    assert (await client_token(setting.node, client))["access_token"]


async def test_what_is_no_token(setting: Setting) -> None:
    """What is no token, another deployment's, expired or revoked already is 200 as well, and writes nothing."""
    tokens = (await log_in(setting.node, "ann")).json
    access, refresh = tokens["access_token"], tokens["refresh_token"]
    stranger = Tokens(b"x" * 32, setting.clock.now_s, bytes, lambda _: False)
    foreign = stranger.make(Purpose.ACCESS, stranger.log_in("users", "ann", b"x" * 8, ""))
    expired = (await log_in(setting.node, "ann")).json["access_token"]
    setting.clock.ahead_s += ACCESS_S + 1
    await revoke(setting.node, refresh)
    before = await setting.node.events()
    for token in (
        "", "at_", "rt_x", "nonsense", "at_" + "A" * 3_000, "at_\u00e9", foreign, expired, ADMIN_TOKEN, access, refresh,
        access.replace("at_", "rt_"), refresh.replace("rt_", "at_"),
    ):  # fmt: skip
        await revoke(setting.node, token)
    assert await setting.node.events() == before


async def test_as_json_and_with_a_header(setting: Setting) -> None:
    """A token is revoked as JSON too, and alone also where a header shows who calls; no string is 400."""
    mine, other = await logged_in(setting.node, "ann"), (await log_in(setting.node, "ann")).json["access_token"]
    answer = await mine.call("POST", REVOKE, {"token": other})
    assert (answer.status, answer.json) == (200, {})
    assert await setting.statuses(other) == {401}
    assert (await mine.call("GET", LIST)).status == 200
    assert (await mine.call("POST", REVOKE, {"token": None})).status == 400
    assert (await mine.call("POST", REVOKE, {})).status == 204
    assert (await mine.call("GET", LIST)).status == 401


async def test_users_who_come_back(setting: Setting) -> None:
    """A token that was revoked while its user was not ACTIVE stays so when the user is again."""
    token = (await log_in(setting.node, "ann")).json["access_token"]
    user = setting.node.registry.state.find("users", "ann")
    assert user is not None
    await put(setting.node, "users", "ann", user.fields, state="INACTIVE")
    await revoke(setting.node, token)
    await put(setting.node, "users", "ann", user.fields)
    assert await setting.statuses(token) == {401}


async def test_what_is_kept(setting: Setting) -> None:
    """Hashes alone are kept, of a type that the API does not show, until the tokens would have expired."""
    tokens = (await log_in(setting.node, "ann")).json
    read = claims(setting, Purpose.ACCESS, tokens["access_token"])
    login = claims(setting, Purpose.REFRESH, tokens["refresh_token"])
    await revoke(setting.node, tokens["access_token"])
    await revoke(setting.node, tokens["refresh_token"])
    nonce_mark, login_mark = (sha256(secret).digest()[:16].hex() for secret in (read.nonce, login.login))
    kept = {
        nonce_mark: [read.login_s, read.expires_s],
        login_mark: [login.login_s, login.login_s + REFRESH_S + ACCESS_S],
    }
    assert setting.kept("revokedusers", "ann") == {"marks": kept}
    for path in ("users/ann", "users/ann/events"):
        shown = (await setting.node.admin.ok("GET", f"/api/v1/{path}")).body
        assert nonce_mark.encode() not in shown
        assert login_mark.encode() not in shown
    for path in ("revokedusers/ann", "revokedusers/ann/events", "revokedusers"):
        assert (await setting.node.admin.call("GET", f"/api/v1/{path}")).status == 404
    setting.clock.ahead_s += ACCESS_S + 1
    later = (await log_in(setting.node, "ann")).json["access_token"]
    await revoke(setting.node, later)
    marks = setting.kept("revokedusers", "ann")["marks"]
    assert list(marks) == [login_mark, mark_of(claims(setting, Purpose.ACCESS, later).nonce)]


async def test_many_at_once(setting: Setting) -> None:
    """Many tokens of one user can be revoked at the same time, on both nodes, and after a restart they are so still."""
    tokens = [(await log_in(setting.node, "ann")).json["access_token"] for _ in range(12)]
    # What a node says while another writes the same object may be 409: it is asked again, as clients do.
    waiting = [(setting.nodes[number % 2], token) for number, token in enumerate(tokens)]
    for _ in range(len(tokens)):
        answers = await asyncio.gather(*(ask(node, "/revoke", token=token) for node, token in waiting))
        assert {answer.status for answer in answers} <= {200, 409}
        waiting = [asked for asked, answer in zip(waiting, answers, strict=True) if answer.status == 409]
        if not waiting:
            break
    async with api_node(setting.log, setting.clock) as restarted:
        await restarted.registry.catch_up()
        for token in tokens:
            assert (await bearer(restarted, token).call("GET", LIST)).status == 401
            assert await setting.statuses(token) == {401}


async def test_a_code_s_token_is_not_revoked(setting: Setting) -> None:
    """What stands between a password and a code is none of the tokens that can be revoked."""
    ann = await logged_in(setting.node, "ann")
    enrolled = (await ann.ok("POST", "/api/v1/users/ann/twofactor")).json["otpauth"]
    await ann.ok("POST", "/api/v1/users/ann/twofactor/confirm", {"code": code(enrolled, setting.clock)})
    first = (await log_in(setting.node, "ann")).json["access_token"]
    await revoke(setting.node, first)
    digits = code(enrolled, setting.clock, 1)
    second = await ask(setting.node, "/2fa", authorization=f"Bearer {first}", code=digits)
    assert second.status == 200
    await revoke(setting.node, second.json["access_token"])
    assert await setting.statuses(second.json["access_token"]) == {401}


async def test_how_often(tmp_path: Path) -> None:
    """More of one bearer's tokens than a token may make calls are not revoked: 429 says when."""
    clock = Clock()
    limits = RateLimits(Rates(per_address=0, per_token=1), (), lambda: 0.0)
    async with embedded_log(tmp_path) as log, api_node(log, clock, limits=limits) as node:
        await make_user(node, "ann")
        tokens = [(await log_in(node, "ann")).json["access_token"] for _ in range(11)]
        for token in tokens[:10]:
            await revoke(node, token)
        answer = await ask(node, "/revoke", token=tokens[10])
        assert answer.status == 429
        assert answer.headers["Retry-After"] == "1"
        await revoke(node, tokens[0])


async def test_no_more_than_so_many(setting: Setting) -> None:
    """Where too many are kept, all tokens of the older logins end instead, and none that was revoked comes back."""
    old = (await log_in(setting.node, "ann")).json
    now_s = setting.clock.now_s()
    marks = {mark_of(bytes([0, *number.to_bytes(2)])): [now_s - 1_000 + number, now_s + 9_000] for number in range(500)}
    await put(setting.node, "revokedusers", "ann", {"marks": marks})
    setting.clock.ahead_s += 60
    newer = (await log_in(setting.node, "ann")).json
    assert await setting.statuses(old["access_token"]) == {200}
    await revoke(setting.node, newer["access_token"])
    kept = setting.kept("revokedusers", "ann")
    assert kept["since_s"] == now_s - 1_000 + 250
    assert len(kept["marks"]) == 250
    assert await setting.statuses(old["access_token"]) == {200}
    assert await setting.statuses(newer["access_token"]) == {401}
    assert await setting.refresh_statuses(newer["refresh_token"]) == {200}


def test_those_of_one_login() -> None:
    """Where more tokens of one login were revoked than are kept, the login ends, and its size is bounded for ever."""
    revoked = Revocations()
    for number in range(3 * MOST_KEPT):
        revoked = revoked.with_one(str(number), Kept(7, 100), 50)
    assert (revoked.since_s, len(revoked.marks)) == (7, MOST_KEPT - 2)
    said = Claims("users", "ann", b"", "", 7, 100, b"nonce", b"login")
    assert revoked.holds(said)
    assert not revoked.holds(Claims("users", "ann", b"", "", 8, 100, b"nonce", b"login"))
    assert len(json.dumps(list(revoked.marks))) < 50_000


async def test_tokens_from_before(setting: Setting) -> None:
    """A token of a version that told no logins apart is good, and is revoked with what it is refreshed to."""
    now = (await log_in(setting.node, "ann")).json
    said = claims(setting, Purpose.REFRESH, now["refresh_token"])
    tokens = Tokens(KEY.derive(b"tokens"), setting.clock.now_s, lambda count: b"n" * count, lambda _: False)
    # A login of no bytes is what such a token says: nothing.
    old = tokens.make(Purpose.REFRESH, tokens.log_in("users", "ann", said.stamp, "")._replace(login=b""))
    newer = (await ask(setting.node, grant_type="refresh_token", refresh_token=old)).json
    assert await setting.statuses(newer["access_token"]) == {200}
    await revoke(setting.node, old)
    assert await setting.statuses(newer["access_token"]) == {401}
    assert await setting.refresh_statuses(old) == {401}
    assert await setting.statuses(now["access_token"]) == {200}


async def test_without_the_log(setting: Setting) -> None:
    """A token that cannot be revoked now is 503, and not said to be revoked; it can be when the log is back."""
    token = (await log_in(setting.node, "ann")).json["access_token"]
    setting.log.is_away = True
    answer = await ask(setting.node, "/revoke", token=token)
    assert answer.status == 503
    assert "Retry-After" in answer.headers
    setting.log.is_away = False
    assert await setting.statuses(token) == {200}
    await revoke(setting.node, token)
    assert await setting.statuses(token) == {401}
