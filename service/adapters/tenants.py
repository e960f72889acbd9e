"""Who may call `/v1`, as the registry says."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from typing import Any, NamedTuple, Protocol

from service.api.key_uses import Use
from service.api.tokens import Purpose, Tokens
from service.macs import Mac
from service.networks import AllowList
from service.ports import Client
from service.scopes import READ, WRITE, Scopes, has_scope, limits
from streams.domain.ids import AppId, Kind, id_text, parse_id
from streams.domain.registry_events import UniqueValue
from streams.domain.registry_state import RegistryState, StoredObject
from streams.domain.times import iso_ms

TENANT_TYPES = {"apps": Kind.APP, "platforms": Kind.PLATFORM}
"""The types of objects that are tenants."""
_CALLED = {Kind.APP: "contexts", Kind.PLATFORM: "sessions"}
"""The resources of `/v1` that a tenant calls, as scopes name them."""

_MAX_REMEMBERED = 10_000
_NO_DIGEST = bytes(32)


class Registry(Protocol):
    """The node's registry, as authentication needs it."""

    @property
    def state(self) -> RegistryState:
        """Every object as the node has it now."""

    def ensure_fresh(self) -> None:
        """Raise `RegistryBehindError` where the registry lags more than 5 s behind its log."""


class _Key(NamedTuple):
    """What a secret key is known by without being known, and whom it lets in."""

    digest: bytes
    client: Client
    expires: str | None
    """As `iso_ms` writes it, in the order of time; None: never."""
    scopes: Scopes | None = None
    """What tokens that it gets may be for; None: everything."""


_NOBODY = (_Key(_NO_DIGEST, Client("", Kind.APP, b"", live=False), None),)


class RegistryTenants:
    """
    `service.ports.Tenants` over the registry.

    What a request needs is looked up once and remembered until the registry changes, which is seldom. Of secrets only
    hashes are, and what HMACs begin with.
    """

    def __init__(
        self,
        registry: Registry,
        tokens: Tokens | None = None,
        now_s: Callable[[], float] = time.time,
        note: Callable[[Use], None] | None = None,
    ) -> None:
        """
        Take what callers are known by.

        Args:
            registry: The node's.
            tokens: Reads tokens; None: none is good.
            now_s: Unix time, which ends keys.
            note: Hears of every use of a key, tokens that it was given for included.
        """
        self._note = note
        self._registry, self._tokens, self._now_s = registry, tokens, now_s
        self._state = registry.state
        self._revision = -1
        self._keys: dict[str, tuple[_Key, ...]] = {}
        self._shown: dict[bytes, _Key] = {}
        """Marks of credentials that were good → the key that they are, whose client has its `Mac`."""
        self._apps: dict[bytes, bool] = {}

    def recall(self, mark: bytes) -> Client | None:
        """Return the client of credentials that were good under *mark* and still are, None where that is not known."""
        self._forget_what_changed()
        # Marks are hashes with a random key, which no guess comes near to: how soon says nothing.
        known = self._shown.get(mark)
        return None if known is None or not self._is_good(known) else self._used(known.client.client_id, known)

    def authenticate(self, client_id: str, secret: str, mark: bytes | None = None) -> Client | None:
        """Return the ACTIVE client of an ACTIVE tenant whose key this is, else None; how soon says nothing."""
        self._forget_what_changed()
        keys = self._keys.get(client_id) or self._find_keys(client_id)
        shown_bytes = secret.encode("utf-8", "surrogatepass")
        shown = sha256(shown_bytes).digest()
        found = None
        for key in keys:
            # Every key is compared, also for a client that is not there: the time says nothing.
            if hmac.compare_digest(key.digest, shown) and self._is_good(key):
                found = key
        if found is None:
            return None
        found = found._replace(client=found.client._replace(mac=Mac(shown_bytes)))
        if mark is not None:
            if len(self._shown) >= _MAX_REMEMBERED:
                self._shown.clear()
            self._shown[mark] = found
        return self._used(client_id, found)

    def key_holder(self, client_id: str, stamp: bytes) -> Client | None:
        """Return the ACTIVE client that has a usable key whose SHA-256 begins with *stamp*, else None."""
        found = self._held(client_id, stamp)
        return None if found is None else self._used(client_id, found)

    def authenticate_token(self, token: str) -> Client | None:
        """Return the ACTIVE client whose access token this is, for as long as the key holds that it was given for."""
        bearer = None if self._tokens is None else self._tokens.read(Purpose.ACCESS, token)
        if bearer is None or bearer.type != "clients":
            return None
        found = self._held(bearer.id, bearer.stamp)
        return None if found is None else _limited(self._used(bearer.id, found), limits(bearer.scope.split()), found)

    def tenant_of(self, client_id: str) -> bytes:
        """Return the raw id of the tenant of a client that has been authenticated."""
        self._forget_what_changed()
        return (self._keys.get(client_id) or self._find_keys(client_id))[0].client.tenant

    def is_app(self, app: AppId) -> bool:
        """Say whether an app is there and ACTIVE, and its company too."""
        self._forget_what_changed()
        known = self._apps.get(app)
        if known is None:
            found = self._state.find("apps", id_text(Kind.APP, app))
            if found is None:
                return False
            if len(self._apps) >= _MAX_REMEMBERED:
                self._apps.clear()
            known = self._apps[app] = is_usable(self._state, found)
        return known

    def ensure_fresh(self) -> None:
        """Raise `RegistryBehindError` where the registry lags more than 5 s behind its log."""
        self._registry.ensure_fresh()

    def _held(self, client_id: str, stamp: bytes) -> _Key | None:
        self._forget_what_changed()
        keys = self._keys.get(client_id) or self._find_keys(client_id)
        held = (key for key in keys if key.client.client_id and key.digest.startswith(stamp))
        return next((key for key in held if self._is_good(key)), None)

    def _used(self, client_id: str, key: _Key) -> Client:
        if self._note is not None:
            self._note((client_id, key.digest))
        return key.client

    def _is_good(self, key: _Key) -> bool:
        return key.expires is None or iso_ms(int(self._now_s() * 1000)) < key.expires

    def _forget_what_changed(self) -> None:
        if self._state.revision != self._revision:
            self._revision = self._state.revision
            self._keys.clear()
            self._shown.clear()
            self._apps.clear()

    def _find_keys(self, client_id: str) -> tuple[_Key, ...]:
        client = self._state.holder("clients", UniqueValue("clientId", client_id))
        keys = () if client is None else tuple(_usable_keys(self._state, client, client_id))
        if not keys:
            # Strangers are not remembered: they could be anybody, and any number.
            return _NOBODY
        if len(self._keys) >= _MAX_REMEMBERED:
            self._keys.clear()
        self._keys[client_id] = keys
        return keys


