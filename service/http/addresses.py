"""Where requests come from."""

from __future__ import annotations

from collections.abc import Sequence

from service.networks import Network, parse_address


def client_address(remote: str | None, forwarded: Sequence[str], proxies: Sequence[Network]) -> str | None:
    """
    Return the address that a request comes from.

    What a header says of it counts only where a proxy that is trusted has written it, and no further back than the
    first that is not: everything before that is the client's own word.

    Args:
        remote: The connection's other end.
        forwarded: The lines of `X-Forwarded-For`.
        proxies: Whose word is taken.
    """
    address = remote
    said = [part.strip() for line in forwarded for part in line.split(",")]
    while said and _is_in(address, proxies):
        earlier = parse_address(said.pop())
        if earlier is None:
            break
        address = str(earlier)
    return address


def _is_in(address: str | None, networks: Sequence[Network]) -> bool:
    found = parse_address(address or "")
    return found is not None and any(found in network for network in networks)
