"""Signed requests: both kinds, whatever is wrong with them, and where they count among other rules."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import orjson
import pytest
from multidict import CIMultiDict

from service.http.problems import SignatureError
from service.http.signatures_messages import read_any
from service.http.signatures_nonces import Nonces
from service.http.signatures_plain import Message
from service.macs import Mac
from streams.domain.ids import Kind, Mode
from tests.support.api_listener import api_node, embedded_log
from tests.support.forwarding import pair_of_nodes
from tests.support.listener import IDS, Listener, basic, problem, public_listener
from tests.support.nodes import Answer, Caller, item
from tests.support.signing import digest_of, over_body, over_message

NOW_MS = 1_700_000_000_123
NOW_S = NOW_MS // 1000
CLIENT_ID, SECRET = "00000000000000cc", "sk_signs"
JSON = {"Content-Type": "application/json"}
Headers = dict[str, str]


@dataclass
class Setting:
    """A listener at a time of its own, and two clients of an app: one must sign its requests, one need not."""

    listener: Listener
    path: str
    now_ms: list[int] = field(default_factory=lambda: [NOW_MS])

    @property
    def url(self) -> str:
        return self.listener.app.url

    @property
    def strict(self) -> Caller:
        return Caller(self.listener.http, self.url, {"Authorization": basic(CLIENT_ID, SECRET)})

    async def put(self, body: bytes, headers: Headers, path: str = "") -> Answer:
        return await self.strict.call("PUT", path or self.path, data=body, headers=headers)

    def over_message(self, method: str, path: str, body: bytes = b"", **more: Any) -> Headers:
        more = {"created_s": NOW_S, **more}
        return over_message(CLIENT_ID, SECRET, method, self.url + path, body, **more)


@pytest.fixture
async def setting() -> AsyncIterator[Setting]:
    now_ms = [NOW_MS]
    async with public_listener(now_ms=lambda: now_ms[0], proxies=(ip_network("127.0.0.0/8"),)) as listener:
        tenant = IDS.mint(Kind.APP, Mode.LIVE, b"company", now_s=NOW_S, entropy=b"signing")
        listener.world.add_client(Kind.APP, tenant, CLIENT_ID, SECRET, must_sign=True)
        made = Setting(listener, "", now_ms)
        created = await made.strict.ok("POST", "/v1/contexts", headers=over_body(SECRET, b"", NOW_MS))
        made.path = f"/v1/contexts/upnext/{created.json['context_id']}"
        yield made


BODY = orjson.dumps(item())


async def test_over_time_and_body(setting: Setting) -> None:
    """A write, a read and a HEAD that are signed are answered like others, for five minutes either way."""
    for late_ms in (0, 300_000, -300_000):
        signed = over_body(SECRET, BODY, NOW_MS - late_ms)
        assert (await setting.put(BODY, signed)).status == 200
    for method in ("GET", "HEAD"):
        assert (await setting.strict.call(method, setting.path, headers=over_body(SECRET, b"", NOW_MS))).status == 200
    # Nothing but the time and the body is covered.
    assert (await setting.strict.call("GET", "/v1", headers=over_body(SECRET, b"", NOW_MS))).status == 200


def other(signed: Headers, **changes: str | None) -> Headers:
    changed = {**signed, **{name.replace("_", "-"): value for name, value in changes.items() if value is not None}}
    return {name: value for name, value in changed.items() if changes.get(name.replace("-", "_"), "") is not None}


GOOD = over_body(SECRET, BODY, NOW_MS)
HEX = GOOD["X-Paket-Signature"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        other(GOOD, X_Paket_Timestamp=None),
        other(GOOD, X_Paket_Signature=None),
        other(GOOD, X_Paket_Timestamp=str(NOW_MS + 1)),
        other(GOOD, X_Paket_Timestamp=f"0{NOW_MS}"),
        other(GOOD, X_Paket_Timestamp=f"+{NOW_MS}"),
        other(GOOD, X_Paket_Timestamp="\u0661"),
        other(GOOD, X_Paket_Timestamp=""),
        other(GOOD, X_Paket_Timestamp="9" * 5_000),
        other(GOOD, X_Paket_Signature=""),
        other(GOOD, X_Paket_Signature=HEX.removeprefix("sha256=")),
        other(GOOD, X_Paket_Signature=HEX[:-1]),
        other(GOOD, X_Paket_Signature=HEX + "0"),
        other(GOOD, X_Paket_Signature=HEX.replace("sha256", "sha512")),
        other(GOOD, X_Paket_Signature="sha256=\u00e9"),
        over_body("sk_other", BODY, NOW_MS),
        over_body(SECRET, BODY + b" ", NOW_MS),
        over_body(SECRET, BODY, NOW_MS - 300_001),
        over_body(SECRET, BODY, NOW_MS + 300_001),
        over_body(SECRET, BODY, NOW_S),
    ],
)
async def test_broken_over_time_and_body(setting: Setting, headers: Headers) -> None:
    """Missing where there must be one, half of one, of something else, of another time: 401, and nothing is done."""
    before = setting.listener.recorded
    answer = await setting.put(BODY, headers)
    assert problem(answer, 401) == "invalid_signature"
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="paket", charset="UTF-8"'
    assert SECRET not in answer.body.decode()
    assert setting.listener.recorded == before


async def test_a_header_that_is_there_twice(setting: Setting) -> None:
    """Which one counts is not guessed."""
    for name in GOOD:
        lines = [f"PUT {setting.path} HTTP/1.1", "Host: x", "Connection: close", "Content-Type: application/json"]
        lines += [f"Authorization: {basic(CLIENT_ID, SECRET)}", f"Content-Length: {len(BODY)}"]
        lines += [f"{header}: {value}" for header, value in [*GOOD.items(), (name, GOOD[name])]]
        answer = await setting.listener.raw("\r\n".join(lines).encode() + b"\r\n\r\n" + BODY)
        assert answer.startswith(b"HTTP/1.1 401 ")


async def test_what_is_sent_is_checked(setting: Setting) -> None:
    """Also where nobody must sign, and of two signatures both."""
    app = setting.listener.app
    await app.ok("GET", "/v1")
    await app.ok("GET", "/v1", headers=over_body(app.secret, b"", NOW_MS))
    for headers in (over_body("x", b"", NOW_MS), {"X-Paket-Timestamp": str(NOW_MS)}, {"Signature": "x"}):
        assert problem(await app.call("GET", "/v1", headers=headers), 401) == "invalid_signature"
    of_body, of_message = over_body(SECRET, b"", NOW_MS), setting.over_message("GET", "/v1")
    await setting.strict.ok("GET", "/v1", headers={**of_body, **of_message})
    for headers in ({**of_body, **setting.over_message("PUT", "/v1")}, {**over_body("x", b"", NOW_MS), **of_message}):
        assert problem(await setting.strict.call("GET", "/v1", headers=headers), 401) == "invalid_signature"


async def test_the_order_in_which_a_signature_counts(setting: Setting) -> None:
    """After credentials, path, method, tenant and size, before the type of the body and everything in it."""
    strict, unsigned = setting.strict, "invalid_signature"
    assert problem(await setting.listener.nobody.call("GET", "/v1"), 401) == "invalid_credentials"
    assert problem(await strict.call("GET", "/v1/nothing"), 404) == "unknown_path"
    assert problem(await strict.call("PATCH", "/v1"), 405) == "method_not_allowed"
    assert problem(await strict.call("POST", "/v1/sessions"), 403) == "wrong_tenant"
    assert problem(await setting.put(b"x" * 20_000, {}), 413) == "body_too_large"
    broken = {"Content-Type": "text/plain", "Paket-Position": "x"}
    assert problem(await setting.put(b"{", broken), 401) == unsigned
    assert problem(await setting.put(b"{", {**broken, **over_body(SECRET, b"{", NOW_MS)}), 415) == (
        "unsupported_media_type"
    )
    assert (await strict.call("OPTIONS", "/v1")).status == 204


@pytest.mark.parametrize(
    "covers",
    [
        ("@method", "@authority", "@path", "@query"),
        ("@method", "@target-uri"),
        ("@target-uri", "@method", "authorization"),
        ("@query", "@path", "@authority", "@method", "@target-uri", "@scheme", "@request-target", "authorization"),
        ('"@query-param";name="limit"', "@method", "@target-uri"),
    ],
)
async def test_over_the_message(setting: Setting, covers: tuple[str, ...]) -> None:
    """Method, target and body, in whatever order, and whatever else is covered."""
    path = f"{setting.path}?limit=3&next_key=0"
    more: dict[str, Any] = {"covers": covers, "headers": setting.strict.headers}
    for method in ("GET", "HEAD"):
        assert (
            await setting.strict.call(method, path, headers=setting.over_message(method, path, **more))
        ).status == 200
    assert (await setting.put(BODY, setting.over_message("PUT", path, BODY, **more), path)).status == 200
    without_query = setting.over_message("GET", setting.path, covers=("@path", "@authority", "@method"))
    await setting.strict.ok("GET", setting.path, headers=without_query)


@pytest.mark.parametrize(
    "more",
    [
        {"created_s": NOW_S - 300},
        {"created_s": NOW_S + 300},
        {"expires_s": NOW_S},
        {"include_alg": False},
        {"label": "a1", "tag": "mine"},
        {"nonce": "once"},
    ],
)
async def test_what_a_signature_may_say(setting: Setting, more: dict[str, Any]) -> None:
    """Times within five minutes, its algorithm or not, any label and tag."""
    await setting.strict.ok("GET", "/v1", headers=setting.over_message("GET", "/v1", **more))


def edited(name: str, was: str, will_be: str) -> Callable[[Headers], Headers]:
    def edit(headers: Headers) -> Headers:
        assert was in headers[name]
        return {**headers, name: headers[name].replace(was, will_be)}

    return edit


def without(*names: str) -> Callable[[Headers], Headers]:
    return lambda headers: {name: value for name, value in headers.items() if name not in names}


@pytest.mark.parametrize(
    "more",
    [
        {"created_s": NOW_S - 301},
        {"created_s": NOW_S + 301},
        {"expires_s": NOW_S - 1},
        {"covers": ("@method",)},
        {"covers": ("@target-uri",)},
        {"covers": ("@method", "@authority", "@path")},
        {"covers": ("@method", "@authority", "@query")},
        {"covers": ("@method", "@path", "@query")},
        {"edit": without("Signature")},
        {"edit": without("Signature-Input")},
        {"edit": without("Content-Digest")},
        {"edit": edited("Content-Digest", digest_of(BODY), digest_of(b"{}"))},
        {"edit": edited("Signature-Input", 'keyid="00', 'keyid="01')},
        {"edit": edited("Signature-Input", ';keyid="00000000000000cc"', "")},
        {"edit": edited("Signature-Input", f";created={NOW_S}", "")},
        {"edit": edited("Signature-Input", f"created={NOW_S}", f"created={NOW_S - 1}")},
        {"edit": edited("Signature-Input", f"created={NOW_S}", f"created={NOW_S}.0")},
        {"edit": edited("Signature-Input", f"created={NOW_S}", "created=" + "9" * 15)},
        {"edit": edited("Signature-Input", "hmac-sha256", "ed25519")},
        {"edit": edited("Signature-Input", '"@method" ', "")},
        {"edit": edited("Signature-Input", '"@method"', '"@method" "@method"')},
        {"edit": edited("Signature-Input", '"@method"', '"@Method"')},
        {"edit": edited("Signature-Input", '"@method"', '"@method";req')},
        {"edit": edited("Signature-Input", '"@method"', '"absent"')},
        {"edit": edited("Signature-Input", "pyhms=", "other=")},
        {"edit": edited("Signature-Input", "pyhms=", "pyhms=?1, other=")},
        {"edit": edited("Signature", "pyhms=:", "pyhms=:AA")},
        {"edit": edited("Signature", "pyhms=:", "pyhms=")},
        {"edit": lambda headers: {**headers, "Signature": "", "Signature-Input": ""}},
        {"edit": lambda headers: {**headers, "Signature": "\u00e9", "Signature-Input": "\u00e9"}},
        {"edit": lambda headers: {**headers, "Signature-Input": "a=" + "(" * 500}},
        {"edit": lambda headers: {**headers, "Signature": "pyhms=:", "Signature-Input": 'pyhms=("'}},
    ],
)
async def test_broken_over_the_message(setting: Setting, more: dict[str, Any]) -> None:
    """Altered, of too little, of another time, or of no form at all: 401, and nothing is done."""
    edit = more.pop("edit", lambda headers: headers)
    path = f"{setting.path}?x=1"
    before = setting.listener.recorded
    answer = await setting.put(BODY, edit(setting.over_message("PUT", path, BODY, **more)), path)
    assert problem(answer, 401) == "invalid_signature"
    assert setting.listener.recorded == before


async def test_a_signature_is_of_one_request(setting: Setting) -> None:
    """With another method, path, query, host, body or secret it is none."""
    path = f"{setting.path}?limit=3"
    signed = setting.over_message("PUT", path, BODY)
    assert (await setting.put(BODY, signed, path)).status == 200
    for other_path in (setting.path, f"{setting.path}?limit=4", f"{path}&", "/v1/contexts/upnext/x?limit=3"):
        assert problem(await setting.put(BODY, signed, other_path), 401) == "invalid_signature"
    assert problem(await setting.strict.call("GET", path, headers=signed), 401) == "invalid_signature"
    assert problem(await setting.put(BODY + b" ", signed, path), 401) == "invalid_signature"
    assert problem(await setting.put(BODY, {**signed, "Host": "other.example"}, path), 401) == "invalid_signature"
    theirs = over_message(CLIENT_ID, "sk_other", "PUT", setting.url + path, BODY, created_s=NOW_S)
    assert problem(await setting.put(BODY, theirs, path), 401) == "invalid_signature"
    of_other = over_message(setting.listener.app.client_id, SECRET, "PUT", setting.url + path, BODY, created_s=NOW_S)
    assert problem(await setting.put(BODY, of_other, path), 401) == "invalid_signature"


async def test_a_body_that_is_not_covered(setting: Setting) -> None:
    """A digest beside the signature is anybody's."""
    uncovered = {**setting.over_message("PUT", setting.path), "Content-Digest": digest_of(BODY)}
    assert problem(await setting.put(BODY, uncovered), 401) == "invalid_signature"


