"""The composition root of this package: one process's part of a deployment."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from copy import copy
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from streams.audit import Audit, Served
from streams.commands import LogCommands
from streams.dead_letters import DeadLetters
from streams.digests import PartitionDigests
from streams.domain.erasure import tombstones_kept_s
from streams.domain.errors import RefusedStartError
from streams.domain.nodes import NodeSaid, TableName
from streams.domain.view_versions import Stage, building, kept, live, versions
from streams.engine.contact import Contact
from streams.engine.fatal import Die
from streams.engine.pace import Pace
from streams.engine.processor import Processor
from streams.engine.table import OwnedTable
from streams.eraser import Eraser
from streams.erasing import Erasing
from streams.explain import Explainer
from streams.folding import Folding, Foundation
from streams.history import CLIENTS, History
from streams.hosting import Hosting, LiveCommands, LiveContexts, LiveKeys, LiveSessions, remove_tables
from streams.idempotency import KeyLog
from streams.keys import MasterKey, keep_secret
from streams.log.embedded import EmbeddedLog
from streams.log.kafka import KafkaLog
from streams.log.kafka_config import KafkaConfig
from streams.log.patience import until_answered
from streams.nodes import Nodes
from streams.rebuild import Rebuilding
from streams.refold import Refold
from streams.registry import Registry
from streams.registry_keeper import FILE as SNAPSHOT
from streams.repair import Repair
from streams.status import NodeStatus
from streams.topics import VIEW, TopicSpec, shared_specs, view_specs, view_topics
from streams.versions import Versions
from streams.views.context_views import ContextReader
from streams.views.session_lists import CACHE_BYTES
from streams.views.session_views import SessionReader
from streams.webhooks import WebhookQueues
from streams.writer import LogWriter

LOG, NAME = "log", "node.name"
MOST_LIVE_LAG_EVENTS = 5_000
"""Records that the live version may not have folded before the one that is built beside it pauses: half a second's
work."""
ERASURE_WITHIN_S = 86_400.0
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
    view: str | None = None
    """The version of the views that it folds; None: the one that is live at the start."""
    roles: tuple[str, ...] = ("api", "streams")
    """What the node says that it does."""
    stale_reads_max_s: float = 60.0
    """For how long lists are served without hearing of the log."""
    erasure_within_s: float = ERASURE_WITHIN_S
    """How long it may take until nothing is left of what was erased."""
    list_cache_bytes: int = CACHE_BYTES
    """How much memory the lists may take that are kept to be served again."""


class Node:
    """
    The log, the registry, and where the node folds, the processors and their tables.

    Attributes are there after `start`: `log`, `registry`, `writer` (a `service.ports.EventWriter`), `commands`
    (`SessionCommands`), `keys` (`service.http.forward_keys.Keys`), `context_views` (`ContextViews`), `session_views`
    (`SessionViews`), `explainer` (`Explainer`), `history` (`History`), `past_lists` (`PastReader`), `audit` (`Audit`),
    `digests` (what `service.http.past_digests` asks), `repair` (`Repair`), `nodes`, `dead_letters` (a
    `service.api.ports.DeadLetters`), `erasing`, and where the node folds, `webhooks` (`service.webhooks.ports.Queues`).
    """

    log: EmbeddedLog | KafkaLog
    registry: Registry
    dead_letters: DeadLetters
    writer: LogWriter
    commands: LogCommands | LiveCommands
    context_views: ContextReader | LiveContexts
    session_views: SessionReader | LiveSessions
    keys: KeyLog | LiveKeys
    explainer: Explainer
    history: History
    past_lists: History
    audit: Audit
    repair: Repair
    digests: PartitionDigests
    nodes: Nodes
    webhooks: WebhookQueues | None
    versions: Versions
    erasing: Erasing

    def __init__(self, config: NodeConfig, die: Die) -> None:
        """Take what to build; *die* ends the process where going on would do damage."""
        self.config, self._die = config, die
        self._is_up = False
        self._begun = AsyncExitStack()
        """What was started, or had begun to when it was told to stop; it is stopped in the other order."""

    async def start(self) -> None:
        """
        Connect, create or check the topics, fold the registry, begin to recover the tables.

        Raises:
            RefusedStartError: It must not start; the message says what to do.
        """
        config = self.config
        if config.kafka is None:
            kept_s = tombstones_kept_s(config.erasure_within_s)
            self.log = EmbeddedLog(config.data / LOG, self._die, tombstones_kept_s=kept_s)
        else:
            self.log = KafkaLog(config.kafka)
        # Brokers may go away once they were there: all that is asked of them on the way has this much time.
        end_s = asyncio.get_running_loop().time() + (config.kafka.start_limit_s if config.kafka else 0.0)
        await self.log.start()
        self._begun.push_async_callback(self.log.stop)
        shared, first = shared_specs(config.partitions), view_specs(config.partitions, VIEW)
        await until_answered(partial(prepare_topics, self.log, shared, first), end_s=end_s)
        self.registry = Registry(
            self.log,
            fingerprint=config.key.fingerprint,
            partitions=config.partitions,
            die=self._die,
            snapshot=config.data / SNAPSHOT,
        )
        self._begun.push_async_callback(self.registry.stop)
        await until_answered(self.registry.start, end_s=end_s)
        self.erasing = Erasing(self.log, config.partitions)
        self.dead_letters = DeadLetters(
            self.log, self.registry, config.partitions, hash_key=config.key.hash_key, erasing=self.erasing
        )
        self.writer = LogWriter(self.log, config.partitions)
        self._contact = Contact(self.log, time.monotonic, die=self._die)
        self._begun.push_async_callback(self._contact.stop)
        await self._contact.start()
        view = self._view()
        await until_answered(partial(there, self.log, view_specs(config.partitions, view)), end_s=end_s)
        await self._host(view)
        refold = Refold(self.log, config.partitions, hash_key=config.key.hash_key)
        self.explainer = Explainer(refold, self.session_views)
        for_clients = Refold(self.log, config.partitions, hash_key=config.key.hash_key, most_at_once=1)
        self.past_lists = History(for_clients, bound=CLIENTS)
        for_operators = Refold(self.log, config.partitions, hash_key=config.key.hash_key)
        self.history = History(for_operators)
        self.audit = Audit(for_operators, self._served)
        self.repair = Repair(for_operators, self._processors, config.partitions)
        tables, hash_key = self._hosting.read_tables, config.key.hash_key
        self.digests = PartitionDigests(tables, for_operators, config.partitions, hash_key=hash_key)
        self.nodes = self._nodes()
        # Stopped first: nobody should forward to a node that lets its partitions go.
        self._begun.push_async_callback(self.nodes.stop)
        await until_answered(self.nodes.start, end_s=end_s)
        if config.folds:
            self._begun.push_async_callback((eraser := self._eraser()).stop)
            eraser.start()
        self._hosting.on_live = self._now_live
        self._is_up = True
        self.versions = Versions(
            self.log,
            self.registry,
            config.partitions,
            self.nodes if config.kafka else self._hosting,
            self._hosting.let_go,
        )

    async def _host(self, view: str) -> None:
        config = self.config
        for name, known in versions(self.registry.state).items():
            if known.version.stage is Stage.DROPPED:
                await asyncio.to_thread(remove_tables, config.data, name)
        foundation = self._foundation()
        self._hosting = hosting = Hosting(
            lambda name: Folding(foundation, name, self._rebuilding(name)),
            lambda: self.registry.state,
            config.data,
            self._die,
        )
        self._begun.push_async_callback(hosting.stop)
        self.context_views, self.session_views = LiveContexts(hosting), LiveSessions(hosting)
        self.commands, self.keys, self.webhooks = LiveCommands(hosting), LiveKeys(hosting), None
        if config.kafka is None and config.folds:
            await hosting.start_all()
            self.webhooks = copy(hosting.current.webhooks)
        else:
            await hosting.start_one(view, folds=config.folds)
            # It stays the same one, so there is nothing to choose at each call.
            folding = hosting.current
            self.context_views, self.session_views = folding.context_views, folding.session_views
            self.commands, self.keys, self.webhooks = folding.commands, folding.keys, folding.webhooks

    def _eraser(self) -> Eraser:
        hosting = self._hosting
        return Eraser(
            self.log,
            self.config.partitions,
            within_s=self.config.erasure_within_s,
            is_mine=lambda: hosting.current.view == live(self.registry.state) and hosting.current.owns_the_first,
            views=lambda: [view_topics(view) for view in kept(self.registry.state)],
            tables=hosting,
            node=self._name(),
            die=self._die,
        )

    def _now_live(self, folding: Folding) -> None:
        self.nodes.take(folding.view, _tables(folding))
        if self.webhooks is not None and folding.webhooks is not None:
            self.webhooks.take(folding.webhooks)

    def _rebuilding(self, view: str) -> Rebuilding:
        return Rebuilding(self.log, self.registry, self.config.partitions, self._die, view=view)

    def _served(self, view: str | None) -> Served:
        folding = self._hosting.current if view is None else self._hosting.find(view)
        return Served(folding.context_views, folding.session_views)

    def _processors(self, view: str | None) -> Sequence[Processor]:
        return (self._hosting.current if view is None else self._hosting.find(view)).processors

    def _view(self) -> str:
        """Return the version of the views that this node is about; raise `RefusedStartError` where there is none."""
        state = self.registry.state
        if self.config.view is not None and self.config.kafka is None:
            raise RefusedStartError(
                "On the embedded log one node folds all versions of the views: start without --view."
            )
        view = self.config.view or live(state)
        known = versions(state).get(view)
        if known is None:
            raise RefusedStartError(
                f"There is no version {view} of the views: `upnext rebuild start` begins the next one."
            )
        if known.version.stage is Stage.DROPPED:
            raise RefusedStartError(f"{view} was dropped: start without --view, to fold the version that is live.")
        return view

    def _foundation(self) -> Foundation:
        config = self.config
        return Foundation(
            log=self.log,
            writer=self.writer,
            contact=self._contact,
            is_decided=self.dead_letters.is_decided,
            is_live=lambda view: view == live(self.registry.state),
            is_building=self._is_building,
            is_elsewhere=self._is_elsewhere,
            pace=Pace(self._most_per_s, self._is_live_behind),
            data=config.data,
            partitions=config.partitions,
            key=config.key,
            url=config.url,
            name=self._name(),
            stale_reads_max_s=config.stale_reads_max_s,
            list_cache_bytes=config.list_cache_bytes,
            erasure_within_s=config.erasure_within_s,
            erasing=self.erasing,
            die=self._die,
        )

    def _name(self) -> str:
        # Not the URL: nodes that are told no other one have the same, each on its own machine.
        return keep_secret(self.config.data / NAME, secrets.token_hex(8))

    def _is_building(self, view: str) -> bool:
        return building(self.registry.state) == view

    def _is_elsewhere(self, view: str, table: str, partition: int) -> bool:
        # Before it is up, who else there is is not known yet.
        return self._is_up and self.nodes.is_elsewhere(view, TableName(table), partition)

    def _most_per_s(self) -> int:
        state = self.registry.state
        view = building(state)
        return 0 if view is None else versions(state)[view].version.max_events_per_s

    def _is_live_behind(self) -> bool:
        if not self._is_up:
            return True  # how far others are is not known yet
        view = live(self.registry.state)
        lag = self.nodes.lag_events(view) if self.config.kafka else self._hosting.current.lag_events
        return lag > MOST_LIVE_LAG_EVENTS

    def _nodes(self) -> Nodes:
        config, hosting = self.config, self._hosting
        return Nodes(
            self.log if isinstance(self.log, KafkaLog) else None,
            NodeSaid(
                name=self._name(),
                url=config.url,
                roles=config.roles,
                view=hosting.current.view,
                started_ms=time.time_ns() // 1_000_000,
            ),
            config.partitions,
            tables=_tables(hosting.current),
            lag_events=lambda: hosting.current.lag_events,
            waits_for=lambda: hosting.current.waits_for,
            live=lambda: live(self.registry.state),
            die=self._die,
        )

    async def stop(self) -> None:
        """Finish what was begun, commit, close; also where `start` was cancelled or has failed."""
        await self._begun.aclose()

    def status(self) -> NodeStatus:
        """Say how the node is."""
        folding, beside = self._hosting.current, self._hosting.building
        return NodeStatus(
            ready=not folding.is_started or folding.is_ready,
            writes=self.writer.writes,
            write_failures=self.writer.failures,
            silent_s=self._contact.silent_s,
            registry_objects=self.registry.objects,
            registry_lag_s=self.registry.lag_s,
            processors=folding.status(),
            registry_snapshots_discarded=self.registry.snapshots_discarded,
            folds_again=folding.is_started and not folding.rebuilding.is_open,
            building=() if beside is None else beside.status(),
            waits_for=() if beside is None else beside.waits_for,
        )


def _tables(folding: Folding) -> dict[TableName, OwnedTable]:
    return {TableName(processor.fold.name): processor.table for processor in folding.processors}


async def prepare_topics(
    log: EmbeddedLog | KafkaLog, specs: Sequence[TopicSpec], first: Sequence[TopicSpec] = ()
) -> None:
    """
    Create all topics where there is none of them, and *first* with them; where there are some, see that all are.

    A topic that is missing beside others has been lost, and creating it again would hide that.

    Raises:
        RefusedStartError: One of *specs* is missing or is not as it should be.
    """
    wanted = [*specs, *first]
    complaints = await log.check_topics(wanted)
    if len(complaints) == len(wanted) and all("is missing" in complaint for complaint in complaints):
        await log.create_topics(wanted)
    await there(log, specs)


async def there(log: EmbeddedLog | KafkaLog, specs: Sequence[TopicSpec]) -> None:
    """
    Return once all topics are there, which another node may just be making.

    Raises:
        RefusedStartError: One is missing or is not as it should be.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + _TOPICS_LIMIT_S
    while complaints := await log.check_topics(specs):
        if loop.time() > end or not all("is missing" in complaint for complaint in complaints):
            raise RefusedStartError(complaints[0])
        await asyncio.sleep(_TOPICS_LIMIT_S / 20)
