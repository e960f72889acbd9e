"""What a benchmark says: a figure, its bound in the same run, and whether it holds."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Figure:
    """One row of the table. *value*, and *at_least* or *at_most*, are None where a figure is only printed."""

    what: str
    measured: str
    beside: str = ""
    value: float | None = None
    at_least: float | None = None
    at_most: float | None = None

    @property
    def holds(self) -> bool | None:
        """Say whether the figure keeps its bound; None where it has none."""
        if self.value is None or (self.at_least is None and self.at_most is None):
            return None
        if self.at_least is not None:
            return self.value >= self.at_least
        assert self.at_most is not None
        return self.value <= self.at_most


def table(figures: Iterable[Figure]) -> str:
    """Return the figures as a Markdown table."""
    lines = [
        "| what | measured | beside it, in the same run | value | wanted | |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for f in figures:
        wanted = (
            f"≥ {f.at_least:,g}"
            if f.at_least is not None
            else f"≤ {f.at_most:,g}"
            if f.at_most is not None
            else "printed"
        )
        value = "" if f.value is None else f"{f.value:,.2f}" if f.value < 100 else f"{f.value:,.0f}"
        verdict = {True: "holds", False: "MISSED", None: ""}[f.holds]
        lines.append(f"| {f.what} | {f.measured} | {f.beside} | {value} | {wanted} | {verdict} |")
    return "\n".join(lines)


def save(figures: Iterable[Figure], name: str = "latest.json") -> Path:
    """Write the figures and the machine they were measured on as JSON; return the file."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / name
    machine = {"cpus": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
    rows = [{**asdict(f), "holds": f.holds} for f in figures]
    path.write_text(json.dumps({"machine": machine, "figures": rows}, indent=2, ensure_ascii=False) + "\n")
    return path
