"""`planted-bugs.md`: what is broken on purpose, and what finds it."""

from __future__ import annotations

from tests.support.bugs import BUGS

_INTRODUCTION = """# Planted bugs

Generated from `tests/support/bugs.py` by `make docs`: a test compares them.

A test that cannot fail proves nothing. Each of these single changes takes one rule of the product away, and the test
named beside it passes without it and fails with it; `tests/service/test_planted_nodes.py` sees to that. A node, or any
test with the nodes that it starts, runs with a bug by its name:

```sh
.venv/bin/python -m tests.support.planted_node NAME serve --data data
.venv/bin/python -m tests.support.planted_node NAME pytest tests/service/test_restarts.py
make nemesis BUG=NAME
```

Every rule of the engine and of the feed protocol is taken away besides, one by one, by
`tests/contract/test_planted_engine.py` and `tests/unit/test_planted_protocol.py`.

| bug | the rule that it breaks | where | found by |
| --- | --- | --- | --- |
"""


def planted_bugs_page() -> str:
    """Return the page."""
    rows = (f"| `{bug.name}` | {bug.rule} | `{bug.module}` | `{bug.found_by}` |\n" for bug in BUGS.values())
    return _INTRODUCTION + "".join(rows)
