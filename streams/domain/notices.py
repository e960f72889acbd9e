"""What apps are told of what platforms do with their contexts: notices, from the folds to the webhooks processor."""

from __future__ import annotations

from hashlib import blake2b
from typing import Annotated, Literal, NamedTuple, get_args

import msgspec
from msgspec import Meta

from streams.domain.ids import ContextId, Kind, SessionId, id_text
from streams.domain.times import iso_ms

NoticeType = Literal[
    "context.session.context_added",
    "context.session.context_removed",
    "context.session.deleted",
    "context.list.item_hidden",
    "context.list.item_unhidden",
]
LAST_NUMBER = 2**31 - 1
"""No record gives so many notices."""
NOTICE_TYPES: tuple[NoticeType, ...] = get_args(NoticeType)


class ToApp(NamedTuple):
    """Something happened to a context that its app is to hear of."""

    context: ContextId
    app: bytes
    """The app's raw id."""
    type: NoticeType
    data: bytes
    """What it happened to, JSON: a session context or a list item."""


class Notice(msgspec.Struct, frozen=True, array_like=True):
    """
    What an app is to hear of, and which record of a source it comes of.

    A record that is folded again gives the same notices. Those of one partition of a source come in the order of its
    records for the first time, however often they are repeated.
    """

    source: Literal["context-events", "session-events"]
    """The topic of the record."""
    of: bytes
    """The raw id of the context or session whose record it is."""
    offset: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    """The record's."""
    number: Annotated[int, Meta(ge=0, le=LAST_NUMBER)]
    """Which of the record's notices it is, from 0."""
    time_ms: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    """The record's."""
    request: str
    """The id of the request that caused it."""
    app: bytes
    """The raw id of the app that is told."""
    type: NoticeType
    data: bytes
    """What it happened to, JSON."""
    idempotency_key: str = ""
    """Of the request that caused it."""


def source_text(topic: str, partition: int) -> str:
    """Return what a partition of a source is called where it is said how far it was decided about."""
    return f"{topic}-{partition}"


def session_context_json(session: SessionId, context: ContextId, app: bytes, created_at_ms: int) -> bytes:
    """Return a context that is, or was, attached to a session, as apps are told of it."""
    return msgspec.json.encode(
        {
            "session_id": id_text(Kind.SESSION, session),
            "context_id": id_text(Kind.CONTEXT, context),
            "app_id": id_text(Kind.APP, app),
            "created_at": iso_ms(created_at_ms),
        }
    )


def event_id(key: bytes, source: str, offset: int, number: int) -> str:
    """
    Return the id of what apps are told, 32 hexadecimal digits: of what it comes of alone, so the same for ever.

    Args:
        key: The deployment's, up to 64 bytes: other deployments' ids are others.
        source: The partition of the record, `<topic>-<partition>`.
        offset: The record's.
        number: Which of its notices it is.
    """
    return blake2b(f"{source}-{offset}-{number}".encode(), digest_size=16, key=key, person=b"upnext-notice").hexdigest()
