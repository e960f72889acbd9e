"""Schemathesis finds nothing: whatever it makes up, on either log, is answered as the OpenAPI document says."""

from __future__ import annotations

import pytest

from tests.fuzz.run import API, UNLIMITED, V1, Plan, fuzz
from tests.service.conftest import OwnNode

SEED = 1
CHOSEN = "^/api/(authenticate|v1/(clients|transactions|deadletters))"
"""What coverage is taken of here, for it takes a minute of all."""
PLANS = [
    Plan(V1, "examples,coverage,fuzzing,stateful", ["--max-examples", "5"]),
    Plan(API, "examples,fuzzing,stateful", ["--max-examples", "2"]),
    Plan(CHOSEN, "coverage", []),
]
LEAST_GOOD = 50


@pytest.mark.timeout(420)
async def test_schemathesis_finds_nothing(own_node: OwnNode) -> None:
    """Valid or broken, one request or several in a row; `make schemathesis` looks for longer."""
    print(f"seed {SEED}")
    own_node.node.env.update(UNLIMITED)
    async with own_node.node as node:
        for plan in PLANS:
            report = await fuzz(node, own_node.directory, plan, SEED)
            assert report.status == 0, report.printed[-12_000:]
            # It gets beyond credentials, ids and limits: a run that is refused everywhere would find nothing.
            assert report.answered["200"] > LEAST_GOOD, report.answered
            assert report.answered["503"] == 0, report.answered
        assert node.terminate() == 0, node.tail()
