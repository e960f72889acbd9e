"""Passwords: argon2id, in threads of its own, so few that logins never take the machine from the lists."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import argon2
from argon2.exceptions import Argon2Error, InvalidHashError

from streams.domain.errors import OverloadedError

WORKERS = 2
MOST_WAITING = 32
"""At 50 ms each and two at a time, the last of them waits for less than a second."""

T = TypeVar("T")


class Cost(NamedTuple):
    """
    What one hash costs.

    Source:
        OWASP Password Storage Cheat Sheet: argon2id with 19 MiB, 2 passes, 1 lane. Measured: 46 ms on one core.
    """

    memory_kib: int = 19_456
    passes: int = 2
    lanes: int = 1


class PasswordPool:
    """`service.api.ports.Passwords` on argon2, which lets go of the interpreter while it works."""

    def __init__(self, cost: Cost | None = None) -> None:
        """Take what a hash costs; tests take a cheap one."""
        cost = cost or Cost()
        self._hasher = argon2.PasswordHasher(
            time_cost=cost.passes, memory_cost=cost.memory_kib, parallelism=cost.lanes, type=argon2.Type.ID
        )
        # Nobody's password: what is shown for an unknown user is compared with it, at the same cost.
        self._nobody = self._hasher.hash("")
        self._threads = ThreadPoolExecutor(WORKERS, thread_name_prefix="passwords")
        self._waiting = 0

    async def hash(self, password: str) -> str:
        """Return what to store of a password; raise `OverloadedError` where too many wait already."""
        return await self._run(lambda: self._hasher.hash(password))

    async def verify(self, stored: str | None, password: str) -> bool:
        """
        Say whether this is the password that *stored* was made of; with None it is not, after the same work.

        Raises:
            OverloadedError: Too many wait already.
        """
        return await self._run(lambda: self._verify(stored or self._nobody, password)) and stored is not None

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (Argon2Error, InvalidHashError):
            return False

    async def _run(self, work: Callable[[], T]) -> T:
        if self._waiting >= MOST_WAITING:
            raise OverloadedError("too many passwords are being checked")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """End the threads once they are done with what they have begun."""
        self._threads.shutdown(cancel_futures=True)
