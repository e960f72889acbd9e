"""The feed protocol: what the two processors tell each other, and what a fold has to say."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

from streams.domain.ids import ContextId, Kind, SessionId
from streams.domain.notices import ToApp

Offset = Annotated[int, Meta(ge=-1, le=2**63 - 1)]
Number = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Digest = Annotated[int, Meta(ge=0)]
"""Less than 2**64: msgpack holds no more, and msgspec can bound an integer only within 63 bits."""

NONE = -1
"""The sequence of a context without events, of a member without a snapshot, and the load of neither."""


class Limits(msgspec.Struct, frozen=True):
    """How much there may be of what. The defaults are the contract; tests make them small."""

    items: int = 1_000
    """Items in one context; one more drops the oldest."""
    sessions: int = 1_000
    """Sessions that one context feeds."""
    contexts: int = 200
    """Contexts attached to one session."""
    message_bytes: int = 256 * 1024
    """Items in one feed message; a larger change goes out as a snapshot, a larger snapshot in parts."""
    ask_again: int = 16
    """Changes that do not follow on before a member asks for another snapshot."""
    sweep_rows: int = 300
    """Places that one sweep deletes; the rest is another sweep. With the longest content ids their keys are 700 KB."""
    erased_rows: int = 4_000
    """Rows beside its items that one record deletes of a context that is erased; the rest is another record's."""
    forget_ms: int = 30 * 24 * 3600 * 1000
    """How long a context remembers a subscription that is off."""


LIMITS = Limits()


class Operation(msgspec.Struct, frozen=True, array_like=True):
    """One item put (a fragment) or removed (None), with its `updated_at` in epoch milliseconds."""

    content_id: bytes
    time_ms: Number
    fragment: bytes | None


class Change(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """What one context event did: all its operations, and the digest and count after it."""

    context: bytes
    sequence: Offset
    after: Offset
    digest: Digest
    count: Number
    operations: list[Operation]


class Snapshot(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """Part *part* of *parts* of a context's items as of a sequence; digest and count are of the whole."""

    context: bytes
    as_of: Offset
    part: Number
    parts: Number
    digest: Digest
    count: Number
    items: list[Operation]
    epoch: Offset = NONE


class Sweep(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """The rows of a load that has ended are to be deleted."""

    context: bytes
    load: Number


class Refused(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """The context feeds as many sessions as it may: the member of this epoch stays empty."""

    context: bytes
    epoch: Number


class Erased(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """The context was erased: the session has it no more."""

    context: bytes


class Subscribe(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """A session wants a context's snapshot and every change after it."""

    session: bytes
    epoch: Number


class Unsubscribe(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """A session wants no more of an attachment, or of one before it."""

    session: bytes
    epoch: Number


class Wipe(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """Where the context was erased: it has more rows than a record deletes, or a session's event has named it again."""


FeedMessage = Change | Snapshot | Sweep | Refused | Erased
Subscription = Subscribe | Unsubscribe | Wipe


class ToSession(NamedTuple):
    """A feed message, and the session it goes to."""

    session: SessionId
    message: FeedMessage


class ToContext(NamedTuple):
    """A subscription, and the context it goes to."""

    context: ContextId
    message: Subscription


class Attached(NamedTuple):
    """The context is attached, since *created_at_ms*; *refreshed* if it was before."""

    created_at_ms: int
    refreshed: bool


class Done(NamedTuple):
    """The command did what it says, or found it done."""


class SessionGone(NamedTuple):
    """The session was deleted before."""


class TooManyContexts(NamedTuple):
    """The session holds as many contexts as it may."""


Verdict = Attached | Done | SessionGone | TooManyContexts
"""What the fold made of a session's event, at its place in the log."""


class Noticed(NamedTuple):
    """Something an operator counts: `digest_difference`, `gap`, `refused`."""

    what: str


class ToErase(NamedTuple):
    """The sources have something of a context that was erased, or a session that was deleted."""

    kind: Kind
    raw: bytes


Effect = ToSession | ToContext | ToApp | ToErase | Verdict | Noticed
"""What a fold yields: messages to append, a verdict for whoever waits, and things to count."""
