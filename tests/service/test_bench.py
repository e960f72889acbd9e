"""The benchmarks run: small, and without a word about their figures."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench.__main__ import ALL
from bench.figures import Figure, table

ROOT = Path(__file__).parents[2]
ROWS_EACH = {"visible-embedded": 2, "disk": 1, "put-embedded": 2, "registry": 5}


@pytest.mark.parametrize("name", ROWS_EACH)
def test_a_benchmark_runs_and_prints_its_figures(name: str) -> None:
    """A benchmark ends well, and prints a row for every figure with a number in it."""
    command = [sys.executable, "-m", "bench", "--small", name]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert run.returncode == 0, run.stderr
    rows = run.stdout.splitlines()[2:]
    assert len(rows) == ROWS_EACH[name], run.stdout
    assert all(any(character.isdigit() for character in row.split("|")[2]) for row in rows), run.stdout


def test_an_unknown_benchmark_is_refused_by_name() -> None:
    """A name that is none is refused, and those that are there are named."""
    command = [sys.executable, "-m", "bench", "no-such"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 2
    assert all(name in run.stderr for name in ALL), run.stderr


def test_a_figure_holds_at_its_bound_and_not_beyond() -> None:
    """A figure at its bound holds, one beyond it is called missed, and one without a bound is only printed."""
    figures = [
        Figure("a", "1", value=0.5, at_least=0.5),
        Figure("b", "1", value=0.49, at_least=0.5),
        Figure("c", "1", value=8.0, at_most=8.0),
        Figure("d", "1", value=8.01, at_most=8.0),
        Figure("e", "1"),
    ]
    assert [figure.holds for figure in figures] == [True, False, True, False, None]
    assert [("MISSED" in row) for row in table(figures).splitlines()[2:]] == [False, True, False, True, False]
