"""Tokens over HTTP: every grant, what is refused, how long they hold and what ends them."""

from __future__ import annotations

import asyncio
import random
import string
from base64 import b64encode
from collections.abc import AsyncIterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from service.api.auth_throttle import SITE_FREE
from service.api.tokens import Purpose, Tokens
from streams.log.embedded import EmbeddedLog
from streams.log.port import Chunk
from streams.topics import REGISTRY_EVENTS
from tests.support.api_listener import ApiNode, Clock, api_node, embedded_log
from tests.support.nodes import Answer, Caller
from tests.support.people import PASSWORD, ask, bearer, code, log_in, logged_in, make_company, make_user, put

LIST = "/api/v1/companies"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def node(tmp_path: Path, clock: Clock) -> AsyncIterator[ApiNode]:
    async with embedded_log(tmp_path) as log, api_node(log, clock) as node:
        yield node


def body_of(answer: Answer) -> tuple[int, bytes]:
    return answer.status, answer.body


async def make_client(node: ApiNode, **more: Any) -> tuple[Any, str, str]:
    """Make an app's client; return it, its company and its app."""
    company = await make_company(node)
    app = (await node.admin.ok("POST", f"/api/v1/apps?context={company}", {"name": "A"})).json["id"]
    made = await node.admin.ok("POST", f"/api/v1/clients?context={company}", {"name": "K", "tenant": app, **more})
    return made.json, company, app


async def client_token(node: ApiNode, client: Any, key: str = "secretKey", **more: str) -> Answer:
    return await ask(
        node, grant_type="client_credentials", client_id=client["clientId"], client_secret=client[key], **more
    )


def key_caller(node: ApiNode, client: Any) -> Caller:
    pair = b64encode(f"{client['clientId']}:{client['secretKey']}".encode()).decode()
    return Caller(node.http, node.url, {"Authorization": f"Basic {pair}"})


async def test_a_password(node: ApiNode) -> None:
    """The right password gets tokens in the shape of OAuth 2.0, which nothing may keep; the access token is good."""
    await make_user(node, "ann", {await make_company(node): "VIEWER"})
    answer = await log_in(node, "ann", scope="ng_api")
    assert answer.status == 200
    assert list(answer.json) == ["access_token", "refresh_token", "token_type", "expires_in", "scope"]
    assert (answer.json["token_type"], answer.json["expires_in"], answer.json["scope"]) == ("Bearer", 3600, "ng_api")
    assert answer.headers["Cache-Control"] == "no-store"
    listed = await bearer(node, answer.json["access_token"]).ok("GET", LIST)
    assert listed.json["totalCount"] == 1
    again = (await log_in(node, "ann")).json
    assert {again["access_token"], again["refresh_token"]}.isdisjoint(answer.json.values())


async def test_as_json_whatever_the_type_says(node: ApiNode) -> None:
    """A request for a token is a form or JSON, and a command-line client may call JSON a form."""
    await make_user(node, "ann")
    fields = {"grant_type": "password", "username": "ANN@example.org", "password": PASSWORD}
    stranger = Caller(node.http, node.url, {})
    for kind in ("application/json", "application/x-www-form-urlencoded", "text/plain"):
        answer = await stranger.call("POST", "/api/authenticate", fields, headers={"Content-Type": kind})
        assert answer.status == 200, answer.body


