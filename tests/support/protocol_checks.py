"""What must hold in every run of the feed protocol, on what the sessions processor has committed and at the end."""

from __future__ import annotations

from streams.domain import context_rows, session_rows
from streams.domain.errors import SessionDeletedError
from streams.domain.feed import NONE, Limits
from streams.domain.ids import ContextId, SessionId
from streams.domain.items import item_hash
from streams.domain.rows import Rows
from streams.domain.session_rows import Member
from streams.views.sessions import newest, read_state
from tests.support.protocol_oracle import Items, Oracle
from tests.support.tables import HASH_KEY

_U64 = (1 << 64) - 1
Members = dict[ContextId, Member]


class BrokenError(Exception):
    """An invariant was broken; this is its name."""


def claim(holds: bool, name: str) -> None:
    """Raise `BrokenError` where the invariant *name* does not hold."""
    if not holds:
        raise BrokenError(name)


class Checks:
    """
    Compares the sessions' rows with the oracle after every commit.

    attached: what is attached is what the session's log says, at once
    prefix: a member's items are exactly its context's, as of the member's sequence
    monotonic: within one attachment, the sequence never goes back
    digest, count, total: the stored numbers are those of the rows
    revision: what a reader sees does not change without it
    """

    def __init__(self, oracle: Oracle, limits: Limits) -> None:
        self._oracle = oracle
        self._sessions = limits.sessions
        self._seen: dict[tuple[SessionId, ContextId, int], int] = {}
        self._last: dict[SessionId, tuple[session_rows.Session, Members]] = {}

    def step(self, rows: Rows, folded: int) -> None:
        """Check every session whose rows have changed; *folded* is the offset of the last folded session event."""
        for session in self._oracle.sessions:
            state = session_rows.read_session(rows, session)
            members = dict(session_rows.members(rows, session))
            attached = self._oracle.sessions[session].at(folded)
            epochs = {context: member.epoch for context, member in members.items()}
            claim((state.deleted, epochs) == attached, "attached")
            last = self._last.get(session)
            if last == (state, members):
                continue
            revision = NONE if last is None else last[0].revision
            claim(state.revision > revision, "revision")
            claim(state.members == len(members), "members")
            claim(state.total == sum(member.count for member in members.values()), "total")
            for context, member in members.items():
                self._check_member(rows, session, context, member)
            self._last[session] = state, members

    def _check_member(self, rows: Rows, session: SessionId, context: ContextId, member: Member) -> None:
        attachment = session, context, member.epoch
        claim(member.sequence >= self._seen.get(attachment, NONE), "monotonic")
        self._seen[attachment] = member.sequence
        stored = items_of(rows, session, context, member.load)
        claim(len(stored) == member.count, "count")
        hashes = (item_hash(HASH_KEY, content_id, *item) for content_id, item in stored.items())
        claim(sum(hashes) & _U64 == member.digest, "digest")
        claim(not (member.refused and member.load != NONE), "refused")
        # One that knows it was fed something else waits to be mended, and says so.
        if not member.suspect:
            oracle = self._oracle.contexts[context]
            claim(member.load == NONE or oracle.is_event(member.sequence), "sequence")
            claim(stored == oracle.at(member.sequence), "prefix")

    def end(self, contexts: Rows, sessions: Rows) -> None:
        """
        Check what must hold once everything is folded.

        converged: every list is the join of both logs, byte for byte
        subscriptions: what a context feeds is what is attached to it
        leak: no row is left of a load that has ended
        """
        for context, oracle in self._oracle.contexts.items():
            kept = oracle.at(oracle.last)
            ordered = sorted((-item[0], content_id, item[1]) for content_id, item in kept.items())
            found = list(context_rows.newest_items(contexts, context))
            claim(found == [(content_id, fragment) for _, content_id, fragment in ordered], "context list")
            meta = context_rows.read_meta(contexts, context)
            hashes = (item_hash(HASH_KEY, content_id, *item) for content_id, item in kept.items())
            claim((meta.count, meta.digest) == (len(kept), sum(hashes) & _U64), "context digest")
            claim(meta.sequence == oracle.last, "context sequence")
        for session in self._oracle.sessions:
            self._check_list(sessions, session)
        self._check_subscriptions(contexts, sessions)
        _check_leaks(sessions, list(self._oracle.sessions))

    def _check_list(self, rows: Rows, session: SessionId) -> None:
        everything = 2**62
        try:
            state = read_state(rows, session)
        except SessionDeletedError:
            claim(self._oracle.sessions[session].at(everything).deleted, "converged")
            return
        refused = {context for context, member in state.members.items() if member.refused}
        for context, member in state.members.items():
            last = self._oracle.contexts[context].last
            claim(member.sequence == (NONE if context in refused else last), "converged")
        fragments = [entry.item[1] for entry in newest(rows, state)]
        claim(fragments == self._oracle.merged(session, everything, refused), "converged")

    def _check_subscriptions(self, contexts: Rows, sessions: Rows) -> None:
        for context in self._oracle.contexts:
            attached = {
                session: member.epoch
                for session in self._oracle.sessions
                if (member := session_rows.read_member(sessions, session, context)) and not member.refused
            }
            fed = dict(context_rows.subscriptions(contexts, context))
            claim(len(fed) <= self._sessions, "too many sessions")
            claim(fed == attached, "subscriptions")
            claim(context_rows.read_meta(contexts, context).subscribers == len(fed), "subscribers")


def items_of(rows: Rows, session: SessionId, context: ContextId, load: int) -> Items:
    """Return the items that rows of both kinds have under *load*; claim that the two kinds agree."""
    if load == NONE:
        return {}
    items: Items = {}
    for key, value in rows.range(session_rows.place_prefix(session, context, load)):
        content_id, (time_ms, hashed) = session_rows.place_content_id(key), session_rows.decode_place(value)
        fragment = rows.get(session_rows.list_key(session, time_ms, content_id, context, load))
        claim(fragment is not None, "places")
        items[content_id] = time_ms, fragment or b""
        claim(item_hash(HASH_KEY, content_id, *items[content_id]) == hashed, "places")
    entries = (session_rows.list_entry(*row) for row in rows.range(session_rows.LIST + session))
    claim(sum((entry.context, entry.load) == (context, load) for entry in entries) == len(items), "places")
    return items


def _check_leaks(rows: Rows, sessions: list[SessionId]) -> None:
    for session in sessions:
        live = {
            (context, load)
            for context, member in session_rows.members(rows, session)
            for load in (member.load, member.loading and member.loading.load)
        }
        entries = (session_rows.list_entry(*row) for row in rows.range(session_rows.LIST + session))
        claim({(entry.context, entry.load) for entry in entries} <= live, "leak")
        for key, _ in rows.range(session_rows.PLACE + session):
            claim((ContextId(key[18:35]), int.from_bytes(key[35:43], "big")) in live, "leak")
