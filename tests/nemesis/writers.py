"""Who writes: one write after another, each with what its client knows of it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from streams.domain.positions import Position
from tests.nemesis.clients import Client, Clients, LostError, RefusedError, Reply
from tests.nemesis.history import Call, Mark, Outcome, Write
from tests.nemesis.household import Household

AGAIN_S = 0.1
_KEYED = 0.3
"""The part of the writes that have an idempotency key, of those that may."""
_IN_PROGRESS = "idempotency_in_progress"
_NEED_NO_VIEW = frozenset(
    {Call.CREATE_CONTEXT, Call.CREATE_SESSION, Call.PUT, Call.PUT_ITEMS, Call.REPLACE, Call.REMOVE}
)
_NOT_WRITTEN = frozenset({"view_unavailable", "view_behind", "overloaded", "registry_behind"})
"""503s that say that nothing was written. The others leave it open."""


class Writer:
    """Sends one write at a time, and notes what became of it."""

    def __init__(self, name: str, shared: Clients, household: Household, seed: int) -> None:
        self._name, self._shared, self._household = name, shared, household
        self._random = random.Random(seed)
        self._serial = 0

    async def write(
        self,
        client: Client,
        mark: Mark,
        method: str,
        path: str,
        body: Any = None,
        *,
        after: Sequence[str] = (),
        expected: frozenset[int] = frozenset(),
        proofs: tuple[tuple[str, int], ...] = (),
        key: str = "",
    ) -> tuple[Write, Reply | None]:
        """
        Send a write and note its outcome.

        Args:
            client: Whose it is.
            mark: What its event will say.
            method: As in HTTP.
            path: As in HTTP.
            body: What is sent as JSON.
            after: Positions that it is not to be judged before.
            expected: Statuses beside 2xx and 503 that there may be.
            proofs: See `Write`.
            key: The idempotency key, with which it is sent until it is answered; empty: it is sent once.
        """
        shared = self._shared
        began_s = shared.now_s()
        write = Write(mark, Outcome.FAILED, began_s, began_s, proofs=proofs, after=self._positions(after))
        write.is_keyed = bool(key)
        had = shared.keyed if key else shared.writes if mark.call in _NEED_NO_VIEW else shared.commands
        was_unknown = False
        while True:
            reply: Reply | None = None
            try:
                reply = await client.call(method, path, body, after=after, key=key)
            except RefusedError:
                outcome = Outcome.FAILED
            except LostError:
                outcome, write.was_lost = Outcome.UNKNOWN, True
            else:
                outcome = self._outcome(mark, reply, expected, key)
                write.former += (write.request_id,) if write.request_id else ()
                write.request_id, write.status = reply.request_id, reply.status
            was_unknown |= outcome is Outcome.UNKNOWN
            if is_answered(reply):
                had.had(self._name)
                break
            had.failed(self._name, began_s)
            await shared.pause(AGAIN_S)
            if not key or shared.stop.is_set():
                break
        write.outcome = Outcome.UNKNOWN if was_unknown and outcome is Outcome.FAILED else outcome
        write.ended_s = shared.now_s()
        if reply is not None and outcome is Outcome.ACKNOWLEDGED:
            write.position = shared.position(reply)
        shared.history.writes.append(write)
        return write, reply

    def key(self) -> str:
        """Return a key for some writes, and none for the others, nor where one without has just failed."""
        is_away = self._shared.writes.is_away(self._name) or self._shared.commands.is_away(self._name)
        return f"{self._random.getrandbits(128):032x}" if self._random.random() < _KEYED and not is_away else ""

    def _outcome(self, mark: Mark, reply: Reply, expected: frozenset[int], key: str) -> Outcome:
        if 200 <= reply.status < 300:
            return Outcome.ACKNOWLEDGED
        if reply.status == 503:
            return Outcome.FAILED if reply.code in _NOT_WRITTEN else Outcome.UNKNOWN
        if reply.status not in expected and not (key and reply.code == _IN_PROGRESS):
            self._shared.wrong(f"{mark} was answered {reply.status}: {reply.body!r}")
        return Outcome.FAILED

    def _positions(self, tokens: Sequence[str]) -> tuple[Position, ...]:
        return tuple(self._shared.tokens.read(token) for token in tokens)


def is_answered(reply: Reply | None) -> bool:
    """Say whether a client need not try again."""
    return reply is not None and reply.status != 503 and (reply.status != 409 or reply.code != _IN_PROGRESS)
