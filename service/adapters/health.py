"""A node's status as those who wait for it are told."""

from __future__ import annotations

from collections.abc import Callable

from streams.status import NodeStatus

_STARTING = "the log, its topics and the registry"
_STOPPING = "nothing: the node is stopping"


class NodeHealth:
    """What a node waits for, from the first moment of its process to the last."""

    def __init__(self, status: Callable[[], NodeStatus]) -> None:
        """Take what returns the node's status once it is started."""
        self._status = status
        self._is_started = self._is_stopping = False

    def started(self) -> None:
        """Note that the node has a status."""
        self._is_started = True

    def stopping(self) -> None:
        """Note that nobody should send requests any more."""
        self._is_stopping = True

    def status(self) -> NodeStatus | None:
        """Return the node's status, None where it has none yet."""
        return self._status() if self._is_started else None

    def awaited(self) -> list[str]:
        """Return a sentence for each thing that is waited for; nothing where the node is ready."""
        if self._is_stopping:
            return [_STOPPING]
        status = self.status()
        return [_STARTING] if status is None else awaited(status)

    @property
    def recovered_rows(self) -> int:
        """Changelog records that recoveries have applied."""
        status = self.status()
        return sum(processor.recovered_rows for processor in status.processors) if status else 0


def awaited(status: NodeStatus) -> list[str]:
    """Return a sentence for each thing that the node waits for before it is ready; nothing where it is."""
    if status.ready:
        return []
    waits = []
    for processor in status.processors:
        owned = processor.ready + processor.recovering
        if not owned:
            waits.append(f"{processor.name}: no partition is assigned to this node yet")
        elif processor.recovering:
            waits.append(f"{processor.name}: {processor.recovering} of {owned} partitions are being recovered")
    if status.folds_again:
        again = "the tables of all nodes are being folded again from the sources"
        waits.append("the next version of the views is being folded from the sources" if status.building else again)
    if status.registry_lag_s:
        waits.append(f"the registry is {status.registry_lag_s:.0f} s behind its log")
    return waits or [f"the log, last heard of {status.silent_s:.0f} s ago"]
