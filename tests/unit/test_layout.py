"""The tree keeps its shape: who may import whom, and no drawer for whatever fits nowhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
DRAWERS = {"utils", "util", "helpers", "helper", "common", "base", "manager", "misc"}


def test_imports_keep_the_contracts() -> None:
    """Every contract of pyproject.toml is kept."""
    program = Path(sys.executable).with_name("lint-imports")
    found = subprocess.run([program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


def test_no_drawers() -> None:
    """Every module is named for what it holds."""
    modules = [path for package in ("service", "streams") for path in (ROOT / package).rglob("*.py")]
    assert modules
    assert [path for path in modules if path.stem in DRAWERS or path.parent.name in DRAWERS] == []
