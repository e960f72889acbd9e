"""A receiver of events for people who write one: it verifies both signatures, and says what has come."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from aiohttp import web

from service.webhooks.signing import BadSignatureError, verify_paket, verify_standard

_MOST_BYTES = 1 << 20
_BAD_STATUS = 400
_MOST_MS = 253_402_300_800_000
"""The year 10000, which no event is of."""


class Received(NamedTuple):
    """What has come; texts are as the sender has them."""

    event_id: str
    event_type: str
    created_ms: int | None
    """None: it does not say."""
    fault: str | None
    """What is wrong with it; None: both signatures are good."""
    body: bytes


@dataclass(frozen=True)
class Receiver:
    """What answers the sender."""

    secret: str
    """The endpoint's, as it was shown."""
    tell: Callable[[Received], None]
    status: int = 200
    """Of the answer to what is signed well; what is not is answered 400."""
    delay_s: float = 0.0
    """For how long the answer is held back."""
    now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000

    def app(self) -> web.Application:
        """Return the application: a POST to any path is an event."""
        app = web.Application(client_max_size=_MOST_BYTES)
        app.router.add_post("/{path:.*}", self._receive)
        return app

    async def _receive(self, request: web.Request) -> web.Response:
        received = read(request.headers, await request.read(), self.secret, self.now_ms())
        self.tell(received)
        await asyncio.sleep(self.delay_s)
        return web.Response(status=self.status if received.fault is None else _BAD_STATUS)


def read(headers: Mapping[str, str], body: bytes, secret: str, now_ms: int) -> Received:
    """Return what has come, and whether it is from who knows the secret."""
    event = _event(body)
    event_id, created = str(event.get("id", "")), event.get("created")
    return Received(
        event_id,
        str(event.get("type", "")),
        created if type(created) is int and 0 <= created < _MOST_MS else None,
        _fault(headers, body, secret, event_id, now_ms),
        body,
    )


def _fault(headers: Mapping[str, str], body: bytes, secret: str, event_id: str, now_ms: int) -> str | None:
    try:
        verify_paket(headers, body, secret, now_ms)
        verify_standard(headers, body, secret, now_ms)
    except BadSignatureError as error:
        return str(error)
    return None if headers["webhook-id"] == event_id else "webhook-id is not the event's"


def _event(body: bytes) -> dict[str, Any]:
    try:
        event = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return event if isinstance(event, dict) else {}
