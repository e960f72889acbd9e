"""What the demo shows: lines where there is no terminal, tables where there is one, and lines that can be pasted."""

from __future__ import annotations

import io
import re
import shlex

import msgspec
from rich.console import Console

from service.demo.examples import example_put, examples
from service.demo.filling import Household, Tenant
from service.demo.remote import Credentials
from service.demo.screen import Frame, LiveScreen, PlainScreen, Shown, name, state
from service.demo.tally import Tally
from service.demo.viewing import Hide, Put, Remove
from service.http.schemas import SessionListItemOut
from service.http.versions.v2026_11_01 import SessionListOut
from streams.domain.items import Item, item_faults


def tenant(label: str) -> Tenant:
    return Tenant(label, f"AP{label}", Credentials(f"client-{label}", f"sk_{label}'s"))


HOUSEHOLD = Household(
    apps=[tenant("a"), tenant("b"), tenant("c")],
    platforms=[tenant("p"), tenant("q")],
    contexts=[["CX00", "CX01", "CX02"], ["CX10", "CX11", "CX12"]],
    sessions=[["SN00", "SN01"], ["SN10", "SN11"]],
)


def entry(title: str, **more: object) -> SessionListItemOut:
    fields: dict[str, object] = {
        "content_id": title,
        "app_id": "APa",
        "context_id": "CX00",
        "updated_at": "2024-02-16T04:41:06.596Z",
        "action": "up_next_continue",
        "media_type": "movie",
        "title": title,
        "description": "",
        "poster_art_uri": "https://media.example/x.jpg",
        "poster_art_aspect_ratio": "aspect_ratio_2_3",
        "position": 1_800,
        "duration": 3_600,
        "hidden": False,
        "platform_data": {},
        "app_media": {},
    }
    return msgspec.convert({**fields, **more}, SessionListItemOut)


EPISODE = entry("The Wire", media_type="tv_episode", action="up_next_next", season=2, episode=4)


def frame(viewer: int, *items: SessionListItemOut) -> Frame:
    return Frame(
        says="Maya watches M: 30 of 60 min",
        took_ms=7.4,
        viewer=viewer,
        lists={
            0: Shown("Maya on p", SessionListOut(total=len(items), items=list(items))),
            1: Shown("Jonas on q", SessionListOut(total=1, items=[EPISODE])),
        },
    )


def test_lines_where_there_is_no_terminal() -> None:
    """One line for each write, whole: what was done, and what the list that has it begins with."""
    output = io.StringIO()
    screen = PlainScreen(Console(file=output, width=20))
    screen.show(frame(0, entry("M"), EPISODE))
    screen.show(frame(0))
    screen.notice("The node is away.")
    screen.close()
    assert output.getvalue().splitlines() == [
        "Maya watches M: 30 of 60 min (Maya on p: 2 items, M first; 7 ms)",
        "Maya watches M: 30 of 60 min (Maya on p: 0 items; 7 ms)",
        "The node is away.",
    ]


def test_tables_where_there_is_a_terminal() -> None:
    """Both lists side by side where there is room, else the one that changed; never more than fits."""
    for width, both in ((160, True), (90, False)):
        output = io.StringIO()
        screen = LiveScreen(Console(file=output, force_terminal=True, width=width, height=30), {"APa": "Lanternhouse"})
        screen.tell("# try")
        screen.notice("The node is away.")
        screen.show(frame(0, entry("M"), *[entry(f"Film {number}") for number in range(100)]))
        screen.notice("The node is away again.")
        screen.close()
        drawn = output.getvalue()
        assert "Maya on p: 101 items" in drawn
        assert ("Jonas on q" in drawn) is both
        assert "Lanternhouse" in drawn
        assert "━━━━━─────" in drawn
        assert "Film 18" in drawn
        assert "Film 19" not in drawn
        assert "away again" in drawn


def test_items_in_words() -> None:
    """What a person calls an item, and why it is in the list."""
    assert (name(EPISODE), state(EPISODE)) == ("The Wire S2 E4", "next episode")
    assert (name(entry("M")), state(entry("M"))) == ("M", "━━━━━───── 30 of 60 min")
    assert state(entry("M", action="up_next_watchlist")) == "watchlist"


def test_examples_are_lines_for_a_shell() -> None:
    """Each is one line with the ids of one viewer; its bodies are JSON, its item one that a node takes."""
    lines = examples("http://127.0.0.1:8080", HOUSEHOLD)
    assert len({example.line for example in lines}) == len(lines) >= 8
    for example in lines:
        words = shlex.split(example.line)
        assert words[:2] == ["curl", "-u"]
        assert "\n" not in example.line
        assert re.fullmatch("[A-Za-z ,:]+", example.says)
        assert any("SN0" in word or "CX00" in word for word in words)
        if "-d" in words:
            assert msgspec.json.decode(words[words.index("-d") + 1])
    body = shlex.split(lines[0].line)[-1]
    item = msgspec.json.decode(body, type=Item)
    assert item_faults(item) == []
    assert item.content_id == example_put().item.content_id


def test_a_summary_counts_what_was_done() -> None:
    """Kinds, times, and how often the node was away."""
    tally = Tally()
    assert tally.summary(0, 0) == "Nothing was written."
    put = example_put()
    for act, took_ms in ((put, 5), (Remove(0, 0, "x", ""), 9), (Hide(0, 0, "x", True, ""), 7), (put, 6)):
        tally.add(act, took_ms)
    assert isinstance(put, Put)
    said = tally.summary(12, 3)
    assert said.startswith("4 writes in 12 s: 2 put, 1 removed, 1 hidden. ")
    assert "6 ms (median), at most 9 ms." in said
    assert "3 calls were made again" in said
