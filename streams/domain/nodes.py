"""Which nodes there are, as they say of themselves, and which of them answers for a partition: a pure fold."""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping
from typing import NamedTuple

import msgspec

SILENT_MS = 7_000
"""A node that has said nothing for so long is not asked any more: it has missed three signs of life, and whatever it
had may be another's by now, for the group waits 6 s."""
API = "api"
"""The role of nodes that answer clients."""
FORGOTTEN_MS = 3_600_000
"""One that has said nothing for so long is not even listed."""


class TableName(enum.StrEnum):
    """A table, by the name of its processor."""

    CONTEXTS = "contexts"
    SESSIONS = "sessions"
    WEBHOOKS = "webhooks"
    IDEMPOTENCY = "idempotency"


Asked = Mapping[str, tuple[float, float]]
"""Client id → reads and writes that it asks for in a second, refused ones too."""


class NodeSaid(msgspec.Struct, frozen=True, kw_only=True):
    """What a node says of itself, whole each time."""

    name: str
    """The node's own, the same over restarts."""
    url: str
    """Where other nodes reach its internal listener."""
    roles: tuple[str, ...]
    """`api`, `streams`."""
    view: str
    """The version of the views that it folds."""
    contexts: tuple[int, ...] = ()
    """The partitions whose contexts' lists it serves."""
    sessions: tuple[int, ...] = ()
    """The partitions whose sessions' lists it serves, and whose commands it has judged."""
    context_copies: tuple[int, ...] = ()
    """The partitions of which it has a warm copy that can be read, contexts'."""
    session_copies: tuple[int, ...] = ()
    """And sessions'."""
    webhooks: tuple[int, ...] = ()
    """The partitions whose contexts' webhooks it sends."""
    webhook_copies: tuple[int, ...] = ()
    """Those of whose webhooks it has a warm copy."""
    idempotency: tuple[int, ...] = ()
    """The partitions whose idempotency keys it judges."""
    idempotency_copies: tuple[int, ...] = ()
    """Those of which it has a warm copy."""
    lag_events: int = 0
    """Records of its partitions that are in the log and not folded."""
    waits_for: tuple[str, ...] = ()
    """Places of records at which it has stopped until somebody decides about them: it builds a version of the views."""
    started_ms: int = 0
    """When its process began, Unix time."""
    asked: Asked = {}
    """What those clients ask of it that ask for a good part of what they may."""

    def served(self, table: TableName) -> tuple[int, ...]:
        """Return the partitions of a table that it serves."""
        served, _ = FIELDS[table]
        return tuple(getattr(self, served))

    def copied(self, table: TableName) -> tuple[int, ...]:
        """Return those of which it has a warm copy that can be read."""
        _, copied = FIELDS[table]
        return tuple(getattr(self, copied))


FIELDS: Mapping[TableName, tuple[str, str]] = {
    TableName.CONTEXTS: ("contexts", "context_copies"),
    TableName.SESSIONS: ("sessions", "session_copies"),
    TableName.WEBHOOKS: ("webhooks", "webhook_copies"),
    TableName.IDEMPOTENCY: ("idempotency", "idempotency_copies"),
}
"""Table → the fields of `NodeSaid` that say which of its partitions the node serves, and has copies of."""


class KnownNode(NamedTuple):
    """A node as another one knows it."""

    said: NodeSaid
    silent_ms: int
    """How long ago it said so, by the log's own clock."""


class _Heard(NamedTuple):
    said: NodeSaid
    time_ms: int
    since: dict[tuple[TableName, int], int]
    """Partition → offset of the record that first said that it is served, since when it was said each time."""


class NodesState:
    """
    What every node has last said.

    Silence is measured by the log's clock, from the last record of all: while the log is away nobody can say
    anything, and nobody counts as silent.
    """

    def __init__(self) -> None:
        self._heard: dict[str, _Heard] = {}
        self._doubted: set[str] = set()
        self._last_ms = 0

    def fold(self, name: str, said: NodeSaid | None, offset: int, time_ms: int) -> None:
        """Take what a node has said; None: it is gone."""
        self._last_ms = time_ms
        self._doubted.discard(name)
        before = self._heard.pop(name, None)
        if said is not None:
            known = before.since if before is not None and before.said.started_ms == said.started_ms else {}
            self._heard[name] = _Heard(said, time_ms, {at: known.get(at, offset) for at in _served(said)})
        for other in [name for name in self._heard if self._silent_ms(name) > FORGOTTEN_MS]:
            del self._heard[other]

    def answering(self, table: TableName, partition: int, view: str, but: Collection[str]) -> NodeSaid | None:
        """
        Return the node that answers for a partition of a table; None where nobody is known to.

        Where several say that they do, one of them does not know yet that it has lost it: who began last is right.

        Args:
            table: Which.
            partition: Which of it.
            view: The version of the views.
            but: Nodes that are not asked.
        """
        at = table, partition
        best, best_since = None, -1
        for name, (said, _, since) in self._heard.items():
            began = since.get(at, -1)
            if began > best_since and said.view == view and name not in but and self._is_asked(name):
                best, best_since = said, began
        return best

    def copying(self, table: TableName, partition: int, view: str, but: Collection[str]) -> NodeSaid | None:
        """Return a node that has a warm copy of a partition of a table; None where none is known."""
        for name in sorted(self._heard):
            said = self._heard[name].said
            if partition in said.copied(table) and said.view == view and name not in but and self._is_asked(name):
                return said
        return None

    def doubt(self, name: str) -> None:
        """Ask a node no more that could not be reached, until it says something."""
        self._doubted.add(name)

    def known(self) -> list[KnownNode]:
        """Return every node, by name."""
        return [KnownNode(self._heard[name].said, self._silent_ms(name)) for name in sorted(self._heard)]

    def asked(self, but: str) -> list[Asked]:
        """Return what clients ask of each node that answers them and is not silent, node *but* left out."""
        return [
            said.asked
            for name, (said, *_) in self._heard.items()
            if name != but and API in said.roles and self._silent_ms(name) <= SILENT_MS
        ]

    def _is_asked(self, name: str) -> bool:
        return name not in self._doubted and self._silent_ms(name) <= SILENT_MS

    def _silent_ms(self, name: str) -> int:
        return max(0, self._last_ms - self._heard[name].time_ms)


def _served(said: NodeSaid) -> list[tuple[TableName, int]]:
    return [(table, number) for table in TableName for number in said.served(table)]
