"""The registry on a node: `registry-events` folded whole into memory, from its snapshot on, and followed."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path

import structlog

from streams.domain.errors import (
    LogUnavailableError,
    NewerEventError,
    PoisonError,
    RefusedStartError,
    RegistryBehindError,
)
from streams.domain.registry import Refused, TooLarge, Verdict, fold
from streams.domain.registry_events import AnyRegistryEvent, DeploymentDeclared, Transaction
from streams.domain.registry_history import Past
from streams.domain.registry_state import RegistryState
from streams.engine.fatal import Die
from streams.log.port import Log, Record
from streams.registry_codec import decode_registry_event, encode_registry_event, registry_key
from streams.registry_history import past_versions
from streams.registry_keeper import SNAPSHOT_AFTER_BYTES, Keeper
from streams.topics import REGISTRY_EVENTS

PARTITION = 0
VERDICT_LIMIT_S = 4.5
"""How long a transaction may take: its append and its fold, under the 5 s of a client's patience."""
LAG_LIMIT_S = 5.0
"""For how long the registry may be behind its log and still be trusted: a revoked key must not live on."""
CATCH_UP_LIMIT_S = 2.0
MAX_TRANSACTION_BYTES = (1 << 20) - 4096
"""What fits into one record of 1 MiB together with its key and Kafka's own overhead."""
_AGAIN_S = 0.2
_CHECK_EVERY_S = 1.0
_KNOWN_ENDS = 64


