"""What the deliveries of webhooks need of the world. `streams.node` and adapters provide it; tests hand in fakes."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple, Protocol

from streams.domain.notices import NoticeType
from streams.domain.rows import Rows
from streams.domain.webhook_events import AnyWebhookEvent, Target


class Queues(Protocol):
    """The partitions of the webhooks table that are this node's."""

    async def changed(self, limit_s: float) -> None:
        """Return once rows were written, or somebody wakes; after *limit_s* at the latest."""

    def wake(self) -> None:
        """Have `changed` return."""

    async def ready(self) -> list[int]:
        """Return the partitions that are this node's to send; raise `LogUnavailableError` where that is not known."""

    def rows(self, partition: int) -> Rows:
        """Return a partition's rows, good until the caller waits; raise `ViewUnavailableError` where it is not here."""

    async def erased(self) -> AbstractSet[str]:
        """Return the ids of contexts and sessions of which nothing is to be shown; raise `LogUnavailableError`."""

    async def append(self, partition: int, event: AnyWebhookEvent) -> int:
        """
        Append an event; return its offset.

        Raises:
            LogUnavailableError: The outcome is unknown.
            PoisonError: The event breaks the rules of its type; nothing was written.
        """

    async def folded(self, partition: int, offset: int, *, limit_s: float) -> None:
        """Return once the event at an offset is folded; raise `ViewBehindError` or `ViewUnavailableError` if not."""


class EndpointNow(NamedTuple):
    """A webhook endpoint as it is configured."""

    url: str
    secrets: Sequence[str]
    """
    What events are signed with: the newest first, then one that was rolled less than 24 h ago; none: they cannot be
    read.
    """


class Endpoints(Protocol):
    """The webhook endpoints of the deployment."""

    async def caught_up(self) -> None:
        """Return once all is known that was configured before the call; raise `LogUnavailableError` if not soon."""

    def of(self, app: bytes, type_: NoticeType) -> Sequence[Target]:
        """Return the endpoints that hear of what happens to an app's contexts; ACTIVE ones of ACTIVE clients."""

    def find(self, endpoint: str) -> EndpointNow | None:
        """Return an endpoint, None where nothing is sent to it any more."""

    async def disable(self, endpoint: str, url: str) -> None:
        """Have an endpoint be INACTIVE, for it says that it is gone; where that cannot be now, another time will do."""


class Sign(Protocol):
    """Signs what is sent."""

    def __call__(self, event_id: str, body: bytes, secrets: Sequence[str], now_ms: int) -> dict[str, str]:
        """Return the headers that let the receiver know who sends."""
