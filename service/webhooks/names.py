"""What hosts' names lead to."""

from __future__ import annotations

import socket
from functools import partial

from aiohttp.abc import AbstractResolver, ResolveResult

from service.adapters.threads import OwnThreads

THREADS = 256
"""So many names are looked up at a time. One that nobody answers for takes the system some ten seconds."""
_FAMILIES = (socket.AF_INET, socket.AF_INET6)


class SystemNames(AbstractResolver):
    """
    Asks the system, in threads of its own.

    The event loop has a handful that all else waits for too: names that nobody answers for would take every one.
    """

    def __init__(self) -> None:
        self._threads = OwnThreads(THREADS, "names")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of a host; raise `OSError` where there are none."""
        look = partial(socket.getaddrinfo, host, port, family, socket.SOCK_STREAM, 0, socket.AI_ADDRCONFIG)
        found = await self._threads.run(look)
        return [
            ResolveResult(
                hostname=host,
                host=str(where[0]),
                port=port,
                family=kind,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, protocol, _, where in found
            if kind in _FAMILIES
        ]

    async def close(self) -> None:
        """Nothing is kept."""