async def test_behind_a_proxy(setting: Setting) -> None:
    """The scheme is the one that the client called with, as a trusted proxy says."""
    url = f"{setting.url}/v1".replace("http:", "https:")
    signed = over_message(CLIENT_ID, SECRET, "GET", url, created_s=NOW_S, covers=("@method", "@target-uri"))
    assert problem(await setting.strict.call("GET", "/v1", headers=signed), 401) == "invalid_signature"
    await setting.strict.ok("GET", "/v1", headers={**signed, "X-Forwarded-Proto": "https"})


async def test_a_nonce_is_good_once(setting: Setting) -> None:
    """Until its signature would be too old anyway; without one, a request can be sent again."""
    once, always = setting.over_message("GET", "/v1", nonce="n"), setting.over_message("GET", "/v1")
    await setting.strict.ok("GET", "/v1", headers=once)
    for _ in range(2):
        assert problem(await setting.strict.call("GET", "/v1", headers=once), 401) == "invalid_signature"
        await setting.strict.ok("GET", "/v1", headers=always)
    forged = {**setting.over_message("GET", "/v1", nonce="m"), "Signature": "pyhms=:AAAA:"}
    assert problem(await setting.strict.call("GET", "/v1", headers=forged), 401) == "invalid_signature"
    await setting.strict.ok("GET", "/v1", headers=setting.over_message("GET", "/v1", nonce="m"))


