"""Who causes an event."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple, TypedDict

from service.ports import Client
from streams.domain.ids import Mode, id_text


class Cause(TypedDict):
    """What every event says of where it comes from."""

    id: str
    client: str
    request: str


def mode_of(client: Client) -> Mode:
    """Return the mode of the ids that *client* makes and uses."""
    return Mode.LIVE if client.live else Mode.TEST


@lru_cache(maxsize=4096)
def tenant_text(client: Client) -> str:
    """Return the id of the client's tenant as events bear it."""
    return id_text(client.tenant_kind, client.tenant)


class Caller(NamedTuple):
    """A client, and the request that it makes."""

    client: Client
    request_id: str

    @property
    def mode(self) -> Mode:
        """The mode of the ids that the client makes and uses."""
        return mode_of(self.client)

    def cause(self, event_id: str) -> Cause:
        """Return what an event with this id says of its cause."""
        return Cause(id=event_id, client=self.client.client_id, request=self.request_id)
