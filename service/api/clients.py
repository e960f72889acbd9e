"""Clients: the credentials with which a tenant calls `/v1`."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from service.api.key_uses import KEY_USES, use_name
from service.api.keys import new_key
from service.api.kinds import BrokenValueError, Choice, Flag, Json, Link, Many, Number, Numbers, Place, Plain, Text
from service.api.messages import Message, MessagesError, error, warning
from service.api.resource import Action, Field, Issued, Means, ResourceType
from service.http.versions.known import VERSIONS
from service.scopes import is_known
from streams.domain.registry_events import Reference
from streams.domain.registry_state import RegistryState, StoredObject
from streams.domain.times import iso_ms

_CIDR = re.compile(r"[0-9A-Fa-f.:]+(/[0-9]{1,3})?")
MAX_KEYS = 10
"""Of one kind, at once: each is compared with at every call."""


@dataclass(frozen=True)
class Keys:
    """The keys of a client: stored as hashes, shown without."""

    def read(self, _value: object, _place: Place) -> object:
        """Refuse: keys are made by the service."""
        raise BrokenValueError("field.read.only", "{{field}} is set by the service")

    def show(self, stored: Any, of: StoredObject) -> list[Json]:
        """Return what may be known of the keys from the client alone."""
        return _shown(stored, of, {})

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
    """Addresses in CIDR notation; without a length, one address."""

    def read(self, value: object, _place: Place) -> object:
        """Return the network as it is written."""
        try:
            # Masks and scopes are no CIDR notation, though they are read too.
            text = value if isinstance(value, str) and _CIDR.fullmatch(value) else ""
            ipaddress.ip_network(text, strict=False)
        except ValueError as broken:
            raise BrokenValueError("field.format", "{{field}} must be {{what}}", what="CIDR notation") from broken
        return value

    def schema(self) -> Json:
        """Return the JSON schema."""
        return {"type": "string", "maxLength": 49, "pattern": f"^{_CIDR.pattern}$"}


def _shown(keys: Iterable[Mapping[str, Any]], of: StoredObject, used: Mapping[str, Any]) -> list[Json]:
    made = iso_ms(of.created_ms)
    return [
        {
            "prefix": key["prefix"],
            "kind": key["kind"],
            # One without a time of its own was made with its client.
            "created": key.get("created", made),
            "expires": key.get("expires"),
            "lastUsed": used.get(use_name(key["hash"])),
        }
        for key in keys
    ]


def _keys_now(stored: StoredObject, state: RegistryState) -> object:
    """Return what may be known of the keys, and in which hour each was last used."""
    uses = state.find(KEY_USES, stored.id)
    return _shown(stored.fields.get("keys", ()), stored, {} if uses is None else uses.fields)


def _made(kind: str, means: Means) -> tuple[str, Json]:
    """Return a new key and how it is stored."""
    key = new_key({"LIVE": "sk_", "TEST": "test_sk_"}[kind], means.entropy)
    return key.clear, {"kind": kind, "prefix": key.prefix, "hash": key.hash}


def _issue(means: Means) -> Issued:
    live, stored_live = _made("LIVE", means)
    test, stored_test = _made("TEST", means)
    fields = {"clientId": means.entropy(8).hex(), "keys": [stored_live, stored_test]}
    return Issued(fields, {"secretKey": live, "testSecretKey": test})


def _roll(stored: StoredObject, given: Mapping[str, Any], means: Means) -> Issued:
    kind, now = given["key"], iso_ms(means.now_ms)
    end = iso_ms(means.now_ms + given["overlapHours"] * 3_600_000)
    ending = [
        {**key, "expires": min(key.get("expires", end), end)} if key["kind"] == kind else key
        for key in stored.fields["keys"]
    ]
    kept = [key for key in ending if key.get("expires") is None or key["expires"] > now]
    if sum(key["kind"] == kind for key in kept) >= MAX_KEYS:
        text = "Client {{id}} has {{most}} keys of this kind: wait until one ends, or roll with an overlap of 0"
        raise MessagesError(409, [error("client.keys", text, id=stored.id, most=str(MAX_KEYS))])
    clear, made = _made(kind, means)
    shown_as = {"LIVE": "secretKey", "TEST": "testSecretKey"}[kind]
    return Issued({"keys": [*kept, {**made, "created": now}]}, {shown_as: clear})


def _warnings(stored: StoredObject, state: RegistryState) -> Iterable[Message]:
    if not any(key["kind"] == "LIVE" for key in stored.fields.get("keys", ())):
        yield warning("client.without.key", "Client {{id}} has no live key", id=stored.id)
    tenant = stored.fields["tenant"]
    if state.state_of(tenant["type"], tenant["id"]) != "ACTIVE":
        text = "Client {{id}} cannot authenticate: its tenant {{tenant}} is not ACTIVE"
        yield warning("client.tenant.not.active", text, id=stored.id, tenant=tenant["id"])
    for word in stored.fields.get("scopes", ()):
        if not is_known(word):
            text = "The scope {{scope}} of client {{id}} says nothing here, and limits no token"
            yield warning("client.scope.unknown", text, id=stored.id, scope=word)
    version = stored.fields.get("defaultVersion")
    if version is not None and version not in VERSIONS.names:
        # It was stored when there were no versions yet, or has ended since.
        text = "Client {{id}} is answered 400 where it names no version: there is no version {{version}}"
        yield warning("client.version.unknown", text, id=stored.id, version=version)


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
        Field(
            name="keys",
            kind=Keys(),
            says="What may be known of its keys; in which hour each was last used.",
            read_only=True,
            empty=(),
            derived=_keys_now,
            drifts="lastUsed",
        ),
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
            says="How it may get tokens; empty: in both ways.",
            empty=(),
        ),
        Field(
            name="scopes",
            kind=Many(Text(64)),
            says="What its tokens may be for, as `read` or `sessions:write`; empty: for everything.",
            empty=(),
        ),
        Field(
            name="ipAllowList",
            kind=Many(Network()),
            says="Where it may call `/v1` from, in CIDR notation; empty: from everywhere.",
            empty=(),
        ),
        Field(
            name="signaturesRequired",
            kind=Flag(),
            says="Whether all its calls of `/v1` must be signed, with X-Paket-Signature or as RFC 9421 has it.",
            empty=False,
        ),
        Field(
            name="defaultVersion",
            kind=Choice(VERSIONS.names),
            says="The version of `/v1` that it gets where it names none; left out, the first one.",
        ),
        Field(
            name="rateLimit",
            kind=Numbers(("read", "write"), Number(1, 1_000_000)),
            says="Calls of `/v1` a second, on all nodes together; left out, as many as the deployment allows.",
        ),
    ),
    unique=(("clientId",),),
    shown_once={"secretKey": "The live key.", "testSecretKey": "The test key."},
    issue=_issue,
    actions=(
        Action(
            name="roll",
            says="Make a new key; those of its kind that there are end with the overlap",
            fields=(
                Field(name="key", kind=Choice(("LIVE", "TEST")), says="Which kind of key.", required=True),
                Field(
                    name="overlapHours",
                    kind=Number(0, 72),
                    says="For so long the keys that there are stay good; 0: not at all.",
                    empty=24,
                ),
            ),
            run=_roll,
        ),
    ),
    warnings=_warnings,
)