def test_nonces_are_bounded() -> None:
    """What had to be forgotten is refused with all that its client signed before it; other clients are not."""
    nonces = Nonces(300, most=3)
    assert [nonces.take("a", str(number), 100 + number, 100) for number in range(3)] == [True] * 3
    assert nonces.take("b", "0", 100, 100)
    assert len(nonces) == 3
    assert not nonces.take("a", "0", 100, 100)
    assert not nonces.take("a", "never seen", 100, 100)
    assert nonces.take("a", "never seen", 101, 100)
    assert not nonces.take("b", "0", 100, 100)


def test_nonces_are_forgotten_once_their_signatures_are_too_old() -> None:
    """Not before: one that was made by a clock that is ahead is good for twice the tolerance."""
    nonces = Nonces(300)
    assert nonces.take("a", "n", 1_300, 1_000)
    assert not nonces.take("a", "n", 1_300, 1_600)
    assert nonces.take("a", "m", 1_601, 1_601)
    assert len(nonces) == 1


async def test_tokens_are_not_signed_with(setting: Setting) -> None:
    """A token has no secret: who must sign shows its key."""
    bearer = Caller(setting.listener.http, setting.url, {"Authorization": "Bearer at_x"})
    setting.listener.world.tokens["at_x"] = CLIENT_ID
    for headers in ({}, over_body(SECRET, b"", NOW_MS), setting.over_message("GET", "/v1")):
        assert problem(await bearer.call("GET", "/v1", headers=headers), 401) == "invalid_signature"


