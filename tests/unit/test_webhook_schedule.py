"""When an event is sent again, and when never."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.webhooks.schedule import MOST_TRIES, SPAN_MS, Outcome, judge, pause
from service.webhooks.sender import Sent


def outcome(status: int | None, *, tries: int = 1, now_ms: int = 0, retry_after_s: float | None = None) -> Outcome:
    return judge(Sent(status, None, 1, retry_after_s), tries=tries, since_ms=0, now_ms=now_ms, chance=0.5)


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_it_has_arrived(status: int) -> None:
    """Any 2xx, whenever it comes."""
    assert outcome(status, tries=MOST_TRIES, now_ms=SPAN_MS) == Outcome("DELIVERED", 0)


@pytest.mark.parametrize("status", [None, 101, 301, 400, 404, 429, 500, 503])
def test_it_is_tried_again(status: int | None) -> None:
    """A redirect too, which nobody follows."""
    assert outcome(status) == Outcome("PENDING", 5_000)
    assert outcome(status, tries=MOST_TRIES) == Outcome("FAILED", 0)
    assert outcome(status, now_ms=SPAN_MS) == Outcome("FAILED", 0)


def test_it_is_gone() -> None:
    """Nothing is sent there again."""
    assert outcome(410) == Outcome("FAILED", 0)


def test_retry_after() -> None:
    """It counts where it is longer, up to the end."""
    assert outcome(503, retry_after_s=1.0).again_ms == 5_000
    assert outcome(503, retry_after_s=60.0, now_ms=10).again_ms == 60_010
    assert outcome(503, retry_after_s=1e9).again_ms == SPAN_MS


@given(st.lists(st.floats(0, 1, exclude_max=True), min_size=MOST_TRIES - 1, max_size=MOST_TRIES - 1))
def test_all_attempts_are_within_three_days(chances: list[float]) -> None:
    """And each pause is about 2.5 times the one before, up to 14 hours."""
    pauses = [pause(n, chance) for n, chance in enumerate(chances, 1)]
    assert sum(pauses) < SPAN_MS
    assert pauses[0] >= 4_500
    assert pauses[-1] >= 12.6 * 3_600_000
