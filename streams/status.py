"""How a node is: what its metrics and its health say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class ProcessorStatus(NamedTuple):
    """One processor on this node. Counts are since the start of the process."""

    name: str
    """Of its table, as `contexts`."""
    folded: Mapping[str, int]
    """Input topic → records folded."""
    lag_events: int
    """Records of its inputs that are in the log and not yet folded, over the partitions owned here."""
    lag_ms: int
    """How long ago the oldest of those that are on their way through the engine was appended; 0 where none is."""
    dead_letters: int
    noticed: Mapping[str, int]
    """`digest_difference`, `gap`, `refused` → how often."""
    holes: int
    """Offsets that the log really does not have any more."""
    ready: int
    """Partitions owned here that are served and folded."""
    recovering: int
    """Partitions owned here that are not served yet."""
    recovered_rows: int
    """Changelog records applied by recoveries."""
    recovery_s: float
    """Seconds that recoveries took."""
    stores_set_aside: int
    """Stores that could not be trusted and were set aside, to be restored from the changelog."""
    copied: int = 0
    """Partitions of other nodes of which there is a warm copy here that can be read."""
    decided: int = 0
    """Records that could not be folded, and about which somebody had decided."""


class NodeStatus(NamedTuple):
    """The whole node."""

    ready: bool
    """Whether all that this node should serve can be served."""
    writes: int
    """Events acknowledged by the log."""
    write_failures: int
    """Events whose outcome was not known in time."""
    silent_s: float
    """Seconds since the log was last heard of."""
    registry_objects: int
    registry_lag_s: float
    """For how long the registry has been behind its log; 0 where it is not."""
    processors: tuple[ProcessorStatus, ...]
    """Empty where the node folds nothing."""
    registry_snapshots_discarded: int = 0
    """Snapshots of the registry that could not be used at the start."""
    building: tuple[ProcessorStatus, ...] = ()
    """Those of the version of the views that is built here, beside the live one or alone."""
    waits_for: tuple[str, ...] = ()
    """Places of records at which that has stopped until somebody decides about them."""
    folds_again: bool = False
    """Whether the tables of all nodes are being folded again from the sources, and no list is served until they are."""