async def test_wrong_credentials_are_all_alike(node: ApiNode, clock: Clock) -> None:
    """An unknown name, a wrong password, and a user who is not ACTIVE or has no password get the same bytes."""
    await make_user(node, "ann")
    for state in ("INACTIVE", "HIDDEN"):
        await make_user(node, state.lower(), state=state)
    await put(node, "users", "bare", {"username": "bare@example.org", "roles": []})
    answers = []
    for name, password in (
        ("ann", "wrong"),
        ("ann", "x" * 2_000),
        ("nobody", PASSWORD),
        ("inactive", PASSWORD),
        ("hidden", PASSWORD),
        ("bare", PASSWORD),
        ("x" * 300, PASSWORD),
    ):
        clock.ahead_s += 40
        answers.append(await log_in(node, name, password))
    assert {body_of(answer) for answer in answers} == {(401, answers[0].body)}
    assert {answer.headers["WWW-Authenticate"] for answer in answers} == {'Bearer realm="upnext"'}


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "field.required"),
        (b"grant_type=", "field.required"),
        (b"grant_type=password", "field.required"),
        (b"grant_type=password&username=a", "field.required"),
        (b"grant_type=magic", "grant.type"),
        (b"grant_type=password&grant_type=password", "field.wrong.type"),
        (b'{"grant_type": 1}', "field.wrong.type"),
        (b'{"grant_type": null}', "field.wrong.type"),
        (b"[]", "invalid.json"),
        (b'{"grant_type"', "invalid.json"),
        (b"nonsense", "malformed.request"),
        (b"grant_type=%FF", "malformed.request"),
        (b"\xff=a", "malformed.request"),
        (b"grant_type=client_credentials", "field.required"),
        (b"grant_type=refresh_token", "field.required"),
        (b"grant_type=password&username=a&password=b&scope=TWO_FACTOR_AUTH", "scope"),
        (b"grant_type=password&username=a&password=b&scope=%00", "scope"),
    ],
)
async def test_broken_requests(node: ApiNode, data: bytes, code: str) -> None:
    """A request that asks for nothing that there is is 400, and says why."""
    answer = await Caller(node.http, node.url, {}).call("POST", "/api/authenticate", data=data)
    assert answer.status == 400, answer.body
    assert answer.json["errors"][0]["code"] == f"error.{code}"


async def test_methods(node: ApiNode) -> None:
    """Tokens are asked for by POST alone; OPTIONS says so."""
    stranger = Caller(node.http, node.url, {})
    for path in ("", "/2fa", "/revoke"):
        assert (await stranger.call("OPTIONS", f"/api/authenticate{path}")).headers["Allow"] == "OPTIONS, POST"
        for method in ("GET", "PUT", "DELETE"):
            assert (await stranger.call(method, f"/api/authenticate{path}")).status == 405
    too_long = b"grant_type=" + b"x" * 20_000
    assert (await stranger.call("POST", "/api/authenticate", data=too_long)).status == 413


async def test_refreshing_widens_nothing(node: ApiNode) -> None:
    """A word that says nothing here limits nothing: alone it would be more than what the token may."""
    await make_user(node, "ann")
    first = (await log_in(node, "ann", scope="read openid")).json
    alone = await ask(node, grant_type="refresh_token", refresh_token=first["refresh_token"], scope="openid")
    assert alone.status == 400
    less = await ask(node, grant_type="refresh_token", refresh_token=first["refresh_token"], scope="read")
    assert (less.status, less.json["scope"]) == (200, "read")


async def test_refreshing(node: ApiNode, clock: Clock) -> None:
    """A refresh token gets new tokens, after the access token has expired too, until 30 days after the login."""
    await make_user(node, "ann")
    first = (await log_in(node, "ann", scope="read")).json
    clock.ahead_s += 3_601
    assert (await bearer(node, first["access_token"]).call("GET", LIST)).status == 401
    second = await ask(node, grant_type="refresh_token", refresh_token=first["refresh_token"])
    assert second.json["scope"] == "read"
    assert (await bearer(node, second.json["access_token"]).call("GET", LIST)).status == 200
    wider = await ask(node, grant_type="refresh_token", refresh_token=first["refresh_token"], scope="write")
    assert wider.status == 400
    clock.ahead_s += 30 * 24 * 3_600 - 7_200
    third = await ask(node, grant_type="refresh_token", refresh_token=second.json["refresh_token"])
    assert third.status == 200
    clock.ahead_s += 3_600
    late = await ask(node, grant_type="refresh_token", refresh_token=third.json["refresh_token"])
    assert body_of(late) == body_of(await log_in(node, "nobody"))


async def test_a_token_is_good_for_one_thing(node: ApiNode) -> None:
    """A refresh token is no access token, an access token refreshes nothing, and a changed one is none at all."""
    await make_user(node, "ann")
    tokens = (await log_in(node, "ann")).json
    access, refresh = tokens["access_token"], tokens["refresh_token"]
    swapped = ("at_" + refresh[3:], "rt_" + access[3:])
    broken = (access[:-1], access + "A", access[:20] + ("A" if access[20] != "A" else "B") + access[21:], "at_", "at_é")
    for token in (refresh, *swapped, *broken, access.upper(), f"{access} {access}"):
        assert (await bearer(node, token).call("GET", LIST)).status == 401, token
    for token in (access, *swapped, refresh[:-1], "rt_", "x"):
        assert (await ask(node, grant_type="refresh_token", refresh_token=token)).status == 401
    assert (await bearer(node, access).call("GET", LIST)).status == 200