async def test_as_it_is_configured(tmp_path: Path) -> None:
    """Who must sign does so with the key that is shown, old or new, live or test, from the answer on."""
    async with embedded_log(tmp_path) as log, api_node(log) as node:
        company = (await node.admin.ok("POST", "/api/v1/companies", {"name": "C"})).json["id"]
        app = (await node.admin.ok("POST", f"/api/v1/apps?context={company}", {"name": "A"})).json["id"]
        body = {"name": "K", "tenant": app, "signaturesRequired": True}
        made = (await node.admin.ok("POST", f"/api/v1/clients?context={company}", body)).json
        assert "validationWarnings" not in made
        path = f"/api/v1/clients/{made['id']}"
        rolled = await node.admin.ok("POST", f"{path}/roll?context={company}", {"key": "LIVE"})
        keys = [made["secretKey"], made["testSecretKey"], rolled.json["secretKey"]]
        callers = [Caller(node.http, node.url, {"Authorization": basic(made["clientId"], key)}) for key in keys]
        for caller, key in zip(callers, keys, strict=True):
            assert problem(await caller.call("GET", "/v1"), 401) == "invalid_signature"
            for other in keys:
                answer = await caller.call("GET", "/v1", headers=over_body(other))
                assert (answer.status == 200) == (other == key)
            signed = over_message(made["clientId"], key, "GET", f"{node.url}/v1", nonce=key[-20:])
            await caller.ok("GET", "/v1", headers=signed)
        await node.admin.ok("PUT", f"{path}?context={company}", {"signaturesRequired": False})
        await callers[0].ok("GET", "/v1")


