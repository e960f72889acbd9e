"""From where clients may call: networks, and the address that a request counts as coming from."""

from __future__ import annotations

import ipaddress
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.networks import AllowList
from streams.domain.ids import Kind, Mode
from tests.support.api_listener import ApiNode, api_node, embedded_log
from tests.support.listener import IDS, Listener, basic, problem, public_listener
from tests.support.nodes import Caller

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)
FORWARDED = "X-Forwarded-For"


@pytest.mark.parametrize(
    ("networks", "address", "is_in"),
    [
        (["192.0.2.0/24"], "192.0.2.0", True),
        (["192.0.2.0/24"], "192.0.2.255", True),
        (["192.0.2.0/24"], "192.0.1.255", False),
        (["192.0.2.0/24"], "192.0.3.0", False),
        (["192.0.2.7"], "192.0.2.7", True),
        (["192.0.2.7"], "192.0.2.8", False),
        (["192.0.2.7/24"], "192.0.2.99", True),
        (["0.0.0.0/0"], "255.255.255.255", True),
        (["0.0.0.0/0"], "2001:db8::1", False),
        (["::/0"], "2001:db8::1", True),
        (["::/0"], "192.0.2.1", False),
        (["2001:db8::/32"], "2001:db8:ffff::1", True),
        (["2001:db8::/32"], "2001:db9::", False),
        (["2001:db8::1"], "2001:0db8:0::0:1", True),
        (["192.0.2.0/24"], "::ffff:192.0.2.7", True),
        (["::ffff:192.0.2.0/120"], "192.0.2.7", True),
        (["::ffff:192.0.2.0/120"], "192.0.3.7", False),
        (["::ffff:0:0/96"], "198.51.100.1", True),
        (["::0.0.0.1/128"], "0.0.0.1", False),
        (["10.0.0.0/8", "10.1.0.0/16", "10.2.3.4"], "10.200.0.1", True),
        (["10.0.0.0/9", "10.128.0.0/9"], "10.128.0.1", True),
        (["2001:db8::/32", "10.0.0.0/8"], "10.0.0.1", True),
        (["10.0.0.0/8"], "", False),
        (["10.0.0.0/8"], "10.0.0.1.", False),
        (["10.0.0.0/8"], "proxy", False),
        (["10.0.0.0/8"], None, False),
    ],
)
def test_networks(networks: Sequence[str], address: str | None, *, is_in: bool) -> None:
    """Of both versions, one address or many; one of IPv4 in the clothes of IPv6 is one of IPv4."""
    assert AllowList(networks).has(address) is is_in


@given(
    networks=st.lists(st.tuples(st.integers(0, 255), st.integers(20, 32)), min_size=1, max_size=20),
    address=st.integers(0, 1 << 16),
)
def test_many_networks_are_as_one_by_one(networks: list[tuple[int, int]], address: int) -> None:
    """However they overlap, what one of them has the list has, and nothing else."""
    written = [f"10.0.{part}.0/{bits}" for part, bits in networks]
    asked = ipaddress.ip_address((10 << 24) + address)
    expected = any(asked in ipaddress.ip_network(network, strict=False) for network in written)
    assert AllowList(written).has(str(asked)) is expected


def limited(listener: Listener, networks: Sequence[str]) -> Caller:
    """Return a client of an app that may call from these networks."""
    tenant = IDS.mint(Kind.APP, Mode.LIVE, b"company", now_s=1_700_000_000, entropy=b"limited")
    listener.world.add_client(Kind.APP, tenant, "00000000000000bb", "sk_limited", allowed=AllowList(networks))
    return Caller(listener.http, listener.app.url, {"Authorization": basic("00000000000000bb", "sk_limited")})