ALPHABET = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"


async def test_a_token_has_one_spelling() -> None:
    """Whatever else would decode to the same is no token: each would be counted by itself, and revoked by none."""
    seen = 0
    for n in range(64):
        tokens = Tokens(b"k" * 32, lambda: 1_700_000_000, random.Random(n).randbytes, lambda _: False)
        token = tokens.make(Purpose.ACCESS, tokens.log_in("users", "ann" + "x" * (n % 3), bytes(8), ""))
        assert tokens.read(Purpose.ACCESS, token) is not None
        head, body = token[:3], token[3:]
        bare = body.rstrip("=")
        others = {body.replace("-", "+").replace("_", "/")}
        if bare != body:
            # The last character has bits that no byte takes.
            last = ALPHABET.index(bare[-1])
            others.add(bare[:-1] + ALPHABET[last + 1] + body[len(bare) :])
        for other in others - {body}:
            seen += 1
            assert tokens.read(Purpose.ACCESS, head + other) is None
    assert seen > 40


async def test_revoking(node: ApiNode) -> None:
    """A user's own revocation ends every token until then, on every node; those after it are good."""
    await make_user(node, "ann")
    tokens = [(await log_in(node, "ann")).json for _ in range(2)]
    async with api_node(node.log) as other:
        gone = await bearer(node, tokens[0]["access_token"]).call("POST", "/api/authenticate/revoke")
        assert (gone.status, gone.body) == (204, b"")
        await other.registry.catch_up()
        for one in (node, other):
            for made in tokens:
                assert (await bearer(one, made["access_token"]).call("GET", LIST)).status == 401
                assert (await ask(one, grant_type="refresh_token", refresh_token=made["refresh_token"])).status == 401
            assert (await (await logged_in(one, "ann")).call("GET", LIST)).status == 200
    revoked = await node.admin.call("POST", "/api/authenticate/revoke", {"user": "ann"})
    assert revoked.status == 204
    assert (await node.admin.call("POST", "/api/authenticate/revoke")).status == 400
    assert (await Caller(node.http, node.url, {}).call("POST", "/api/authenticate/revoke")).status == 401


async def test_what_ends_a_user_s_tokens(node: ApiNode) -> None:
    """A new password ends them, and another state than ACTIVE for as long as it lasts; new roles count at once."""
    company = await make_company(node)
    await make_user(node, "ann", {company: "VIEWER"})
    ann = await logged_in(node, "ann")
    user = node.registry.state.find("users", "ann")
    assert user is not None
    path = f"/api/v1/apps?context={company}"
    assert (await ann.call("POST", path, {"name": "A"})).status == 403
    roles = [{"company": company, "role": "EDITOR"}]
    await put(node, "users", "ann", {**user.fields, "roles": roles}, partners=(company,))
    assert (await ann.call("POST", path, {"name": "A"})).status == 200
    for state, status in (("INACTIVE", 401), ("HIDDEN", 401), ("ACTIVE", 200)):
        await put(node, "users", "ann", user.fields, partners=(company,), state=state)
        assert (await ann.call("GET", LIST)).status == status
    await make_user(node, "ann", {company: "VIEWER"}, "another password")
    assert (await ann.call("GET", LIST)).status == 401


async def test_no_token_is_in_the_log(node: ApiNode) -> None:
    """Logging in with a password writes nothing, and neither tokens nor passwords are ever in the log."""
    await make_user(node, "ann")
    events = await node.events()
    tokens = (await log_in(node, "ann")).json
    assert await node.events() == events
    chunks = [chunk async for chunk in node.log.read(REGISTRY_EVENTS, 0, 0, events)]
    whole = b"".join(record.value or b"" for chunk in chunks for record in chunk.records)
    assert b"$argon2id$" in whole
    for secret in (PASSWORD, tokens["access_token"][3:], tokens["refresh_token"][3:]):
        assert secret.encode() not in whole


