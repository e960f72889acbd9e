"""What the clients asked and were answered, and what stands in the log: all that the checker judges."""

from __future__ import annotations

import enum
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from streams.domain.positions import Position

Entry = int
"""An item, or a session context, as clients see it: its number in `Entries`."""


class Outcome(enum.Enum):
    """What a client knows of its write."""

    ACKNOWLEDGED = "acknowledged"
    FAILED = "failed for certain"
    UNKNOWN = "unknown"


class Call(enum.Enum):
    """The writes that there are."""

    CREATE_CONTEXT = "create context"
    PUT = "put item"
    PUT_ITEMS = "put items"
    REPLACE = "replace items"
    REMOVE = "remove item"
    HIDE = "hide item"
    DETACH_ALL = "detach all"
    CREATE_SESSION = "create session"
    ATTACH = "attach"
    DETACH = "detach"
    DELETE = "delete session"


class Mark(NamedTuple):
    """What an event says, but for its ids: by this it is known as some client's write."""

    call: Call
    of: str
    """The context's or session's id, which the record's key begins with."""
    what: str
    """Titles of what is put, which nothing else has; the content id of other items; the context of session events."""
    hidden: bool | None = None


def titles(items: Iterable[Mapping[str, Any]]) -> str:
    """Return what a mark says of items that are put at once."""
    return ", ".join(item["title"] for item in items)


@dataclass(slots=True)
class Write:
    """One write, as its client knows it."""

    mark: Mark
    outcome: Outcome
    began_s: float
    ended_s: float
    request_id: str = ""
    """Of the answer; empty where none came."""
    status: int = 0
    position: Position | None = None
    answer: dict[str, Any] = field(default_factory=dict)
    """Of an attach."""
    after: tuple[Position, ...] = ()
    """What the client has passed."""
    session: str = ""
    """By which session an item was hidden."""
    is_keyed: bool = False
    """Whether it was sent with an idempotency key, and so again and again until it was answered."""
    former: tuple[str, ...] = ()
    """Request ids of the answers before the last one."""
    was_lost: bool = False
    """Whether one of its requests had no answer."""
    proofs: tuple[tuple[str, int], ...] = ()
    """Of a detach-all: sessions and epochs of which a list has shown before that the context knows them."""

    def __str__(self) -> str:
        mark = self.mark
        answer = f"{self.status} {self.request_id}" if self.request_id else "no answer"
        what = f"{mark.call.value} {mark.of} {mark.what}"
        return f"{what} ({self.outcome.value}, {answer}, at {self.began_s:.2f} s)"


class Kind(enum.Enum):
    """The reads that there are."""

    CONTEXT = "a context's list"
    SESSION = "a session's list"
    IN_SESSION = "a context's list in a session"
    CONTEXTS = "a session's contexts"


@dataclass(slots=True)
class Read:
    """One answer to a read: a page, or that there is nothing (404)."""

    kind: Kind
    of: str
    """The context's or session's id."""
    began_s: float
    ended_s: float
    client: str = ""
    context: str = ""
    """Which context within the session, for `Kind.IN_SESSION`."""
    status: int = 200
    after: tuple[Position, ...] = ()
    """What the client has passed, that it is not answered from before."""
    position: Position | None = None
    start: int = 0
    limit: int = 200
    total: int = 0
    next_key: int | None = None
    entries: array[int] | None = None
    """None where there was no body, as for HEAD."""
    view: str = ""
    """`Paket-View`."""

    def __str__(self) -> str:
        within = f" of {self.context}" if self.context else ""
        return (
            f"{self.client}: {self.kind.value} {self.of}{within} [{self.start}:+{self.limit}] at {self.began_s:.2f} s"
        )


class Logged(NamedTuple):
    """One record of the log, as it was read from the brokers themselves."""

    partition: int
    offset: int
    time_ms: int
    of: str
    event: dict[str, Any]


class Entries:
    """Numbers for what lists hold, so that a read is kept in a few bytes."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, Entry] = {}
        self._texts: list[bytes] = []

    def number(self, entry: dict[str, Any]) -> Entry:
        """Return the number of *entry*, the same for the same fields with the same values."""
        text = orjson.dumps(entry, option=orjson.OPT_SORT_KEYS)
        number = self._numbers.setdefault(text, len(self._texts))
        if number == len(self._texts):
            self._texts.append(text)
        return number

    def entry(self, number: Entry) -> dict[str, Any]:
        """Return what a number stands for."""
        return dict(orjson.loads(self._texts[number]))


@dataclass
class History:
    """All that clients did and saw."""

    entries: Entries = field(default_factory=Entries)
    writes: list[Write] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    """What was wrong at first sight: a status that there must not be, a header that is missing."""

    def count(self, outcome: Outcome) -> int:
        return sum(write.outcome is outcome for write in self.writes)
