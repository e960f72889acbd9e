"""`/v1/sessions`: what platforms read, and which contexts they read it from."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Literal

import msgspec

from service.commands.sessions import SessionUseCases
from service.http.calls import SUCCESS, Answer, Call, Handler, own_session, session_context
from service.http.deps import Deps
from service.http.fields import read_struct
from service.http.json_body import JsonReader
from service.http.lists import ListAnswers, session_context_out
from service.http.params import MAX_CONTEXTS_PAGE, MAX_ITEMS_PAGE, Window, read_window
from service.http.positions import HEADER as POSITION
from service.http.positions import PositionTokens
from service.http.problems import InvalidFieldsError
from service.http.routes import AS_OF_PARAMETER, PAST_PROBLEMS, Operation
from service.http.schemas import MessageOut, NothingIn, SessionContextOut, SessionContextsOut, SessionListOut
from service.queries.lists import SessionLists
from streams.domain.errors import (
    AbsentError,
    AppNotAvailableError,
    LogUnavailableError,
    NotAttachedError,
    OverloadedError,
    TooManyContextsError,
    UnavailableError,
    UnknownIdError,
    ViewBehindError,
    ViewUnavailableError,
)
from streams.domain.ids import AppId, ContextId, Kind, SessionId, id_text, parse_id
from streams.domain.items import ContentId
from streams.domain.pages import SessionContext
from streams.domain.times import iso_ms


class SessionOut(msgspec.Struct):
    """A platform's end user."""

    session_id: str
    client_id: str
    platform_id: str
    created_at: str


class AttachIn(msgspec.Struct, forbid_unknown_fields=True):
    """
    A context, and the app that it belongs to.

    Where the platform requires approval, it must have approved the app; where the app's availability names countries,
    the platform must be in one of them. What is attached stays attached when this changes.
    """

    app_id: str
    context_id: str


class HideIn(msgspec.Struct, forbid_unknown_fields=True):
    """An item of the context's list, and whether it is to be hidden."""

    content_id: ContentId
    action: Literal["hide", "unhide"]


_READS = (AbsentError, ViewBehindError, ViewUnavailableError, OverloadedError)
_WRITES = (AbsentError, LogUnavailableError, ViewBehindError, ViewUnavailableError)

