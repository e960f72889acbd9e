"""Idempotency keys that another node judges: asked there whether a request is to be executed."""

from __future__ import annotations

from typing import Literal, Protocol, assert_never

import msgspec

from service.http.forward import MISDIRECTED, BrokenHopError, Hop, Places, UnreachableError
from service.http.forward_signature import ForwardedCall
from service.ports import Client
from streams.domain.errors import LogUnavailableError, ViewUnavailableError
from streams.domain.idempotency import Admission, Admitted, Executed, InProgress, Reused
from streams.domain.idempotency_events import KeyBegun, KeyFinished, KeyReleased
from streams.domain.idempotency_rows import Answered
from streams.domain.nodes import TableName

PATH = "/idempotency-keys"
"""Of such calls on the internal listener. Clients have no such path."""
LIMIT_S = 5.0
"""A verdict takes 4.5 s at most."""
_TRIES = 2
_OK = 200


class _Begin(msgspec.Struct, array_like=True):
    key: bytes
    event: KeyBegun


class _Said(msgspec.Struct, array_like=True):
    """An admission on its way: which one, and what belongs to it."""

    what: Literal["admitted", "executed", "in_progress", "reused"]
    generation: int = 0
    answer: Answered | None = None


class Keys(Protocol):
    """What is known of keys on this node; see `streams.idempotency.KeyLog`."""

    async def begin(self, key: bytes, event: KeyBegun) -> Admission:
        """Say whether a request is to be executed; raise `ViewUnavailableError` where another node knows."""

    async def end(self, key: bytes, event: KeyFinished | KeyReleased) -> None:
        """Note how it ended, on any node."""


class KeysHere:
    """Implements `service.ports.IdempotencyKeys` where there is no other node."""

    def __init__(self, keys: Keys) -> None:
        """Take this node's."""
        self._keys = keys

    async def begin(self, client: Client, request_id: str, key: bytes, event: KeyBegun) -> Admission:
        """Ask this node."""
        del client, request_id
        return await self._keys.begin(key, event)

    async def end(self, key: bytes, event: KeyFinished | KeyReleased) -> None:
        """Note it in the log."""
        await self._keys.end(key, event)


class KeysAnywhere(KeysHere):
    """Implements `service.ports.IdempotencyKeys` where other nodes may judge a key."""

    def __init__(self, keys: Keys, places: Places, hop: Hop) -> None:
        """Take this node's, who has which, and how others are called."""
        super().__init__(keys)
        self._places, self._hop = places, hop

    async def begin(self, client: Client, request_id: str, key: bytes, event: KeyBegun) -> Admission:
        """Ask the node that has the key's partition, this one or another."""
        body = msgspec.msgpack.encode(_Begin(key, event))
        asked: set[str] = set()
        while not self._places.is_here(TableName.IDEMPOTENCY, key):
            owner = None if len(asked) == _TRIES else self._places.owner(TableName.IDEMPOTENCY, key, asked)
            if owner is None:
                raise ViewUnavailableError("no node is known that judges the key now")
            asked.add(owner.name)
            call = ForwardedCall(owner.name, "POST", PATH, body, client, request_id)
            try:
                answer = await self._hop.send(owner.url, call, limit_s=LIMIT_S)
            except UnreachableError:
                self._places.doubt(owner.name)
                continue
            except BrokenHopError as error:
                raise LogUnavailableError(f"node {owner.name} may have admitted it: {error}") from error
            if answer.status == _OK and isinstance(answer.body, bytes):
                return _admission(answer.body)
            if answer.status != MISDIRECTED:
                raise LogUnavailableError(f"node {owner.name} does not know whether it was admitted: {answer.status}")
        return await super().begin(client, request_id, key, event)


class KeysOfOthers:
    """Answers the nodes that ask here."""

    def __init__(self, keys: Keys) -> None:
        """Take this node's."""
        self._keys = keys

    async def begin(self, body: bytes) -> bytes:
        """Return what this node says to a request, as it came, to be admitted; raise as `Keys.begin` does."""
        asked = msgspec.msgpack.decode(body, type=_Begin)
        return msgspec.msgpack.encode(_said(await self._keys.begin(asked.key, asked.event)))


def _said(admission: Admission) -> _Said:
    match admission:
        case Admitted(generation):
            return _Said("admitted", generation=generation)
        case Executed(answer):
            return _Said("executed", answer=answer)
        case InProgress():
            return _Said("in_progress")
        case Reused():
            return _Said("reused")
        case _:
            assert_never(admission)


def _admission(value: bytes) -> Admission:
    """Return what another node has said; raise `LogUnavailableError` where that cannot be read."""
    try:
        said = msgspec.msgpack.decode(value, type=_Said)
    except msgspec.DecodeError as error:
        raise LogUnavailableError(f"another node's answer cannot be read: {error}") from error
    if said.what == "executed" and said.answer is not None:
        return Executed(said.answer)
    if said.what == "admitted":
        return Admitted(said.generation)
    return Reused() if said.what == "reused" else InProgress()
