"""One version of the views on this node: the processors, their tables, and what reads these."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from streams.commands import Judge, LogCommands
from streams.domain.erasure import tombstones_kept_s
from streams.domain.errors import ViewUnavailableError
from streams.engine.app import ProcessorsOnFaust
from streams.engine.batch import IsDecided
from streams.engine.contact import Contact
from streams.engine.copies import Copies, Folders
from streams.engine.engine import Engine
from streams.engine.fatal import Die
from streams.engine.fold import Fold
from streams.engine.pace import Pace
from streams.engine.processor import Processor
from streams.engine.rewriting import Rewriting
from streams.engine.storage import Identity, Storage
from streams.engine.table import NoTable, OwnedTable
from streams.engine.table_files import TableFiles
from streams.engine.trimmer import Trimmer
from streams.erasing import Erasing
from streams.idempotency import KeyLog
from streams.keys import MasterKey
from streams.log.embedded import EmbeddedLog
from streams.log.kafka import KafkaLog
from streams.processors.contexts import ContextsFold
from streams.processors.idempotency import IdempotencyFold
from streams.processors.sessions import SessionsFold
from streams.processors.webhooks import WebhooksFold
from streams.rebuild import Rebuilding
from streams.status import ProcessorStatus
from streams.topics import CONTEXT_EVENTS, SESSION_EVENTS, VIEW
from streams.views.context_views import ContextReader
from streams.views.session_lists import SessionLists
from streams.views.session_views import SessionReader
from streams.views.tables import Table, WaitLimit
from streams.webhooks import WebhookQueues
from streams.writer import LogWriter

TABLES = "tables"


def tables_directory(data: Path, view: str) -> Path:
    """Return where a node keeps the tables of a version of the views."""
    return data / TABLES if view == VIEW else data / TABLES / view


@dataclass(frozen=True, kw_only=True)
class Foundation:
    """What every version of the views on this node stands on."""

    log: EmbeddedLog | KafkaLog
    writer: LogWriter
    contact: Contact
    is_decided: IsDecided
    is_live: Callable[[str], bool]
    """Says whether a version is the one that lists are served from."""
    is_building: Callable[[str], bool]
    """Says whether a version of the views is not read yet."""
    is_elsewhere: Callable[[str, str, int], bool]
    """Says of which version's table's partition another node says that it serves it."""
    pace: Pace
    """Of what is not read yet."""
    data: Path
    """The node's directory."""
    partitions: int
    key: MasterKey
    url: str
    """Where other nodes reach the internal listener."""
    name: str
    """The node's."""
    stale_reads_max_s: float
    list_cache_bytes: int
    erasure_within_s: float
    erasing: Erasing
    die: Die


