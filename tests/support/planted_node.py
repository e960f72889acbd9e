"""
The product with something of `tests.support` in it, a bug or a fault: a node, or a test.

`python -m tests.support.planted_node NAME serve …` is `upnext serve …`, and `… NAME pytest …` is `pytest …`; the nodes
that the tests start have the bug as well.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

if __name__ == "__main__":
    # Wherever it was started, this tree is found; and this directory's own modules are nobody's packages.
    sys.path[0] = str(Path(__file__).parents[2])

from tests.support.bugs import BUGS, VARIABLE
from tests.support.fold_bugs import FOLD_BUGS
from tests.support.node_faults import FAULTS
from tests.support.planted import plant


def main(name: str, program: str, *arguments: str) -> None:
    """Plant the bug or fault, then run the program."""
    planted = BUGS.get(name) or FAULTS.get(name) or FOLD_BUGS[name]
    plant(planted.module, planted.changes)
    if program == "pytest":
        os.environ[VARIABLE] = name
        import pytest  # noqa: PLC0415 - nothing of the product may be there before the bug is

        sys.exit(pytest.main(list(arguments)))
    from service.cli import main as upnext  # noqa: PLC0415

    upnext([program, *arguments], prog_name="upnext")


if __name__ == "__main__":
    main(*sys.argv[1:])
