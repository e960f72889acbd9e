"""The end of the process: at once, with one clear last line."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, NoReturn

Die = Callable[[str], NoReturn]
"""Ends the process with a reason. Never returns: nothing after a bug may be committed."""

EXIT_STATUS = 70


def die(reason: str) -> NoReturn:
    """Print *reason* as the last line of standard error and end the process with status 70."""
    try:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
        sys.stderr.write(f"upnext: fatal: {reason}\n")
        sys.stderr.flush()
    finally:
        # Nobody may be left to read it: the end comes all the same.
        os._exit(EXIT_STATUS)


def begin(work: Coroutine[Any, Any, None], name: str, die: Die) -> asyncio.Task[None]:
    """Begin a task that goes on until it is cancelled; one that fails ends the process, for nobody waits for it."""

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            die(f"{name} failed: {error!r}")

    task = asyncio.create_task(work, name=name)
    task.add_done_callback(ended)
    return task