def is_usable(state: RegistryState, stored: StoredObject) -> bool:
    """Say whether an object is ACTIVE, and the company that it belongs to."""
    if stored.state != "ACTIVE":
        return False
    company = None if stored.company is None else state.find("companies", stored.company)
    return stored.company is None or (company is not None and company.state == "ACTIVE")


def _usable_keys(state: RegistryState, client: StoredObject, client_id: str) -> Iterable[_Key]:
    tenant, kind = _tenant(state, client.fields)
    raw = None if tenant is None else parse_id(kind, tenant.id)
    if tenant is None or raw is None or not is_usable(state, tenant) or not is_usable(state, client):
        return
    networks = client.fields.get("ipAllowList")
    allowed = AllowList(networks) if networks else None
    must_sign = client.fields.get("signaturesRequired", False)
    rates = client.fields.get("rateLimit", {"read": 0, "write": 0})
    version = client.fields.get("defaultVersion", "")
    scopes = limits(client.fields.get("scopes", ()))
    for key in client.fields["keys"]:
        is_live = key["kind"] == "LIVE"
        found = Client(client_id, kind, raw, is_live, allowed, must_sign, rates["read"], rates["write"], version)
        yield _Key(bytes.fromhex(key["hash"]), found, key.get("expires"), scopes)


def _limited(client: Client, scopes: Scopes | None, key: _Key) -> Client:
    """Return the client of a token with these limits: they may be wider than what its client may have by now."""
    if scopes is None and key.scopes is None:
        return client
    called = _CALLED[client.tenant_kind]
    may_read, may_write = (
        has_scope(scopes, called, verb) and has_scope(key.scopes, called, verb) for verb in (READ, WRITE)
    )
    return client._replace(may_read=may_read, may_write=may_write)


def _tenant(state: RegistryState, fields: Mapping[str, Any]) -> tuple[StoredObject | None, Kind]:
    reference = fields["tenant"]
    return state.find(reference["type"], reference["id"]), TENANT_TYPES[reference["type"]]