async def test_a_client_s_token(node: ApiNode) -> None:
    """A client's id and secret, as fields or Basic, get a token that is good on `/v1`, and forbidden here."""
    client, _, app = await make_client(node)
    pair = b64encode(f"{client['clientId']}:{client['secretKey']}".encode()).decode()
    for answer in (
        await client_token(node, client),
        await ask(node, grant_type="client_credentials", authorization=f"Basic {pair}"),
    ):
        assert list(answer.json) == ["access_token", "refresh_token", "token_type", "expires_in", "scope"]
        caller = bearer(node, answer.json["access_token"])
        assert (await caller.ok("GET", "/v1")).json["app_id"] == app
        refused = await caller.call("GET", LIST)
        assert (refused.status, refused.json["errors"][0]["code"]) == (403, "error.tenant.forbidden")
        refreshed = await ask(node, grant_type="refresh_token", refresh_token=answer.json["refresh_token"])
        assert (await bearer(node, refreshed.json["access_token"]).call("GET", "/v1")).status == 200


async def test_clients_whose_credentials_are_wrong(node: ApiNode) -> None:
    """Whatever is wrong with a client's credentials: the same 401."""
    client, company, _ = await make_client(node)
    wrong = {**client, "secretKey": client["secretKey"] + "x"}
    unknown = {**client, "clientId": "0" * 16}
    no_pair = [f"Basic {b64encode(text).decode()}" for text in (b"", b":", b"a:", b":b", b"\xff:a")]
    answers = [await client_token(node, one) for one in (wrong, unknown)]
    answers += [await ask(node, grant_type="client_credentials", authorization=text) for text in (*no_pair, "Basic é")]
    path = f"/api/v1/clients/{client['id']}?context={company}"
    await node.admin.ok("POST", path, {"objectState": "INACTIVE"})
    answers.append(await client_token(node, client))
    assert {body_of(answer) for answer in answers} == {(401, answers[0].body)}


async def test_what_ends_a_client_s_tokens(node: ApiNode) -> None:
    """They end with the key that was shown, with the client, its tenant and its company, and after an hour."""
    client, company, app = await make_client(node)
    caller = bearer(node, (await client_token(node, client)).json["access_token"])
    paths = (f"clients/{client['id']}?context={company}", f"apps/{app}?context={company}", f"companies/{company}")
    for path in paths:
        for state, status in (("INACTIVE", 401), ("ACTIVE", 200)):
            await node.admin.ok("POST", f"/api/v1/{path}", {"objectState": state})
            assert (await caller.call("GET", "/v1")).status == status
    stored = node.registry.state.find("clients", client["id"])
    assert stored is not None
    left = [key for key in stored.fields["keys"] if key["kind"] == "TEST"]
    await put(node, "clients", client["id"], {**stored.fields, "keys": left}, company=company)
    assert (await caller.call("GET", "/v1")).status == 401


async def test_bearers_that_are_no_clients(node: ApiNode, clock: Clock) -> None:
    """On `/v1`, users' tokens, secrets and expired tokens are no credentials; a test key's token is one for tests."""
    await make_user(node, "ann")
    client, _, _ = await make_client(node)
    answer = (await client_token(node, client)).json
    user = (await log_in(node, "ann")).json["access_token"]
    for token in (user, client["secretKey"], answer["refresh_token"], ""):
        assert (await bearer(node, token).call("GET", "/v1")).status == 401
    live = await bearer(node, answer["access_token"]).call("GET", "/v1")
    assert (live.status, "Paket-Response-Type" in live.headers) == (200, False)
    token = (await client_token(node, client, "testSecretKey")).json["access_token"]
    test = await bearer(node, token).call("GET", "/v1")
    assert (test.status, test.headers["Paket-Response-Type"]) == (200, "Test")
    clock.ahead_s += 3_600
    assert (await bearer(node, answer["access_token"]).call("GET", "/v1")).status == 401


