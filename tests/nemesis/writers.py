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
        """
        shared = self._shared
        reply: Reply | None = None
        began_s = shared.now_s()
        try:
            reply = await client.call(method, path, body, after=after)
        except RefusedError:
            outcome = Outcome.FAILED
        except LostError:
            outcome = Outcome.UNKNOWN
        else:
            outcome = self._outcome(mark, reply, expected)
        write = Write(mark, outcome, began_s, shared.now_s(), proofs=proofs, after=self._positions(after))
        if reply is not None:
            write.request_id, write.status = reply.request_id, reply.status
        if reply is not None and outcome is Outcome.ACKNOWLEDGED:
            write.position = shared.position(reply)
        shared.history.writes.append(write)
        had = shared.writes if mark.call in _NEED_NO_VIEW else shared.commands
        if reply is None or reply.status == 503:
            had.failed(self._name, began_s)
            await shared.pause(AGAIN_S)
        else:
            had.had(self._name)
        return write, reply

    def _outcome(self, mark: Mark, reply: Reply, expected: frozenset[int]) -> Outcome:
        if 200 <= reply.status < 300:
            return Outcome.ACKNOWLEDGED
        if reply.status == 503:
            return Outcome.FAILED if reply.code in _NOT_WRITTEN else Outcome.UNKNOWN
        if reply.status not in expected:
            self._shared.wrong(f"{mark} was answered {reply.status}: {reply.body!r}")
        return Outcome.FAILED

    def _positions(self, tokens: Sequence[str]) -> tuple[Position, ...]:
        return tuple(self._shared.tokens.read(token) for token in tokens)


def is_answered(reply: Reply | None) -> bool:
    """Say whether a client need not try again."""
    return reply is not None and reply.status != 503
