"""Lists that are served here, compared with what their events give when they are folded again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, Protocol

from streams.domain.audits import Audited, AuditResult, Differing, Sample, what_differs
from streams.domain.errors import ContextErasedError, SessionDeletedError
from streams.domain.ids import ContextId, Kind, SessionId, id_text, known_id
from streams.domain.pages import Page
from streams.domain.past_lists import PastItem, items_of, merged
from streams.domain.positions import NOTHING, After, ListPosition
from streams.folded import FoldedSession
from streams.history import OPERATORS
from streams.refold import Bound, Reading, Refold
from streams.topics import CONTEXT_EVENTS, SESSION_EVENTS

_PAGE = 200
_ATTEMPTS = 3
_ID_CHARACTERS = 43
_TOPICS = {Audited.CONTEXTS: CONTEXT_EVENTS, Audited.SESSIONS: SESSION_EVENTS}


class _Served(NamedTuple):
    fragments: list[bytes]
    offset: int
    """Of the last event of the context, or session, that counts."""
    sequences: dict[int, int]
    """Of a session: epoch of a member → its sequence."""


class ServedContexts(Protocol):
    """The lists of contexts that are served here."""

    async def page(self, context: ContextId, *, start: int, limit: int, after: After, client: str) -> Page:
        """See `streams.views.context_views.ContextReader`."""


class ServedSessions(Protocol):
    """The lists of sessions that are served here."""

    async def page(self, session: SessionId, *, start: int, limit: int, after: After, client: str) -> Page:
        """See `streams.views.session_views.SessionReader`."""


class Served(NamedTuple):
    """What one version of the views serves here."""

    contexts: ServedContexts
    sessions: ServedSessions


class Audit:
    """
    Compares lists of one partition at a time. Implements `service.ports.Audit`.

    What is served says as of which events it is, so both sides are of the same moment, and writes may go on.
    """

    def __init__(self, refold: Refold, served: Callable[[str | None], Served], *, bound: Bound = OPERATORS) -> None:
        """
        Take what folds again, what is served here of a version of the views, and how much of the log one call may read.

        *served* takes None for the version that clients read, and raises `AbsentError` where there is none of a name.
        """
        self._refold, self._served_of, self._bound = refold, served, bound

    async def audit(
        self, of: Audited, partition: int, *, most: int, seed: str, beyond: str | None, view: str | None = None
    ) -> AuditResult:
        """
        Compare up to *most* lists of a partition, chosen by *seed*; those after the mark *beyond*, where there is one.

        They are those of a version of the views; None: of the one that clients read here.

        Raises:
            AbsentError: There is no such version here, or no such partition.
            ViewUnavailableError: The partition is not served here.
            HistoryTooLongError, HistoryGoneError, LogUnavailableError, OverloadedError
        """
        served = self._served_of(view)
        sample = Sample(most, seed, beyond)
        with self._refold.reading(self._bound) as reading:
            await self._refold.each_id(_TOPICS[of], partition, reading, sample.add)
            prefixes, following = sample.taken()
            ids = [prefix[:_ID_CHARACTERS].decode("ascii") for prefix in prefixes]
            compared = await (
                self._of_contexts(ids, served.contexts, reading)
                if of is Audited.CONTEXTS
                else self._of_sessions(ids, served.sessions, reading)
            )
        return AuditResult(len(ids) - compared.moving, compared.moving, compared.differing, following)

    async def _of_contexts(self, ids: Sequence[str], views: ServedContexts, reading: Reading) -> _Compared:
        compared = _Compared()
        served: dict[ContextId, _Served] = {}
        erased: set[ContextId] = set()
        for text in ids:
            context = ContextId(known_id(Kind.CONTEXT, text))
            try:
                found = await _whole(partial(views.page, context, limit=_PAGE, after=NOTHING, client=""))
            except ContextErasedError:
                erased.add(context)
                continue
            if found is None:
                compared.moving += 1
            else:
                served[context] = found
        lists = await self._lists(((context, one.offset) for context, one in served.items()), reading)
        for context, one in served.items():
            compared.note(Kind.CONTEXT, context, what_differs(one.fragments, _fragments(lists[context, one.offset])))
        for context in erased - await self._erased(erased, reading):
            compared.note(Kind.CONTEXT, context, "it is erased here, and not in the log")
        return compared

    async def _of_sessions(self, ids: Sequence[str], views: ServedSessions, reading: Reading) -> _Compared:
        compared = _Compared()
        served: dict[SessionId, _Served | None] = {}
        for text in ids:
            session = SessionId(known_id(Kind.SESSION, text))
            try:
                found = await _whole(partial(views.page, session, limit=_PAGE, after=NOTHING, client=""))
            except SessionDeletedError:
                served[session] = None
                continue
            if found is None:
                compared.moving += 1
            else:
                served[session] = found
        ends = {session: None if one is None else one.offset + 1 for session, one in served.items()}
        history = await self._refold.sessions(ends, reading)
        # A session has an erased context no more, though its own events say that it is attached.
        missing = {context for session, one in served.items() if one for context in _missing(history[session], one)}
        erased = await self._erased(missing, reading)
        attached = {session: _attached(history[session], one, erased) for session, one in served.items()}
        lists = await self._lists(
            (member for members in attached.values() if members is not None for member in members), reading
        )
        for session, one in served.items():
            members = attached[session]
            if members is None:
                compared.note(Kind.SESSION, session, "its contexts, or whether it was deleted, are not as the log says")
            elif one is not None:
                items = merged(item for member in members for item in lists[member])
                compared.note(Kind.SESSION, session, what_differs(one.fragments, _fragments(items)))
        return compared

    async def _erased(self, contexts: Collection[ContextId], reading: Reading) -> set[ContextId]:
        """Return those of the contexts that were erased by now."""
        if not contexts:
            return set()
        folded = await self._refold.contexts(dict.fromkeys(contexts), reading)
        return {context for context, one in folded.items() if one.is_erased}

    async def _lists(
        self, members: Iterable[tuple[ContextId, int]], reading: Reading
    ) -> dict[tuple[ContextId, int], list[PastItem]]:
        """Return the items of contexts as of sequences: in one go, but where one context is wanted as of several."""
        waiting = set(members)
        lists: dict[tuple[ContextId, int], list[PastItem]] = {}
        while waiting:
            now = dict(waiting)
            folded = await self._refold.contexts({one: sequence + 1 for one, sequence in now.items()}, reading)
            for member in now.items():
                lists[member] = merged(items_of(folded[member[0]].rows, member[0]))
                waiting.remove(member)
        return lists


@dataclass
class _Compared:
    moving: int = 0
    differing: list[Differing] = field(default_factory=list)

    def note(self, kind: Kind, raw: bytes, what: str | None) -> None:
        if what is not None:
            self.differing.append(Differing(id_text(kind, raw), what))


async def _whole(read: Callable[..., Awaitable[Page]]) -> _Served | None:
    """Return all pages of a list as of one moment; None where it never stood still for so long."""
    for _ in range(_ATTEMPTS):
        first = page = await read(start=0)
        fragments = [encoded for _, encoded in page.items]
        while page.next_key is not None and page.revision == first.revision:
            page = await read(start=page.next_key)
            fragments += [encoded for _, encoded in page.items]
        if page.revision == first.revision:
            position = first.position
            sequences = dict(position.members) if isinstance(position, ListPosition) else {}
            return _Served(fragments, position.offset, sequences)
    return None


def _missing(history: FoldedSession, served: _Served) -> list[ContextId]:
    """Return the contexts that are attached by the log, and that the list does not have."""
    return [context for context, member in history.members().items() if member.epoch not in served.sequences]


def _attached(
    history: FoldedSession, served: _Served | None, erased: Collection[ContextId]
) -> list[tuple[ContextId, int]] | None:
    """Return the contexts that are attached, each with the sequence that the list has; None where both differ."""
    if served is None or history.deleted:
        return [] if served is None and history.deleted else None
    members = history.members()
    for context in _missing(history, served):
        if context in erased:
            del members[context]
    if sorted(member.epoch for member in members.values()) != sorted(served.sequences):
        return None
    return [(context, served.sequences[member.epoch]) for context, member in members.items()]


def _fragments(items: Iterable[PastItem]) -> list[bytes]:
    return [one.fragment for one in items]
