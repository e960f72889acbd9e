"""`Idempotency-Key`: a request that is repeated is executed once, and answered as the first time."""

from __future__ import annotations

import asyncio
import re
import time
import zlib
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from hashlib import blake2b
from typing import Any, assert_never

from prometheus_client import CollectorRegistry, Counter

from service.commands.callers import mode_of
from service.commands.keyed import NONCE_BYTES, KeyIds
from service.http.calls import Answer, Call, UnknownInPart
from service.http.entropy import DrawnAhead
from service.http.forward_client import path_of
from service.http.positions import HEADER as POSITION
from service.http.problems import InvalidKeyError, KeyInProgressError, KeyReusedError, problem_of
from service.ports import IdempotencyKeys
from streams.domain.errors import AbsentError, LogUnavailableError, UnavailableError
from streams.domain.idempotency import KEY_LIMITS, Admitted, Executed, InProgress, Reused
from streams.domain.idempotency_events import KeyBegun, KeyFinished, KeyReleased
from streams.domain.idempotency_rows import Answered

HEADER, REPLAYED = "Idempotency-Key", "Idempotent-Replayed"
METHODS = frozenset({"POST", "PUT"})
MAX_CHARS = 255
MOST_SAVED_BYTES = 64 << 10
"""Of a compressed body. A larger answer is not saved: a repeat makes it anew, of events that are known."""
END_WITHIN_S = KEY_LIMITS.lease_ms / 2000
"""Whoever was admitted has so long to end: what ends later may not be alone any more."""
_KEY = re.compile(r"[!-~]([ -~]*[!-~])?")
_ID = re.compile(rb"(?:CX|SN)[0-9]{41}")
_OK, _ERRORS, _OURS = 200, 400, 500


async def nothing_erased() -> AbstractSet[str]:
    """Return nothing."""
    return frozenset()


def read_key(values: Sequence[str]) -> str:
    """Return the key in a request's headers; raise `InvalidKeyError` where it is none."""
    if len(values) != 1 or len(values[0]) > MAX_CHARS or _KEY.fullmatch(values[0]) is None:
        raise InvalidKeyError
    return values[0]


def fingerprint(call: Call) -> str:
    """Return what method, path and body of a request are compared by: 32 hexadecimal digits."""
    head = f"{call.request.method} {path_of(call.request)}\n".encode()
    return blake2b(head + call.body, digest_size=16).hexdigest()


class KeyMetrics:
    """Counts requests with a key by what became of them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register the counter in *registry*."""
        self._requests = Counter(
            "upnext_keyed_requests", "Requests with an idempotency key, by outcome.", ["outcome"], registry=registry
        )

    def count(self, outcome: str) -> None:
        """Count one."""
        self._requests.labels(outcome).inc()


class KeyedCalls:
    """Executes requests with a key, each once, or answers as it was answered before."""

    def __init__(
        self,
        keys: IdempotencyKeys,
        ids: KeyIds,
        metrics: KeyMetrics,
        *,
        erased: Callable[[], Awaitable[AbstractSet[str]]] = nothing_erased,
        clock_s: Callable[[], float] = time.monotonic,
        most_saved_bytes: int = MOST_SAVED_BYTES,
    ) -> None:
        """
        Take what knows the keys.

        Args:
            keys: Admits requests, and keeps answers.
            ids: Derives what is made and written with a key.
            metrics: Counts requests.
            erased: Returns the contexts and sessions, as text, that no saved answer may name any more.
            clock_s: Tells how long a request takes.
            most_saved_bytes: Of a compressed body.
        """
        self._keys, self._ids, self._metrics, self._clock_s = keys, ids, metrics, clock_s
        self._erased = erased
        self._entropy = DrawnAhead()
        self._most_saved_bytes = most_saved_bytes
        self._under_way: set[asyncio.Task[Any]] = set()

    def over(self, keys: IdempotencyKeys) -> KeyedCalls:
        """Return the same with something else that knows the keys, of what is never erased."""
        return KeyedCalls(keys, self._ids, self._metrics)

    async def answer(self, call: Call, key: str, handle: Callable[[Call], Awaitable[Answer]]) -> Answer:
        """
        Return the answer of *handle*, or what it answered to the same request before.

        It goes on where the client's connection is lost: the client will ask again, and the answer should be there.

        Raises:
            KeyInProgressError, KeyReusedError: The key is another request's, or this one's that is not over.
            AbsentError: What was answered names a context or session that was erased since.
            UnavailableError: The outcome is unknown; a repeat is the same request.
        """
        return await asyncio.shield(self._begin(self._answer(call, key, handle)))

    def _begin(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work, name="request with a key")
        self._under_way.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # nobody may be left to hear of it

    async def _answer(self, call: Call, key: str, handle: Callable[[Call], Awaitable[Answer]]) -> Answer:
        one = _KeyedCall(self._keys, self._ids, call, key, self._entropy)
        end_s = self._clock_s() + END_WITHIN_S
        try:
            return await self._admit(one, end_s, handle)
        except UnavailableError:
            # Nobody goes on with it: whoever comes next need not wait. Nor does the client, for it is away, perhaps.
            self._begin(one.release(forgotten=False))
            raise

    async def _admit(self, one: _KeyedCall, end_s: float, handle: Callable[[Call], Awaitable[Answer]]) -> Answer:
        admission = await one.begin()
        match admission:
            case Admitted(generation):
                self._metrics.count("admitted")
                return await self._execute(one, generation, end_s, handle)
            case Executed(saved):
                self._metrics.count("replayed")
                position, body = one.read(saved)
                names = {id_.decode() for id_ in _ID.findall(body)}
                if names and not names.isdisjoint(await self._erased()):
                    raise AbsentError("what was answered has been erased")
                headers = {POSITION: position} if position else {}
                return Answer(saved.status, {**headers, REPLAYED: "true"}, body)
            case InProgress():
                self._metrics.count("in_progress")
                raise KeyInProgressError
            case Reused():
                self._metrics.count("reused")
                raise KeyReusedError
            case _:
                assert_never(admission)

    async def _execute(
        self, one: _KeyedCall, generation: int, end_s: float, handle: Callable[[Call], Awaitable[Answer]]
    ) -> Answer:
        try:
            answer = await handle(one.admitted(generation))
        except UnavailableError:
            raise
        except Exception as error:
            await one.release(forgotten=problem_of(error).status < _OURS)
            raise
        saved = one.saved(answer, self._most_saved_bytes)
        if saved is None:
            await one.release(forgotten=_ERRORS <= answer.status < _OURS)
            return answer
        if self._clock_s() > end_s:
            raise LogUnavailableError("the request took so long that another one may have been admitted")
        # Answered only once that is known to be in the log: what a client was told, it is told again.
        await one.end(saved)
        return answer