CREATE = Operation(
    method="POST",
    path="/v1/sessions",
    id="createSession",
    summary="Create a session",
    says="Makes the id of one of the platform's end users, accounts or profiles. The body may be left out.",
    tenant=Kind.PLATFORM,
    writes=True,
    success=200,
    answer=SessionOut,
    body=NothingIn,
    body_required=False,
    problems=(InvalidFieldsError, LogUnavailableError),
)
ATTACH = Operation(
    method="PUT",
    path="/v1/sessions/upnext/{session_id}",
    id="attachContext",
    summary="Attach a context to a session, or refresh its attachment",
    says="Attaching again what is attached is a refresh: `created_at` stays. What is on its way after it is awaited "
    "by whoever sends the answer's `Paket-Position` along.",
    tenant=Kind.PLATFORM,
    place=Kind.SESSION,
    writes=True,
    success=200,
    answer=SessionContextOut,
    body=AttachIn,
    problems=(*_WRITES, AppNotAvailableError, InvalidFieldsError, TooManyContextsError),
)
READ = Operation(
    method="GET",
    path="/v1/sessions/upnext/{session_id}",
    id="readSessionList",
    summary="Retrieve the merged list of all contexts of a session",
    says="Newest first, over all contexts that are attached. Hidden items are in the list, marked.",
    tenant=Kind.PLATFORM,
    place=Kind.SESSION,
    success=200,
    answer=SessionListOut,
    largest_page=MAX_ITEMS_PAGE,
    query=(AS_OF_PARAMETER,),
    problems=(*_READS, *PAST_PROBLEMS, InvalidFieldsError),
)
DELETE = Operation(
    method="DELETE",
    path="/v1/sessions/upnext/{session_id}",
    id="deleteSession",
    summary="Delete a session and all its associations",
    says="Every call on it is 404 afterwards. All that was recorded of it is removed for good, but for the fact that "
    "it was deleted.",
    tenant=Kind.PLATFORM,
    place=Kind.SESSION,
    writes=True,
    success=204,
    problems=_WRITES,
)
READ_CONTEXTS = Operation(
    method="GET",
    path="/v1/sessions/upnext/{session_id}/contexts",
    id="readSessionContexts",
    summary="Retrieve the contexts of a session",
    says="Newest first, as they were attached.",
    tenant=Kind.PLATFORM,
    place=Kind.SESSION,
    success=200,
    answer=SessionContextsOut,
    largest_page=MAX_CONTEXTS_PAGE,
    query=(AS_OF_PARAMETER,),
    problems=(*_READS, *PAST_PROBLEMS, InvalidFieldsError),
)
READ_CONTEXT = Operation(
    method="GET",
    path="/v1/sessions/upnext/{session_id}/{context_id}",
    id="readSessionContextList",
    summary="Retrieve the list of one context of a session",
    says="Newest first. A context that is not attached is 404.",
    tenant=Kind.PLATFORM,
    place=Kind.SESSION,
    success=200,
    answer=SessionListOut,
    largest_page=MAX_ITEMS_PAGE,
    query=(AS_OF_PARAMETER,),
    problems=(*_READS, *PAST_PROBLEMS, InvalidFieldsError),
)
HIDE = Operation(
    method="PUT",
    path="/v1/sessions/upnext/{session_id}/{context_id}",
    id="hideItem",
    summary="Hide an item, or show it again",
    says="Set at its source: every session and the publisher see it. An item that is not there is 404.",
    tenant=Kind.PLATFORM,
    place=Kind.SESSION,
    writes=True,
    success=200,
    answer=MessageOut,
    body=HideIn,
    problems=(*_WRITES, InvalidFieldsError, OverloadedError),
)
DETACH = Operation(
    method="DELETE",
    path="/v1/sessions/upnext/{session_id}/{context_id}",
    id="detachContext",
    summary="Detach a context from a session",
    says="A context that is not attached is answered in the same way.",
    tenant=Kind.PLATFORM,
    place=Kind.SESSION,
    writes=True,
    success=204,
    problems=_WRITES,
)

OPERATIONS = (CREATE, ATTACH, READ, DELETE, READ_CONTEXTS, READ_CONTEXT, HIDE, DETACH)


