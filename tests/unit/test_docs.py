"""The generated pages say what the code says."""

from __future__ import annotations

import re

import pytest

from docs.events_page import topic_docs
from docs.generate import DIRECTORY, PAGES
from service.settings import SETTINGS
from streams.codec import known_tags
from streams.topics import topic_specs


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_as_generated(name: str) -> None:
    """Whoever changes a setting or an event runs `make docs`."""
    assert (DIRECTORY / name).read_text(encoding="utf-8") == PAGES[name](), "run `make docs`"


def test_every_setting_has_a_row() -> None:
    """None is left out, and none is there twice."""
    rows = re.findall(r"^\| `([a-z0-9_]+)` \|", PAGES["configuration.md"](), re.MULTILINE)
    assert sorted(rows) == sorted(setting.name for setting in SETTINGS)


def test_every_topic_and_event_is_there() -> None:
    """A topic without a docstring that says its key, value and writers is not documented."""
    page = PAGES["events.md"]()
    assert set(topic_docs()) == {spec.name for spec in topic_specs(8)}
    for tag in known_tags():
        assert f"\n### {tag}\n" in page


def test_links_lead_somewhere() -> None:
    """A type that is named has its section."""
    page = PAGES["events.md"]()
    sections = {line.removeprefix("### ").lower() for line in page.splitlines() if line.startswith("### ")}
    assert set(re.findall(r"\(#([a-z]+)\)", page)) <= sections
