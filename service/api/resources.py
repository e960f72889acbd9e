"""What can be done with resources of every type."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec

from service.api.auth_objects import Guard, sees
from service.api.calls import Call, expected, read_given
from service.api.drafts import Given
from service.api.history import read_history
from service.api.kinds import Json
from service.api.listed import listed
from service.api.messages import MessagesError, not_found
from service.api.params import MAX_HISTORY_PAGE_SIZE, read_listing
from service.api.ports import Registry
from service.api.resource import Action
from service.api.shown import etag, show, show_name
from service.api.writing import Writes, Written
from service.http.bodies import read_body
from service.http.calls import Answer
from service.http.etags import is_known
from service.http.json_body import JsonReader
from streams.domain.registry_state import StoredObject

MAX_BODY_BYTES = 1 << 20


class Resources:
    """The handlers of all types."""

    def __init__(self, registry: Registry, writes: Writes, body_limit_s: float) -> None:
        """Take the registry, what writes to it, and how long a body may take."""
        self._registry, self._writes, self._body_limit_s = registry, writes, body_limit_s
        self._json = JsonReader()

    async def list(self, call: Call) -> Answer:
        """Answer a page of the objects that are asked for."""
        listing = read_listing(call.request.query)
        found = listed(call, listing, self._registry.state)
        page = {
            "page": listing.page,
            "pageSize": listing.page_size,
            "totalCount": found.total,
            "results": [self._show_listed(call, stored) for stored in found.objects],
        }
        return Answer(200, {}, msgspec.json.encode(page))

    async def history(self, call: Call) -> Answer:
        """Answer a page of what became of an object, newest first."""
        listing = read_listing(call.request.query, most=MAX_HISTORY_PAGE_SIZE)
        page = await read_history(call.resource, self._find(call), self._registry, listing)
        return Answer(200, {}, msgspec.json.encode(page))

    async def read(self, call: Call) -> Answer:
        """Answer one object, also a HIDDEN one."""
        stored = self._find(call)
        headers = {"ETag": etag(stored)}
        if is_known(call.request.headers, headers["ETag"]):
            return Answer(304, headers)
        return Answer(200, headers, msgspec.json.encode(self._show(call, stored)))

    async def write(self, call: Call, body: bytes) -> Answer:
        """Create or update one object, or each of a list, as one transaction."""
        objects, is_list = read_given(self._json.read_any(body), call.object_id)
        guard = Guard(call.caller, call.resource, self._registry.state)
        expect = guard.over(objects, expected(call.request, is_list=is_list))
        written = await self._writes.write(call.cause, objects, expect)
        shown = self._show_written(call, written)
        if is_list:
            return Answer(200, {}, msgspec.json.encode(shown))
        return Answer(200, {"ETag": etag(written[0].stored)}, msgspec.json.encode(shown[0]))

    async def act(self, action: Action, call: Call, body: bytes) -> Answer:
        """Do something to an object."""
        fields = self._json.read(body) if body else {}
        expect = expected(call.request, is_list=False)
        written = await self._writes.act(call.cause, action, Given(call.object_id, fields, None), expect)
        (shown,) = self._show_written(call, [written])
        return Answer(200, {"ETag": etag(written.stored)}, msgspec.json.encode(shown))

    @asynccontextmanager
    async def receive(self, call: Call) -> AsyncIterator[bytes]:
        """Hand out the request's body, whatever its `Content-Type` says."""
        yield await read_body(call.request, most=MAX_BODY_BYTES, limit_s=self._body_limit_s)

    def _find(self, call: Call) -> StoredObject:
        object_id = call.object_id or ""
        stored = self._registry.state.find(call.resource.name, object_id)
        is_seen = stored is not None and stored.is_seen_by(call.company)
        if stored is None or not is_seen or not sees(call.caller, call.resource, stored):
            raise MessagesError(404, [not_found(call.resource.label, object_id)], may_be_news=stored is None)
        return stored

    def _show_listed(self, call: Call, stored: StoredObject) -> Json:
        return self._show(call, stored) if stored.is_seen_by(call.company) else show_name(call.resource, stored)

    def _show(self, call: Call, stored: StoredObject) -> Json:
        return show(call.resource, stored, self._registry.state)

    def _show_written(self, call: Call, written: Sequence[Written]) -> Sequence[Json]:
        state = self._registry.state
        return [show(call.resource, one.stored, state, one.shown_once) for one in written]