async def test_what_a_client_may_ask_for(node: ApiNode) -> None:
    """A client gets the grants and scopes that it is allowed; without any named, all."""
    client, company, _ = await make_client(node, grantTypes=["client_credentials"], scopes=["lists", "items"])
    answer = await client_token(node, client)
    assert "refresh_token" not in answer.json
    assert answer.json["scope"] == "lists items"
    assert (await client_token(node, client, scope="items")).json["scope"] == "items"
    assert (await client_token(node, client, scope="items more")).status == 400
    path = f"/api/v1/clients/{client['id']}?context={company}"
    await node.admin.ok("POST", path, {"grantTypes": ["refresh_token"]})
    assert (await client_token(node, client)).json["errors"][0]["code"] == "error.grant.type.forbidden"


@pytest.mark.parametrize(
    ("asked", "may_have", "reads", "writes"),
    [
        ("", [], 200, 404),
        ("read", [], 200, 403),
        ("write", [], 200, 404),
        ("contexts:read", [], 200, 403),
        ("contexts:write", [], 200, 404),
        ("sessions:write apps:write", [], 403, 403),
        ("lists", [], 200, 404),
        ("", ["read"], 200, 403),
        ("read write", ["read", "write"], 200, 404),
        ("read", ["read", "write"], 200, 403),
    ],
)
async def test_what_a_client_s_token_is_for(
    node: ApiNode, asked: str, may_have: list[str], reads: int, writes: int
) -> None:
    """On `/v1` a token is for what it was asked for with; words that say nothing there limit nothing."""
    client, _, _ = await make_client(node, scopes=may_have)
    token = (await client_token(node, client, scope=asked)).json["access_token"]
    caller, of_key = bearer(node, token), key_caller(node, client)
    for method, status in (("GET", reads), ("HEAD", reads), ("DELETE", writes)):
        path = "/v1" if method != "DELETE" else "/v1/contexts/upnext/absent/sessions"
        answer = await caller.call(method, path)
        assert answer.status == status
        if status == 403 and answer.body:
            assert answer.json["error"]["code"] == "insufficient_scope"
        assert (await of_key.call(method, path)).status in (200, 404)


async def test_scopes_that_are_taken_away(node: ApiNode) -> None:
    """What a client may no longer have, its tokens of before are no longer for, refreshed or not."""
    client, company, _ = await make_client(node, scopes=["read", "write"])
    tokens = (await client_token(node, client)).json
    again = (await ask(node, grant_type="refresh_token", refresh_token=tokens["refresh_token"])).json
    path = f"/api/v1/clients/{client['id']}?context={company}"
    for scopes, status in ((["read"], 403), (["contexts:write"], 404), (["sessions:write"], 403), ([], 404)):
        await node.admin.ok("POST", path, {"scopes": scopes})
        for one in (tokens, again):
            answer = await bearer(node, one["access_token"]).call("DELETE", "/v1/contexts/upnext/absent/sessions")
            assert answer.status == status


async def test_scopes_that_say_nothing(node: ApiNode) -> None:
    """A client is warned of them."""
    client, _, _ = await make_client(node, scopes=["read", "lists"])
    warned = [(one["code"], one["params"].get("scope")) for one in client["validationWarnings"]]
    assert warned == [("warning.client.scope.unknown", "lists")]


async def test_a_login_on_another_node(node: ApiNode, clock: Clock) -> None:
    """A user made on one node logs in on another at once, and a token of the one is good on the other."""
    async with api_node(node.log, clock) as other:
        for number in range(5):
            clock.ahead_s += 60
            name = f"u{number}"
            await make_user(node, name)
            answer = await log_in(other, name)
            assert answer.status == 200
            assert (await bearer(node, answer.json["access_token"]).call("GET", LIST)).status == 200
            await make_user(node, name, password="another password")
            assert (await log_in(other, name)).status == 401
            assert (await bearer(other, answer.json["access_token"]).call("GET", LIST)).status == 401


async def test_many_logins_at_once(node: ApiNode) -> None:
    """More logins at a time than passwords are checked for are told to come again, and the others get in."""
    await make_user(node, "ann")
    assert (await log_in(node, "ann")).status == 200
    answers = await asyncio.gather(*(log_in(node, "ann") for _ in range(40)))
    assert {answer.status for answer in answers} <= {200, 503, 429}
    assert 200 in {answer.status for answer in answers}
    assert (await log_in(node, "ann")).status == 200


