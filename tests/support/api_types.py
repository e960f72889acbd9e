"""Every type of resources, with values that its fields take and values that they refuse."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Type:
    """What is particular about one type."""

    name: str
    label: str
    in_company: bool = True
    minted: str = ""
    required: dict[str, Any] = field(default_factory=dict)
    """Fields that every new object needs, and how they are filled in: by a value, or by what takes one from a pool."""
    pools: tuple[str, ...] = ()
    """Types of which there are some for these."""
    named: Callable[[str], str] = str
    """Makes a name of the type's own alphabet from any; keeps their order."""
    name_required: bool = True
    valid: dict[str, Any] = field(default_factory=dict)
    """Optional fields, and a value of each."""
    broken: dict[str, list[Any]] = field(default_factory=dict)
    """Fields, and values that are refused."""
    read_only: tuple[str, ...] = ()


def another(pool: str) -> Callable[[Pools], Any]:
    """Return what takes an object from a pool, another one each time."""
    return lambda pools: pools.take(pool)


def the(pool: str) -> Callable[[Pools], Any]:
    """Return what takes always the same object from a pool."""
    return lambda pools: pools.ids[pool][0]


class Pools:
    """Objects that are there to be referred to."""

    def __init__(self, company: str) -> None:
        self.company = company
        self.ids: dict[str, list[str]] = {}
        self._left: dict[str, Iterator[str]] = {}
        self.numbers = itertools.count()

    def take(self, pool: str) -> str:
        return next(self._left.setdefault(pool, iter(self.ids[pool])))


