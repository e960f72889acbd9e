"""What can wait for a log that does not answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from streams.domain.errors import LogUnavailableError

AGAIN_S = 0.2


async def until_answered(ask: Callable[[], Awaitable[None]], *, end_s: float) -> None:
    """
    Have *ask* done: again and again while the log does not answer, for it may be away for a moment.

    Args:
        ask: What to do; it may have been begun before.
        end_s: When it is given up, by the loop's clock.

    Raises:
        LogUnavailableError: The log did not answer by then.
    """
    loop = asyncio.get_running_loop()
    while True:
        try:
            await ask()
        except LogUnavailableError:
            if loop.time() > end_s:
                raise
        else:
            return
        await asyncio.sleep(AGAIN_S)
