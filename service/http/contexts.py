"""`/v1/contexts`: what publishers write."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from service.commands.contexts import ContextCommands
from service.http.bodies import MAX_ITEM_BYTES
from service.http.calls import SUCCESS, Answer, Call, Handler, content_id_of, own_context
from service.http.deps import Deps
from service.http.fields import read_struct
from service.http.items import ItemIn, ItemReader, check_rules, content_id_faults, read_item
from service.http.json_body import JsonReader
from service.http.lists import ListAnswers
from service.http.params import MAX_ITEMS_PAGE, read_window
from service.http.positions import HEADER as POSITION
from service.http.positions import PositionTokens
from service.http.problems import InvalidFieldsError
from service.http.routes import AS_OF_PARAMETER, PAST_PROBLEMS, Operation
from service.http.schemas import ContextListOut, MessageOut, NothingIn
from streams.domain.errors import (
    AbsentError,
    LogUnavailableError,
    OverloadedError,
    ViewBehindError,
    ViewUnavailableError,
)
from streams.domain.ids import Kind, id_text
from streams.domain.times import iso_ms


class ContextOut(msgspec.Struct):
    """A publisher's end user."""

    context_id: str
    client_id: str
    app_id: str
    created_at: str


_READS = (AbsentError, InvalidFieldsError, ViewBehindError, ViewUnavailableError, OverloadedError)

CREATE = Operation(
    method="POST",
    path="/v1/contexts",
    id="createContext",
    summary="Create a context",
    says="Makes the id of one of the publisher's end users. The body may be left out.",
    tenant=Kind.APP,
    writes=True,
    success=200,
    answer=ContextOut,
    body=NothingIn,
    body_required=False,
    problems=(InvalidFieldsError, LogUnavailableError),
)
PUT_ITEM = Operation(
    method="PUT",
    path="/v1/contexts/upnext/{context_id}",
    id="putItem",
    summary="Add an item to a context's list, or replace it",
    says="The item is replaced whole, and moves to the top of every list that it is in. `hidden` stays as it was "
    "where it is left out. Of 1,000 items, one more drops the oldest.",
    tenant=Kind.APP,
    writes=True,
    success=200,
    answer=MessageOut,
    body=ItemIn,
    body_limit=MAX_ITEM_BYTES,
    problems=(AbsentError, InvalidFieldsError, LogUnavailableError),
)
READ = Operation(
    method="GET",
    path="/v1/contexts/upnext/{context_id}",
    id="readContextList",
    summary="Retrieve a context's list",
    says="Newest first, as its publisher wrote it. Hidden items are in the list, marked.",
    tenant=Kind.APP,
    place=Kind.CONTEXT,
    success=200,
    answer=ContextListOut,
    largest_page=MAX_ITEMS_PAGE,
    query=(AS_OF_PARAMETER,),
    problems=(*_READS, *PAST_PROBLEMS),
)
ERASE = Operation(
    method="DELETE",
    path="/v1/contexts/{context_id}",
    id="eraseContext",
    summary="Erase a context",
    says="Its list is 404 afterwards, and no session has it. What is written to it later counts for nothing. All that "
    "was recorded of it is removed for good, but for the fact that it was erased. One that is erased already is "
    "answered in the same way.",
    tenant=Kind.APP,
    writes=True,
    success=204,
    problems=(AbsentError, LogUnavailableError),
)
DETACH_ALL = Operation(
    method="DELETE",
    path="/v1/contexts/upnext/{context_id}/sessions",
    id="detachContextFromAllSessions",
    summary="Detach a context from every session",
    says="Each session is written by itself: after a 503, the same call completes the set.",
    tenant=Kind.APP,
    place=Kind.CONTEXT,
    writes=True,
    success=204,
    problems=(*_READS, LogUnavailableError),
)
REMOVE_ITEM = Operation(
    method="DELETE",
    path="/v1/contexts/upnext/{context_id}/{content_id}",
    id="removeItem",
    summary="Remove an item from a context's list",
    says="An item that is not there is answered in the same way.",
    tenant=Kind.APP,
    writes=True,
    success=204,
    problems=(AbsentError, InvalidFieldsError, LogUnavailableError),
)

OPERATIONS = (CREATE, ERASE, PUT_ITEM, READ, DETACH_ALL, REMOVE_ITEM)


class Contexts:
    """The handlers of contexts."""

    def __init__(self, deps: Deps, tokens: PositionTokens) -> None:
        """Build the use cases on what the listener was given."""
        self._ids = deps.ids
        self._views = deps.context_views
        self._tokens = tokens
        self._lists = ListAnswers(tokens)
        self._json = JsonReader()
        self._items = ItemReader()
        self._commands = ContextCommands(
            ids=deps.ids, events=deps.events, views=deps.context_views, now_s=deps.now_s, entropy=deps.entropy
        )

    def handlers(self) -> Mapping[Operation, Handler]:
        """Return them by operation, in the order of `OPERATIONS`."""
        return {
            CREATE: self._create,
            ERASE: self._erase,
            PUT_ITEM: self._put_item,
            READ: self._read,
            DETACH_ALL: self._detach_all,
            REMOVE_ITEM: self._remove_item,
        }

    async def _create(self, call: Call) -> Answer:
        if call.body:
            read_struct(NothingIn, self._json.read(call.body))
        raw, written = await self._commands.create(call.caller)
        client = call.client
        out = ContextOut(
            id_text(Kind.CONTEXT, raw), client.client_id, id_text(Kind.APP, client.tenant), iso_ms(written.time_ms)
        )
        return Answer(200, {POSITION: self._tokens.write(written.position)}, msgspec.json.encode(out))

    async def _erase(self, call: Call) -> Answer:
        written = await self._commands.erase(call.caller, own_context(self._ids, call))
        return Answer(204, {POSITION: self._tokens.write(written.position)})

    async def _put_item(self, call: Call) -> Answer:
        item = self._items.read(call.body)
        fields = self._json.read(call.body) if item is None else {}
        context = own_context(self._ids, call)
        item = check_rules(read_item(fields) if item is None else item)
        written = await self._commands.put_item(call.caller, context, item)
        return Answer(200, {POSITION: self._tokens.write(written.position)}, SUCCESS)

    async def _remove_item(self, call: Call) -> Answer:
        context = own_context(self._ids, call)
        content_id = content_id_of(call)
        faults = content_id_faults(content_id)
        if content_id is None or faults:
            raise InvalidFieldsError(faults)
        written = await self._commands.remove_item(call.caller, context, content_id)
        return Answer(204, {POSITION: self._tokens.write(written.position)})

    async def _read(self, call: Call) -> Answer:
        context = own_context(self._ids, call)
        window, faults = read_window(call.request.query, most=MAX_ITEMS_PAGE)
        if faults:
            raise InvalidFieldsError(faults)
        page = await self._views.page(
            context, start=window.start, limit=window.limit, after=call.after, client=call.client.client_id
        )
        return self._lists.of_context(call.request, page, window, call.version)

    async def _detach_all(self, call: Call) -> Answer:
        context = own_context(self._ids, call)
        position = await self._commands.detach_all(call.caller, context, call.after)
        return Answer(204, {POSITION: self._tokens.write(position)})
