"""Sockets: bound before anything else is done, so that a port in use is known at once."""

from __future__ import annotations

import resource
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import structlog

from service.http.connection_limits import LIMITS, ConnectionLimits
from service.http.internal_connections import INTERNAL_LIMITS
from service.setting_kinds import Address
from service.settings import Settings
from streams.domain.errors import RefusedStartError

_FILES = 65_536
"""Files that a process has no use for more of."""


def connection_limits() -> ConnectionLimits:
    """
    Have the process open as many files as it may, and return what bounds clients' connections.

    They have half of the files, other nodes' and whoever watches over this one a quarter; the rest is left to tables
    and logs: one that could not open its files would end the process.
    """
    return LIMITS._replace(connections=min(LIMITS.connections, _files() // 2))


def internal_limits() -> ConnectionLimits:
    """Do the same for the internal listener's."""
    return INTERNAL_LIMITS._replace(connections=min(INTERNAL_LIMITS.connections, _files() // 4))


def _files() -> int:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = _FILES if hard == resource.RLIM_INFINITY else max(soft, min(hard, _FILES))
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    return files


@contextmanager
def bound(address: Address, name: str) -> Iterator[list[socket.socket]]:
    """
    Bind a socket for each address that the host has; none of them listens yet.

    Args:
        address: Where.
        name: Of the setting that says so.

    Raises:
        RefusedStartError: Somebody else is there, or there is no such address.
    """
    with ExitStack() as closing:
        try:
            sockets = [closing.enter_context(_bound(family, to)) for family, to in _resolved(address)]
        except OSError as error:
            raise port_refused(address, name, error) from error
        yield sockets


def port_refused(address: Address, name: str, error: OSError) -> RefusedStartError:
    """Return what to raise where nobody can listen at *address*."""
    reason = error.strerror or str(error)
    return RefusedStartError(
        f"Nothing can listen on {address} ({reason}): stop what does, or give another address with --{name}."
    )


def where(sockets: list[socket.socket]) -> Address:
    """Return where the first of *sockets* is bound: its port is never 0."""
    host, port, *_ = sockets[0].getsockname()
    return Address(host, port)


def public_url(settings: Settings, sockets: list[socket.socket]) -> str:
    """
    Return where clients find apps' media.

    Args:
        settings: The node's.
        sockets: The public ones; none where the node answers no clients.
    """
    if settings.public_url is not None:
        return settings.public_url
    if settings.listen.is_wildcard or not sockets:
        # Only the addresses of media are wrong then; who has none need not care.
        structlog.get_logger(__name__).warning("public_url_unknown", listen=str(settings.listen))
    return f"http://{where(sockets) if sockets else settings.listen}"


def _resolved(address: Address) -> Sequence[tuple[socket.AddressFamily, Any]]:
    """Return the families and addresses of the host, each once."""
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    # A free port for one of them need not be free for the next.
    return list(dict.fromkeys((info[0], info[4]) for info in found))[: None if address.port else 1]


def _bound(family: socket.AddressFamily, address: Any) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family is socket.AddressFamily.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)
        made.setblocking(False)
    except OSError:
        made.close()
        raise
    return made
