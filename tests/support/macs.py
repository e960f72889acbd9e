"""What signs with clients' secrets, as long as it is in memory."""

from __future__ import annotations

import gc
from collections.abc import Callable

from service.macs import Mac


def new_macs() -> Callable[[], int]:
    """Return what counts those that are there and were not when this was called."""
    before = _macs()

    def count() -> int:
        return sum(all(one is not other for other in before) for one in _macs())

    return count


def _macs() -> list[Mac]:
    gc.collect()
    return [held for held in gc.get_objects() if isinstance(held, Mac)]
