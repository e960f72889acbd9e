"""Look for longer: `python -m tests.fuzz [--seed N] [--seconds S]`. Exits with 1 where anything was found."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
import tempfile
from pathlib import Path

from tests.fuzz.run import API, UNLIMITED, V1, Plan, fuzz
from tests.support.kafka import Broker
from tests.support.nodes import NodeProcess

PHASES = "examples,coverage,fuzzing,stateful"


async def run(seed: int, seconds: int, directory: Path, kafka: str | None) -> int:
    """Give both APIs half the time each, or what one round takes; return how many of the two runs found something."""
    found = 0
    async with NodeProcess(directory / "node", kafka=kafka, env=UNLIMITED) as node:
        for paths in (V1, API):
            plan = Plan(paths, PHASES, ["--max-time", str(max(1, seconds // 2))])
            report = await fuzz(node, directory, plan, seed)
            print(report.printed)
            print(f"{paths}: answered {report.answered}", flush=True)
            found += report.status != 0
    return found


def main() -> int:
    """Run it on one log after the other, print what was found, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6), help="of what is made up")
    parser.add_argument("--seconds", type=int, default=600, help="in all, on both logs")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as made:
        directory = Path(made)
        found = asyncio.run(run(options.seed, options.seconds // 2, directory / "embedded", None))
        broker = Broker(directory / "broker")
        broker.start()
        try:
            found += asyncio.run(run(options.seed, options.seconds // 2, directory / "kafka", broker.bootstrap))
        finally:
            broker.stop()
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
