"""Writes: what was acknowledged is in the log, once; what failed for certain is not; the rest wholly or not at all."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from streams.domain.positions import ContextPosition, ContextsPosition, SessionsPosition, context_mark
from tests.nemesis.history import Call, Logged, Mark, Outcome, Write, titles
from tests.nemesis.oracle import SessionState, SessionStates
from tests.nemesis.raw_ids import raw_id
from tests.nemesis.truth import Truth, asked_of_context, asked_of_session, session_context

_FAR = 1 << 62
_JUDGED = (Call.ATTACH, Call.DETACH, Call.DELETE)
_CALLS = {
    "context.created.v1": Call.CREATE_CONTEXT,
    "context.item_put.v1": Call.PUT,
    "context.items_put.v1": Call.PUT_ITEMS,
    "context.items_replaced.v1": Call.REPLACE,
    "context.item_removed.v1": Call.REMOVE,
    "context.item_hidden.v1": Call.HIDE,
    "session.created.v1": Call.CREATE_SESSION,
    "session.context_attached.v1": Call.ATTACH,
    "session.context_detached.v1": Call.DETACH,
    "session.deleted.v1": Call.DELETE,
}


def mark_of(logged: Logged) -> Mark:
    """Return what tells whose event this is."""
    event = logged.event
    call = _CALLS[event["type"]]
    match call:
        case Call.DETACH if event.get("epoch") is not None:
            return Mark(Call.DETACH_ALL, event["context"], "")
        case Call.PUT:
            return Mark(call, logged.of, titles([event["item"]]))
        case Call.PUT_ITEMS | Call.REPLACE:
            return Mark(call, logged.of, titles(event["items"]))
        case Call.REMOVE | Call.HIDE:
            return Mark(call, logged.of, event["content_id"], event.get("hidden"))
        case _:
            return Mark(call, logged.of, event.get("context", ""))


class _Recorded(NamedTuple):
    """An event, and what tells whose it is."""

    mark: Mark
    logged: Logged


_Key = tuple[str, str]
"""A request's id, and the context or session that a write is of."""


class _Log:
    """What was recorded, by whose request it was; an event that is there again, by whose it was first."""

    def __init__(self, log: Iterable[Logged], known: Collection[str]) -> None:
        self.by_request: dict[_Key, list[_Recorded]] = defaultdict(list)
        self._keys: dict[_Key, _Key] = {}
        self._places: dict[tuple[str, int], _Key] = {}
        firsts: dict[str, str] = {}
        for logged in log:
            mark, request = mark_of(logged), logged.event["request"]
            if mark.of not in known:
                # Made, and nobody was told: its client has never heard of the id.
                mark = mark._replace(of="")
            key = firsts.setdefault(logged.event["id"], request), mark.of
            self._keys[request, mark.of] = self._places[logged.of, logged.offset] = key
            self.by_request[key].append(_Recorded(mark, logged))

    def take(self, write: Write) -> list[_Recorded]:
        """Return what is a write's, by its requests, or, with a key, by where it is said to stand."""
        of = write.mark.of
        keys = [self._keys.get((request, of)) for request in (write.request_id, *write.former) if request]
        if write.is_keyed:
            keys += [self._places.get((of, offset)) for offset in _offsets(write)]
        return [each for key in keys if key is not None for each in self.by_request.pop(key, [])]


def check_writes(writes: Sequence[Write], log: Iterable[Logged]) -> Iterator[str]:
    """Yield what is wrong between what was answered and what was recorded: lost, twice, or out of nowhere."""
    recorded_log = _Log(log, {write.mark.of for write in writes})
    unanswered: Counter[Mark] = Counter()
    keyed: set[Mark] = set()
    for write in writes:
        recorded = recorded_log.take(write)
        if write.request_id:
            yield from _check_answered(write, recorded)
        if write.outcome is Outcome.UNKNOWN and not recorded and (write.was_lost or not write.request_id):
            unanswered[write.mark] += 1
            if write.is_keyed:
                keyed.add(write.mark)
    for (request_id, _), recorded in recorded_log.by_request.items():
        mark = recorded[0].mark
        records = _once([each.logged for each in recorded], is_keyed=mark in keyed)
        if unanswered[mark] == 0:
            yield f"{mark} stands in the log by {request_id}, which no client has sent: {records}"
        elif _is_repeated(mark, records):
            yield f"{mark} by {request_id}, of which no answer came, stands in the log more than once: {records}"
        unanswered[mark] -= 1


def _once(records: list[Logged], *, is_keyed: bool) -> list[Logged]:
    """Return the first records of events; with a key the same event may be there again, and is none then."""
    return list({each.event["id"]: each for each in reversed(records)}.values())[::-1] if is_keyed else records