TEXT_OR_NULL = [1, "", True, [], {}]
LINKS: list[object] = [1, None, {}, {"id": 1}, [], "a b"]
CASES = [
    Type(
        "companies",
        "Company",
        in_company=False,
        valid={"country": "NO", "contactEmail": "a@b.example"},
        broken={"country": ["no", "NOR", 1], "contactEmail": ["nobody", "a b@c", "a@@b", 1]},
    ),
    Type(
        "users",
        "User",
        in_company=False,
        name_required=False,
        required={"username": lambda pools: f"u{next(pools.numbers)}@a.example", "roles": lambda _: []},
        valid={
            "roles": lambda pools: [
                {"company": {"id": pools.company, "url": f"/api/v1/companies/{pools.company}"}, "role": "ADMIN"}
            ]
        },
        broken={
            "username": ["nobody", "a b@c.example", "", 1, None],
            "password": ["x" * 11, "x" * 1_025, 1, ["long enough to be one"]],
            "roles": [
                None,
                {},
                [1],
                [{"company": "c"}],
                [{"company": "c d", "role": "ADMIN"}],
                [{"role": "ADMIN", "a": 1}],
            ],
        },
        read_only=("twoFactor",),
    ),
    Type(
        "apps",
        "App",
        minted="AP",
        valid={"description": "d", "category": "film", "homepage": "https://a.example/"},
        broken={
            "description": [1, "x" * 4097],
            "category": TEXT_OR_NULL,
            "homepage": ["ftp://a.example", "a.example", "https://", "https://a b", 1],
        },
        read_only=("assets",),
    ),
    Type(
        "licenses",
        "License",
        required={"app": the("apps"), "price": "9.90", "currency": "NOK", "period": "MONTH"},
        pools=("apps",),
        valid={"adSupported": True},
        broken={
            "app": LINKS,
            "price": ["", "9,90", "1e3", "-1", "01", ".5", "1.", "1.23456", "9999999999", "NaN", 9.9, None],
            "currency": ["nok", "NO", "XXX", "ZZZ", "", 578, None],
            "period": ["month", "WEEK", "", 1, None],
            "adSupported": ["true", None],
        },
    ),
    Type(
        "platforms",
        "Platform",
        minted="PL",
        valid={"description": "d", "regions": ["NO", "SE"], "requiresApproval": True},
        broken={
            "regions": ["NO", ["no"], ["NO", "NO"], [1], [None], None, {}],
            "requiresApproval": ["true", 1, None],
        },
    ),
    Type(
        "clients",
        "Client",
        required={"tenant": lambda pools: {"id": pools.ids["apps"][0]}},
        pools=("apps",),
        valid={
            "redirectUris": ["https://a.example/back", "app://back"],
            "grantTypes": ["client_credentials"],
            "scopes": ["upnext"],
            "ipAllowList": ["10.0.0.0/8", "::1", "2001:db8::/32", "192.0.2.7"],
            "signaturesRequired": True,
            "defaultVersion": "2024-02-16",
            "rateLimit": {"read": 10, "write": 1},
        },
        broken={
            "tenant": LINKS,
            "redirectUris": [["nowhere"], "https://a.example", None],
            "grantTypes": [["password"], [1]],
            "ipAllowList": [["10.0.0.0/33"], ["host"], [1], ["10.0.0.0/255.0.0.0"], ["fe80::1%eth0"], ["1/8"], None],
            "signaturesRequired": [0, None],
            "defaultVersion": ["latest", 20240216],
            "rateLimit": [{"read": 1}, {"read": 0, "write": 1}, {"read": 1, "write": "1"}, 5],
        },
        read_only=("clientId", "keys"),
    ),
    Type(
        "apikeys",
        "ApiKey",
        name_required=False,
        required={"user": the("users")},
        pools=("users",),
        valid={"scopes": ["read", "apps:write"], "expires": "2099-12-31T23:00:00.000Z"},
        broken={
            "user": LINKS,
            "scopes": ["read", [""], ["a b"], [1], ["read", "read"], None],
            "expires": ["", "soon", "2099-12-31T23:00:00", "2099-13-01T00:00:00Z", 4102441200, True],
        },
        read_only=("prefix", "lastUsed"),
    ),
    Type(
        "webhookendpoints",
        "WebhookEndpoint",
        name_required=False,
        required={"client": the("clients"), "endpointUrl": "https://hooks.example.com/events?from=upnext"},
        pools=("apps", "clients"),
        valid={"eventTypes": ["context.session.deleted", "context.list.item_hidden"], "ordered": True},
        broken={
            "client": LINKS,
            "endpointUrl": ["", "hooks", "http://hooks.example.com", "https://10.0.0.1/", 1, None],
            "eventTypes": [["context"], "context.session.deleted", [1], None],
            "ordered": [0, None],
        },
    ),
    Type(
        "platformattributes",
        "PlatformAttribute",
        required={"platform": another("platforms"), "kind": "REQUESTED"},
        pools=("platforms",),
        named=lambda name: f"a{name.encode().hex()}",
        valid={
            "valueType": "URL",
            "required": True,
            "template": "app://{{custom_app_id}}/{{content_id}}",
            "escape": "URL",
        },
        broken={
            "platform": LINKS,
            "kind": ["requested", "", 1, None],
            "valueType": ["string", 1, None],
            "required": ["yes", None],
            "template": ["", "x" * 2_049, 1],
            "escape": ["HTML", None],
        },
    ),
    Type(
        "platformvalues",
        "PlatformValue",
        name_required=False,
        required={"app": another("apps"), "platform": the("platforms")},
        pools=("apps", "platforms"),
        valid={"values": {"custom_app_id": "a b", "age": 3, "kids": False}},
        broken={
            "app": LINKS,
            "platform": LINKS,
            "values": [None, [], "a", {"A": 1}, {"": 1}, {"a-b": 1}, {"a": None}, {"a": [1]}, {"a": 1.5}, {"a": {}}],
        },
    ),
    Type(
        "availabilities",
        "Availability",
        name_required=False,
        required={"app": the("apps"), "platform": another("platforms")},
        pools=("apps", "platforms"),
        valid={"regions": ["NO"], "approved": True},
        broken={
            "app": LINKS,
            "platform": LINKS,
            "regions": [["Norway"], "NO", None],
            "approved": ["yes", None],
        },
    ),
]
PLANTED = [
    Type("assets", "Asset", name_required=False),
]
"""Types that no write makes."""
IN_A_POOL = 40
