"""What the person at the terminal sees: a table that follows the lists, or plain lines where there is no terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from service.http.schemas import SessionListItemOut
from service.http.versions.v2026_11_01 import SessionListOut

WIDE = 130
"""Columns from which two lists stand side by side."""
_BAR = 10
_WORDS = {
    "up_next_next": "next episode",
    "up_next_new": "new season",
    "up_next_watchlist": "watchlist",
}


class Shown(NamedTuple):
    """One viewer's list, as it was read after a write."""

    heading: str
    """Whose it is, and on which television."""
    page: SessionListOut


class Frame(NamedTuple):
    """What there is to see after one write."""

    says: str
    took_ms: float
    """From the write to the list that has it."""
    viewer: int
    """Whose list it was."""
    lists: Mapping[int, Shown]
    """By viewer."""


class Screen(Protocol):
    """Where the demo shows what happens."""

    @property
    def rows(self) -> int:
        """How many items of each list there is room for."""

    def tell(self, line: str) -> None:
        """Print a line that stays."""

    def notice(self, line: str) -> None:
        """Say something that passes."""

    def show(self, frame: Frame) -> None:
        """Show the lists after a write."""

    def close(self) -> None:
        """Leave the terminal as it was."""


class PlainScreen:
    """Prints a line for each write."""

    rows = 1

    def __init__(self, console: Console) -> None:
        """Take where to print."""
        self._console = console

    def tell(self, line: str) -> None:
        """Print *line* as it is."""
        _print(self._console, line)

    def notice(self, line: str) -> None:
        """Print *line*: there is no place for what passes."""
        self.tell(line)

    def show(self, frame: Frame) -> None:
        """Print what was done, and the top of the list that has it."""
        shown = frame.lists[frame.viewer]
        top = f", {name(shown.page.items[0])} first" if shown.page.items else ""
        self.tell(f"{frame.says} ({shown.heading}: {shown.page.total} items{top}; {frame.took_ms:.0f} ms)")

    def close(self) -> None:
        """Do nothing."""


class LiveScreen:
    """Shows the lists as tables, below what was printed."""

    def __init__(self, console: Console, services: Mapping[str, str]) -> None:
        """Take the terminal, and the names of the services by app id, which may still come."""
        self._console, self._services = console, services
        self._live: Live | None = None
        self._lists: RenderableType = ""
        self._said: list[Text] = []

    @property
    def rows(self) -> int:
        """What fits below one another, with room for the rest."""
        return max(3, min(20, self._console.height - 9))

    def tell(self, line: str) -> None:
        """Print *line* as it is, above the tables."""
        _print(self._console, line)

    def notice(self, line: str) -> None:
        """Show *line* below the tables until the next one, or print it where there are none."""
        if self._live is None:
            self.tell(line)
        else:
            self._say(Text(line, "yellow"))

    def show(self, frame: Frame) -> None:
        """Draw the tables anew."""
        wide = self._console.width >= WIDE
        shown = frame.lists if wide else {frame.viewer: frame.lists[frame.viewer]}
        self._lists = side_by_side([list_table(one, self._services, self.rows) for _, one in sorted(shown.items())])
        self._say(Text.assemble(frame.says, (f"  written and read back in {frame.took_ms:.0f} ms", "dim")))

    def close(self) -> None:
        """Leave the last picture where it is."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _say(self, line: Text) -> None:
        line.no_wrap, line.overflow = True, "ellipsis"
        self._said = [*self._said, line][-3:]
        picture = Group(self._lists, *self._said)
        if self._live is None:
            self._live = Live(picture, console=self._console, auto_refresh=False)
            self._live.start()
        self._live.update(picture, refresh=True)


def list_table(shown: Shown, services: Mapping[str, str], rows: int) -> Table:
    """Return a table of a list's first items."""
    table = Table(title=f"{shown.heading}: {shown.page.total} items", title_justify="left", expand=True)
    table.add_column("Title", no_wrap=True, ratio=1)
    table.add_column("On", no_wrap=True, min_width=12)
    table.add_column("", no_wrap=True, min_width=_BAR + 16)
    for item in shown.page.items[:rows]:
        on = services.get(item.app_id, item.app_id)
        table.add_row(name(item), on, state(item), style="dim strike" if item.hidden else "")
    return table


def name(item: SessionListItemOut) -> str:
    """Return what a person calls an item: `The Wire S2 E4`."""
    return item.title if item.media_type == "movie" else f"{item.title} S{item.season} E{item.episode}"


def state(item: SessionListItemOut) -> str:
    """Return why an item is in the list: how far it was watched, or a word or two."""
    if item.action != "up_next_continue" or not isinstance(item.position, int):
        return _WORDS[item.action]
    full = round(_BAR * item.position / item.duration)
    return f"{'━' * full}{'─' * (_BAR - full)} {item.position // 60} of {item.duration // 60} min"


def side_by_side(tables: Sequence[Table]) -> Table:
    """Return the tables in one row."""
    grid = Table.grid(expand=True, padding=(0, 1))
    for _ in tables:
        grid.add_column(ratio=1)
    grid.add_row(*tables)
    return grid


def _print(console: Console, line: str) -> None:
    # As it is: a line that a terminal wraps can still be copied whole, one that was broken up cannot.
    console.print(Text(line), soft_wrap=True)