class _KeyedCall:
    """One request with a key."""

    def __init__(
        self, keys: IdempotencyKeys, ids: KeyIds, call: Call, key: str, entropy: Callable[[int], bytes]
    ) -> None:
        self._keys, self._ids, self._call, self._key, self._entropy = keys, ids, call, key, entropy
        self._key_id = ids.of(call.client, mode_of(call.client), key)
        self._lease = self._event_id()

    def _event_id(self) -> str:
        return self._entropy(16).hex()

    async def begin(self) -> Admitted | InProgress | Reused | Executed:
        """Ask to be admitted."""
        client = self._call.client
        event = KeyBegun(id=self._lease, client=client.client_id, fingerprint=fingerprint(self._call))
        return await self._keys.begin(client, self._call.request_id, self._key_id, event)

    def admitted(self, generation: int) -> Call:
        """Return the call as it is executed."""
        return self._call._replace(keyed=self._ids.keyed(self._key, self._key_id, generation))

    def saved(self, answer: Answer, most_bytes: int) -> KeyFinished | None:
        """Return what is noted of an answer; None where it is not given again."""
        if answer.status != _OK or isinstance(answer, UnknownInPart) or not isinstance(answer.body, bytes):
            return None
        body = zlib.compress(answer.body, 1)
        if len(body) > most_bytes:
            return None
        call, position = self._call, answer.headers.get(POSITION, "").encode()
        clear = b"%b\n%b" % (position, body)
        return KeyFinished(
            id=self._event_id(),
            client=call.client.client_id,
            lease=self._lease,
            status=answer.status,
            # What names an erased context must not be read from the log, and there nothing is removed by itself.
            body=self._ids.seal(call.client, mode_of(call.client), self._key, self._entropy(NONCE_BYTES), clear),
            sealed=True,
        )

    def read(self, saved: Answered) -> tuple[str, bytes]:
        """Return the position, if need be empty, and the body of an answer that was noted."""
        if not saved.sealed:
            return saved.position, zlib.decompress(saved.body)
        client = self._call.client
        position, _, body = self._ids.open(client, mode_of(client), self._key, saved.body).partition(b"\n")
        return position.decode(), zlib.decompress(body)

    async def end(self, finished: KeyFinished) -> None:
        """Note how it was answered; raise `LogUnavailableError` where that may not have been noted."""
        await self._keys.end(self._key_id, finished)

    async def release(self, *, forgotten: bool) -> None:
        """Let whoever comes next be admitted at once. Where that cannot be noted, it is admitted some seconds later."""
        event = KeyReleased(
            id=self._event_id(), client=self._call.client.client_id, lease=self._lease, forgotten=forgotten
        )
        with suppress(UnavailableError):
            await self._keys.end(self._key_id, event)
