"""Three brokers, three nodes, every fault for a minute: nothing lost, nothing twice, no list that never was."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import orjson
import pytest

ROOT = Path(__file__).parents[2]
MINUTES = 1.0
LIMIT_S = 270


@pytest.mark.kafka
@pytest.mark.timeout(LIMIT_S + 20)
@pytest.mark.parametrize("seed", [1])
def test_the_nemesis_finds_nothing(seed: int, tmp_path: Path) -> None:
    """Its checker is `tests/unit/test_nemesis_checker.py`'s; longer runs are `make nemesis`."""
    flags = ["--seed", str(seed), "--minutes", str(MINUTES), "--keep", str(tmp_path)]
    command = [sys.executable, "-m", "tests.nemesis", *flags]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as running:
        try:
            printed, _ = running.communicate(timeout=LIMIT_S)
        finally:
            # It ends what it has started: nodes and brokers.
            running.terminate()
    assert running.returncode == 0, printed[-8_000:]
    (line,) = [line for line in printed.splitlines() if line.startswith("{")]
    report = orjson.loads(line)
    assert report["faults"] >= 10
    assert report["writes_acknowledged"] > 500
    assert report["reads"] > 200
