"""How far a version of the views is, in words and as a bar."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_WIDTH = 30


def row(view: Mapping[str, Any], before: Mapping[str, Any] | None, after_s: float) -> tuple[str, ...]:
    """Return a version's line of the table: *before* is what was said of it *after_s* ago."""
    rate = 0.0 if before is None else _rate(view, before, after_s)
    is_building = view["stage"] == "building"
    return (
        view["name"],
        view["stage"],
        view["since"] or "-",
        f"{view['eventsDone']:,} of {view['eventsTotal']:,}",
        f"{view['lag']:,}",
        "no" if view["unserved"] or not view["isWhole"] else "yes",
        f"{rate:,.0f}/s",
        _left(view, rate) if is_building else "-",
    )


def bar(view: Mapping[str, Any], first: Mapping[str, Any], after_s: float) -> str:
    """Return one line that says how far a version is: *first* is what was said of it *after_s* ago."""
    done, total = view["eventsDone"], view["eventsTotal"]
    filled = _WIDTH * done // total if total else _WIDTH
    rate = _rate(view, first, after_s)
    ends = f"waits for {', '.join(view['waitsFor'])}" if view["waitsFor"] else f"{_left(view, rate)} left"
    share = f"{100 * done // total if total else 100:3d} %"
    return (
        f"{view['name']}  [{'#' * filled}{'.' * (_WIDTH - filled)}] {share}  {done:,} of {total:,}"
        f"  {rate:,.0f}/s  {ends}  lag {view['lag']:,}"
    )


def _rate(view: Mapping[str, Any], before: Mapping[str, Any], after_s: float) -> float:
    done: float = view["eventsDone"] - before["eventsDone"]
    return max(0.0, done / after_s) if after_s > 0 else 0.0


def _left(view: Mapping[str, Any], rate: float) -> str:
    left = view["eventsTotal"] - view["eventsDone"]
    if not left:
        return "0:00" if view["isWhole"] else "soon"
    if rate <= 0:
        return "?"
    minutes, seconds = divmod(round(left / rate), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
