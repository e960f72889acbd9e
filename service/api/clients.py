"""Clients: the credentials with which a tenant calls `/v1`."""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from service.api.kinds import BrokenValueError, Choice, Flag, Json, Link, Many, Number, Numbers, Place, Plain, Text
from service.api.messages import Message, warning
from service.api.resource import Entropy, Field, Issued, ResourceType
from streams.domain.registry_events import Reference
from streams.domain.registry_state import RegistryState, StoredObject
from streams.domain.times import iso_ms

_SECRET_BYTES = 33
"""A multiple of 3, so that base64 has no padding."""
_PREFIX_CHARS = 4
"""Of a key's random part, as many are shown for people to tell keys apart."""


@dataclass(frozen=True)
class Keys:
    """The keys of a client: stored as hashes, shown without."""

    def read(self, _value: object, _place: Place) -> object:
        """Refuse: keys are made by the service."""
        raise BrokenValueError("field.read.only", "{{field}} is set by the service")

    def show(self, stored: Any, of: StoredObject) -> object:
        """Return what may be known of the keys; one without a time of its own was made with its client."""
        return [
            {
                "prefix": key["prefix"],
                "kind": key["kind"],
                "created": key.get("created", iso_ms(of.created_ms)),
                "expires": key.get("expires"),
                "lastUsed": None,
            }
            for key in stored
        ]

    def references(self, _stored: Any, _company: str | None) -> Iterable[Reference]:
        """Return nothing."""
        return ()

    def schema(self) -> Json:
        """Return the JSON schema."""
        time = {"type": ["string", "null"], "format": "date-time"}
        properties = {
            "prefix": {"type": "string"},
            "kind": {"enum": ["LIVE", "TEST"]},
            "created": time,
            "expires": time,
            "lastUsed": time,
        }
        return {"type": "array", "items": {"type": "object", "properties": properties}}


@dataclass(frozen=True)
class Network(Plain):
    """Addresses in CIDR notation."""

    def read(self, value: object, _place: Place) -> object:
        """Return the network as it is written."""
        try:
            ipaddress.ip_network(value if isinstance(value, str) else "", strict=False)
        except ValueError as error:
            raise BrokenValueError("field.format", "{{field}} must be {{what}}", what="CIDR notation") from error
        return value

    def schema(self) -> Json:
        """Return the JSON schema."""
        return {"type": "string", "maxLength": 49}


def _secret(prefix: str, kind: str, entropy: Entropy) -> tuple[str, dict[str, str]]:
    """Return a new key and how it is stored. A fast hash is right: nobody can guess 264 random bits."""
    secret = prefix + base64.urlsafe_b64encode(entropy(_SECRET_BYTES)).decode("ascii")
    stored = {
        "kind": kind,
        "prefix": secret[: len(prefix) + _PREFIX_CHARS],
        "hash": sha256(secret.encode()).hexdigest(),
    }
    return secret, stored


def _issue(entropy: Entropy) -> Issued:
    live, stored_live = _secret("sk_", "LIVE", entropy)
    test, stored_test = _secret("test_sk_", "TEST", entropy)
    fields = {"clientId": entropy(8).hex(), "keys": [stored_live, stored_test]}
    return Issued(fields, {"secretKey": live, "testSecretKey": test})


def _warnings(stored: StoredObject, state: RegistryState) -> Iterable[Message]:
    if not any(key["kind"] == "LIVE" for key in stored.fields.get("keys", ())):
        yield warning("client.without.key", "Client {{id}} has no live key", id=stored.id)
    tenant = stored.fields["tenant"]
    found = state.find(tenant["type"], tenant["id"])
    if found is None or found.state != "ACTIVE":
        text = "Client {{id}} cannot authenticate: its tenant {{tenant}} is not ACTIVE"
        yield warning("client.tenant.not.active", text, id=stored.id, tenant=tenant["id"])


CLIENTS = ResourceType(
    name="clients",
    label="Client",
    says="Consumers of the API: the credentials of apps and platforms.",
    in_company=True,
    fields=(
        Field(
            name="tenant",
            kind=Link(("apps", "platforms")),
            says="The app or platform that it calls for.",
            required=True,
            immutable=True,
        ),
        Field(name="clientId", kind=Text(16, least=16), says="The name that it authenticates by.", read_only=True),
        Field(name="keys", kind=Keys(), says="What may be known of its keys.", read_only=True, empty=()),
        Field(
            name="redirectUris",
            kind=Many(Text(2048, pattern=r"[A-Za-z][A-Za-z0-9+.-]*:\S+", what="URIs"), most=100),
            says="Where OAuth 2.0 may send its users back to.",
            empty=(),
            is_obeyed=False,
        ),
        Field(
            name="grantTypes",
            kind=Many(Choice(("client_credentials", "refresh_token"))),
            says="How it may get tokens.",
            empty=(),
            is_obeyed=False,
        ),
        Field(name="scopes", kind=Many(Text(64)), says="What its tokens may be for.", empty=(), is_obeyed=False),
        Field(
            name="ipAllowList",
            kind=Many(Network()),
            says="Where it may call from, in CIDR notation; empty: from everywhere.",
            empty=(),
            is_obeyed=False,
        ),
        Field(
            name="signaturesRequired",
            kind=Flag(),
            says="Whether all its calls must be signed.",
            empty=False,
            is_obeyed=False,
        ),
        Field(
            name="defaultVersion",
            kind=Text(10, least=10, pattern="[0-9]{4}-[0-9]{2}-[0-9]{2}", what="a date, YYYY-MM-DD"),
            says="The version of `/v1` that it gets where it names none.",
            is_obeyed=False,
        ),
        Field(
            name="rateLimit",
            kind=Numbers(("read", "write"), Number(1, 1_000_000)),
            says="Calls a second.",
            is_obeyed=False,
        ),
    ),
    unique=(("clientId",),),
    shown_once={"secretKey": "The live key.", "testSecretKey": "The test key."},
    issue=_issue,
    warnings=_warnings,
)
