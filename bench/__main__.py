"""Run the benchmarks: `python -m bench [NAME…]`. Prints the table and writes it as JSON."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from bench import folding, http
from bench.figures import Figure, save, table

Benchmark = Callable[[Path], Awaitable[list[Figure]]]

ALL: dict[str, Benchmark] = {
    "put": http.put_beside_a_folding_node,
    "put-kafka": lambda directory: http.put_in_one_process(directory, "kafka"),
    "put-embedded": lambda directory: http.put_in_one_process(directory, "embedded"),
    "visible-kafka": lambda directory: http.visible(directory, "kafka"),
    "visible-embedded": lambda directory: http.visible(directory, "embedded"),
    "fold": folding.fold_and_recover,
    "disk": folding.disk,
    "page": http.page,
}


async def _run(names: list[str]) -> list[Figure]:
    figures = []
    for name in names:
        print(f"{name} …", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix=f"upnext-bench-{name}-") as directory:
            figures += await ALL[name](Path(directory))
    return figures


def main() -> int:
    """Run the benchmarks named on the command line, or all; exit status 1 where a bound was missed."""
    names = sys.argv[1:] or list(ALL)
    if unknown := [name for name in names if name not in ALL]:
        print(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(ALL)}", file=sys.stderr)
        return 2
    figures = asyncio.run(_run(names))
    print(table(figures))
    print(f"\nwritten to {save(figures)}", file=sys.stderr)
    return 1 if any(figure.holds is False for figure in figures) else 0


if __name__ == "__main__":
    sys.exit(main())
