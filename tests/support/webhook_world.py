"""Everything that a deliverer needs, in memory: one partition that the real fold folds, and endpoints that answer."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from service.webhooks.deliverer import Deliverer, World
from service.webhooks.ports import EndpointNow
from service.webhooks.sender import Sent
from service.webhooks.signing import signed
from streams.codec import encode_webhook_event
from streams.domain import webhook_rows as layout
from streams.domain.errors import LogUnavailableError, ViewUnavailableError
from streams.domain.memory_rows import MemoryRows
from streams.domain.notices import Notice, NoticeType, event_id
from streams.domain.webhook_events import AnyWebhookEvent, DeliveryAttempted, DeliveryResent, Target
from streams.domain.webhook_rows import Delivery, Undecided
from streams.domain.webhooks import fold_notice, fold_webhook_event
from tests.support.tables import HASH_KEY, START_MS, app_of, context_id, session_id

SOURCE = "session-events-0"
LIMIT_S = 20.0
ADDED: NoticeType = "context.session.context_added"


class Call(NamedTuple):
    """One call of an endpoint."""

    endpoint: str
    event: str
    at_s: float
    body: bytes
    headers: Mapping[str, str]


@dataclass
class WebhookWorld:
    """Implements `Queues`, `Endpoints` and `Sender` of one deployment, whose URLs are the endpoints' ids."""

    targets: list[Target] = field(default_factory=list)
    of_app: dict[bytes, list[Target]] = field(default_factory=dict)
    """Those of apps that have others."""
    now_ms: int = START_MS
    rows_: MemoryRows = field(default_factory=MemoryRows)
    log: list[AnyWebhookEvent] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    answer: Callable[[str], Awaitable[Sent]] | None = None
    """What an endpoint answers; None: 204 at once."""
    here: bool = True
    away: int = 0
    """So many appends are in vain, which may have been written or not."""
    disabled: list[str] = field(default_factory=list)
    sealed: bool = False
    """Whether secrets cannot be read."""
    lagging: int = 0
    """So many times it cannot be told whether all is known of endpoints."""
    notices: int = 0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _called: asyncio.Event = field(default_factory=asyncio.Event)

    # What happens

    def happens(self, number: int = 0, *, context: int = 1, type_: NoticeType = ADDED, time_ms: int = -1) -> str:
        """Have something happen to a context; return its event's id."""
        offset = self.notices
        at = self.now_ms if time_ms < 0 else time_ms
        of = context_id(context)
        notice = Notice("session-events", session_id(1), offset, number, at, "req_1", app_of(of), type_, b'{"n":1}')
        id_ = event_id(HASH_KEY, SOURCE, offset, number)
        self.notices += 1
        fold_notice(self.rows_, Undecided(id_, SOURCE, of, notice), offset=offset)
        self.wake()
        return id_

    def resend(self, event: str, endpoint: str) -> None:
        self._fold(DeliveryResent(id="0" * 32, event=event, endpoint=endpoint))

    def later(self, ms: int) -> None:
        self.now_ms += ms
        self.wake()

    def delivery(self, event: str, endpoint: str) -> Delivery:
        found = layout.read_delivery(self.rows_, event, endpoint)
        assert found is not None
        return found[1]

    def called(self, endpoint: str) -> list[str]:
        return [call.event for call in self.calls if call.endpoint == endpoint]

    def attempts(self) -> list[DeliveryAttempted]:
        return [event for event in self.log if isinstance(event, DeliveryAttempted)]

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Return once something is so, asked after each call and each event."""
        async with asyncio.timeout(LIMIT_S):
            while not is_so():
                self._called.clear()
                await self._called.wait()

    def _fold(self, event: AnyWebhookEvent) -> None:
        fold_webhook_event(self.rows_, event, offset=len(self.log), time_ms=self.now_ms)
        self.log.append(event)
        self._called.set()
        self.wake()

    # Queues

    async def changed(self, limit_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._changed.wait()
        self._changed.clear()

    def wake(self) -> None:
        self._changed.set()

    async def ready(self) -> list[int]:
        return [3] if self.here else []

    def rows(self, partition: int) -> MemoryRows:
        assert partition == 3
        if not self.here:
            raise ViewUnavailableError
        return self.rows_

    async def erased(self) -> frozenset[str]:
        return frozenset()

    async def append(self, partition: int, event: AnyWebhookEvent) -> int:
        assert partition == 3
        await asyncio.sleep(0)
        encode_webhook_event(event)
        if self.away > 0:
            self.away -= 1
            if self.away % 2:
                self._fold(event)
            raise LogUnavailableError
        self._fold(event)
        return len(self.log) - 1

    async def folded(self, partition: int, offset: int, *, limit_s: float) -> None:
        assert (partition, offset < len(self.log), limit_s > 0) == (3, True, True)

    # Endpoints

    async def caught_up(self) -> None:
        await asyncio.sleep(0)
        if self.lagging > 0:
            self.lagging -= 1
            self._called.set()
            raise LogUnavailableError

    def of(self, app: bytes, type_: NoticeType) -> Sequence[Target]:
        del type_
        return self.of_app.get(app, self.targets)

    def find(self, endpoint: str) -> EndpointNow | None:
        secrets = [] if self.sealed else ["whsec_" + "c2VjcmV0" * 4]
        return None if endpoint in self.disabled else EndpointNow(endpoint, secrets)

    async def disable(self, endpoint: str, url: str) -> None:
        assert url == endpoint
        self.disabled.append(endpoint)

    # Sender

    async def send(self, url: str, body: bytes, headers: Mapping[str, str]) -> Sent:
        at_s = asyncio.get_running_loop().time()
        self.calls.append(Call(url, headers["webhook-id"].removeprefix("evt_"), at_s, body, headers))
        self._called.set()
        return Sent(204, None, 1, None) if self.answer is None else await self.answer(url)


def deliverer_of(world: WebhookWorld, seed: int = 0) -> Deliverer:
    """Return a deliverer, which does not run."""
    rng = random.Random(seed)
    return Deliverer(
        World(
            queues=world,
            endpoints=world,
            sender=world,
            sign=signed,
            entropy=rng.randbytes,
            chance=rng.random,
            now_ms=lambda: world.now_ms,
        )
    )


@asynccontextmanager
async def delivering(world: WebhookWorld) -> AsyncIterator[Deliverer]:
    """Run a deliverer."""
    deliverer = deliverer_of(world)
    task = asyncio.create_task(deliverer.run())
    try:
        yield deliverer
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def target(endpoint: str, *, ordered: bool = False) -> Target:
    return Target(endpoint=endpoint, version="2024-02-16", ordered=ordered)


def status(code: int, *, retry_after_s: float | None = None) -> Callable[[str], Awaitable[Sent]]:
    """Return an answer that is always the same."""

    async def answer(_endpoint: str) -> Sent:
        return Sent(code, None, 1, retry_after_s)

    return answer
