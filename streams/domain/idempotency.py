"""Idempotency keys, a pure fold: of all requests with one key it admits one at a time, and one that is executed."""

from __future__ import annotations

from typing import NamedTuple, assert_never

import msgspec
from msgspec.structs import replace

from streams.domain import idempotency_rows as layout
from streams.domain.idempotency_events import AnyKeyEvent, KeyBegun, KeyFinished, KeyReleased
from streams.domain.idempotency_rows import Answered, Held
from streams.domain.rows import WritableRows


class KeyLimits(msgspec.Struct, frozen=True):
    """How long, and how much. The defaults are the contract; tests make them small."""

    lease_ms: int = 20_000
    """For so long a request that was admitted is alone, whatever has become of its node. It has half of that to end."""
    kept_ms: int = 72 * 3600 * 1000 + 20_000
    """For so long a key is known after it was last admitted: its answer for 72 h at least."""
    keys: int = 100_000
    """Keys of one client that a partition holds; one more drops the oldest."""
    forget_at_once: int = 8
    """Old keys that one fold forgets; it adds one."""


KEY_LIMITS = KeyLimits()


class Admitted(NamedTuple):
    """The request is to be executed; what it writes has ids that derive from its key's *generation*."""

    generation: int


class InProgress(NamedTuple):
    """Another request with this key is being executed."""


class Reused(NamedTuple):
    """The key was used for another request."""


class Executed(NamedTuple):
    """The request was executed before: this is the answer."""

    answer: Answered


Admission = Admitted | InProgress | Reused | Executed
"""What the fold made of a request with a key, at its place in the log."""


def fold_key_event(
    rows: WritableRows, event: AnyKeyEvent, key: bytes, *, offset: int, time_ms: int, limits: KeyLimits = KEY_LIMITS
) -> Admission | None:
    """
    Fold *event* into its key's rows; return whether a request is admitted, None where none asks.

    Args:
        rows: The idempotency table, or an overlay of it.
        event: What happened.
        key: To which key.
        offset: The event's offset.
        time_ms: The event's time, its record's.
        limits: How long keys are known, and how many.
    """
    held = layout.read_held(rows, key)
    admission = None
    match event:
        case KeyBegun():
            admission = judge(held, event, offset, time_ms, limits)
            if isinstance(admission, Admitted):
                client = layout.client_bytes(event.client)
                # Another one has its generation only where it may have written.
                again = held is not None and held.generation == admission.generation
                now = Held(admission.generation, client, event.fingerprint, time_ms, event.id, again=again)
                layout.put_held(rows, key, now, held)
                _make_room(rows, client, limits)
        case KeyFinished():
            if held is not None and held.lease == event.lease:
                answer = Answered(event.status, event.body, event.position, event.sealed)
                layout.put_held(rows, key, replace(held, lease="", answer=answer), held)
        case KeyReleased():
            if held is not None and held.lease == event.lease:
                # What was admitted before may be in the log: under new ids it would come twice.
                if event.forgotten and not held.again:
                    layout.delete_key(rows, key)
                else:
                    layout.put_held(rows, key, replace(held, lease=""), held)
        case _:
            assert_never(event)
    _forget(rows, time_ms, limits)
    return admission


def judge(held: Held | None, event: KeyBegun, offset: int, time_ms: int, limits: KeyLimits = KEY_LIMITS) -> Admission:
    """Return whether a request is admitted now, by what is known of its key."""
    if held is None or held.time_ms + limits.kept_ms < time_ms:
        return Admitted(offset)
    if held.fingerprint != event.fingerprint:
        return Reused()
    if held.answer is not None:
        return Executed(held.answer)
    if held.lease and time_ms < held.time_ms + limits.lease_ms:
        return InProgress()
    # Whoever had it has died, or does not know what became of its write. It is the same write, with the same ids.
    return Admitted(held.generation)


def _make_room(rows: WritableRows, client: bytes, limits: KeyLimits) -> None:
    while layout.read_count(rows, client) > limits.keys:
        if not layout.drop_oldest_of(rows, client):
            return


def _forget(rows: WritableRows, time_ms: int, limits: KeyLimits) -> None:
    old: list[bytes] = []
    oldest_ms: int | None = None
    for key, since_ms in layout.oldest(rows):
        oldest_ms = since_ms
        if since_ms + limits.kept_ms >= time_ms or len(old) == limits.forget_at_once:
            break
        old.append(key)
    for key in old:
        layout.delete_key(rows, key)
    if oldest_ms is not None:
        layout.note_oldest(rows, oldest_ms)
