"""Run the benchmarks: `python -m bench [--small] [NAME…]`. Prints the table and writes it as JSON."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from bench import disk, extras, fold, page, put, rebuild, registry, signed, visible
from bench.figures import Figure, save, table
from bench.sizes import FULL, SMALL, Sizes

Benchmark = Callable[[Path, Sizes], Awaitable[list[Figure]]]

ALL: dict[str, Benchmark] = {
    "put": put.beside_bare,
    "put-kafka": partial(put.in_one_process, log="kafka"),
    "put-embedded": partial(put.in_one_process, log="embedded"),
    "page": page.page,
    "extras": extras.extras,
    "signed": signed.signed,
    "fold": fold.fold_and_recover,
    "rebuild": rebuild.rebuild,
    "visible-kafka": partial(visible.visible, log="kafka"),
    "visible-embedded": partial(visible.visible, log="embedded"),
    "disk": disk.disk,
    "registry": registry.large,
    "registry-changes": registry.changes,
}


async def _run(names: list[str], sizes: Sizes) -> tuple[list[Figure], list[str]]:
    """Return the figures, and the names of the benchmarks that failed: the others are worth having all the same."""
    figures, failed = [], []
    for name in names:
        print(f"{name} …", end=" ", file=sys.stderr, flush=True)
        began = time.perf_counter()
        try:
            with tempfile.TemporaryDirectory(prefix=f"upnext-bench-{name}-") as directory:
                figures += await ALL[name](Path(directory), sizes)
        except Exception:  # noqa: BLE001 - whatever it is, it is shown, and the run fails
            traceback.print_exc()
            failed.append(name)
        print(f"{time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    return figures, failed


def main() -> int:
    """Run the benchmarks named on the command line, or all; exit status 1 where one failed or a bound was missed."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"what to measure, all by default: {', '.join(ALL)}")
    parser.add_argument("--small", action="store_true", help="do little, to see that it works: the figures say nothing")
    given = parser.parse_args()
    if unknown := [name for name in given.names if name not in ALL]:
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(ALL)}")
    # As Ctrl-C does: the nodes and brokers that were started are ended too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    figures, failed = asyncio.run(_run(given.names or list(ALL), SMALL if given.small else FULL))
    print(table(figures))
    print(f"\nwritten to {save(figures, 'small.json' if given.small else 'latest.json')}", file=sys.stderr)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    missed = not given.small and any(figure.holds is False for figure in figures)
    return 1 if failed or missed else 0


if __name__ == "__main__":
    sys.exit(main())
