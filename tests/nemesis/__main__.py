"""Run the nemesis: `python -m tests.nemesis [--seed N] [--minutes M]`. Exits with 1 where anything is wrong."""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
from pathlib import Path

import uvloop

from tests.nemesis.run import run

MOST_SHOWN = 30


def main() -> int:
    """Run it, print what was done and found, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.nemesis")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6), help="of the faults, and what is written")
    parser.add_argument("--minutes", type=float, default=5.0, help="for which there are faults")
    parser.add_argument("--keep", type=Path, help="where logs and data are kept; they are thrown away by default")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="nemesis-") as made:
        directory = options.keep or Path(made)
        directory.mkdir(parents=True, exist_ok=True)
        report = uvloop.run(run(options.seed, options.minutes * 60, directory))
    print(report.table())
    print(report.json())
    for what in report.wrong[:MOST_SHOWN]:
        print(f"wrong: {what}")
    print(f"seed {options.seed}: {len(report.wrong)} wrong")
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