class Sessions:
    """The handlers of sessions."""

    def __init__(self, deps: Deps, tokens: PositionTokens) -> None:
        """Build the use cases on what the listener was given."""
        self._ids = deps.ids
        self._views = deps.session_views
        self._tokens = tokens
        self._answers = ListAnswers(tokens)
        self._json = JsonReader()
        self._lists = SessionLists(deps.session_views, deps.pairs)
        self._commands = SessionUseCases(
            ids=deps.ids,
            tenants=deps.tenants,
            pairs=deps.pairs,
            events=deps.events,
            commands=deps.session_commands,
            views=deps.session_views,
            now_s=deps.now_s,
            entropy=deps.entropy,
        )

    def handlers(self) -> Mapping[Operation, Handler]:
        """Return them by operation, in the order of `OPERATIONS`."""
        return {
            CREATE: self._create,
            ATTACH: self._attach,
            READ: self._read,
            DELETE: self._delete,
            READ_CONTEXTS: self._read_contexts,
            READ_CONTEXT: self._read_context,
            HIDE: self._hide,
            DETACH: self._detach,
        }

    async def _create(self, call: Call) -> Answer:
        if call.body:
            read_struct(NothingIn, self._json.read(call.body))
        raw, written = await self._commands.create(call.caller)
        client = call.client
        out = SessionOut(
            id_text(Kind.SESSION, raw), client.client_id, id_text(Kind.PLATFORM, client.tenant), iso_ms(written.time_ms)
        )
        return Answer(200, {POSITION: self._tokens.write(written.position)}, msgspec.json.encode(out))

    async def _attach(self, call: Call) -> Answer:
        fields = self._json.read(call.body)
        session = own_session(self._ids, call)
        try:
            body = read_struct(AttachIn, fields)
        except InvalidFieldsError:
            await self._absent_first(session, call)
            raise
        app, context = parse_id(Kind.APP, body.app_id), parse_id(Kind.CONTEXT, body.context_id)
        if app is None or context is None:
            raise UnknownIdError
        attached = await self._commands.attach(call.caller, session, AppId(app), ContextId(context), call.after)
        entry = SessionContext(session, ContextId(context), AppId(app), attached.created_at_ms)
        headers = {POSITION: self._tokens.write(attached.written.position)}
        return Answer(200, headers, msgspec.json.encode(session_context_out(entry)))

    async def _read(self, call: Call) -> Answer:
        session = own_session(self._ids, call)
        window = await self._window(call, MAX_ITEMS_PAGE, session)
        page, extras = await self._lists.merged(
            session, start=window.start, limit=window.limit, after=call.after, client=call.client
        )
        return self._answers.of_session(call.request, page, extras, window, call.version)

    async def _delete(self, call: Call) -> Answer:
        session = own_session(self._ids, call)
        written = await self._commands.delete(call.caller, session, call.after)
        return Answer(204, {POSITION: self._tokens.write(written.position)})

    async def _read_contexts(self, call: Call) -> Answer:
        session = own_session(self._ids, call)
        window = await self._window(call, MAX_CONTEXTS_PAGE, session)
        page = await self._views.contexts(
            session, start=window.start, limit=window.limit, after=call.after, client=call.client.client_id
        )
        return self._answers.of_contexts(call.request, page, window, call.version)

    async def _read_context(self, call: Call) -> Answer:
        session = own_session(self._ids, call)
        context = session_context(call)
        if context is None:
            raise NotAttachedError
        window = await self._window(call, MAX_ITEMS_PAGE, session, context)
        page, extras = await self._lists.of_context(
            session, context, start=window.start, limit=window.limit, after=call.after, client=call.client
        )
        return self._answers.of_session(call.request, page, extras, window, call.version)

    async def _hide(self, call: Call) -> Answer:
        fields = self._json.read(call.body)
        session = own_session(self._ids, call)
        context = session_context(call)
        if context is None:
            raise NotAttachedError
        try:
            body = read_struct(HideIn, fields)
        except InvalidFieldsError:
            await self._absent_first(session, call, context)
            raise
        written = await self._commands.hide(
            call.caller, session, context, body.content_id, hidden=body.action == "hide", after=call.after
        )
        return Answer(200, {POSITION: self._tokens.write(written.position)}, SUCCESS)

    async def _detach(self, call: Call) -> Answer:
        session = own_session(self._ids, call)
        context = session_context(call)
        if context is None:
            # What is no id cannot be attached: as with any other that is not, there is nothing to do.
            page = await self._views.contexts(session, start=0, limit=1, after=call.after, client=call.client.client_id)
            return Answer(204, {POSITION: self._tokens.write(page.position)})
        written = await self._commands.detach(call.caller, session, context, call.after)
        return Answer(204, {POSITION: self._tokens.write(written.position)})

    async def _window(self, call: Call, most: int, session: SessionId, context: ContextId | None = None) -> Window:
        """Return the part of the list that is asked for, once its list is known to be there."""
        window, faults = read_window(call.request.query, most=most)
        if faults:
            await self._absent_first(session, call, context)
            raise InvalidFieldsError(faults)
        return window

    async def _absent_first(self, session: SessionId, call: Call, context: ContextId | None = None) -> None:
        """
        Raise `AbsentError` where the session, or the context in it, is gone: that counts before broken fields.

        A list that cannot be read now does not keep the caller from being told what is broken.
        """
        client = call.client.client_id
        with suppress(UnavailableError):
            if context is None:
                await self._views.contexts(session, start=0, limit=1, after=call.after, client=client)
            else:
                await self._views.context_page(session, context, start=0, limit=1, after=call.after, client=client)
