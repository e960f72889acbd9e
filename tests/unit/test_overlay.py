"""An overlay is a plain sorted dict, over rows that it leaves alone."""

from __future__ import annotations

from itertools import islice
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.domain.memory_rows import MemoryRows
from streams.engine.overlay import Overlay


class Write(NamedTuple):
    key: bytes
    value: bytes | None


GROUPS = [kind + bytes(16) + bytes([n]) for kind in (b"m", b"i", b"o", b"s", b"S", b"l", b"p") for n in range(2)]
TAILS = ["", "a", "ab", "b", "\u00e9", "\U0001f600"]
KEYS = st.builds(lambda group, tail: group + tail.encode(), st.sampled_from(GROUPS), st.sampled_from(TAILS))
WRITES = st.lists(st.builds(Write, KEYS, st.none() | st.binary(max_size=3)), max_size=40)


@pytest.mark.long
@settings(max_examples=300, deadline=None)
@given(
    below=st.dictionaries(KEYS, st.binary(max_size=3), max_size=30),
    writes=WRITES,
    group=st.sampled_from(GROUPS),
    tail=st.sampled_from(TAILS),
    start=st.none() | st.sampled_from(TAILS),
    reverse=st.booleans(),
)
def test_reads_see_what_was_written(
    below: dict[bytes, bytes], writes: list[Write], group: bytes, tail: str, start: str | None, *, reverse: bool
) -> None:
    """One by one and as ranges, from a start on, both ways; `rows` is what to commit, and nothing is written below."""
    rows = MemoryRows()
    for key, value in below.items():
        rows.put(key, value)
    overlay, model = Overlay(rows), dict(below)
    written: dict[bytes, bytes | None] = {}
    for key, value_or_none in writes:
        written[key] = value_or_none
        if value_or_none is None:
            overlay.delete(key)
            model.pop(key, None)
        else:
            overlay.put(key, value_or_none)
            model[key] = value_or_none
        assert overlay.get(key) == value_or_none
    prefix = group + tail.encode()
    begin = None if start is None else prefix + start.encode()
    expected = [
        (key, model[key])
        for key in sorted(model, reverse=reverse)
        if key.startswith(prefix) and (begin is None or (key <= begin if reverse else key >= begin))
    ]
    assert list(overlay.range(prefix, start=begin, reverse=reverse)) == expected
    assert all(overlay.get(key) == model.get(key) for key in {*model, *written, *below})
    assert overlay.rows == written
    assert rows.values == below
    assert overlay.size == sum(len(key) + len(value or b"") for key, value in writes)


class Range(NamedTuple):
    """A range that is asked for, and how many of its rows are taken."""

    prefix: bytes
    start: bytes | None
    reverse: bool
    taken: int


RANGES = st.builds(
    lambda group, tail, start, reverse, taken: Range(
        group + tail.encode(), None if start is None else group + (tail + start).encode(), reverse, taken
    ),
    st.sampled_from(GROUPS[:4]),
    st.sampled_from(["", "", "a"]),
    st.none() | st.sampled_from(TAILS),
    st.booleans(),
    st.integers(1, 9),
)
FEW_KEYS = st.builds(lambda group, tail: group + tail.encode(), st.sampled_from(GROUPS[:4]), st.sampled_from(TAILS))


@pytest.mark.long
@settings(max_examples=300, deadline=None)
@given(
    below=st.dictionaries(FEW_KEYS, st.binary(max_size=2), max_size=16),
    steps=st.lists(st.builds(Write, FEW_KEYS, st.none() | st.binary(max_size=2)) | RANGES, max_size=40),
)
def test_ranges_between_writes(below: dict[bytes, bytes], steps: list[Write | Range]) -> None:
    """Each sees what was written before it, whatever was asked for before that, and be it only the first rows."""
    rows = MemoryRows()
    for key, value in below.items():
        rows.put(key, value)
    overlay, model = Overlay(rows), dict(below)
    for step in steps:
        match step:
            case Write(key, None):
                overlay.delete(key)
                model.pop(key, None)
            case Write(key, bytes(value)):
                overlay.put(key, value)
                model[key] = value
            case Range(prefix, start, reverse, taken):
                ordered = sorted(((k, v) for k, v in model.items() if k.startswith(prefix)), reverse=reverse)
                if start is not None:
                    ordered = [row for row in ordered if (row[0] <= start if reverse else row[0] >= start)]
                found = overlay.range(prefix, start=start, reverse=reverse)
                assert list(islice(found, taken)) == ordered[:taken]


def test_long_ranges() -> None:
    """Of more rows than are remembered: read twice, with writes before, among and behind them."""
    rows, group = MemoryRows(), b"o" + bytes(17)
    for n in range(0, 400, 2):
        rows.put(group + b"%03d" % n, b"below")
    overlay = Overlay(rows)
    model = dict(rows.values)
    for n in (1, 0, 150, 151, 398, 399):
        for reverse in (False, True):
            for taken in (1, 3, 65, 500):
                expected = sorted(model.items(), reverse=reverse)[:taken]
                assert list(islice(overlay.range(group, reverse=reverse), taken)) == expected
        key = group + b"%03d" % n
        if n % 2:
            overlay.put(key, b"mine")
            model[key] = b"mine"
        else:
            overlay.delete(key)
            del model[key]
