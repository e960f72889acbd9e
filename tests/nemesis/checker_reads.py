"""Reads: every list was an exact state that there was, no older than what was asked for, in order and whole."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator

from streams.domain.positions import ContextPosition, ListPosition
from tests.nemesis.history import Entries, History, Kind, Outcome, Read
from tests.nemesis.oracle import NONE, Row, SessionState, SessionStates
from tests.nemesis.raw_ids import raw_id
from tests.nemesis.truth import Truth, asked_of_commands, asked_of_context, asked_of_session, session_context

_SHOWN = ("context_id", "content_id", "title", "updated_at", "hidden")
_MOST_REMEMBERED = 10_000


class ReadChecker:
    """Checks reads against every state that there was."""

    def __init__(self, history: History, truth: Truth, stale_s: float | None) -> None:
        self._truth, self._entries, self._stale_s = truth, history.entries, stale_s
        self._merged: dict[tuple[tuple[str, int], ...], array[int]] = {}
        self._acknowledged = _acknowledged(history)

    def check(self, read: Read) -> list[str]:
        """Return what is wrong with one read."""
        if read.kind is Kind.CONTEXT:
            found = self._context(read)
        elif read.status == 404:
            found = self._absent(read)
        else:
            found = self._session(read)
        return [f"{read}: {what}" for what in found]

    def _context(self, read: Read) -> Iterator[str]:
        if not isinstance(read.position, ContextPosition):
            yield f"its position is {read.position}"
            return
        sequence = read.position.offset
        rows = self._rows(read.of, sequence)
        if rows is None:
            yield f"there was no such state as {sequence}"
            return
        yield from self._not_before(read, read.of, sequence, asked_of_context(read.of, read.after))
        yield from self._page(read, _numbers(rows))

    def _absent(self, read: Read) -> Iterator[str]:
        """A 404 is right where the session was deleted, or the context not attached, at any time that may be read."""
        states = self._truth.sessions.get(read.of, SessionStates()).since(
            asked_of_session(self._truth, read.of, read.after)
        )
        if not any(s.deleted or (read.kind is Kind.IN_SESSION and read.context not in s.members) for s in states):
            yield "it was answered 404, and was there all the time"

    def _session(self, read: Read) -> Iterator[str]:
        position = read.position
        if not isinstance(position, ListPosition):
            yield f"its position is {position}"
            return
        state = self._truth.sessions.get(read.of, SessionStates()).at(position.offset)
        asked = asked_of_session(self._truth, read.of, read.after)
        if position.offset < asked:
            yield f"it is as of {position.offset} of the session's events, and was asked for {asked}"
        if state.deleted:
            yield f"the session was deleted by {position.offset}"
        elif read.kind is Kind.CONTEXTS:
            yield from self._page(read, self._session_contexts(read.of, state))
        else:
            yield from self._list(read, state, dict(position.members))

    def _list(self, read: Read, state: SessionState, sequences: dict[int, int]) -> Iterator[str]:
        epochs = {attached.epoch: context for context, attached in state.members.items()}
        if epochs.keys() != sequences.keys():
            yield f"it has the attachments {sorted(sequences)}, and the log has {sorted(epochs)}"
            return
        if read.kind is Kind.IN_SESSION:
            epochs = {epoch: context for epoch, context in epochs.items() if context == read.context}
            if not epochs:
                yield "the context was not attached"
                return
        members = {epoch: sequences[epoch] for epoch in sorted(epochs)}
        for epoch, sequence in members.items():
            if self._rows(epochs[epoch], sequence) is None:
                yield f"there was no such state of {epochs[epoch]} as {sequence}"
                return
        yield from _complete(read, members)
        yield from self._reached(read, epochs, members)
        yield from self._page(read, self._merge(tuple((epochs[epoch], members[epoch]) for epoch in members)))

    def _reached(self, read: Read, epochs: dict[int, str], members: dict[int, int]) -> Iterator[str]:
        """Yield which contexts are older than what was asked for."""
        loaded = asked_of_commands(self._truth, read.of, read.after)
        seen = _asked_of_list(read)
        for epoch, sequence in members.items():
            context = epochs[epoch]
            if sequence == NONE and epoch <= loaded:
                yield f"the context attached at {epoch} is still on its way, and {loaded} was asked for"
            asked = max(seen.get(epoch, NONE), asked_of_context(context, read.after))
            if sequence != NONE or asked != NONE:
                yield from self._not_before(read, context, sequence, asked)

    def _not_before(self, read: Read, context: str, sequence: int, asked: int) -> Iterator[str]:
        if sequence < asked:
            yield f"{context} is as of {sequence}, and {asked} was asked for"
        if self._stale_s is not None and sequence < (known := self._long_known(context, read.began_s - self._stale_s)):
            yield f"{context} is as of {sequence}, though {known} was acknowledged {self._stale_s:g} s before"

    def _long_known(self, context: str, before_s: float) -> int:
        """Return the last offset of a context that was acknowledged before some time."""
        writes = self._acknowledged.get(context, [])
        past = bisect_left(writes, (before_s, NONE))
        return writes[past - 1][1] if past else NONE

    def _page(self, read: Read, whole: array[int]) -> Iterator[str]:
        if read.entries is None:
            return
        expected = whole[read.start : read.start + read.limit]
        if read.entries != expected:
            yield _difference(self._entries, read.entries, expected)
        if read.total != len(whole):
            yield f"its total is {read.total}, and should be {len(whole)}"
        end = read.start + len(expected)
        following = end if expected and end < len(whole) else None
        if read.next_key != following:
            yield f"its next_key is {read.next_key}, and should be {following}"

    def _rows(self, context: str, sequence: int) -> tuple[Row, ...] | None:
        if sequence == NONE:
            return ()
        states = self._truth.contexts.get(context)
        return None if states is None else states.at(sequence)

    def _merge(self, members: tuple[tuple[str, int], ...]) -> array[int]:
        merged = self._merged.get(members)
        if merged is None:
            if len(self._merged) > _MOST_REMEMBERED:
                self._merged.clear()
            merged = _numbers(sorted(row for each in members for row in self._rows(*each) or ()))
            self._merged[members] = merged
        return merged

    def _session_contexts(self, session: str, state: SessionState) -> array[int]:
        ordered = sorted(state.members.items(), key=lambda each: (-each[1].created_at_ms, raw_id(each[0])))
        numbers = [self._entries.number(session_context(session, *each)) for each in ordered]
        return array("q", numbers)


def _acknowledged(history: History) -> dict[str, list[tuple[float, int]]]:
    """Return, by context, when writes were acknowledged, each with the highest offset up to then."""
    found: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for write in history.writes:
        if write.outcome is Outcome.ACKNOWLEDGED and write.position is not None and write.mark.of.startswith("CX"):
            found[write.mark.of].append((write.ended_s, asked_of_context(write.mark.of, [write.position])))
    for writes in found.values():
        writes.sort()
        highest = NONE
        for n, (ended_s, offset) in enumerate(writes):
            highest = max(highest, offset)
            writes[n] = ended_s, highest
    return found


def _asked_of_list(read: Read) -> dict[int, int]:
    """Return the sequences that lists have shown before, by epoch."""
    asked: dict[int, int] = {}
    for p in read.after:
        if isinstance(p, ListPosition) and p.session == raw_id(read.of):
            for epoch, sequence in p.members:
                asked[epoch] = max(sequence, asked.get(epoch, NONE))
    return asked


def _complete(read: Read, members: dict[int, int]) -> Iterator[str]:
    """Yield whether a list that lacks a context says so, and one that lacks none does not."""
    missing = [epoch for epoch, sequence in members.items() if sequence == NONE]
    if missing and read.view != "catching-up":
        yield f"the contexts attached at {missing} are missing, and it does not say so"
    if read.view and not missing:
        yield f"it says {read.view}, and no context is missing"


def _numbers(rows: Iterable[Row]) -> array[int]:
    return array("q", [row.entry for row in rows])


def _difference(entries: Entries, got: array[int], expected: array[int]) -> str:
    def shown(numbers: array[int], but: array[int]) -> list[str]:
        found = (entries.entry(number) for number in numbers if number not in but)
        return [str({name: entry[name] for name in _SHOWN if name in entry}) for entry in found]

    more, less = shown(got, expected), shown(expected, got)
    if not more and not less:
        return f"it holds {list(got)}, and should hold {list(expected)}: not in order, or something twice"
    return f"it holds {more or 'nothing'} that it should not, and lacks {less or 'nothing'}"
