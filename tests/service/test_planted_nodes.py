"""Each bug of the list is found by the test that it names: so the tests can fail, whatever they run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.bugs import BUGS, Bug

ROOT = Path(__file__).parents[2]
LIMIT_S = 100.0
EVERY = [
    pytest.param(bug, id=bug.name, marks=[pytest.mark.long, *([pytest.mark.kafka] if bug.kafka else [])])
    for bug in BUGS.values()
]


@pytest.mark.parametrize("bug", EVERY)
def test_a_bug_is_found(bug: Bug, tmp_path: Path) -> None:
    """With it in the product, and in the nodes that the test starts, the test fails, and by what it asserts."""
    flags = ["-q", "-x", "--tb=short", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'planted'}"]
    command = [sys.executable, "-m", "tests.support.planted_node", bug.name, "pytest", *flags, bug.found_by]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert ended.returncode == pytest.ExitCode.TESTS_FAILED, ended.stdout + ended.stderr
    last = ended.stdout.strip().splitlines()[-1]
    assert "1 failed" in last, ended.stdout
    assert "error" not in last, ended.stdout
