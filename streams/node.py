"""The composition root of this package: one process's part of a deployment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from streams.engine.fatal import Die
from streams.keys import MasterKey
from streams.log.kafka_config import KafkaConfig
from streams.status import NodeStatus


@dataclass(frozen=True, kw_only=True)
class NodeConfig:
    """What a node is built from."""

    data: Path
    """The data directory: `log/` (embedded), `tables/`, `master.key`, `admin.token`."""
    kafka: KafkaConfig | None
    """None: the embedded log."""
    partitions: int
    key: MasterKey
    url: str
    """The internal listener's, which no other node has."""
    folds: bool = True
    """Whether both processors run here."""
    stale_reads_max_s: float = 60.0
    """For how long lists are served without hearing of the log."""


class Node:
    """
    The log, the registry, and where the node folds, both processors and their tables.

    Attributes are there after `start`: `log`, `registry`, `writer` (a `service.ports.EventWriter`), `commands`
    (`SessionCommands`), `context_views` (`ContextViews`), `session_views` (`SessionViews`).
    """

    def __init__(self, config: NodeConfig, die: Die) -> None:
        """Take what to build; *die* ends the process where going on would do damage."""
        self.config, self._die = config, die

    async def start(self) -> None:
        """
        Connect, create or check the topics, fold the registry, begin to recover the tables.

        Raises:
            RefusedStartError: It must not start; the message says what to do.
        """
        raise NotImplementedError

    async def stop(self) -> None:
        """Finish what was begun, commit, leave the group, close."""
        raise NotImplementedError

    def status(self) -> NodeStatus:
        """Say how the node is."""
        raise NotImplementedError
