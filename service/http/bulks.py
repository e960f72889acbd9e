"""Bulks of `/v1/contexts`: many items of one context, or of many, in one call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec
from msgspec import UNSET, Raw, UnsetType

from service.commands.contexts import ContextCommands
from service.http.bodies import MAX_BULK_BYTES
from service.http.bulk_bodies import BulkReader, ItemsIn, ItemsOfContextsIn, WholeListIn, all_good
from service.http.calls import SUCCESS, Answer, Call, Handler, UnknownInPart, context_called, own_context
from service.http.deps import Deps
from service.http.positions import HEADER as POSITION
from service.http.positions import PositionTokens
from service.http.problems import ErrorDetail, InvalidFieldsError, RequestError, error_detail, problem_of
from service.http.routes import Operation
from service.http.schemas import MessageOut
from streams.domain.errors import AbsentError, LogUnavailableError, UnavailableError, UnknownIdError, UpNextError
from streams.domain.ids import ContextId, Kind
from streams.domain.items import Item
from streams.domain.positions import ContextPosition, ContextsPosition, Written, context_mark

MOST_FAULTS = 20
"""Of one item that are named: an item has 13 fields."""


class ResultOut(msgspec.Struct):
    """What became of one item: the status, and the error, that a PUT of it alone would have been answered with."""

    status: Literal[200, 400, 404, 413, 503]
    error: ErrorDetail | UnsetType = UNSET


class ResultsOut(msgspec.Struct):
    """What became of each item, in the order in which they were sent."""

    results: list[ResultOut]


class ResultsOfContextsOut(msgspec.Struct):
    """What became of each item of each context, in the order in which they were sent."""

    contexts: list[ResultsOut]


PUT_ITEMS = Operation(
    method="POST",
    path="/v1/contexts/upnext/{context_id}/items",
    id="putItems",
    summary="Add items to a context's list, or replace them, each good one",
    says="Each item is taken or refused by itself; those that are taken are seen together.",
    tenant=Kind.APP,
    writes=True,
    success=200,
    answer=ResultsOut,
    body=ItemsIn,
    body_limit=MAX_BULK_BYTES,
    problems=(AbsentError, InvalidFieldsError, LogUnavailableError),
)
REPLACE = Operation(
    method="PUT",
    path="/v1/contexts/upnext/{context_id}/items",
    id="replaceItems",
    summary="Replace a context's list, as a whole or not at all",
    says="Where one item is not good, nothing is written. An empty list removes all.",
    tenant=Kind.APP,
    writes=True,
    success=200,
    answer=MessageOut,
    body=WholeListIn,
    body_limit=MAX_BULK_BYTES,
    problems=(AbsentError, InvalidFieldsError, LogUnavailableError),
)
REMOVE_ITEMS = Operation(
    method="DELETE",
    path="/v1/contexts/upnext/{context_id}/items",
    id="removeItemCalledItems",
    summary="Remove the item whose content_id is `items`, as any other",
    says="The path of bulks is also that of this item.",
    tenant=Kind.APP,
    writes=True,
    success=204,
    problems=(AbsentError, LogUnavailableError),
)
PUT_ITEMS_OF_CONTEXTS = Operation(
    method="POST",
    path="/v1/contexts/bulk",
    id="putItemsOfContexts",
    summary="Add items to the lists of several contexts, or replace them, each good one",
    says="Each item is taken or refused by itself; those of one context are seen together.",
    tenant=Kind.APP,
    writes=True,
    success=200,
    answer=ResultsOfContextsOut,
    body=ItemsOfContextsIn,
    body_limit=MAX_BULK_BYTES,
    problems=(InvalidFieldsError, LogUnavailableError),
)

OPERATIONS = (PUT_ITEMS, REPLACE, REMOVE_ITEMS, PUT_ITEMS_OF_CONTEXTS)

_ITEMS = "items"
_GOOD = ResultOut(200)


class Bulks:
    """The handlers of bulks."""

    def __init__(self, deps: Deps, tokens: PositionTokens) -> None:
        """Build the use cases on what the listener was given."""
        self._ids, self._limits = deps.ids, deps.limits
        self._tokens = tokens
        self._bodies = BulkReader()
        self._commands = ContextCommands(
            ids=deps.ids, events=deps.events, views=deps.context_views, now_s=deps.now_s, entropy=deps.entropy
        )

    def handlers(self) -> Mapping[Operation, Handler]:
        """Return them by operation, in the order of `OPERATIONS`."""
        return {
            PUT_ITEMS: self._put_items,
            REPLACE: self._replace,
            REMOVE_ITEMS: self._remove_items,
            PUT_ITEMS_OF_CONTEXTS: self._put_items_of_contexts,
        }

    async def _put_items(self, call: Call) -> Answer:
        sent, faults = self._bodies.of_one(call.body, least=1)
        context = own_context(self._ids, call)
        if sent is None or faults:
            raise InvalidFieldsError(faults)
        outcomes = await self._read(call, sent.items)
        headers: dict[str, str] = {}
        if items := _good(outcomes):
            written = await self._commands.put_items(call.caller, context, items)
            headers[POSITION] = self._tokens.write(written.position)
        results = ResultsOut([_result(outcome, call.request_id) for outcome in outcomes])
        return Answer(200, headers, msgspec.json.encode(results))

    async def _replace(self, call: Call) -> Answer:
        sent, faults = self._bodies.of_one(call.body, least=0)
        context = own_context(self._ids, call)
        if sent is None or faults:
            raise InvalidFieldsError(faults)
        items = all_good(await self._read(call, sent.items))
        written = await self._commands.replace_items(call.caller, context, items)
        return Answer(200, {POSITION: self._tokens.write(written.position)}, SUCCESS)

    async def _remove_items(self, call: Call) -> Answer:
        context = own_context(self._ids, call)
        written = await self._commands.remove_item(call.caller, context, _ITEMS)
        return Answer(204, {POSITION: self._tokens.write(written.position)})

    async def _put_items_of_contexts(self, call: Call) -> Answer:
        sent, faults = self._bodies.of_many(call.body)
        if sent is None or faults:
            raise InvalidFieldsError(faults)
        contexts = [context_called(self._ids, call, entry.context_id) for entry in sent.contexts]
        if None in contexts:
            self._limits.failed("ids", call.request)
        self._limits.count_more(call.client, sum(len(entry.items) for entry in sent.contexts) - 1, call.beside)
        outcomes: list[list[Item | UpNextError]] = []
        for entry, context in zip(sent.contexts, contexts, strict=True):
            if context is None:
                outcomes.append([UnknownIdError()] * len(entry.items))
            else:
                outcomes.append([*await self._bodies.read(entry.items)])
        written = await self._write(call, contexts, outcomes)
        results = [ResultsOut([_result(outcome, call.request_id) for outcome in each]) for each in outcomes]
        headers = {POSITION: self._tokens.write(written)} if written.offsets else {}
        is_known = not any(isinstance(one, UnavailableError) for each in outcomes for one in each)
        return (Answer if is_known else UnknownInPart)(200, headers, msgspec.json.encode(ResultsOfContextsOut(results)))

    async def _read(self, call: Call, items: list[Raw]) -> list[Item | RequestError]:
        # One write each, of which the request was one: what is refused has cost as much.
        self._limits.count_more(call.client, len(items) - 1, call.beside)
        return await self._bodies.read(items)

    async def _write(
        self, call: Call, contexts: list[ContextId | None], outcomes: list[list[Item | UpNextError]]
    ) -> ContextsPosition:
        """
        Write each context's good items, note in *outcomes* which may not have been, and return where the others are.

        Raises:
            UnavailableError: All that was written may not have been.
        """
        writes = [
            (n, context, items) for n, context in enumerate(contexts) if context and (items := _good(outcomes[n]))
        ]
        done = await self._commands.put_items_of_many(call.caller, [(context, items) for _, context, items in writes])
        offsets: dict[bytes, int] = {}
        unknown: list[UnavailableError] = []
        for (n, context, _), written in zip(writes, done, strict=True):
            if isinstance(written, Written):
                mark = context_mark(context)
                offsets[mark] = max(_offset(written), offsets.get(mark, -1))
            else:
                unknown.append(written)
                outcomes[n] = [written if isinstance(outcome, Item) else outcome for outcome in outcomes[n]]
        if unknown and not offsets:
            # Some errors say that nothing was written: they must not speak for a write that may have been.
            raise next((error for error in unknown if isinstance(error, LogUnavailableError)), unknown[0])
        return ContextsPosition(offsets)


def _good(outcomes: Iterable[Item | UpNextError]) -> list[Item]:
    return [outcome for outcome in outcomes if isinstance(outcome, Item)]


def _result(outcome: Item | UpNextError, request_id: str) -> ResultOut:
    if isinstance(outcome, Item):
        return _GOOD
    problem = problem_of(outcome)
    return ResultOut(problem.status, error_detail(outcome, problem, request_id, MOST_FAULTS))  # type: ignore[arg-type]


def _offset(written: Written) -> int:
    if not isinstance(written.position, ContextPosition):
        raise TypeError(written)
    return written.position.offset