class Folding:
    """
    Folds one version of the views, and reads it.

    Attributes:
        view: The version's name.
        context_views: Reads contexts' lists.
        session_views: Reads sessions' lists.
        commands: Has session events judged.
        keys: Has requests with idempotency keys admitted.
        webhooks: What is to be sent to webhook endpoints; None where it does not fold.
    """

    def __init__(self, foundation: Foundation, view: str, rebuilding: Rebuilding) -> None:
        """Take what it stands on, the version, and what says whether its lists are whole."""
        self._on, self.view, self.rebuilding = foundation, view, rebuilding
        self._edition = f"{view}.{rebuilding.generation}."
        self._engine: Engine | None = None
        self._faust: ProcessorsOnFaust | None = None
        self._rewriting: Rewriting | None = None
        self._begun = AsyncExitStack()
        self.webhooks: WebhookQueues | None = None
        self._is_contexts_first = bool(rebuilding.ends)
        self._read(NoTable(), NoTable(), _NoJudge())
        self.keys = KeyLog(foundation.writer, _NoJudge(), foundation.partitions)

    async def start(self) -> None:
        """Begin to recover the tables, and to fold."""
        on = self._on
        identity = Identity(on.log.id, on.partitions, on.key.fingerprint, self.rebuilding.generation)
        storage = Storage(tables_directory(on.data, self.view), identity)
        contexts = self._processor(ContextsFold(hash_key=on.key.hash_key, view=self.view), storage)
        sessions = self._processor(SessionsFold(hash_key=on.key.hash_key, view=self.view), storage)
        webhooks = self._processor(
            WebhooksFold(hash_key=on.key.hash_key, partitions=on.partitions, view=self.view), storage
        )
        idempotency = self._processor(IdempotencyFold(view=self.view), storage)
        self._read(contexts.table, sessions.table, sessions)
        self.keys = KeyLog(on.writer, idempotency, on.partitions)
        self.webhooks = WebhookQueues(on.log, webhooks.table, lambda: on.is_live(self.view), on.erasing)
        copies = await self._begin_copies()
        self._engine = Engine(
            (contexts, sessions, webhooks, idempotency),
            partitions=on.partitions,
            files_directory=storage.directory,
            die=on.die,
            copies=copies,
            holds_back=partial(self._holds_back, contexts.table),
            is_elsewhere=partial(on.is_elsewhere, self.view),
        )
        if copies is not None:
            copies.on_looked = self._engine.let_go
            names = {processor.fold.changelog: processor.fold.name for processor in self._engine.processors}
            copies.unfolded_s = Folders(lambda at: on.is_elsewhere(self.view, names[at[0]], at[1])).unfolded_s
        self._faust = ProcessorsOnFaust(self._engine, view=self.view, url=on.url, name=on.name, die=on.die)
        if isinstance(on.log, EmbeddedLog):
            self._faust.on_embedded(on.log)
        else:
            self._faust.on_kafka(on.log)
        self._begun.push_async_callback(self._faust.stop)
        await self._faust.start()
        self._begun.push_async_callback(self.rebuilding.stop)
        self.rebuilding.start()
        trimmer = Trimmer(
            on.log,
            self._engine.processors,
            all_every_s=on.erasure_within_s / 16,
            flush_every_s=tombstones_kept_s(on.erasure_within_s) / 4,
            die=on.die,
        )
        self._begun.push_async_callback(trimmer.stop)
        trimmer.start()

    def _holds_back(self, contexts: OwnedTable, topic: str) -> bool:
        """
        Have a version that is built fold its contexts first, as far as there were any when it was begun.

        A session then hears of each context once, as it is by now, and not of every change that ever was. In which
        order the two sources are folded makes no difference to any list.
        """
        if topic != SESSION_EVENTS or not self._is_contexts_first:
            return False
        ends = self.rebuilding.ends.get(CONTEXT_EVENTS, ())
        owned = contexts.partitions.items()
        self._is_contexts_first = self._on.is_building(self.view) and any(
            partition.positions[CONTEXT_EVENTS] < ends[number] - 1 for number, partition in owned
        )
        return self._is_contexts_first

    def _processor(self, fold: Fold, storage: Storage) -> Processor:
        on = self._on
        table = OwnedTable(
            fold,
            TableFiles(storage, fold.name),
            on.log,
            on.contact,
            stale_reads_max_s=on.stale_reads_max_s,
            gate=self.rebuilding,
        )
        self._begun.callback(table.close)
        return Processor(
            fold,
            table,
            on.log,
            on.die,
            partitions=on.partitions,
            is_decided=on.is_decided,
            is_building=partial(on.is_building, self.view),
            pace=on.pace,
            # Nobody waits for a turn there. On the embedded log the same process serves the live version.
            in_bulk=isinstance(on.log, KafkaLog),
        )

    async def _begin_copies(self) -> Copies | None:
        """Return what keeps copies of other nodes' partitions up to date, None where there can be no other."""
        if isinstance(self._on.log, EmbeddedLog):
            return None
        copies = Copies(self._on.log.follower(), self._on.log, self._on.die)
        self._begun.push_async_callback(copies.stop)
        copies.start()
        return copies

    def _read(self, contexts: Table, sessions: Table, judge: Judge) -> None:
        partitions, waits = self._on.partitions, WaitLimit()
        lists = SessionLists(self._on.list_cache_bytes, edition=self._edition)
        self.context_views = ContextReader(contexts, partitions, waits, edition=self._edition)
        self.session_views = SessionReader(sessions, partitions, lists, waits)
        self.commands = LogCommands(self._on.writer, judge, self.session_views, partitions)

    async def stop(self) -> None:
        """Finish what was begun, commit, close; also where `start` was cancelled or has failed."""
        await self._begun.aclose()

    @property
    def is_started(self) -> bool:
        """Whether it folds: not on a node that only hands calls on."""
        return self._faust is not None

    @property
    def is_ready(self) -> bool:
        """Whether all is served that is assigned here."""
        # There may be no partition: a group of more nodes than partitions is settled all the same.
        owned_all = all(processor.recovering == 0 for processor in self.status())
        return self._faust is not None and self._faust.is_ready and owned_all and self.rebuilding.is_open

    @property
    def processors(self) -> tuple[Processor, ...]:
        """The processors; none where it does not fold."""
        return () if self._engine is None else self._engine.processors

    async def forget(self, since_s: float) -> dict[str, int] | None:
        """Implement `streams.eraser.Tables`, also for partitions that are, or were, another node's."""
        if self._engine is None:
            return None
        if self._rewriting is None or self._rewriting.since_s != since_s:
            tables = [processor.table for processor in self.processors]
            self._rewriting = Rewriting(tables, since_s, self._engine.is_member)
        if not await self._rewriting.go_on():
            return None
        return {f"{self.view}/{store}": offset for store, offset in self._rewriting.offsets.items()}

    @property
    def owns_the_first(self) -> bool:
        """Whether it folds the first partition of contexts here, which one node of a deployment does."""
        owned = self.processors[0].table.owned(0) if self.processors else None
        return owned is not None and owned.claim is not None

    @property
    def waits_for(self) -> tuple[str, ...]:
        """Places of records at which it has stopped until somebody decides about them."""
        return tuple(str(processor.waits_for) for processor in self.processors if processor.waits_for is not None)

    @property
    def lag_events(self) -> int:
        """Records that are in the log and not folded here."""
        return sum(processor.lag_events for processor in self.status())

    def status(self) -> tuple[ProcessorStatus, ...]:
        """Say how each processor is."""
        if self._engine is None:
            return ()
        starts = {} if self._faust is None else self._faust.starts()
        return tuple(self._engine.status(starts, self._ends(), time.time_ns() // 1_000_000))

    def _ends(self) -> dict[tuple[str, int], int]:
        """Return the ends of the inputs, as far as they are known here: what was fetched of, and what was written."""
        ends = dict(self._on.writer.ends)
        if self._faust is not None:
            for tp, end in self._faust.ends().items():
                ends[tp] = max(end, ends.get(tp, 0))
        return ends


class _NoJudge:
    """Implements `streams.commands.Judge`, and that of keys, for a node that folds nothing: it judges nothing."""

    def owns(self, partition: int) -> None:
        raise ViewUnavailableError(f"partition {partition} is not folded on this node")

    def expecting(self, event_id: str, partition: int) -> AbstractContextManager[asyncio.Future[Any]]:
        raise ViewUnavailableError(f"{event_id} in {partition} is not folded on this node")
