"""A start waits for a log that is away for a moment, wherever in the start that is."""

from __future__ import annotations

import asyncio

import pytest

from streams.domain.errors import LogUnavailableError, RefusedStartError
from streams.log.patience import until_answered


class Log:
    """Answers when it was asked so many times."""

    def __init__(self, away: int, error: type[Exception] = LogUnavailableError) -> None:
        self.asked, self._away, self._error = 0, away, error

    async def ask(self) -> None:
        self.asked += 1
        if self.asked <= self._away:
            raise self._error("away")


async def test_it_is_asked_until_it_answers() -> None:
    """And no more."""
    log = Log(2)
    await until_answered(log.ask, end_s=asyncio.get_running_loop().time() + 60)
    assert log.asked == 3


async def test_it_is_given_up_in_the_end() -> None:
    """What is raised then says why, in its own words; it was asked once in any case."""
    log = Log(2)
    with pytest.raises(LogUnavailableError, match="away"):
        await until_answered(log.ask, end_s=0)
    assert log.asked == 1


async def test_what_waiting_does_not_mend_is_raised_at_once() -> None:
    """As a topic that is not as it should be."""
    log = Log(1, RefusedStartError)
    with pytest.raises(RefusedStartError):
        await until_answered(log.ask, end_s=asyncio.get_running_loop().time() + 60)
    assert log.asked == 1
