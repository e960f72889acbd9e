"""How much each benchmark does: in full, or small, to see that it works."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What the benchmarks are run with."""

    rounds: int
    """Pairs of ours and theirs, of which the median counts."""
    load_s: float
    """Of each load."""
    contexts: int
    """That PUTs go to."""
    sustained_loads: int
    """In a row, on the node that folds too."""
    visible_writes: int
    fold_events: int
    rebuild_events: int
    disk_items: int
    page_sessions: int
    """Each with three contexts of 30 items."""
    memory_items: int
    """In the two tables of the node that serves pages."""
    registry_objects: int
    registry_pages: int
    """GETs of each page."""
    registry_changes: int
    """On one node, waited for on another."""


FULL = Sizes(
    rounds=3,
    load_s=4.0,
    contexts=500,
    sustained_loads=5,
    visible_writes=1_500,
    fold_events=60_000,
    rebuild_events=120_000,
    disk_items=100_000,
    page_sessions=8_000,
    memory_items=1_000_000,
    registry_objects=100_000,
    registry_pages=300,
    registry_changes=40,
)
SMALL = Sizes(
    rounds=1,
    load_s=1.0,
    contexts=40,
    sustained_loads=2,
    visible_writes=150,
    fold_events=2_000,
    rebuild_events=20_000,
    disk_items=2_000,
    page_sessions=60,
    memory_items=10_000,
    registry_objects=2_000,
    registry_pages=20,
    registry_changes=4,
)
