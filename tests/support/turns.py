"""Whether others have their turn while something is under way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable


async def turns_of_others(doing: Awaitable[object]) -> int:
    """Return how many turns another task has until *doing* is done; raise what that raises."""
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(other())
    try:
        await doing
    finally:
        counting.cancel()
    return turns
