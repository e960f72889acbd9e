"""When an event is sent again, and when never."""

from __future__ import annotations

from typing import NamedTuple

from service.webhooks.sender import Sent
from streams.domain.webhook_events import Status

MOST_TRIES = 15
SPAN_MS = 72 * 3600 * 1000
"""After so long nothing is tried again."""
_FIRST_MS, _FACTOR, _LONGEST_MS = 5_000, 2.5, 14 * 3600 * 1000
"""5 s, 12.5 s, 31 s, … 5.3 h, then every 14 h: 65 h in all, and with jitter 71 h at most."""
_JITTER = 0.1
GONE = 410


class Outcome(NamedTuple):
    """What an attempt makes of a delivery."""

    status: Status
    again_ms: int
    """When it is sent again, in epoch milliseconds, where it is PENDING."""


def judge(sent: Sent, *, tries: int, since_ms: int, now_ms: int, chance: float) -> Outcome:
    """
    Say what becomes of a delivery.

    Args:
        sent: What came of sending.
        tries: How often it was sent, this time included.
        since_ms: When it was due for the first time.
        now_ms: The time.
        chance: From 0 up to 1, at random.
    """
    if sent.status is not None and 200 <= sent.status <= 299:
        return Outcome("DELIVERED", 0)
    end_ms = since_ms + SPAN_MS
    if sent.status == GONE or tries >= MOST_TRIES or now_ms >= end_ms:
        return Outcome("FAILED", 0)
    pause_ms = pause(tries, chance)
    if sent.retry_after_s is not None:
        pause_ms = max(pause_ms, int(sent.retry_after_s * 1000))
    # The last attempt is at the end, however long an endpoint wants to be left alone.
    return Outcome("PENDING", min(now_ms + pause_ms, end_ms))


def pause(tries: int, chance: float) -> int:
    """Return how long to wait after so many attempts, in milliseconds; *chance* is from 0 up to 1."""
    nominal_ms = min(_FIRST_MS * _FACTOR ** (tries - 1), _LONGEST_MS)
    return int(nominal_ms * (1 + _JITTER * (2 * chance - 1)))