def test_a_long_signature() -> None:
    """It is refused before it is read: who may call at all could make a node read megabytes."""
    headers = CIMultiDict(over_message(CLIENT_ID, SECRET, "GET", "http://x/v1", created_s=NOW_S))
    for _ in range(100):
        headers.add("Signature-Input", 'a=("@method"' + ' "x"' * 8_000)
    began = time.process_time()
    with pytest.raises(SignatureError, match="8192"):
        read_any(Message("GET", "http://x/v1", headers, b""), CLIENT_ID, Mac(SECRET.encode()), NOW_S)
    assert time.process_time() - began < 0.1


async def test_the_node_in_front_checks() -> None:
    """What is handed to another node was signed for the one that the client called, and is checked there alone."""
    async with pair_of_nodes() as pair:
        session = f"/v1/sessions/upnext/{await pair.owner.session()}"
        platform, front = pair.owner.platform, pair.front.app.url
        digest, client = pair.owner.world.clients[platform.client_id]
        pair.owner.world.clients[platform.client_id] = digest, client._replace(must_sign=True)
        caller = Caller(pair.front.http, front, platform.headers)
        assert problem(await caller.call("GET", session), 401) == "invalid_signature"
        assert pair.outcome("answered") == 0
        for signed in (
            over_body(platform.secret),
            over_message(platform.client_id, platform.secret, "GET", front + session, nonce="n"),
        ):
            await caller.ok("GET", session, headers=signed)
        assert pair.outcome("answered") == 2
