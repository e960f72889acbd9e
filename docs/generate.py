"""Writes the pages that are generated from the code: `python -m docs.generate`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from docs.configuration_page import configuration_page
from docs.events_page import events_page
from docs.planted_bugs_page import planted_bugs_page

DIRECTORY = Path(__file__).parent
PAGES: Mapping[str, Callable[[], str]] = {
    "configuration.md": configuration_page,
    "events.md": events_page,
    "planted-bugs.md": planted_bugs_page,
}


def main() -> None:
    """Write every page."""
    for name, page in PAGES.items():
        (DIRECTORY / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
