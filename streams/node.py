"""The composition root of this package: one process's part of a deployment."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from streams.commands import Judge, LogCommands
from streams.dead_letters import DeadLetters
from streams.domain.errors import RefusedStartError, ViewUnavailableError
from streams.domain.feed import Verdict
from streams.domain.nodes import NodeSaid, TableName
from streams.engine.app import ProcessorsOnFaust
from streams.engine.contact import Contact
from streams.engine.copies import Copies
from streams.engine.engine import Engine
from streams.engine.fatal import Die
from streams.engine.fold import Fold
from streams.engine.processor import Processor
from streams.engine.table import NoTable, OwnedTable
from streams.engine.table_files import Identity, Storage, TableFiles
from streams.engine.trimmer import Trimmer
from streams.keys import MasterKey, keep_secret
from streams.log.embedded import EmbeddedLog
from streams.log.kafka import KafkaLog
from streams.log.kafka_config import KafkaConfig
from streams.log.patience import until_answered
from streams.nodes import Nodes
from streams.processors.contexts import ContextsFold
from streams.processors.sessions import SessionsFold
from streams.rebuild import Rebuilding
from streams.registry import Registry
from streams.registry_keeper import FILE as SNAPSHOT
from streams.status import NodeStatus
from streams.topics import VIEW, TopicSpec, topic_specs
from streams.views.context_views import ContextReader
from streams.views.session_lists import CACHE_BYTES, SessionLists
from streams.views.session_views import SessionReader
from streams.views.tables import Table, WaitLimit
from streams.writer import LogWriter

LOG, TABLES, NAME = "log", "tables", "node.name"
_TOPICS_LIMIT_S = 5.0
"""For so long another node may take to create the topics that this one has found in part."""


@dataclass(frozen=True, kw_only=True)
class NodeConfig:
    """What a node is built from."""

    data: Path
    """The data directory: `log/` (embedded), `tables/`, `node.name`, `registry.snapshot`, and the secrets' files."""
    kafka: KafkaConfig | None
    """None: the embedded log."""
    partitions: int
    key: MasterKey
    url: str
    """Where other nodes reach the internal listener."""
    folds: bool = True
    """Whether the processors run here."""
    roles: tuple[str, ...] = ("api", "streams")
    """What the node says that it does."""
    stale_reads_max_s: float = 60.0
    """For how long lists are served without hearing of the log."""
    list_cache_bytes: int = CACHE_BYTES
    """How much memory the lists may take that are kept to be served again."""


