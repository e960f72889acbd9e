"""Questions of operators about what a version of the views has here, so that two of them can be compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec
from multidict import MultiMapping

from service.http.explain import StepOut, step_out
from service.http.problems import Fault, InvalidFieldsError, UnknownPathError
from streams.domain.audits import Audited
from streams.domain.digests import DigestItems, Digests
from streams.domain.errors import UnknownIdError
from streams.domain.ids import ContextId, Kind, SessionId, parse_id
from streams.domain.steps import Step

_MAX_DIGITS = 18
_KINDS = {Audited.CONTEXTS: Kind.CONTEXT, Audited.SESSIONS: Kind.SESSION}


class PartitionDigests(Protocol):
    """
    Tells what versions of the views have here; see `streams.digests.PartitionDigests`.

    All raise:
        AbsentError: There is no such version here, or no such partition.
        ViewUnavailableError: The partition is not served here, or not yet.
        HistoryTooLongError, HistoryGoneError, LogUnavailableError, OverloadedError: Where the log is read.
    """

    async def digests(
        self, view: str, of: Audited, partition: int, *, beyond: bytes | None, only: Sequence[bytes] | None
    ) -> Digests:
        """Tell of some whose ids are *beyond* a raw one, in order; or of *only* some."""

    async def touched(self, of: Audited, partition: int, first: int, end: int) -> list[str]:
        """Return the ids of which the source has events from the offset *first* up to, not including, *end*."""

    def items(self, view: str, context: ContextId, session: SessionId | None) -> DigestItems:
        """Return the items of a context's own list, or of what a session's has of it."""

    async def item_steps(self, context: ContextId, content_id: str) -> Sequence[Step]:
        """Return what events did to an item, oldest first."""

    async def attachment_steps(self, session: SessionId, context: ContextId | None) -> Sequence[Step]:
        """Return what events did to an attachment, None: to any, in their order."""


class TouchedOut(msgspec.Struct, frozen=True):
    """Of which contexts, or sessions, there are events."""

    ids: Sequence[str]


class StepsOut(msgspec.Struct, frozen=True):
    """What events did to an item, or to an attachment, oldest first."""

    steps: Sequence[StepOut]


class DigestQuestions:
    """Answers them."""

    known = frozenset({"digests", "touched", "items", "steps"})

    def __init__(self, digests: PartitionDigests) -> None:
        """Take what tells what there is."""
        self._digests = digests

    async def answer(self, what: str, query: MultiMapping[str]) -> Digests | TouchedOut | DigestItems | StepsOut:
        """
        Answer one of these, with its parameters.

        - `digests`: view, of, partition; beyond, an id, or only, ids with commas between;
        - `touched`: of, partition, first, end;
        - `items`: view, context; session for what its merged list has;
        - `steps`: context and content_id; or session, and context for one attachment.

        Raises:
            UnknownPathError: It is none of these.
            InvalidFieldsError: A parameter is none.
            UnknownIdError: An id is none.
            What `PartitionDigests` raises.
        """
        match what:
            case "digests":
                of, beyond, only = _of(query), query.get("beyond"), query.get("only")
                return await self._digests.digests(
                    query.get("view", ""),
                    of,
                    _number(query, "partition"),
                    beyond=None if beyond is None else _raw(_KINDS[of], beyond),
                    only=None if only is None else [_raw(_KINDS[of], text) for text in only.split(",")],
                )
            case "touched":
                first, end = _number(query, "first"), _number(query, "end")
                ids = await self._digests.touched(_of(query), _number(query, "partition"), first, end)
                return TouchedOut(ids)
            case "items":
                return self._digests.items(query.get("view", ""), _context(query), _session(query))
            case "steps":
                session = _session(query)
                if session is None:
                    steps = await self._digests.item_steps(_context(query), query.get("content_id", ""))
                else:
                    context = _context(query) if "context" in query else None
                    steps = await self._digests.attachment_steps(session, context)
                return StepsOut([step_out(step, named=True) for step in steps])
            case _:
                raise UnknownPathError


def _of(query: MultiMapping[str]) -> Audited:
    try:
        return Audited(query.get("of"))
    except ValueError as error:
        raise InvalidFieldsError([Fault("of", "invalid", "This is contexts or sessions.")]) from error


def _number(query: MultiMapping[str], name: str) -> int:
    text = query.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
        raise InvalidFieldsError([Fault(name, "invalid", "This is a number.")])
    return int(text)


def _raw(kind: Kind, text: str) -> bytes:
    raw = parse_id(kind, text)
    if raw is None:
        raise UnknownIdError
    return raw


def _context(query: MultiMapping[str]) -> ContextId:
    return ContextId(_raw(Kind.CONTEXT, query.get("context", "")))


def _session(query: MultiMapping[str]) -> SessionId | None:
    text = query.get("session")
    return None if text is None else SessionId(_raw(Kind.SESSION, text))
