"""What it takes to read bulks that are refused: bounded work, however much is wrong with them."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from types import FrameType
from typing import Any

import orjson
import pytest
from msgspec import Raw

from service.http.bodies import MAX_BULK_BYTES, MAX_ITEM_BYTES
from service.http.bulk_bodies import MAX_CONTEXTS, BulkReader
from service.http.problems import MAX_FAULTS, InvalidFieldsError
from tests.support.turns import turns_of_others

MOST_CALLS = 20_000
"""Of functions, Python's and C's: a body of 1 MiB has room for 350,000 objects."""


def filled(unit: str, around: str = '{"contexts":[%s]}') -> bytes:
    """Return a body of almost 1 MiB of *unit*s."""
    count = (MAX_BULK_BYTES - len(around)) // (len(unit) + 1)
    return (around % ",".join([unit] * count)).encode()


def unknown_names(count: int) -> dict[str, int]:
    return {f"f{n}": 1 for n in range(count)}


@pytest.mark.parametrize(
    "body",
    [
        filled("{}"),
        filled("7"),
        filled('{"context_id":"","items":[]}'),
        filled('{"context_id":"\\u0000","items":[]}'),
        filled("{}", '{"contexts":[%s],"x":1}'),
    ],
)
def test_too_many_contexts_are_not_looked_at(body: bytes) -> None:
    """There is one fault, and no context is gone through."""
    reader, calls = BulkReader(), Counter[str]()

    def count(_frame: FrameType, event: str, _arg: Any) -> None:
        calls[event] += 1

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        sent = reader.of_many(body)
    finally:
        sys.setprofile(before)
    assert [(fault.name, fault.code) for fault in sent.faults] == [("contexts", "too_long")]
    assert calls.total() < MOST_CALLS


@pytest.mark.parametrize("form", [{"items": [{}] * 501, "x": 1}, {"items": [[]] * 501}])
def test_too_many_items_are_not_looked_at(form: dict[str, Any]) -> None:
    sent = BulkReader().of_one(orjson.dumps(form), least=1)
    assert [(fault.name, fault.code) for fault in sent.faults] == [("items", "too_long")]


@pytest.mark.parametrize(
    "form",
    [
        {"contexts": [{}] * MAX_CONTEXTS},
        {"contexts": [7] * MAX_CONTEXTS},
        {"contexts": [{"context_id": "", "items": []}] * MAX_CONTEXTS},
        {"contexts": [unknown_names(50_000)]},
        {"contexts": [], **unknown_names(50_000)},
    ],
)
def test_as_many_faults_are_named_as_are_answered(form: dict[str, Any]) -> None:
    assert len(BulkReader().of_many(orjson.dumps(form)).faults) == MAX_FAULTS


def test_as_many_faults_are_named_of_one_context() -> None:
    assert len(BulkReader().of_one(orjson.dumps(unknown_names(50_000)), least=1).faults) == MAX_FAULTS


async def test_others_have_their_turn_between_large_broken_items() -> None:
    """However few the items are, and however much is wrong with them."""
    broken = orjson.dumps(unknown_names(1_500))
    assert MAX_ITEM_BYTES * 3 // 4 < len(broken) < MAX_ITEM_BYTES
    reading = asyncio.create_task(BulkReader().read([Raw(broken)] * 40))
    assert await turns_of_others(reading) >= 20
    outcomes = reading.result()
    for outcome in outcomes:
        assert isinstance(outcome, InvalidFieldsError)
        assert len(outcome.faults) <= MAX_FAULTS + 13
