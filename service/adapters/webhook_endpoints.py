"""The webhook endpoints that the registry has, as deliveries need them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import structlog

from service.adapters.tenants import is_usable
from service.adapters.vault import BrokenSealError, Vault
from service.api.webhook_endpoints import SECRET_PURPOSE
from service.http.versions.known import VERSIONS
from service.webhooks.ports import EndpointNow
from streams.domain.errors import LogUnavailableError
from streams.domain.ids import Kind, id_text
from streams.domain.notices import NoticeType
from streams.domain.registry import Applied, Verdict
from streams.domain.registry_events import ObjectWrite, Transaction
from streams.domain.registry_state import RegistryState, StoredObject
from streams.domain.times import iso_ms
from streams.domain.webhook_events import Target

_TYPE = "webhookendpoints"
_TOLD = ("webhook targets", None)
_USER = "service"
_Told = tuple[frozenset[str], Target]
"""The types of events that an endpoint hears of, none: all; and the endpoint."""
MOST = 2_000
"""Endpoints that hear of one event; who has more has some left out."""


class Registry(Protocol):
    """The node's registry, as deliveries need it."""

    @property
    def state(self) -> RegistryState:
        """Every object as the node has it now."""

    async def catch_up(self) -> None:
        """Return when all is folded that the log held at the call; raise `LogUnavailableError` where it is not soon."""

    async def transact(self, transaction: Transaction) -> Verdict:
        """Append *transaction*; return what its fold made of it."""


class RegistryEndpoints:
    """`service.webhooks.ports.Endpoints` over the registry."""

    def __init__(
        self, registry: Registry, vault: Vault, now_ms: Callable[[], int], entropy: Callable[[int], bytes]
    ) -> None:
        """Take the registry, what opens secrets, the time, and randomness for the ids of transactions."""
        self._registry, self._vault, self._now_ms, self._entropy = registry, vault, now_ms, entropy
        self._logger = structlog.get_logger(__name__)

    async def caught_up(self) -> None:
        """Return once all is known here that was configured before the call."""
        await self._registry.catch_up()

    def of(self, app: bytes, type_: NoticeType) -> Sequence[Target]:
        """Return the endpoints that hear of what happens to an app's contexts; ACTIVE ones of ACTIVE clients."""
        state = self._registry.state
        told = state.remembered(_TOLD, lambda: _by_app(state))
        found = [target for types, target in told.get(id_text(Kind.APP, app), ()) if not types or type_ in types]
        if len(found) > MOST:
            self._logger.error("webhook_endpoints_left_out", app=id_text(Kind.APP, app), count=len(found) - MOST)
        return found[:MOST]

    def find(self, endpoint: str) -> EndpointNow | None:
        """Return an endpoint, None where nothing is sent to it any more."""
        state = self._registry.state
        stored = state.find(_TYPE, endpoint)
        client = None if stored is None else _client(state, stored)
        if stored is None or client is None or not is_usable(state, stored) or _app_of(state, client) is None:
            return None
        rolled = stored.fields.get("rolled")
        sealed = [stored.fields["secret"]]
        if rolled is not None and rolled["expires"] > iso_ms(self._now_ms()):
            sealed.append(rolled["secret"])
        try:
            secrets = [self._vault.open(one, SECRET_PURPOSE) for one in sealed]
        except BrokenSealError:
            self._logger.exception("webhook_secret_broken", endpoint=endpoint)
            secrets = []
        return EndpointNow(stored.fields["endpointUrl"], secrets)

    async def disable(self, endpoint: str, url: str) -> None:
        """Have an endpoint that is still at *url* be INACTIVE; where that cannot be now, another time will do."""
        stored = self._registry.state.find(_TYPE, endpoint)
        if stored is None or stored.state != "ACTIVE" or stored.fields["endpointUrl"] != url:
            return
        write = ObjectWrite(
            type=_TYPE,
            id=stored.id,
            version=stored.version,
            company=stored.company,
            partners=stored.partners,
            name=stored.name,
            state="INACTIVE",
            fields=dict(stored.fields),
            unique=stored.unique,
        )
        try:
            verdict = await self._registry.transact(
                Transaction(id=self._entropy(16).hex(), user=_USER, objects=(write,))
            )
        except LogUnavailableError:
            return
        if not isinstance(verdict, Applied):
            return  # somebody has changed it meanwhile
        self._logger.warning("webhook_endpoint_disabled", endpoint=endpoint, reason="it answered 410")


def _by_app(state: RegistryState) -> Mapping[str, list[_Told]]:
    """Return the endpoints of each app that are told anything, and what of."""
    found: dict[str, list[_Told]] = {}
    for endpoint in state.ordered(_TYPE, None):
        client = _client(state, endpoint)
        app = None if client is None else _app_of(state, client)
        if client is not None and app is not None and is_usable(state, endpoint):
            target = Target(
                endpoint=endpoint.id,
                version=client.fields.get("defaultVersion") or VERSIONS.first.name,
                ordered=bool(endpoint.fields.get("ordered")),
            )
            found.setdefault(app, []).append((frozenset(endpoint.fields.get("eventTypes") or ()), target))
    return found


def _client(state: RegistryState, endpoint: StoredObject) -> StoredObject | None:
    return state.find("clients", endpoint.fields["client"]["id"])


def _app_of(state: RegistryState, client: StoredObject) -> str | None:
    """Return the app that a client hears of, None where it hears of none."""
    tenant: Mapping[str, Any] = client.fields["tenant"]
    app = state.find("apps", tenant["id"]) if tenant["type"] == "apps" and is_usable(state, client) else None
    return app.id if app is not None and is_usable(state, app) else None
