"""`GET /v1/sessions/upnext/{session_id}/explain`: why an item is in the list, in its place, hidden, or not there."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

import msgspec
from multidict import MultiMapping

from service.http.calls import Answer, Call, Handler, own_session
from service.http.deps import Deps
from service.http.explain_texts import REASONS, RULES, STEPS, DidName, ReasonName, RuleName
from service.http.problems import Fault, InvalidFieldsError
from service.http.routes import Operation, Parameter
from service.http.schemas import ListItemOut
from service.ports import Tenants
from streams.domain.errors import (
    AbsentError,
    HistoryGoneError,
    HistoryTooLongError,
    LogUnavailableError,
    NotAttachedError,
    OverloadedError,
    UnavailableError,
    ViewBehindError,
    ViewUnavailableError,
)
from streams.domain.explain import Explanation, Seat
from streams.domain.ids import ContextId, Kind, id_text, parse_id
from streams.domain.items import content_id_fault
from streams.domain.steps import Step
from streams.domain.times import iso_ms


class NeighbourOut(msgspec.Struct, frozen=True):
    """The item before or after another in the list."""

    content_id: str
    context_id: str
    updated_at: str


class PlaceOut(msgspec.Struct, frozen=True):
    """Where an item is in the merged list: its 0-based index, and what is next to it."""

    index: int
    total: int
    newer: NeighbourOut | None
    older: NeighbourOut | None


class StepOut(msgspec.Struct, frozen=True, kw_only=True):
    """
    One event of the item, or of its context's attachment, and what it did.

    The client and the request are named where the client is the platform's own.
    """

    position: str
    time: str
    type: str
    did: DidName
    text: str
    client_id: str | None
    request_id: str | None


class RuleOut(msgspec.Struct, frozen=True):
    """A rule that was applied."""

    rule: RuleName
    text: str


class ElsewhereOut(msgspec.Struct, frozen=True):
    """Another context of the session, whose list has an item of the content id."""

    context_id: str


class ExplanationOut(msgspec.Struct, frozen=True, kw_only=True):
    """
    Why an item of one context is where it is.

    `context_id` is null where no context of the session ever had the item. `omitted` counts older steps that are not
    named. `agrees` says whether the events, folded again, give what is served.
    """

    context_id: str | None
    reason: ReasonName
    text: str
    place: PlaceOut | None
    item: ListItemOut | None
    steps: list[StepOut]
    omitted: int
    elsewhere: list[ElsewhereOut]
    rules: list[RuleOut]
    agrees: bool


class ExplanationsOut(msgspec.Struct, frozen=True):
    """Why the items of a content id are where they are: one explanation for each context, or one for none."""

    session_id: str
    content_id: str
    explanations: list[ExplanationOut]


EXPLAIN = Operation(
    method="GET",
    path="/v1/sessions/upnext/{session_id}/explain",
    id="explainItem",
    summary="Explain why an item is where it is",
    says="Tells whether it is in the list, in which place, and why, or why not: what its publisher and platforms have "
    "done to it, read from the log and folded again, and the rules that were applied. Who did it is named where that "
    "is a client of the platform.",
    tenant=Kind.PLATFORM,
    place=Kind.SESSION,
    success=200,
    answer=ExplanationsOut,
    query=(
        Parameter("content_id", "The item.", required=True),
        Parameter(
            "context_id",
            "In whose list. Left out: each context whose list has the item, else each that ever had it.",
        ),
    ),
    hedged=False,
    problems=(
        AbsentError,
        HistoryGoneError,
        HistoryTooLongError,
        InvalidFieldsError,
        LogUnavailableError,
        OverloadedError,
        ViewBehindError,
        ViewUnavailableError,
    ),
)


class Explanations:
    """The handler of explanations."""

    def __init__(self, deps: Deps) -> None:
        """Take what explains, and what tells whose a client is."""
        self._ids, self._explainer, self._tenants, self._views = (
            deps.ids,
            deps.explainer,
            deps.tenants,
            deps.session_views,
        )

    def handlers(self) -> Mapping[Operation, Handler]:
        """Return it by its operation."""
        return {EXPLAIN: self._explain}

    async def _explain(self, call: Call) -> Answer:
        session = own_session(self._ids, call)
        content_id, context_text, faults = _asked(call.request.query)
        client = call.client.client_id
        if faults:
            with suppress(UnavailableError):
                # Whether the session is there counts before broken parameters.
                await self._views.contexts(session, start=0, limit=1, after=call.after, client=client)
            raise InvalidFieldsError(faults)
        context = None
        if context_text is not None:
            raw = parse_id(Kind.CONTEXT, context_text)
            if raw is None:
                raise NotAttachedError
            context = ContextId(raw)
        found = await self._explainer.explain(session, content_id, context, after=call.after, client=client)
        shown = [explanation_out(one, _Clients(self._tenants, call.client.tenant)) for one in found]
        out = ExplanationsOut(id_text(Kind.SESSION, session), content_id, shown)
        return Answer(200, {}, msgspec.json.encode(out))


class _Clients:
    """Which clients may be named: those of one tenant."""

    def __init__(self, tenants: Tenants, tenant: bytes) -> None:
        self._tenants, self._tenant = tenants, tenant

    def names(self, client_id: str) -> bool:
        return self._tenants.tenant_of(client_id) == self._tenant


class Everyone:
    """All clients may be named: operators ask."""

    def names(self, client_id: str) -> bool:
        """Say so."""
        del client_id
        return True


def explanation_out(one: Explanation, clients: _Clients | Everyone) -> ExplanationOut:
    """Return an explanation as it is answered, in which only some *clients* are named."""
    return ExplanationOut(
        context_id=None if one.context is None else id_text(Kind.CONTEXT, one.context),
        reason=one.reason.value,
        text=REASONS[one.reason],
        place=None if one.seat is None else _place(one.seat),
        item=None if one.seat is None else msgspec.json.decode(one.seat.fragment + b"}", type=ListItemOut),
        steps=[step_out(step, named=clients.names(step.client)) for step in one.steps],
        omitted=one.omitted,
        elsewhere=[ElsewhereOut(id_text(Kind.CONTEXT, context)) for context in one.elsewhere],
        rules=[RuleOut(rule.value, RULES[rule]) for rule in one.rules],
        agrees=one.agrees,
    )


def _place(seat: Seat) -> PlaceOut:
    return PlaceOut(seat.at, seat.total, *map(_neighbour, (seat.newer, seat.older)))


def _neighbour(fragment: bytes | None) -> NeighbourOut | None:
    return None if fragment is None else msgspec.json.decode(fragment + b"}", type=NeighbourOut)


def step_out(step: Step, *, named: bool) -> StepOut:
    """Return a step as it is answered, with who did it where that may be *named*."""
    return StepOut(
        position=f"{step.topic}-{step.partition}-{step.offset}",
        time=iso_ms(step.time_ms),
        type=step.type,
        did=step.did.value,
        text=STEPS[step.did],
        client_id=step.client if named else None,
        request_id=step.request if named else None,
    )


def _asked(query: MultiMapping[str]) -> tuple[str, str | None, list[Fault]]:
    """Return the content id and the context that are asked for, and what is wrong with them; others are ignored."""
    content_id, context = (query.getall(name, []) for name in ("content_id", "context_id"))
    faults = [
        Fault(name, "repeated", "This parameter may be given once.")
        for name, values in (("content_id", content_id), ("context_id", context))
        if len(values) > 1
    ]
    if not content_id:
        faults.append(Fault("content_id", "required", "This parameter is missing."))
    elif fault := content_id_fault(content_id[0]):
        faults.append(Fault("content_id", *fault))
    return (content_id or [""])[0], context[0] if context else None, faults
