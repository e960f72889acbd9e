"""
Fetches in Kafka's protocol, in version 11: what aiokafka speaks, with fetch sessions, which it does not.

A session (KIP-227) is what a broker remembers of a reader: which partitions it reads, and where. A request then names
only what has changed since the last one, an answer only what there is to say, and neither costs anything for each
partition that is quiet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from struct import Struct
from typing import Any, ClassVar, NamedTuple

from aiokafka.errors import CorruptRecordException
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Schema
from aiokafka.record.memory_records import MemoryRecords

from streams.log.port import Record

Partition = tuple[str, int]
"""Topic and number."""

NO_SESSION = (0, -1)
"""The id and epoch of a fetch that stands alone."""

_CLOSING = -1
"""The epoch that ends a session (KIP-227)."""
_HEAD = Struct(">iiiibii")  # replica, wait, least bytes, most bytes, isolation, session, epoch
_COUNT = Struct(">i")
_LENGTH = Struct(">h")
_PARTITION = Struct(">iiqqi")  # number, leader epoch, offset, start offset, most bytes
_ANSWER = Struct(">ihii")  # throttle, error, session, topics
_FOUND = Struct(">ihqqqi")  # number, error, high watermark, last stable offset, start offset, aborted transactions
_ABORTED_BYTES = 16
_REST = Struct(">ii")  # preferred replica, bytes of records


class Found(NamedTuple):
    """What an answer says of one partition."""

    partition: Partition
    error_code: int
    start_offset: int
    """Of the first record that is still there; -1 beside an error."""
    end_offset: int
    batches: bytes
    """Whole record batches, the last of them perhaps cut off; the first may begin before the offset asked for."""


class FetchResponseV11(Response):  # type: ignore[misc]
    """The answer to a fetch: an error of the session as a whole, its id, and what there is to say of partitions."""

    API_KEY = 1
    API_VERSION = 11
    SCHEMA = Schema()
    error_code: int
    session: int
    found: list[Found]

    @classmethod
    def decode(cls, data: BytesIO | bytes) -> FetchResponseV11:
        """Read an answer, of which aiokafka has read the header."""
        frame, at = (data, 0) if isinstance(data, bytes) else (data.getvalue(), data.tell())
        answer = cls()
        _, answer.error_code, answer.session, topics = _ANSWER.unpack_from(frame, at)
        answer.found = list(_found(frame, at + _ANSWER.size, topics))
        return answer


def _found(frame: bytes, at: int, topics: int) -> Iterator[Found]:
    for _ in range(topics):
        (length,) = _LENGTH.unpack_from(frame, at)
        at += _LENGTH.size
        topic = frame[at : at + length].decode()
        (partitions,) = _COUNT.unpack_from(frame, at + length)
        at += length + _COUNT.size
        for _ in range(partitions):
            number, code, end_offset, _, start_offset, aborted = _FOUND.unpack_from(frame, at)
            at += _FOUND.size + max(0, aborted) * _ABORTED_BYTES
            _, size = _REST.unpack_from(frame, at)
            at += _REST.size
            yield Found((topic, number), code, start_offset, end_offset, frame[at : at + max(0, size)])
            at += max(0, size)


class FetchRequestV11(RequestStruct):  # type: ignore[misc]
    """A fetch. Kafka 2.3 and later."""

    API_KEY = 1
    API_VERSION = 11
    RESPONSE_TYPE = FetchResponseV11
    SCHEMA: ClassVar[Schema] = Schema()

    def __init__(self, encoded: bytes) -> None:
        super().__init__()
        self._encoded = encoded

    def encode(self) -> bytes:
        """Return it as it goes out, without the header."""
        return self._encoded


class Fetch(Request[FetchRequestV11]):  # type: ignore[misc]
    """Asks a broker for what stands at and beyond offsets, and waits there a while where there is nothing."""

    API_KEY = 1

    def __init__(
        self,
        offsets: Mapping[Partition, int],
        *,
        wait_ms: int,
        most_bytes: int,
        session: tuple[int, int] = NO_SESSION,
        forgotten: Sequence[Partition] = (),
    ) -> None:
        """
        Ask for partitions.

        Args:
            offsets: Partition → where to read; in a session, only of those where that has changed.
            wait_ms: How long the broker may wait for records.
            most_bytes: Of a whole answer; a first record batch that is larger comes all the same.
            session: Its id and epoch: 0 and 0 begin one.
            forgotten: What is not read any more in the session.
        """
        parts = [_HEAD.pack(-1, wait_ms, 1, most_bytes, 0, *session)]
        parts += _topics({at: _PARTITION.pack(at[1], -1, offset, -1, most_bytes) for at, offset in offsets.items()})
        parts += _topics({at: _COUNT.pack(at[1]) for at in forgotten})
        parts.append(_LENGTH.pack(0))  # no rack
        self._encoded = b"".join(parts)

    def build(self, request_struct_class: type[FetchRequestV11]) -> FetchRequestV11:
        """Return the request as it goes out."""
        return request_struct_class(self._encoded)


def _topics(encoded: Mapping[Partition, bytes]) -> list[bytes]:
    """Return an array of topics, each with an array of its partitions."""
    by_topic: dict[str, list[bytes]] = {}
    for (topic, _), partition in encoded.items():
        by_topic.setdefault(topic, []).append(partition)
    parts = [_COUNT.pack(len(by_topic))]
    for topic, partitions in by_topic.items():
        name = topic.encode()
        parts += [_LENGTH.pack(len(name)), name, _COUNT.pack(len(partitions)), *partitions]
    return parts


class FetchSession:
    """What one broker remembers of this reader."""

    def __init__(self) -> None:
        self._id, self._epoch = 0, 0
        self._known: dict[Partition, int] = {}

    def next_fetch(self, offsets: Mapping[Partition, int], *, wait_ms: int, most_bytes: int) -> Fetch:
        """Return the fetch that has the broker read exactly *offsets*."""
        known = self._known
        changed = {at: offset for at, offset in offsets.items() if known.get(at) != offset}
        forgotten = [at for at in known if at not in offsets]
        self._known = dict(offsets)
        return Fetch(
            changed,
            wait_ms=wait_ms,
            most_bytes=most_bytes,
            session=(self._id, self._epoch),
            forgotten=forgotten,
        )

    def closing(self) -> Fetch | None:
        """
        Return the fetch that has the broker forget the session, None where it remembers none.

        It has room for a thousand, and keeps each that it is not told of for two minutes at least.
        """
        session, self._id, self._epoch, self._known = self._id, 0, 0, {}
        return Fetch({}, wait_ms=0, most_bytes=0, session=(session, _CLOSING)) if session else None

    def asked(self, at: Partition) -> int | None:
        """Return the offset that the last fetch has asked for."""
        return self._known.get(at)

    def answered(self, answer: FetchResponseV11) -> None:
        """Take the answer to the last fetch: the next one goes on from there, or begins anew where it was refused."""
        if answer.error_code:
            self.broken()
        elif answer.session:
            self._id, self._epoch = answer.session, self._epoch % 0x7FFFFFFF + 1
        else:
            # The broker remembers too many readers as it is.
            self._id = 0
            self.broken()

    def broken(self) -> None:
        """Have the next fetch begin anew: it names everything, and has the broker forget what it may remember."""
        self._epoch, self._known = 0, {}


def records_in(found: Found, offset: int) -> tuple[list[Record], int]:
    """
    Return the records from *offset* on, and where to read next, which may be beyond holes.

    Raises:
        CorruptRecordException: A batch is not as it was written.
    """
    records: list[Record] = []
    batches: Any = MemoryRecords(found.batches)
    while batches.has_next():
        batch = batches.next_batch()
        if not batch.validate_crc():
            raise CorruptRecordException(f"a batch of {found.partition} at or beyond {offset} is damaged")
        if not batch.is_control_batch:
            records += [
                Record(record.offset, record.timestamp, record.key, record.value)
                for record in batch
                if record.offset >= offset
            ]
        offset = max(offset, batch.next_offset)
    return records, offset
