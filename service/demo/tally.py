"""What was done, counted for the last line."""

from __future__ import annotations

from collections import Counter
from statistics import median

from service.demo.viewing import Act, Hide, Put, Remove


class Tally:
    """Counts writes by kind, and how long each took to be written and read back."""

    def __init__(self) -> None:
        self._kinds: Counter[str] = Counter()
        self._took_ms: list[float] = []

    def add(self, act: Act, took_ms: float) -> None:
        """Count *act*."""
        match act:
            case Put():
                self._kinds["put"] += 1
            case Remove():
                self._kinds["removed"] += 1
            case Hide(hidden=hidden):
                self._kinds["hidden" if hidden else "shown again"] += 1
        self._took_ms.append(took_ms)

    def summary(self, seconds: float, repeats: int) -> str:
        """Return it all in one line; *repeats* is how many calls were made again."""
        if not self._took_ms:
            return "Nothing was written."
        kinds = ", ".join(f"{count} {kind}" for kind, count in self._kinds.most_common())
        again = f" {repeats} calls were made again while the node was away." if repeats else ""
        return (
            f"{len(self._took_ms)} writes in {seconds:.0f} s: {kinds}. From a write to a list that has seen it: "
            f"{median(self._took_ms):.0f} ms (median), at most {max(self._took_ms):.0f} ms.{again}"
        )
