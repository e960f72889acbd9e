"""What a connection may take of time and memory, and all of them together."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class ConnectionLimits(NamedTuple):
    """What bounds connections."""

    head_s: float = 8.0
    """From the first byte of a request to the end of its head."""
    idle_s: float = 75.0
    """A connection on which no request begins for so long is closed."""
    linger_s: float = 5.0
    """For so long the rest of a body that was refused is read and thrown away, so that the client reads the answer."""
    write_s: float = 30.0
    """A client that does not take what it is sent for so long is cut off."""
    kernel_bytes: int = 256 << 10
    """So much of an answer, or twice as much, the system takes for a client that does not; by itself it takes 4 MiB."""
    unsent_bytes: int = 64 << 20
    """Of answers that clients do not take: where it is more, who has waited longest is cut off."""
    connections: int = 4_096
    """On those beyond, every request is a 503."""
    line_bytes: int = 8_190
    """Of a request's first line, its path with the query."""
    headers: int = 100
    """Of a request."""


LIMITS = ConnectionLimits()


class Waiting(Protocol):
    """A connection whose client does not take what it is sent."""

    def cut_off(self, reason: str) -> None:
        """End it, and throw away what was not sent."""


class Unsent:
    """Bounds what is kept for clients that do not take it."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._sizes: dict[Waiting, int] = {}
        """Who waits → what is kept for it; the first has waited longest."""
        self.total_bytes = 0

    def add(self, connection: Waiting, size_bytes: int) -> None:
        """Count what is kept for one more, and cut off who has waited longest where it is too much."""
        self._sizes[connection] = size_bytes
        self.total_bytes += size_bytes
        while self.total_bytes > self._most_bytes:
            longest = next(iter(self._sizes))
            self.forget(longest)
            longest.cut_off("unsent")

    def forget(self, connection: Waiting) -> None:
        """Count a connection no more: its client has taken it all, or is gone."""
        self.total_bytes -= self._sizes.pop(connection, 0)
