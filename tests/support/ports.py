"""Ports for what is started later, or again."""

from __future__ import annotations

import random
import socket

_RANGE = range(15_000, 30_000)
"""Below all that systems take by themselves, for connections and for whoever asks for any port: one that they take
would be gone when it is wanted."""
_given: set[int] = set()
_random = random.SystemRandom()


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on, and that was not returned before."""
    for port in _random.sample(_RANGE, len(_RANGE)):
        if port not in _given and _is_free(port):
            _given.add(port)
            return port
    msg = f"no port of {_RANGE} is free"
    raise AssertionError(msg)


def free_ports(count: int) -> list[int]:
    """Return several of them."""
    return [free_port() for _ in range(count)]


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
