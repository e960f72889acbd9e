"""Every state that contexts and sessions ever had: the log, folded by dicts."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from streams.domain.times import iso_ms
from tests.nemesis.history import Entries, Entry, Logged

NONE = -1
"""The sequence of a context of which a session has nothing yet."""
MOST_ITEMS = 1_000
MOST_CONTEXTS = 200


class Row(NamedTuple):
    """An item in its place: rows sort as lists do."""

    older: int
    """The complement of its `updated_at`."""
    content_id: bytes
    context: str
    entry: Entry


class ContextStates:
    """One context's states, by sequence."""

    def __init__(self, context: str, entries: Entries) -> None:
        self._context, self._entries = context, entries
        self._items: dict[str, tuple[int, dict[str, Any], Row]] = {}
        self._time_ms = 0
        self._states: dict[int, tuple[Row, ...]] = {NONE: ()}
        self._ids: set[str] = set()
        self.sequences: list[int] = []

    def fold(self, logged: Logged) -> None:
        """Take the context's next event; one that it has had before is that of a repeated request."""
        event = logged.event
        match event["type"]:
            case _ if event["id"] in self._ids:
                pass
            case "context.item_put.v1":
                self._put(event["item"], event["app"], logged.time_ms)
            case "context.items_put.v1":
                self._put_all(event, logged.time_ms)
            case "context.items_replaced.v1":
                named = {item["content_id"] for item in event["items"]}
                self._items = {name: item for name, item in self._items.items() if name in named}
                self._put_all(event, logged.time_ms)
            case "context.item_removed.v1":
                self._items.pop(event["content_id"], None)
            case "context.item_hidden.v1" if event["content_id"] in self._items:
                at_ms, item, _ = self._items[event["content_id"]]
                self._set(at_ms, {**item, "hidden": event["hidden"]})
            case "context.item_hidden.v1" | "context.created.v1":
                pass
            case other:
                raise AssertionError(other)
        self._ids.add(event["id"])
        self.sequences.append(logged.offset)
        self._states[logged.offset] = tuple(sorted(row for _, _, row in self._items.values()))

    def at(self, sequence: int) -> tuple[Row, ...] | None:
        """Return the list as of an event, in order; None where the context has no such event."""
        return self._states.get(sequence)

    def since(self, sequence: int) -> Iterable[tuple[Row, ...]]:
        """Return the state that a sequence has led to, and all after it."""
        states = list(self._states.values())
        return states[bisect_right(self.sequences, sequence) :]

    def _put_all(self, event: Mapping[str, Any], time_ms: int) -> None:
        for item in event["items"]:
            self._put(item, event["app"], time_ms)

    def _put(self, item: Mapping[str, Any], app: str, time_ms: int) -> None:
        self._time_ms = max(time_ms, self._time_ms + 1)
        old = self._items.pop(item["content_id"], None)
        if old is None and len(self._items) == MOST_ITEMS:
            del self._items[min(self._items, key=lambda name: self._items[name][0])]
        hidden = item.get("hidden", old is not None and old[1]["hidden"])
        whole = {**item, "app_id": app, "context_id": self._context, "updated_at": iso_ms(self._time_ms)}
        self._set(self._time_ms, {**whole, "hidden": hidden})

    def _set(self, at_ms: int, item: dict[str, Any]) -> None:
        name = item["content_id"]
        self._items[name] = at_ms, item, Row(-at_ms, name.encode(), self._context, self._entries.number(item))


class Attached(NamedTuple):
    """A context that is attached."""

    epoch: int
    app: str
    created_at_ms: int


class SessionState(NamedTuple):
    """What a session's own events have made of it."""

    deleted: bool
    members: Mapping[str, Attached]


class SessionStates:
    """One session's states, by offset of its own events."""

    def __init__(self) -> None:
        self._offsets: list[int] = []
        self._firsts: dict[str, int] = {}
        self._repeats: dict[int, int] = {}
        self._states = [SessionState(deleted=False, members={})]

    def fold(self, logged: Logged) -> None:
        """Take the session's next event."""
        event, state = logged.event, self._states[-1]
        members = dict(state.members)
        deleted = state.deleted
        context = event.get("context", "")
        self._repeats[logged.offset] = self._firsts.setdefault(event["id"], logged.offset)
        match event["type"]:
            case _ if deleted or self._firsts[event["id"]] != logged.offset:
                pass
            case "session.context_attached.v1" if context not in members and len(members) < MOST_CONTEXTS:
                members[context] = Attached(logged.offset, event["app"], logged.time_ms)
            case "session.context_detached.v1" if context in members:
                if event.get("epoch") in (None, members[context].epoch):
                    del members[context]
            case "session.deleted.v1":
                deleted, members = True, {}
            case "session.created.v1" | "session.context_attached.v1" | "session.context_detached.v1":
                pass
            case other:
                raise AssertionError(other)
        self._offsets.append(logged.offset)
        self._states.append(SessionState(deleted, members))

    @property
    def last(self) -> SessionState:
        return self._states[-1]

    def at(self, offset: int) -> SessionState:
        """Return the state as of an offset of the session's partition."""
        return self._states[bisect_right(self._offsets, offset)]

    def judged(self, offset: int) -> SessionState:
        """Return the state that the session's event there has led to; a repeated one at its first place."""
        return self.at(self._repeats.get(offset, offset))

    def since(self, offset: int) -> list[SessionState]:
        """Return the state as of an offset, and all after it."""
        return self._states[bisect_right(self._offsets, offset) :]
