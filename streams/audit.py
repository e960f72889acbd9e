"""Lists that are served here, compared with what their events give when they are folded again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
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
_NEVER = -1
"""As of this sequence, nothing was recorded of a context."""
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
        served: dict[ContextId, _Served | None] = {}
        for text in ids:
            context = ContextId(known_id(Kind.CONTEXT, text))
            try:
                found = await _whole(partial(views.page, context, limit=_PAGE, after=NOTHING, client=""))
            except ContextErasedError:
                served[context] = None
                continue
            if found is None:
                compared.moving += 1
            else:
                served[context] = found
        wanted = {context: _NEVER if one is None else one.offset for context, one in served.items()}
        lists = await self._lists(wanted.items(), reading)
        for context, one in served.items():
            listed = lists[context, wanted[context]]
            if one is None:
                what = None if listed.is_erased else "it is erased, and not so in the log"
                compared.note(Kind.CONTEXT, context, what)
            elif listed.is_erased_later:
                # What it had may be gone from the log before it is here.
                compared.moving += 1
            else:
                compared.note(Kind.CONTEXT, context, what_differs(one.fragments, _fragments(listed.items)))
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
        attached = {session: _attached(history[session], one) for session, one in served.items()}
        lists = await self._lists({each for both in attached.values() for each in both.all}, reading)
        for session, one in served.items():
            both = attached[session]
            if both.differ or not all(lists[missing].is_erased for missing in both.missing):
                compared.note(Kind.SESSION, session, "its contexts, or whether it was deleted, are not as the log says")
            elif any(lists[member].is_erased_later for member in both.members):
                compared.moving += 1
            elif one is not None:
                items = merged(item for member in both.members for item in lists[member].items)
                compared.note(Kind.SESSION, session, what_differs(one.fragments, _fragments(items)))
        return compared

    async def _lists(
        self, members: Iterable[tuple[ContextId, int]], reading: Reading
    ) -> dict[tuple[ContextId, int], _Listed]:
        """Return what contexts had as of sequences: in one go, but where one context is wanted as of several."""
        waiting = set(members)
        lists: dict[tuple[ContextId, int], _Listed] = {}
        while waiting:
            now = dict(waiting)
            ends = {one: sequence + 1 for one, sequence in now.items()}
            folded = await self._refold.contexts(ends, reading, to_the_end=True)
            for member in now.items():
                one = folded[member[0]]
                lists[member] = _Listed(merged(items_of(one.rows, one.context)), one.is_erased, one.is_erased_later)
                waiting.remove(member)
        return lists


class _Listed(NamedTuple):
    """What the log says of a context as of a sequence."""

    items: list[PastItem]
    is_erased: bool
    """By now."""
    is_erased_later: bool
    """After that sequence."""


class _Attached(NamedTuple):
    """The contexts that the log says are attached to a session, each with the sequence that is looked at."""

    members: list[tuple[ContextId, int]]
    """Those that are served, as of what the list has."""
    missing: list[tuple[ContextId, int]]
    """Those that are not: erased, or lost."""
    differ: bool
    """Whether it was deleted either here or there only, or something is served that is not attached."""

    @property
    def all(self) -> list[tuple[ContextId, int]]:
        return self.members + self.missing


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


def _attached(history: FoldedSession, served: _Served | None) -> _Attached:
    """Compare the contexts of a session, by their epochs; None: it is served as one that was deleted."""
    if served is None or history.deleted:
        return _Attached([], [], differ=served is not None or not history.deleted)
    members, missing = [], []
    for context, member in history.members().items():
        sequence = served.sequences.get(member.epoch)
        if sequence is None:
            missing.append((context, _NEVER))
        else:
            members.append((context, sequence))
    return _Attached(members, missing, differ=len(members) < len(served.sequences))


def _fragments(items: Iterable[PastItem]) -> list[bytes]:
    return [one.fragment for one in items]
