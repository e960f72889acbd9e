"""The connection to the brokers: who leads what, and questions to leaders and coordinators, asked until answered."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

import structlog
from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient, ConnectionGroup, CoordinationType
from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    ConcurrentTransactions,
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    GroupAuthorizationFailedError,
    IllegalSaslStateError,
    InvalidProducerEpoch,
    KafkaError,
    NotCoordinatorError,
    OffsetOutOfRangeError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    UnknownError,
    UnsupportedSaslMechanismError,
    for_code,
)
from aiokafka.protocol.admin import DeleteRecordsRequest
from aiokafka.protocol.offset import OffsetRequest

from streams.domain.errors import FencedError, LogUnavailableError, RefusedStartError
from streams.log.kafka_fetch import Fetch, FetchResponseV11, Found
from streams.log.kafka_protocol import InitProducerId

T = TypeVar("T")

_AGAIN_S = 0.1
_COORDINATOR_AGAIN_S = 0.05
_EARLIEST, _LATEST = -2, -1
_TRANSACTION_LIMIT_MS = 60_000
_REFUSED = (ssl.SSLError, SaslAuthenticationFailed, UnsupportedSaslMechanismError, IllegalSaslStateError)
_NO_RIGHT = (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)
_COORDINATOR_MOVES = (
    ConcurrentTransactions,
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    NotCoordinatorError,
)
_PRODUCER_FENCED = 90
"""What newer brokers say instead of `InvalidProducerEpoch`; aiokafka does not know it."""


class NoRightError(LogUnavailableError):
    """The brokers know who asks, and do not let them do this: somebody must give them the right."""


class ProducerId(NamedTuple):
    """Who appends; of two epochs of one id the higher one fences the lower one off, in each partition."""

    id: int
    epoch: int


class HowToFetch(NamedTuple):
    """How one partition is fetched from."""

    wait_ms: int
    """How long the broker may wait for records."""
    most_bytes: int
    connection: str
    """The name of the connection: a broker answers what comes on one in order."""


class KafkaConnection:
    """One client of aiokafka for all that is asked of the brokers, the group of the consumer aside."""

    def __init__(self, options: dict[str, Any], limit_s: float) -> None:
        self._options = {**options, "request_timeout_ms": round(limit_s * 1000)}
        self._limit_s = limit_s
        self.client: AIOKafkaClient = None

    async def start(self) -> None:
        """
        Connect.

        Raises:
            RefusedStartError: The brokers do not accept the way of logging in, or cannot be trusted.
            KafkaError, OSError: No broker is there.
        """
        await self._try_hosts()
        self.client = AIOKafkaClient(**self._options)
        await self.client.bootstrap()

    async def _try_hosts(self) -> None:
        """Raise what aiokafka's `bootstrap` only logs (`aiokafka/client.py:240` of 0.14.0)."""
        options = dict(self._options)
        last: Exception = OSError("no address is given")
        for host, port, _ in collect_hosts(options.pop("bootstrap_servers")):
            try:
                (await create_conn(host, port, **options)).close()
            except _REFUSED as error:
                raise RefusedStartError(f"Kafka at {host}:{port} cannot be logged in to: {error}.") from error
            except (KafkaError, OSError) as error:
                last = error
            else:
                return
        raise last

    async def stop(self) -> None:
        """Close."""
        if self.client is not None:
            await self.client.close()

    async def refresh(self) -> bool:
        """Ask the brokers who leads what; say whether one has answered."""
        try:
            async with asyncio.timeout(self._limit_s):
                if await self.client.force_metadata_update():
                    return True
                # None of those that were known answers: they may have moved.
                await self.client.bootstrap()
        except (TimeoutError, KafkaError):
            return False
        return False

    def leader(self, at: TopicPartition) -> int | None:
        """Return the node that leads a partition, None where that is not known (call `refresh`)."""
        leader = self.client.cluster.leader_for_partition(at)
        if leader is not None and leader >= 0:
            return int(leader)
        # Without a topic of its own a client asks for all that there are.
        self.client.add_topic(at.topic)
        return None

    async def start_offset(self, topic: str, partition: int) -> int:
        """Return the offset of the first record that is still there."""
        return await self._offset(TopicPartition(topic, partition), _EARLIEST)

    async def end_offset(self, topic: str, partition: int) -> int:
        """Return the offset that the next record will get."""
        return await self._offset(TopicPartition(topic, partition), _LATEST)

    async def first_since(self, topic: str, partition: int, time_ms: int) -> int:
        """Return the offset of the first record that is there and not older than *time_ms*, the end where all are."""
        first = await self._offset(TopicPartition(topic, partition), time_ms)
        return await self.end_offset(topic, partition) if first < 0 else first

    async def _offset(self, at: TopicPartition, which: int) -> int:
        async def ask(leader: int) -> int:
            request = OffsetRequest(-1, 0, [(at.topic, [(at.partition, which)])])
            answer = await self.client.send(leader, request)
            _, code, _, offset, *_ = answer.topics[0][1][0]
            _check(code)
            return int(offset)

        return await self._until_answered(f"{at.topic}-{at.partition}", lambda: self._ask_leader(at, ask))

    async def fetch(self, node: int, fetch: Fetch, connection: str) -> FetchResponseV11:
        """
        Send a fetch to a broker, on the connection to it that bears this name.

        Raises:
            KafkaError: It has not answered.
        """
        answer: FetchResponseV11 = await self.client.send(node, fetch, group=connection)
        return answer

    async def fetch_at(self, topic: str, partition: int, offset: int, how: HowToFetch) -> Found | None:
        """
        Return what stands at *offset* and beyond, None where that is below the start or beyond the end.

        Raises:
            LogUnavailableError: Nobody has answered within the limit.
        """
        at = TopicPartition(topic, partition)
        fetch = Fetch({(topic, partition): offset}, wait_ms=how.wait_ms, most_bytes=how.most_bytes)

        async def ask(leader: int) -> Found | None:
            answer = await self.fetch(leader, fetch, how.connection)
            _check(answer.error_code)
            found = answer.found[0]
            if for_code(found.error_code) is OffsetOutOfRangeError:
                return None
            _check(found.error_code)
            return found

        return await self._until_answered(f"{topic}-{partition}", lambda: self._ask_leader(at, ask))

    async def delete_before(self, topic: str, partition: int, offset: int) -> None:
        """Delete the records below *offset*, which may be beyond the end."""
        at = TopicPartition(topic, partition)

        async def ask(leader: int) -> None:
            below = min(offset, await self.end_offset(topic, partition))
            request = DeleteRecordsRequest([(topic, [(partition, below)])], round(self._limit_s * 1000))
            answer = await self.client.send(leader, request)
            _, _, code, *_ = answer.topics[0][1][0]
            if for_code(code) is not OffsetOutOfRangeError:  # below the start: nothing is left to delete
                _check(code)

        await self._until_answered(f"{topic}-{partition}", lambda: self._ask_leader(at, ask))

    async def _ask_leader(self, at: TopicPartition, ask: Callable[[int], Awaitable[T]]) -> T:
        leader = self.leader(at)
        if leader is None:
            await self.refresh()
            leader = self.leader(at)
            if leader is None:
                raise _NoLeaderError
        try:
            return await ask(leader)
        except KafkaError:
            await self.refresh()
            raise

    async def new_producer_id(self) -> ProducerId:
        """Return an id that no other producer has."""

        async def ask() -> ProducerId:
            node = self.client.get_random_node()
            if node is None:
                await self.refresh()
                raise _NoLeaderError
            answer = await self.client.send(node, InitProducerId(None, _TRANSACTION_LIMIT_MS))
            _check(answer.error_code)
            return ProducerId(answer.producer_id, answer.producer_epoch)

        return await self._until_answered("a producer's id", ask)

    async def next_epoch(self, name: str, current: ProducerId | None, limit_s: float) -> ProducerId:
        """
        Return the next epoch of the transactional id *name*.

        Raises:
            FencedError: *current* is not the newest epoch any more.
            LogUnavailableError: There was no answer within *limit_s*.
        """
        request = InitProducerId(name, _TRANSACTION_LIMIT_MS, *(current or ()))

        async def ask() -> ProducerId:
            node = await self.client.coordinator_lookup(CoordinationType.TRANSACTION, name)
            answer = await self.client.send(node, request, group=ConnectionGroup.COORDINATION)
            if is_fenced(answer.error_code):
                raise FencedError(f"another node has claimed {name}")
            _check(answer.error_code)
            return ProducerId(answer.producer_id, answer.producer_epoch)

        return await self._until_answered(name, ask, limit_s=limit_s)

    async def _until_answered(self, what: str, ask: Callable[[], Awaitable[T]], limit_s: float | None = None) -> T:
        """Ask again and again while that may help, within the limit; then raise `LogUnavailableError`."""
        why: BaseException = TimeoutError()
        try:
            async with asyncio.timeout(limit_s or self._limit_s):
                while True:
                    try:
                        return await ask()
                    except KafkaError as error:
                        why = error
                        if not _may_pass(error):
                            # What waits for this asks again, and would never say why it waits.
                            structlog.get_logger(__name__).error("kafka_refuses", about=what, error=repr(error))
                            kind = NoRightError if isinstance(error, _NO_RIGHT) else LogUnavailableError
                            raise kind(f"{what}: {error!r}") from error
                    await asyncio.sleep(_COORDINATOR_AGAIN_S if isinstance(why, _COORDINATOR_MOVES) else _AGAIN_S)
        except TimeoutError:
            raise LogUnavailableError(f"no broker answered about {what}: {why!r}") from why

    async def ping(self, limit_s: float) -> None:
        """Return when a broker has answered; raise `LogUnavailableError` where none does within *limit_s*."""
        with suppress(TimeoutError, KafkaError):
            async with asyncio.timeout(limit_s):
                if await self.client.force_metadata_update():
                    return
        raise LogUnavailableError("no broker answered")


class _NoLeaderError(KafkaError):  # type: ignore[misc]
    """The partition has no leader now, or is not there."""

    retriable = True


class _OtherError(KafkaError):  # type: ignore[misc]
    """A code that aiokafka does not know: it is younger, and mostly says that something is not there yet."""

    retriable = True


def error_of(code: int) -> KafkaError | None:
    """Return what an answer's code says, None where it says that all is well."""
    if code == 0:
        return None
    kind = for_code(code)
    return _OtherError(code) if kind is UnknownError and code > 0 else kind()


def is_fenced(code: int) -> bool:
    """Say whether a code means that there is a later epoch."""
    return code == _PRODUCER_FENCED or for_code(code) is InvalidProducerEpoch


def _check(code: int) -> None:
    error = error_of(code)
    if error is not None:
        raise error


def _may_pass(error: KafkaError) -> bool:
    return bool(error.retriable) or isinstance(error, _COORDINATOR_MOVES)
