"""Writes: what was acknowledged is in the log, once; what failed for certain is not; the rest wholly or not at all."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
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


def check_writes(writes: Sequence[Write], log: Iterable[Logged]) -> Iterator[str]:
    """Yield what is wrong between what was answered and what was recorded: lost, twice, or out of nowhere."""
    known = {write.mark.of for write in writes}
    by_request: dict[tuple[str, str], list[_Recorded]] = defaultdict(list)
    for logged in log:
        mark = mark_of(logged)
        if mark.of not in known:
            # Made, and nobody was told: its client has never heard of the id.
            mark = mark._replace(of="")
        by_request[logged.event["request"], mark.of].append(_Recorded(mark, logged))
    unanswered: Counter[Mark] = Counter()
    for write in writes:
        if write.request_id:
            yield from _check_answered(write, by_request.pop((write.request_id, write.mark.of), []))
        elif write.outcome is Outcome.UNKNOWN:
            unanswered[write.mark] += 1
    for (request_id, _), recorded in by_request.items():
        mark, records = recorded[0].mark, [each.logged for each in recorded]
        if unanswered[mark] == 0:
            yield f"{mark} stands in the log by {request_id}, which no client has sent: {records}"
        elif _is_repeated(mark, records):
            yield f"{mark} by {request_id}, of which no answer came, stands in the log more than once: {records}"
        unanswered[mark] -= 1


def _check_answered(write: Write, recorded: list[_Recorded]) -> Iterator[str]:
    records = [each.logged for each in recorded]
    if any(each.mark != write.mark for each in recorded):
        yield f"{write} stands in the log as something else: {records}"
    if _is_repeated(write.mark, records):
        yield f"{write} stands in the log more than once: {records}"
    # What the fold has judged is in the log, and without effect: see `check_verdicts`.
    if write.outcome is Outcome.FAILED and records and not _is_judged(write):
        yield f"{write} stands in the log: {records}"
    if write.outcome is Outcome.ACKNOWLEDGED and (lost := _lost(write, records)):
        yield f"{write} is lost: {lost}"


def _is_judged(write: Write) -> bool:
    return write.status == 404 and write.mark.call in _JUDGED


def _lost(write: Write, records: list[Logged]) -> str:
    match write.position:
        case ContextPosition(offset=offset):
            return _not_at(offset, records)
        case ContextsPosition(offsets=offsets):
            return _not_at(offsets.get(context_mark(raw_id(write.mark.of))), records)
        case SessionsPosition(offsets=offsets):
            last: dict[int, int] = {}
            for logged in records:
                last[logged.partition] = max(logged.offset, last.get(logged.partition, -1))
            return "" if last == offsets else f"it should stand at {offsets}, and stands at {last}"
        case other:
            return f"its position is no write's: {other}"


def _not_at(offset: int | None, records: list[Logged]) -> str:
    places = [logged.offset for logged in records]
    return "" if places == [offset] else f"it should stand at {offset}, and stands at {places}"


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
    attached = None if states is None else states.at(offset).members.get(context)
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
