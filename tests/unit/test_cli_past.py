"""The past, asked of a log whose node is off."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from service.cli import main
from service.setting_sources import load_settings
from streams.engine.fatal import die
from streams.log.embedded import EmbeddedLog
from streams.topics import CONTEXT_EVENTS, SESSION_EVENTS, partition_of, shared_specs
from tests.support.tables import Views
from tests.unit.test_http_past import CONTEXT, SESSION, C, S

PARTITIONS = load_settings(None, {}, {}).settings.partition_count


async def write(data: Path) -> None:
    """Write the events of a session with one context of two items, into a log of as many partitions as nodes make."""
    views = Views()
    views.attach(S, C)
    views.put(C, "a")
    views.put(C, "b")
    views.hide(C, "a")
    log = EmbeddedLog(data / "log", die)
    await log.start()
    await log.create_topics(shared_specs(PARTITIONS))
    for topic, raw in ((SESSION_EVENTS, S), (CONTEXT_EVENTS, C)):
        for record in views.log.records[topic]:
            assert record.key is not None
            await log.append(topic, partition_of(raw, PARTITIONS), record.key, record.value)
    await log.stop()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    asyncio.run(write(tmp_path))
    return tmp_path


def upnext(data: Path, *arguments: str) -> Result:
    return CliRunner(env={"UPNEXT_DATA": ""}).invoke(main, [*arguments, "--offline", "--data", str(data)])


def test_why(data: Path) -> None:
    """Everything is there but a node."""
    said = upnext(data, "explain", SESSION, "a")
    assert said.exit_code == 0, said.output
    assert "marked as hidden" in said.output
    assert "2 of 2" in said.output
    assert upnext(data, "explain", SESSION, "z", "--json").exit_code == 0


def test_lists(data: Path) -> None:
    """Now, and before anything was; and what lies between."""
    found = msgspec.json.decode(upnext(data, "past", "list", CONTEXT, "--json").output)
    assert [item["content_id"] for item in found["items"]] == ["b", "a"]
    assert upnext(data, "past", "list", CONTEXT, "--as-of", "2020-01-01T00:00:00Z").output.startswith("0 items")
    said = upnext(data, "past", "diff", SESSION, "--from", "2020-01-01").output.splitlines()
    assert [line[0] for line in said] == ["+", "+", "2"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("explain", SESSION, "a", "--as-of", "2999-01-01"), "This is yet to come."),
        (("past", "list", SESSION, "--as-of", "abc"), "neither a time"),
        (("past", "list", "nobody"), "There is no such session or context"),
        (("explain", SESSION, "a", "--context", "CX1"), "There is no such session or context"),
    ],
)
def test_what_is_refused(data: Path, arguments: tuple[str, ...], said: str) -> None:
    """In one line, with status 1; and no secret is made where there was none."""
    done = upnext(data, *arguments)
    assert (done.exit_code, said in done.output) == (1, True), done.output
    assert not (data / "master.key").exists()


def test_where_there_is_no_log(tmp_path: Path) -> None:
    """None is made."""
    done = upnext(tmp_path, "past", "list", SESSION)
    assert done.exit_code == 1
    assert "There is no log" in done.output
    assert not (tmp_path / "log").exists()
