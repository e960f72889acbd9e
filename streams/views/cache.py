"""A bounded cache: what was used last stays."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Cache(Generic[K, V]):
    """Keys → values, up to so many bytes of them; what was not used for longest goes first."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._values: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self.bytes = 0
        """What the values take, as their owners reckon."""

    def get(self, key: K) -> V | None:
        """Return the value of *key*, None where there is none."""
        found = self._values.get(key)
        if found is None:
            return None
        self._values.move_to_end(key)
        return found[0]

    def put(self, key: K, value: V, size: int) -> None:
        """Keep *value*, which takes *size* bytes, in place of the one before."""
        self.drop(key)
        self._values[key] = value, size
        self.bytes += size
        while self.bytes > self._max_bytes:
            _, (_, oldest) = self._values.popitem(last=False)
            self.bytes -= oldest

    def drop(self, key: K) -> None:
        """Forget *key*."""
        found = self._values.pop(key, None)
        if found is not None:
            self.bytes -= found[1]