def _check_answered(write: Write, recorded: list[_Recorded]) -> Iterator[str]:
    records = [each.logged for each in recorded]
    if any(each.mark != write.mark for each in recorded):
        yield f"{write} stands in the log as something else: {records}"
    if _is_repeated(write.mark, _once(records, is_keyed=write.is_keyed)):
        yield f"{write} stands in the log more than once: {records}"
    # What the fold has judged is in the log, and without effect: see `check_verdicts`.
    if write.outcome is Outcome.FAILED and records and not _is_judged(write):
        yield f"{write} stands in the log: {records}"
    if write.outcome is Outcome.ACKNOWLEDGED and (lost := _lost(write, records)):
        yield f"{write} is lost: {lost}"


def _offsets(write: Write) -> list[int]:
    """Return where a write of one event was answered to stand."""
    match write.position:
        case ContextPosition(offset=offset):
            return [offset]
        case ContextsPosition(offsets=offsets):
            return [offsets[mark] for mark in (context_mark(raw_id(write.mark.of)),) if mark in offsets]
        case SessionsPosition(offsets=offsets):
            return list(offsets.values())
        case _:
            return []


def _is_judged(write: Write) -> bool:
    return write.status == 404 and write.mark.call in _JUDGED


def _lost(write: Write, records: list[Logged]) -> str:
    places = [logged.offset for logged in records]
    if write.is_keyed and places:
        # Where the same event is there again, either place is right.
        offsets = _offsets(write)
        is_there = bool(offsets) and set(offsets) <= set(places)
        return "" if is_there else f"it should stand at {offsets}, and stands at {places}"
    match write.position:
        case ContextPosition() | ContextsPosition():
            offsets = _offsets(write)
            return "" if places == offsets else f"it should stand at {offsets}, and stands at {places}"
        case SessionsPosition(offsets=wanted):
            last: dict[int, int] = {}
            for logged in records:
                last[logged.partition] = max(logged.offset, last.get(logged.partition, -1))
            return "" if last == wanted else f"it should stand at {wanted}, and stands at {last}"
        case other:
            return f"its position is no write's: {other}"


def _is_repeated(mark: Mark, records: list[Logged]) -> bool:
    """Say whether one call is recorded more than once: a detach-all has one event for each session."""
    if mark.call is not Call.DETACH_ALL:
        return len(records) > 1
    return len({logged.of for logged in records}) < len(records)


def check_verdicts(writes: Iterable[Write], truth: Truth) -> Iterator[str]:
    """Yield what is wrong with what commands were answered."""
    for write in writes:
        position, call = write.position, write.mark.call
        if _is_judged(write) and not any(state.deleted for state in _since(truth, write.mark.of, write)):
            yield f"{write}: the session was never deleted"
        elif call is Call.HIDE and write.status == 404:
            yield from _check_not_hidden(write, truth)
        elif call is Call.ATTACH and isinstance(position, SessionsPosition):
            yield from _check_attached(write, position, truth)
        elif call is Call.DETACH_ALL and isinstance(position, SessionsPosition):
            yield from _check_detached(write, position, truth)


def _since(truth: Truth, session: str, write: Write) -> list[SessionState]:
    return truth.sessions.get(session, SessionStates()).since(asked_of_session(truth, session, write.after))


def _check_not_hidden(write: Write, truth: Truth) -> Iterator[str]:
    """An item is not there where its session or its context is not, or not any more, or not yet."""
    context, name = write.mark.of, write.mark.what.encode()
    for state in _since(truth, write.session, write):
        if state.deleted or context not in state.members:
            return
    # A session that has it attached shows it as of its attachment at the earliest, and that is not known here.
    for rows in truth.contexts[context].since(asked_of_context(context, write.after)):
        if all(row.content_id != name for row in rows):
            return
    yield f"{write}: the item was there all the time"


def _check_attached(write: Write, position: SessionsPosition, truth: Truth) -> Iterator[str]:
    session, context = write.mark.of, write.mark.what
    states = truth.sessions.get(session)
    offset = position.offsets.get(truth.partition(session), -1)
    attached = None if states is None else states.judged(offset).members.get(context)
    if attached is None:
        yield f"{write} was answered as done, and by the log it was not"
    elif write.answer != session_context(session, context, attached):
        yield f"{write} was answered {write.answer}, and the log has {attached}"


def _check_detached(write: Write, position: SessionsPosition, truth: Truth) -> Iterator[str]:
    """What lists have shown to be known to the context before must be off once a detach-all is acknowledged."""
    for session, epoch in write.proofs:
        # Of a partition that is not in the position, all was off before.
        offset = position.offsets.get(truth.partition(session), _FAR)
        left = truth.sessions[session].at(offset).members.get(write.mark.of)
        if left is not None and left.epoch == epoch:
            yield f"{write} at {position.offsets} has left {session} attached since {epoch}"