async def test_codes(node: ApiNode, clock: Clock) -> None:
    """A user with a second factor gets in with password and code, together or one after the other."""
    await make_user(node, "ann")
    ann = await logged_in(node, "ann")
    otpauth = (await ann.ok("POST", "/api/v1/users/ann/twofactor")).json["otpauth"]
    assert otpauth.startswith("otpauth://totp/UpNext:ann%40example.org?secret=")
    assert (await log_in(node, "ann")).json["scope"] != "TWO_FACTOR_AUTH"
    confirmed = await ann.ok("POST", "/api/v1/users/ann/twofactor/confirm", {"code": code(otpauth, clock)})
    assert confirmed.json == {"twoFactor": True}
    clock.ahead_s += 30
    first = await log_in(node, "ann")
    assert list(first.json) == ["access_token", "token_type", "expires_in", "scope"]
    assert first.json["scope"] == "TWO_FACTOR_AUTH"
    token = f"Bearer {first.json['access_token']}"
    assert (await bearer(node, first.json["access_token"]).call("GET", LIST)).status == 401
    second = await ask(node, "/2fa", authorization=token, code=code(otpauth, clock))
    assert (await bearer(node, second.json["access_token"]).call("GET", LIST)).status == 200
    clock.ahead_s += 30
    together = await log_in(node, "ann", otp=code(otpauth, clock))
    assert (await bearer(node, together.json["access_token"]).call("GET", LIST)).status == 200
    clock.ahead_s += 301
    late = await ask(node, "/2fa", authorization=token, code=code(otpauth, clock))
    assert late.status == 401


async def test_behind_a_proxy(tmp_path: Path) -> None:
    """Behind a proxy that is trusted each client has an address of its own; what others say of theirs is ignored."""
    for proxies, statuses in (((ip_network("127.0.0.0/8"),), {401}), ((), {401, 429})):
        async with embedded_log(tmp_path / str(len(proxies))) as log, api_node(log, proxies=proxies) as node:
            got = set()
            for number in range(SITE_FREE + 5):
                form = f"grant_type=password&username=u{number}&password=x".encode()
                said = {"X-Forwarded-For": f"192.0.2.{number}"}
                stranger = Caller(node.http, node.url, said)
                got.add((await stranger.call("POST", "/api/authenticate", data=form)).status)
            assert got == statuses


async def test_the_longest_password(node: ApiNode) -> None:
    """A password is compared whole: one that goes on after 1,024 characters is another."""
    await make_user(node, "ann", password="x" * 1_024)
    assert (await log_in(node, "ann", "x" * 1_025)).status == 401
    assert (await log_in(node, "ann", "x" * 1_024)).status == 200


class Late(EmbeddedLog):
    """The embedded log, whose followers see nothing new until somebody asks where its end is."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.asked: asyncio.Event | None = None
        """None: nobody is held up."""

    async def end_offset(self, topic: str, partition: int) -> int:
        end = await super().end_offset(topic, partition)
        if self.asked is not None:
            self.asked.set()
        return end

    async def read(self, topic: str, partition: int, start: int, end: int | None = None) -> AsyncIterator[Chunk]:
        async for chunk in super().read(topic, partition, start, end):
            if self.asked is not None and end is None:
                await self.asked.wait()
            yield chunk


async def test_what_a_late_node_has_not_seen(tmp_path: Path) -> None:
    """A node whose registry is late looks again before it lets in whoever has a password that was changed elsewhere."""
    async with embedded_log(tmp_path, Late) as log, api_node(log) as node:
        assert isinstance(log, Late)
        await make_user(node, "ann", password="an old password")
        user = node.registry.state.find("users", "ann")
        assert user is not None
        for _ in range(3):
            log.asked = asyncio.Event()
            writing = asyncio.create_task(make_user(node, "ann"))
            while await EmbeddedLog.end_offset(log, REGISTRY_EVENTS, 0) == user.offset + 1:
                await asyncio.sleep(0.001)
            assert node.registry.state.find("users", "ann") == user
            assert (await log_in(node, "ann", "an old password")).status == 401
            await writing
            log.asked = None
            await make_user(node, "ann", password="an old password")
            user = node.registry.state.find("users", "ann")
            assert user is not None
