"""Tasks that nobody waits for: they end the process, or they go on."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from streams.engine.fatal import begin


async def test_a_task_that_fails_ends_the_process() -> None:
    """With its name and the error: half a node is worse than none."""
    told: list[str] = []

    async def fail() -> None:
        raise ValueError("seven")

    task = begin(fail(), "the trimmer", told.append)  # type: ignore[arg-type]
    await asyncio.wait([task])
    await asyncio.sleep(0)
    assert told == ["the trimmer failed: ValueError('seven')"]


async def test_a_task_that_is_cancelled_does_not() -> None:
    """That is how it is stopped."""
    told: list[str] = []
    task = begin(asyncio.Event().wait(), "the trimmer", told.append)  # type: ignore[arg-type]
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert told == []
