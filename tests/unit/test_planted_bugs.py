"""The list of planted bugs: each can be planted, and names a test that there is."""

from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.bugs import BUGS, Bug
from tests.support.fold_bugs import FOLD_BUGS, FoldBug
from tests.support.node_faults import FAULTS, Fault
from tests.support.planted import changed

ROOT = Path(__file__).parents[2]
ENOUGH = 15


@pytest.mark.parametrize(
    "bug", [*BUGS.values(), *FAULTS.values(), *FOLD_BUGS.values()], ids=[*BUGS, *FAULTS, *FOLD_BUGS]
)
def test_a_bug_can_be_planted(bug: Bug | Fault | FoldBug) -> None:
    """Its text stands in its module once, and what stands there instead is Python."""
    spec = find_spec(bug.module)
    assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).read_text(encoding="utf-8")
    compile(changed(source, bug.changes, bug.module), bug.module, "exec")


@pytest.mark.parametrize("bug", BUGS.values(), ids=BUGS.keys())
def test_a_bug_names_a_test(bug: Bug) -> None:
    """It is there under this name."""
    path, _, name = bug.found_by.partition("::")
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert name.partition("[")[0] in defined


def test_there_are_enough() -> None:
    """Bugs of every part of the product."""
    assert len(BUGS) >= ENOUGH
    assert {bug.module.partition(".")[0] for bug in BUGS.values()} == {"service", "streams"}
