"""Dead letters on a node: found in the log, shown, and decided about."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

import msgspec

from streams.codec import decode_context_event, decode_session_event, encode_event
from streams.domain.dead_letters import (
    Cursor,
    Decided,
    Decision,
    FoundLetter,
    Letter,
    LettersPage,
    Place,
    decided,
    decision_write,
)
from streams.domain.erasure import in_letter
from streams.domain.errors import (
    AbsentError,
    AlreadyDecidedError,
    LogUnavailableError,
    NewerEventError,
    PoisonError,
)
from streams.domain.events import ContextEvent, SessionEvent
from streams.domain.ids import Kind
from streams.domain.registry_events import Transaction
from streams.domain.view_versions import live
from streams.engine.batch import dead_letter
from streams.erasing import Erasing
from streams.log.port import Log
from streams.registry import Registry
from streams.topics import CONTEXT_EVENTS, SESSION_EVENTS, partition_of, view_topics
from streams.writer import record_key

MOST_LOOKED_AT = 10_000
"""Letters that one page looks at, however few of them it returns."""
MOST_BYTES = 4 << 20
"""Of keys and values, in base64, after which a page ends."""
LIMIT_S = 10.0
"""How long the log may take to be read for one call."""
_ID_CHARACTERS = 43
_DECODERS = {CONTEXT_EVENTS: (Kind.CONTEXT, decode_context_event), SESSION_EVENTS: (Kind.SESSION, decode_session_event)}


class DeadLetters:
    """
    The dead letters of a deployment.

    They stand in a topic of their own for 30 days; a record of a source is there for ever, so its letter is found by
    its place later too. What is decided is an object of the registry, so that every fold of that record obeys it. The
    event that stands for a record is appended to the source, and is folded where it stands there.
    """

    def __init__(
        self,
        log: Log,
        registry: Registry,
        partitions: int,
        *,
        hash_key: bytes,
        erasing: Erasing | None = None,
        limit_s: float = LIMIT_S,
    ) -> None:
        """
        Take the log, the registry that follows it, the number of partitions, and what events are hashed with.

        Nothing is shown of what is *erasing*, if that is known elsewhere too.
        """
        self._hash_key, self._erasing = hash_key, erasing or Erasing(log, partitions)
        self._log, self._registry, self._partitions, self._limit_s = log, registry, partitions, limit_s

    @property
    def _topic(self) -> str:
        return view_topics(live(self._registry.state)).dead_letters

    def is_decided(self, place: Place, time_ms: int) -> bool:
        """Say whether somebody has decided about the record of a place and a time; see `streams.engine.batch`."""
        return self._decided(place, time_ms) is not None

    def _decided(self, place: Place, time_ms: int) -> Decided | None:
        return decided(self._registry.state, place, time_ms)

    async def page(self, start: Cursor, limit: int, *, undecided: bool) -> LettersPage:
        """
        Return up to *limit* dead letters from *start* on, or fewer where many are looked at or they are large.

        Raises:
            LogUnavailableError: The log did not answer in time.
        """
        found: dict[Place, FoundLetter] = {}
        looked_at = size = 0
        async with self._limited():
            erased = await self._erasing.ids()
            for partition in range(start.partition, self._partitions):
                first = start.offset if partition == start.partition else 0
                latest: dict[Place, int] = {}
                async for offset, letter in self._letters(partition, first):
                    looked_at += 1
                    if not latest and letter.topic not in _DECODERS:
                        latest = await self._latest(partition, offset)
                    is_latest = latest.get(letter.place, letter.time_ms) == letter.time_ms
                    one = FoundLetter(letter, self._decided(letter.place, letter.time_ms))
                    is_shown = erased.isdisjoint(in_letter(letter))
                    if is_latest and is_shown and not (undecided and one.decided):
                        # A turn that was repeated has written its letters twice.
                        found.setdefault(letter.place, one)
                        size += len(letter.key or "") + len(letter.value or "")
                    if len(found) == limit or looked_at == MOST_LOOKED_AT or size >= MOST_BYTES:
                        return LettersPage(list(found.values()), Cursor(partition, offset + 1))
        return LettersPage(list(found.values()), None)

    async def _latest(self, partition: int, first: int) -> dict[Place, int]:
        """
        Return the times of the last records that have letters from *first* on, of the topics between the processors.

        Such a topic that was made anew counts its offsets anew. What is listed is what `find` finds.
        """
        letters = self._letters(partition, first)
        return {letter.place: letter.time_ms async for _, letter in letters if letter.topic not in _DECODERS}

    async def find(self, place: Place) -> FoundLetter:
        """
        Return a dead letter.

        Raises:
            AbsentError: There is none of that place, or the record there can be folded, or names what was erased.
            LogUnavailableError: The log did not answer in time.
        """
        async with self._limited():
            letter = await (self._in_source(place) if place.topic in _DECODERS else self._in_letters(place))
            erased = await self._erasing.ids()
        if letter is None or not erased.isdisjoint(in_letter(letter)):
            raise AbsentError(f"there is no dead letter {place.text}")
        return FoundLetter(letter, self._decided(place, letter.time_ms))

    async def _in_source(self, place: Place) -> Letter | None:
        if place.partition >= self._partitions:
            return None
        if place.offset >= await self._log.end_offset(place.topic, place.partition):
            return None
        _, decode = _DECODERS[place.topic]
        async for record in self._log.read_at(place.topic, place.partition, [place.offset]):
            if record.value is None:
                return None  # it says that another record is erased
            try:
                decode(record.key, record.value)
            except PoisonError as error:
                return dead_letter(place, record, error)
            except NewerEventError:
                return None
        return None

    async def _in_letters(self, place: Place) -> Letter | None:
        if place.partition >= self._partitions:
            return None
        latest = None
        async for _, letter in self._letters(place.partition, 0):
            # What was made anew has its own record there: the last one counts.
            latest = letter if letter.place == place else latest
        return latest

    async def _letters(self, partition: int, first: int) -> AsyncIterator[tuple[int, Letter]]:
        first = max(first, await self._log.start_offset(self._topic, partition))
        end = await self._log.end_offset(self._topic, partition)
        async for chunk in self._log.read(self._topic, partition, first, end):
            for record in chunk.records:
                with suppress(msgspec.DecodeError):  # nobody but the processors should write there
                    yield record.offset, msgspec.json.decode(record.value or b"", type=Letter)

    async def drop(self, place: Place, user: str, request: str) -> FoundLetter:
        """
        Decide that a dead letter is nothing.

        Raises:
            AbsentError: There is no such letter.
            AlreadyDecidedError: Something else was decided about it.
            LogUnavailableError: It may or may not have been decided.
        """
        found = await self.find(place)
        return await self._decide(found, Decision("drop", found.letter.time_ms), user, request)

    async def replace(self, place: Place, of: str, event: Mapping[str, Any], user: str, request: str) -> FoundLetter:
        """
        Decide that an event stands for a dead letter, and append it to its source.

        Again with the same event it does what was left undone, and the event counts once.

        Args:
            place: Of a record of a source.
            of: The context or session; empty: the one in the record's key.
            event: As JSON has it. Its `id` and `corrects` are made here.
            user: Who decides.
            request: The request's id.

        Raises:
            AbsentError: There is no such letter.
            PoisonError: It is not in a source, or the event is none of that source, or too large.
            AlreadyDecidedError: Something else was decided about it.
            LogUnavailableError: It may or may not have been decided, or the event not be in the log.
        """
        found = await self.find(place)
        corrected = _corrected(found.letter, of, event)
        value = encode_event(corrected.event)
        digest = hashlib.blake2b(value, key=self._hash_key, digest_size=16).hexdigest()
        decision = Decision("replace", found.letter.time_ms, corrected.of, digest)
        done = await self._decide(found, decision, user, request)
        if done.decided is not None and done.decided.decision.stands_at:
            return done
        partition = partition_of(corrected.raw, self._partitions)
        key = record_key(_DECODERS[place.topic][0], corrected.raw, corrected.event)
        appended = await self._log.append(place.topic, partition, key, value)
        stands_at = Place(place.topic, appended.partition, appended.offset).text
        return await self._note(done, msgspec.structs.replace(decision, stands_at=stands_at), user, request)

    async def _decide(self, found: FoundLetter, decision: Decision, user: str, request: str) -> FoundLetter:
        """Write a decision where there is none; return the letter with the one that there is, which is the same."""
        before = None if found.decided is None else found.decided.decision
        # What was dropped was not folded: something can still be put in its place.
        if before is None or (before.what, decision.what) == ("drop", "replace"):
            found = await self._note(found, decision, user, request)
        if found.decided is None or not found.decided.decision.is_same(decision):
            raise AlreadyDecidedError(f"something else was decided about {found.letter.place.text}")
        return found

    async def _note(self, found: FoundLetter, decision: Decision, user: str, request: str) -> FoundLetter:
        """Write a decision; return the letter with the one that there is then, where another was faster that one."""
        place = found.letter.place
        write = decision_write(self._registry.state, place, decision)
        transaction = Transaction(id=secrets.token_hex(16), user=user, request=request, objects=(write,))
        await self._registry.transact(transaction)
        return found._replace(decided=self._decided(place, found.letter.time_ms))

    @asynccontextmanager
    async def _limited(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._limit_s):
                yield
        except TimeoutError as late:
            raise LogUnavailableError(f"the dead letters were not read within {self._limit_s:g} s") from late


class _Corrected(NamedTuple):
    raw: bytes
    of: str
    event: ContextEvent | SessionEvent


def _corrected(letter: Letter, of: str, given: Mapping[str, Any]) -> _Corrected:
    """Return the event that is to stand for a letter's record; raise `PoisonError` where it is none of its topic."""
    if letter.topic not in _DECODERS:
        raise PoisonError("only what is in a source is replaced: the rest is made from it")
    _, decode = _DECODERS[letter.topic]
    of = of or base64.b64decode(letter.key or "")[:_ID_CHARACTERS].decode("ascii", "replace")
    # The same for whoever asks, and again: the log then has the same event twice, not two.
    event_id = hashlib.blake2b(f"{letter.place.text}@{letter.time_ms}".encode(), digest_size=16).hexdigest()
    value = msgspec.json.encode({**given, "id": event_id, "corrects": letter.place.text})
    try:
        raw, event = decode(f"{of}/{event_id}".encode(), value)
    except NewerEventError as error:
        raise PoisonError(f"this version knows no such event: {error}") from error
    return _Corrected(raw, of, event)