class Node:
    """
    The log, the registry, and where the node folds, the processors and their tables.

    Attributes are there after `start`: `log`, `registry`, `writer` (a `service.ports.EventWriter`), `commands`
    (`SessionCommands`), `context_views` (`ContextViews`), `session_views` (`SessionViews`), `nodes`, `dead_letters` (a
    `service.api.ports.DeadLetters`).
    """

    log: EmbeddedLog | KafkaLog
    registry: Registry
    dead_letters: DeadLetters
    writer: LogWriter
    commands: LogCommands
    context_views: ContextReader
    session_views: SessionReader
    nodes: Nodes

    def __init__(self, config: NodeConfig, die: Die) -> None:
        """Take what to build; *die* ends the process where going on would do damage."""
        self.config, self._die = config, die
        self._contact: Contact | None = None
        self._engine: Engine | None = None
        self._faust: ProcessorsOnFaust | None = None
        self._begun = AsyncExitStack()
        """What was started, or had begun to when it was told to stop; it is stopped in the other order."""

    async def start(self) -> None:
        """
        Connect, create or check the topics, fold the registry, begin to recover the tables.

        Raises:
            RefusedStartError: It must not start; the message says what to do.
        """
        config = self.config
        self.log = EmbeddedLog(config.data / LOG, self._die) if config.kafka is None else KafkaLog(config.kafka)
        # Brokers may go away once they were there: all that is asked of them on the way has this much time.
        end_s = asyncio.get_running_loop().time() + (config.kafka.start_limit_s if config.kafka else 0.0)
        await self.log.start()
        self._begun.push_async_callback(self.log.stop)
        await until_answered(partial(prepare_topics, self.log, topic_specs(config.partitions)), end_s=end_s)
        self.registry = Registry(
            self.log,
            fingerprint=config.key.fingerprint,
            partitions=config.partitions,
            die=self._die,
            snapshot=config.data / SNAPSHOT,
        )
        self._begun.push_async_callback(self.registry.stop)
        await until_answered(self.registry.start, end_s=end_s)
        self.dead_letters = DeadLetters(self.log, self.registry, config.partitions)
        self.writer = LogWriter(self.log, config.partitions)
        self._rebuilding = Rebuilding(self.log, self.registry, config.partitions, self._die)
        self._contact = Contact(self.log, time.monotonic, die=self._die)
        self._begun.push_async_callback(self._contact.stop)
        await self._contact.start()
        if config.folds:
            await self._start_folding(self._contact)
        else:
            self._read(NoTable(), NoTable(), _NoJudge())
        self.nodes = self._nodes()
        # Stopped first: nobody should forward to a node that lets its partitions go.
        self._begun.push_async_callback(self.nodes.stop)
        await until_answered(self.nodes.start, end_s=end_s)

    async def _start_folding(self, contact: Contact) -> None:
        config = self.config
        identity = Identity(self.log.id, config.partitions, config.key.fingerprint, self._rebuilding.generation)
        storage = Storage(config.data / TABLES, identity)

        def processor(fold: Fold) -> Processor:
            files = TableFiles(storage, fold.name)
            table = OwnedTable(
                fold,
                files,
                self.log,
                contact,
                stale_reads_max_s=config.stale_reads_max_s,
                gate=self._rebuilding,
            )
            self._begun.callback(table.close)
            return Processor(
                fold,
                table,
                self.log,
                self._die,
                partitions=config.partitions,
                is_decided=self.dead_letters.is_decided,
            )

        contexts = processor(ContextsFold(hash_key=config.key.hash_key))
        sessions = processor(SessionsFold(hash_key=config.key.hash_key))
        self._read(contexts.table, sessions.table, sessions)
        self._engine = Engine(
            (contexts, sessions),
            partitions=config.partitions,
            files_directory=storage.directory,
            die=self._die,
            copies=await self._begin_copies(),
        )
        self._faust = ProcessorsOnFaust(self._engine, view=VIEW, url=config.url, name=self._name(), die=self._die)
        if isinstance(self.log, EmbeddedLog):
            self._faust.on_embedded(self.log)
        else:
            self._faust.on_kafka(self.log)
        self._begun.push_async_callback(self._faust.stop)
        await self._faust.start()
        self._begun.push_async_callback(self._rebuilding.stop)
        self._rebuilding.start()
        trimmer = Trimmer(self.log, self._engine.processors, die=self._die)
        self._begun.push_async_callback(trimmer.stop)
        trimmer.start()

    def _name(self) -> str:
        # Not the URL: nodes that are told no other one have the same, each on its own machine.
        return keep_secret(self.config.data / NAME, secrets.token_hex(8))

    def _nodes(self) -> Nodes:
        config = self.config
        processors = () if self._engine is None else self._engine.processors
        return Nodes(
            self.log if isinstance(self.log, KafkaLog) else None,
            NodeSaid(
                name=self._name(), url=config.url, roles=config.roles, view=VIEW, started_ms=time.time_ns() // 1_000_000
            ),
            config.partitions,
            tables={TableName(processor.fold.name): processor.table for processor in processors},
            lag_events=lambda: sum(processor.lag_events for processor in self.status().processors),
            die=self._die,
        )

    async def _begin_copies(self) -> Copies | None:
        """Return what keeps copies of other nodes' partitions up to date, None where there can be no other."""
        if isinstance(self.log, EmbeddedLog):
            return None
        copies = Copies(self.log.follower(), self._die)
        self._begun.push_async_callback(copies.stop)
        copies.start()
        return copies

    def _read(self, contexts: Table, sessions: Table, judge: Judge) -> None:
        partitions, waits = self.config.partitions, WaitLimit()
        lists = SessionLists(self.config.list_cache_bytes, generation=self._rebuilding.generation)
        self.context_views = ContextReader(contexts, partitions, waits)
        self.session_views = SessionReader(sessions, partitions, lists, waits)
        self.commands = LogCommands(self.writer, judge, self.session_views, partitions)

    async def stop(self) -> None:
        """Finish what was begun, commit, close; also where `start` was cancelled or has failed."""
        await self._begun.aclose()

    def status(self) -> NodeStatus:
        """Say how the node is."""
        folding = self._engine is not None and self._faust is not None
        processors = self._engine.status(self._ends(), time.time_ns() // 1_000_000) if self._engine else []
        # There may be none: a group of more nodes than partitions is settled all the same.
        owned_all = all(p.recovering == 0 for p in processors)
        folds_again = folding and not self._rebuilding.is_open
        ready = not folding or (self._faust is not None and self._faust.is_ready and owned_all and not folds_again)
        return NodeStatus(
            ready=ready,
            writes=self.writer.writes,
            write_failures=self.writer.failures,
            silent_s=self._contact.silent_s if self._contact is not None else 0.0,
            registry_objects=self.registry.objects,
            registry_lag_s=self.registry.lag_s,
            processors=tuple(processors),
            registry_snapshots_discarded=self.registry.snapshots_discarded,
            folds_again=folds_again,
        )

    def _ends(self) -> dict[tuple[str, int], int]:
        """Return the ends of the inputs, as far as they are known here: what was fetched of, and what was written."""
        ends = dict(self.writer.ends)
        if self._faust is not None:
            for tp, end in self._faust.ends().items():
                ends[tp] = max(end, ends.get(tp, 0))
        return ends


class _NoJudge:
    """Implements `streams.commands.Judge` for a node that folds nothing: it judges nothing."""

    def owns(self, partition: int) -> None:
        raise ViewUnavailableError(f"partition {partition} is not folded on this node")

    def expecting(self, event_id: str, partition: int) -> AbstractContextManager[asyncio.Future[Verdict]]:
        raise ViewUnavailableError(f"{event_id} in {partition} is not folded on this node")


async def prepare_topics(log: EmbeddedLog | KafkaLog, specs: Sequence[TopicSpec]) -> None:
    """
    Create all topics where there is none of them; where there are some, have every one be as it should.

    A topic that is missing beside others has been lost, and creating it again would hide that.

    Raises:
        RefusedStartError: One is missing or is not as it should be.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + _TOPICS_LIMIT_S
    while True:
        complaints = await log.check_topics(specs)
        if not complaints:
            return
        if len(complaints) == len(specs) and all("is missing" in complaint for complaint in complaints):
            await log.create_topics(specs)
        elif loop.time() > end or not all("is missing" in complaint for complaint in complaints):
            raise RefusedStartError(complaints[0])
        else:
            await asyncio.sleep(_TOPICS_LIMIT_S / 20)
