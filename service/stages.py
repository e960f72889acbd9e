"""How far the node is on its way from start to end, for whoever tells people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple


class Starting(NamedTuple):
    """The settings are good, the ports are ours, health is answered."""

    log: str
    """`embedded`, or the brokers."""
    data: Path
    partitions: int
    internal_url: str
    token_file: Path | None
    """Where the admin's token is kept; None where it was given."""


class Listening(NamedTuple):
    """Clients are answered."""

    url: str


class Recovering(NamedTuple):
    """The node is not ready yet, and waits for these."""

    awaited: Sequence[str]
    rows: int
    """Changelog records applied so far."""


class Ready(NamedTuple):
    """All that the node should serve is served."""

    after_s: float


class Stopping(NamedTuple):
    """The node was asked to stop: requests under way finish."""


class Stopped(NamedTuple):
    """All is closed."""


Stage = Starting | Listening | Recovering | Ready | Stopping | Stopped
Tell = Callable[[Stage], None]