async def test_a_client_that_calls_from_elsewhere() -> None:
    """It is refused whatever it asks for, before its body is read, but hears of what is wrong before that."""
    async with public_listener() as listener:
        caller = limited(listener, ["192.0.2.0/24", "2001:db8::/32"])
        for method, path in (("GET", "/v1"), ("POST", "/v1/contexts"), ("PUT", "/v1/contexts/upnext/x")):
            answer = await caller.call(method, path, data=b"x" * 100_000)
            assert problem(answer, 403) == "address_not_allowed"
        assert problem(await caller.call("POST", "/v1/sessions"), 403) == "wrong_tenant"
        assert problem(await caller.call("PATCH", "/v1"), 405) == "method_not_allowed"
        assert problem(await caller.call("GET", "/v1/nothing"), 404) == "unknown_path"
        assert (await caller.call("OPTIONS", "/v1")).status == 204
        assert listener.recorded == 0
        await limited(listener, ["127.0.0.1"]).ok("GET", "/v1")


@pytest.mark.parametrize(
    ("proxies", "said", "status"),
    [
        ((), "192.0.2.7", 403),
        (LOOPBACK, "192.0.2.7", 200),
        (LOOPBACK, "::ffff:192.0.2.7", 200),
        (LOOPBACK, "203.0.113.9, 192.0.2.7", 200),
        (LOOPBACK, "192.0.2.7, 203.0.113.9", 403),
        (LOOPBACK, "192.0.2.7, 127.0.0.2", 200),
        (LOOPBACK, "nonsense", 403),
        (LOOPBACK, None, 403),
    ],
)
async def test_behind_a_proxy(proxies: Any, said: str | None, status: int) -> None:
    """What a header says of the address counts where a trusted proxy has written it, as on `/api/v1`."""
    async with public_listener(proxies=proxies) as listener:
        caller = limited(listener, ["192.0.2.0/24"])
        headers = {} if said is None else {FORWARDED: said}
        assert (await caller.call("GET", "/v1", headers=headers)).status == status


async def make_client(node: ApiNode, **more: Any) -> tuple[Any, str]:
    """Return a new client of a new app, and its path."""
    company = (await node.admin.ok("POST", "/api/v1/companies", {"name": "C"})).json["id"]
    app = (await node.admin.ok("POST", f"/api/v1/apps?context={company}", {"name": "A"})).json["id"]
    body = {"name": "K", "tenant": app, **more}
    made = (await node.admin.ok("POST", f"/api/v1/clients?context={company}", body)).json
    return made, f"/api/v1/clients/{made['id']}?context={company}"


async def test_as_it_is_configured(tmp_path: Path) -> None:
    """A list holds from the answer on, for keys and for tokens; an empty one lets in from everywhere."""
    async with embedded_log(tmp_path) as log, api_node(log, proxies=LOOPBACK) as node:
        made, path = await make_client(node, ipAllowList=["192.0.2.0/24", "::1"])
        assert "validationWarnings" not in made
        pair = f"{made['clientId']}:{made['secretKey']}".encode()
        by_key = Caller(node.http, node.url, {"Authorization": f"Basic {b64encode(pair).decode()}"})
        credentials = {
            "grant_type": "client_credentials",
            "client_id": made["clientId"],
            "client_secret": made["secretKey"],
        }
        given = await Caller(node.http, node.url, {}).ok("POST", "/api/authenticate", credentials)
        by_token = Caller(node.http, node.url, {"Authorization": f"Bearer {given.json['access_token']}"})
        for caller in (by_key, by_token):
            assert (await caller.call("GET", "/v1")).status == 403
            assert (await caller.call("GET", "/v1", headers={FORWARDED: "192.0.2.9"})).status == 200
        await node.admin.ok("PUT", path, {"ipAllowList": ["127.0.0.1"]})
        for caller in (by_key, by_token):
            assert (await caller.call("GET", "/v1")).status == 200
            assert (await caller.call("GET", "/v1", headers={FORWARDED: "192.0.2.9"})).status == 403
        await node.admin.ok("PUT", path, {"ipAllowList": []})
        assert (await by_key.call("GET", "/v1", headers={FORWARDED: "192.0.2.9"})).status == 200
