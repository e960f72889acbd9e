"""Randomness for ids, drawn from the system ahead of its use."""

from __future__ import annotations

import os
from collections.abc import Callable

_AT_ONCE = 4_096


class DrawnAhead:
    """
    Random bytes of the system's own, drawn a few hundred ids' worth at a time; none is given out twice.

    Asking the system for 8 bytes takes as long as making the rest of an id.
    """

    def __init__(self, source: Callable[[int], bytes] = os.urandom) -> None:
        """Take what is drawn from."""
        self._source = source
        self._drawn = b""
        self._used = 0

    def __call__(self, count: int) -> bytes:
        """Return *count* random bytes."""
        begin, end = self._used, self._used + count
        if end > len(self._drawn):
            self._drawn = self._source(max(count, _AT_ONCE))
            begin, end = 0, count
        self._used = end
        return self._drawn[begin:end]
