"""Nonces of signatures, remembered for as long as the signature could be good again."""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b
from typing import NamedTuple

MOST = 100_000
"""Nonces on one node, in about 30 MB."""


class _Seen(NamedTuple):
    client_id: str
    created_s: int
    until_s: int


class Nonces:
    """
    The nonces that were shown to this node.

    They are bounded, and nothing is let in twice for that: where one must be forgotten too early, whatever its client
    signed no later is refused from then on, for it may have been seen. So many nonces narrow the tolerance.
    """

    def __init__(self, tolerance_s: int, most: int = MOST) -> None:
        """
        Take how long they count.

        Args:
            tolerance_s: By so much a signature may be older or newer than the node's clock.
            most: So many are remembered at once.
        """
        self._remembered_s, self._most = 2 * tolerance_s, most
        self._seen: OrderedDict[bytes, _Seen] = OrderedDict()
        self._floors: dict[str, int] = {}
        """By client: what was signed no later than this may have been seen. No more than there are clients."""

    def __len__(self) -> int:
        """Return how many are remembered."""
        return len(self._seen)

    def take(self, client_id: str, nonce: str, created_s: int, now_s: int) -> bool:
        """Remember a nonce; say whether it is certain that the client has not shown it before."""
        self._forget(now_s)
        key = blake2b(f"{client_id}\0{nonce}".encode(), digest_size=16).digest()
        if key in self._seen or created_s <= self._floors.get(client_id, -1):
            return False
        if len(self._seen) >= self._most:
            _, oldest = self._seen.popitem(last=False)
            self._floors[oldest.client_id] = max(self._floors.get(oldest.client_id, -1), oldest.created_s)
        # One from a clock that is ahead is good for up to twice the tolerance.
        self._seen[key] = _Seen(client_id, created_s, now_s + self._remembered_s)
        return True

    def _forget(self, now_s: int) -> None:
        while self._seen:
            key = next(iter(self._seen))
            if self._seen[key].until_s >= now_s:
                return
            del self._seen[key]