class Registry:
    """
    Every object of the deployment, on every node.

    It has no owner: any node appends a transaction, every node judges it at its place in the log, and the writer
    answers what its own fold made of it.
    """

    def __init__(
        self,
        log: Log,
        *,
        fingerprint: str,
        partitions: int,
        die: Die,
        clock_s: Callable[[], float] = time.monotonic,
        limit_s: float = VERDICT_LIMIT_S,
        snapshot: Path | None = None,
        snapshot_after_bytes: int = SNAPSHOT_AFTER_BYTES,
    ) -> None:
        """
        Take the log, and what this node was started with.

        Args:
            log: Its topic `registry-events` is there.
            fingerprint: Of the node's master key.
            partitions: Of the other topics.
            die: Ends the process.
            clock_s: Measures lag.
            limit_s: How long a transaction may take.
            snapshot: The file that what was folded is kept in; None: it is folded anew at every start.
            snapshot_after_bytes: Of events since the last one, after which there is another.
        """
        self._log, self._die, self._clock_s, self._limit_s = log, die, clock_s, limit_s
        self._fingerprint, self._partitions = fingerprint, partitions
        self._logger = structlog.get_logger(__name__)
        self._tasks: list[asyncio.Task[None]] = []
        self._next = 0
        self._moved = asyncio.Event()
        self._waiting: dict[str, asyncio.Future[Verdict]] = {}
        # Ends of the log that are not reached yet, oldest first, and when each was first known.
        self._ends: deque[tuple[int, float]] = deque()
        self.state = RegistryState()
        self._keeper = Keeper(log, snapshot, snapshot_after_bytes)
        self.poison = 0
        """Records that could not be read and were passed over, since the start."""

    async def start(self) -> None:
        """
        Fold the topic to its end, declare the deployment where nobody has, and follow from there.

        Raises:
            RefusedStartError: The deployment has another master key or number of partitions.
            LogUnavailableError: The log did not answer.
        """
        restored = await self._keeper.restored()
        if restored is not None:
            self.state, self._next = restored.state, restored.header.next_offset
        await self._fold_until(await self._log.end_offset(REGISTRY_EVENTS, PARTITION))
        if self.state.deployment is None:
            mine = DeploymentDeclared(
                id=secrets.token_hex(16), fingerprint=self._fingerprint, partitions=self._partitions
            )
            # Another node may be doing the same: whose came first is what the log says.
            await self._fold_until(await self._append(mine) + 1)
        self._check_deployment()
        self._tasks = [
            asyncio.create_task(self._for_ever(self._follow), name="registry follower"),
            asyncio.create_task(self._for_ever(self._watch_end), name="registry end"),
            asyncio.create_task(self._for_ever(self._keep), name="registry snapshots"),
        ]

    async def stop(self) -> None:
        """Stop following, and keep what was folded for the next start."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task
        if self._tasks:
            await self._keeper.save(self.state, self._next)

    async def transact(self, transaction: Transaction) -> Verdict:
        """
        Append *transaction* and return what this node's own fold made of it.

        Raises:
            LogUnavailableError: It may or may not be in the log, or its fold was not seen in time.
        """
        if too_large := self.too_large(transaction):
            return Refused(too_large)
        judged: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        self._waiting[transaction.id] = judged
        try:
            async with asyncio.timeout(self._limit_s):
                self._note_end(await self._append(transaction) + 1)
                return await judged
        except TimeoutError as error:
            raise LogUnavailableError(f"the transaction was not folded within {self._limit_s:g} s") from error
        finally:
            del self._waiting[transaction.id]

    def too_large(self, transaction: Transaction) -> tuple[TooLarge, ...]:
        """Return why *transaction* does not fit into the log; nothing where it does."""
        size_bytes = len(encode_registry_event(transaction))
        return (TooLarge(size_bytes),) if size_bytes > MAX_TRANSACTION_BYTES else ()

    async def catch_up(self) -> None:
        """Return when everything is folded that the log held at the call; raise `LogUnavailableError` after 2 s."""
        try:
            async with asyncio.timeout(CATCH_UP_LIMIT_S):
                end = await self._log.end_offset(REGISTRY_EVENTS, PARTITION)
                self._note_end(end)
                while self._next < end:
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError as error:
            raise LogUnavailableError(f"the registry was not folded within {CATCH_UP_LIMIT_S:g} s") from error

    def ensure_fresh(self) -> None:
        """Raise `RegistryBehindError` where the registry has been behind its log for more than 5 s."""
        if self._ends and self.lag_s > LAG_LIMIT_S:
            raise RegistryBehindError(f"the registry is {self.lag_s:.1f} s behind its log")

    async def past(self, type_name: str, object_id: str, offsets: Sequence[int]) -> list[Past]:
        """
        Return the versions of an object that the transactions at *offsets*, ascending, wrote, in this order.

        Raises:
            LogUnavailableError: The log did not answer in time.
        """
        try:
            async with asyncio.timeout(self._limit_s):
                return await past_versions(self._log, type_name, object_id, offsets)
        except TimeoutError as error:
            raise LogUnavailableError(f"the history was not read within {self._limit_s:g} s") from error

    @property
    def lag_s(self) -> float:
        """For how long the registry has been behind an end of its log that it knew of; 0 where it is not."""
        return self._clock_s() - self._ends[0][1] if self._ends else 0.0

    @property
    def snapshots_discarded(self) -> int:
        """How many snapshots were there at the start and could not be used: 0 or 1."""
        return self._keeper.discarded

    @property
    def earlier_logs(self) -> tuple[str, ...]:
        """The ids of the logs that the deployment was moved from."""
        return () if self.state.deployment is None else self.state.deployment.earlier_logs

    @property
    def objects(self) -> int:
        """How many objects there are."""
        return self.state.count

    async def _keep(self) -> None:
        await self._keeper.due()
        await self._keeper.save(self.state, self._next)

    async def _append(self, event: AnyRegistryEvent) -> int:
        value = encode_registry_event(event)
        return (await self._log.append(REGISTRY_EVENTS, PARTITION, registry_key(event), value)).offset

    async def _fold_until(self, end: int) -> None:
        try:
            await self._fold_from_log(end)
        except NewerEventError as error:
            raise RefusedStartError(f"{REGISTRY_EVENTS} holds {error}: start that version of the program.") from error

    async def _fold_from_log(self, end: int | None) -> None:
        async for chunk in self._log.read(REGISTRY_EVENTS, PARTITION, self._next, end):
            for record in chunk.records:
                self._fold(record)
            self._reach(chunk.next_offset)

    def _fold(self, record: Record) -> None:
        if record.offset < self._next:
            return
        self._keeper.note(record)
        try:
            event = decode_registry_event(record.key, record.value)
        except PoisonError as error:
            self.poison += 1
            reason = str(error)
            self._logger.error("registry_record_skipped", offset=record.offset, reason=reason)  # noqa: TRY400 - no bug
            return
        verdict = fold(self.state, event, record.offset, record.time_ms)
        judged = self._waiting.get(event.id)
        if judged is not None and not judged.done():
            judged.set_result(verdict)

    def _reach(self, offset: int) -> None:
        self._next = max(self._next, offset)
        while self._ends and self._ends[0][0] <= self._next:
            self._ends.popleft()
        self._moved.set()

    def _note_end(self, end: int) -> None:
        newest = self._ends[-1][0] if self._ends else self._next
        # Where that many wait, the oldest of them says enough.
        if end > newest and len(self._ends) < _KNOWN_ENDS:
            self._ends.append((end, self._clock_s()))

    def _check_deployment(self) -> None:
        declared = self.state.deployment
        if declared is None:
            raise RefusedStartError(f"{REGISTRY_EVENTS} cannot be read back: check who else writes to it.")
        if declared.fingerprint != self._fingerprint:
            raise RefusedStartError(
                "This deployment was made with another master key: start with that one "
                f"(its fingerprint is {declared.fingerprint}, this one's {self._fingerprint})."
            )
        if declared.partitions != self._partitions:
            raise RefusedStartError(
                f"This deployment has {declared.partitions} partitions, not {self._partitions}: "
                f"start with --partitions {declared.partitions}."
            )

    async def _for_ever(self, step: Callable[[], Awaitable[None]]) -> None:
        """Repeat *step*, also where the log does not answer; end the process where anything else goes wrong."""
        while True:
            try:
                await step()
            except LogUnavailableError as error:
                self._logger.debug("registry_log_unavailable", reason=str(error))
                await asyncio.sleep(_AGAIN_S)
            except NewerEventError as error:
                self._die(f"{REGISTRY_EVENTS} holds {error}")
            except Exception as error:  # noqa: BLE001 - a registry that stands still would keep revoked keys in force
                self._die(f"the registry cannot be followed: {error!r}")

    async def _follow(self) -> None:
        await self._fold_from_log(None)

    async def _watch_end(self) -> None:
        await asyncio.sleep(_CHECK_EVERY_S)
        # While the log does not answer, nothing newer can be known.
        self._note_end(await self._log.end_offset(REGISTRY_EVENTS, PARTITION))
