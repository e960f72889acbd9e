"""Who causes an event."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, NotRequired, TypedDict

from msgspec import UNSET, UnsetType

from service.commands.keyed import Keyed
from service.ports import Client
from streams.domain.ids import IdKeys, Kind, Mode, id_text


class Cause(TypedDict):
    """What every event says of where it comes from."""

    id: str
    client: str
    request: str
    idempotency_key: NotRequired[str | UnsetType]


def mode_of(client: Client) -> Mode:
    """Return the mode of the ids that *client* makes and uses."""
    return Mode.LIVE if client.live else Mode.TEST


def tenant_text(client: Client) -> str:
    """Return the id of the client's tenant as events bear it."""
    return id_text(client.tenant_kind, client.tenant)


class Caller(NamedTuple):
    """A client, and the request that it makes."""

    client: Client
    request_id: str
    keyed: Keyed | None = None

    @property
    def mode(self) -> Mode:
        """The mode of the ids that the client makes and uses."""
        return mode_of(self.client)

    @property
    def idempotency_key(self) -> str | UnsetType:
        """The request's, as events bear it."""
        return UNSET if self.keyed is None else self.keyed.key

    def event_id(self, entropy: Callable[[int], bytes], number: int = 0) -> str:
        """Return an id for the request's event of that number; a random one, where it has no idempotency key."""
        return entropy(16).hex() if self.keyed is None else self.keyed.event_id(number)

    def cause(self, entropy: Callable[[int], bytes], number: int = 0) -> Cause:
        """Return what the request's event of that number says of its cause."""
        return Cause(
            id=self.event_id(entropy, number),
            client=self.client.client_id,
            request=self.request_id,
            idempotency_key=self.idempotency_key,
        )

    def mint(self, ids: IdKeys, kind: Kind, now_s: Callable[[], int], entropy: Callable[[int], bytes]) -> bytes:
        """Return a raw id for what the request makes, of the caller's tenant; the same one for the same key."""
        made_s, drawn = (now_s(), entropy(7)) if self.keyed is None else (self.keyed.made_s, self.keyed.entropy)
        return ids.mint(kind, self.mode, self.client.tenant, now_s=made_s, entropy=drawn)
