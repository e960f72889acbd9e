"""Lists as they were for clients, where the deployment allows it: `as_of` on every list, and `…/diff` beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TypeVar, cast

import msgspec

from service.commands.contexts import ContextCommands
from service.http import contexts, sessions
from service.http.calls import Answer, Call, Handler, own_context, own_session, session_context
from service.http.deps import Deps
from service.http.lists import DifferencesPage, ListAnswers, session_context_out
from service.http.moments import Moments
from service.http.params import AS_OF, MAX_CONTEXTS_PAGE, MAX_ITEMS_PAGE, Window, read_window
from service.http.past_operations import (
    DIFF_CONTEXT,
    DIFF_SESSION,
    DIFF_SESSION_CONTEXT,
    DIFF_SESSION_CONTEXTS,
    REMOVE_DIFF,
)
from service.http.positions import HEADER as POSITION
from service.http.positions import PositionTokens
from service.http.problems import Fault, InvalidFieldsError
from service.http.routes import Operation
from service.ports import Extras
from streams.domain.errors import NotAttachedError, UnavailableError
from streams.domain.ids import AppId, ContextId, Kind, SessionId, id_text
from streams.domain.page_items import PageItems
from streams.domain.pages import Page, SessionContext, SessionContextsPage
from streams.domain.past_lists import NOW, Difference, Moment, PastItem, PastList, differences
from streams.domain.positions import ListPosition

_FROM, _TO = "from", "to"
_DIFF = "diff"
_NO_APP = AppId(b"")
T = TypeVar("T")


class PastLists:
    """The handlers of lists as they were."""

    def __init__(self, deps: Deps, tokens: PositionTokens) -> None:
        """Take what reads the past, if clients may have it read."""
        self._ids, self._past, self._views, self._pairs = deps.ids, deps.past, deps.session_views, deps.pairs
        self._limits, self._tokens = deps.limits, tokens
        self._moments, self._answers = Moments(tokens, deps.now_ms), ListAnswers(tokens)
        self._commands = ContextCommands(
            ids=deps.ids, events=deps.events, views=deps.context_views, now_s=deps.now_s, entropy=deps.entropy
        )

    def beside(self, handlers: Mapping[Operation, Handler]) -> Mapping[Operation, Handler]:
        """Return the handlers, of which those of lists leave what has `as_of` to this."""
        past = {
            contexts.READ: self._context,
            sessions.READ: self._session,
            sessions.READ_CONTEXT: self._session,
            sessions.READ_CONTEXTS: self._session_contexts,
        }
        return {
            operation: _either(handle, past[operation]) if operation in past else handle
            for operation, handle in handlers.items()
        }

    def handlers(self) -> Mapping[Operation, Handler]:
        """Return those of differences by operation, in the order of `OPERATIONS`."""
        return {
            DIFF_CONTEXT: self._diff_context,
            REMOVE_DIFF: self._remove_diff,
            DIFF_SESSION: self._diff_session,
            DIFF_SESSION_CONTEXT: self._diff_session,
            DIFF_SESSION_CONTEXTS: self._diff_session_contexts,
        }

    async def _context(self, call: Call) -> Answer:
        window, (past,) = await self._of_context(call, (AS_OF,))
        page = self._page(past, lambda _one: _NO_APP, window)
        return self._answers.of_context(call.request, page, window, call.version)

    async def _session(self, call: Call) -> Answer:
        window, (past,) = await self._of_session(call, (AS_OF,), MAX_ITEMS_PAGE)
        apps = _apps(past)
        page = self._page(past, lambda one: apps[one.context], window)
        extras = self._extras(call, page.items.apps)
        return self._answers.of_session(call.request, page, extras, window, call.version)

    async def _session_contexts(self, call: Call) -> Answer:
        window, (past,) = await self._of_session(call, (AS_OF,), MAX_CONTEXTS_PAGE)
        part, following = _part(past.contexts, window)
        page = SessionContextsPage(
            list(part), len(past.contexts), following, self._revision(past), cast("ListPosition", past.position)
        )
        return self._answers.of_contexts(call.request, page, window, call.version)

    async def _diff_context(self, call: Call) -> Answer:
        window, lists = await self._of_context(call, (_FROM, _TO))
        found = await asyncio.to_thread(differences, *lists)
        return self._differences(call, lists, found, window, lambda _one: b"}", ())

    async def _remove_diff(self, call: Call) -> Answer:
        written = await self._commands.remove_item(call.caller, own_context(self._ids, call), _DIFF)
        return Answer(204, {POSITION: self._tokens.write(written.position)})

    async def _diff_session(self, call: Call) -> Answer:
        window, lists = await self._of_session(call, (_FROM, _TO), MAX_ITEMS_PAGE)
        found = await asyncio.to_thread(differences, *lists)
        apps = _apps(*lists)
        extras = self._extras(call, sorted({apps[one.context] for one in _part(found, window)[0]}))
        tags = [one.tag for one in extras.values()]
        return self._differences(
            call, lists, found, window, lambda one: extras[apps[one.context]].closing(one.fragment), tags
        )

    async def _diff_session_contexts(self, call: Call) -> Answer:
        window, lists = await self._of_session(call, (_FROM, _TO), MAX_CONTEXTS_PAGE)
        old, new = ({one.context: one for one in past.contexts} for past in lists)
        keys = [*new, *(context for context in old if context not in new)]
        found = [context for context in keys if old.get(context) != new.get(context)]
        part, following = _part(found, window)
        entries = [_context_difference(context, old.get(context), new.get(context)) for context in part]
        page = DifferencesPage(entries, len(found), following, self._revision(*lists), lists[-1].position)
        return self._answers.of_differences(call.request, page, (), window, call.version)

    def _differences(
        self,
        call: Call,
        lists: Sequence[PastList],
        found: Sequence[Difference],
        window: Window,
        closing: Callable[[PastItem], bytes],
        tags: Iterable[str],
    ) -> Answer:
        part, following = _part(found, window)
        entries = [_item_difference(one, closing) for one in part]
        page = DifferencesPage(entries, len(found), following, self._revision(*lists), lists[-1].position)
        return self._answers.of_differences(call.request, page, tags, window, call.version)

    async def _of_context(self, call: Call, names: Sequence[str]) -> tuple[Window, Sequence[PastList]]:
        """Return what is asked for of the path's context: the part, and the list at each of the moments."""
        context = own_context(self._ids, call)
        window, moments, faults = self._asked(call, context, names, MAX_ITEMS_PAGE)
        if faults or self._past is None:
            raise InvalidFieldsError(faults)
        self._limits.count_past(call.client)
        lists = await self._past.context_lists(context, moments, client=call.client.client_id)
        return self._going_on(window, names, lists), lists

    async def _of_session(self, call: Call, names: Sequence[str], most: int) -> tuple[Window, Sequence[PastList]]:
        """Return what is asked for of the path's session; what was deleted since is gone, whatever it was."""
        session = own_session(self._ids, call)
        context = None
        if "context_id" in call.path:
            context = session_context(call)
            if context is None:
                raise NotAttachedError
        window, moments, faults = self._asked(call, session, names, most)
        if faults or self._past is None:
            with suppress(UnavailableError):
                await self._look(session, call)
            raise InvalidFieldsError(faults)
        await self._look(session, call)
        self._limits.count_past(call.client)
        lists = await self._past.session_lists(session, moments, client=call.client.client_id, context=context)
        return self._going_on(window, names, lists), lists

    async def _look(self, session: SessionId, call: Call) -> None:
        """Raise `SessionDeletedError` where the session is gone now."""
        await self._views.contexts(session, start=0, limit=1, after=call.after, client=call.client.client_id)

    def _asked(
        self, call: Call, raw: bytes, names: Sequence[str], most: int
    ) -> tuple[Window, list[Moment], list[Fault]]:
        query = call.request.query
        window, faults = read_window(query, most=most)
        moments = []
        for name in names:
            found = self._moment(raw, name, query.getall(name, []))
            if isinstance(found, Fault):
                faults.append(found)
            else:
                moments.append(found)
        return window, moments, faults

    def _moment(self, raw: bytes, name: str, texts: Sequence[str]) -> Moment | Fault:
        if self._past is None and (texts or name != _TO):
            return Fault(name, "not_enabled", "This deployment does not let clients read the past.")
        if len(texts) > 1:
            return Fault(name, "repeated", "This parameter may be given once.")
        if not texts:
            return NOW if name == _TO else Fault(name, "required", "This parameter is missing.")
        return self._moments.of_client(raw, name, texts[0])

    def _going_on(self, window: Window, names: Sequence[str], lists: Sequence[PastList]) -> Window:
        """Return the window, whose further pages are of the very same lists: also where they were named by time."""
        written = zip(names, map(self._token, lists), strict=True)
        return window._replace(beside="".join(f"&{name}={token}" for name, token in written))

    def _page(self, past: PastList, app: Callable[[PastItem], AppId], window: Window) -> Page:
        part, following = _part(past.items, window)
        served = PageItems((app(one), one.fragment) for one in part)
        return Page(served, len(past.items), following, self._revision(past), past.position)

    def _revision(self, *lists: PastList) -> str:
        return f"past {' '.join(map(self._token, lists))}"

    def _token(self, past: PastList) -> str:
        return self._tokens.write(past.position)

    def _extras(self, call: Call, apps: Iterable[AppId]) -> dict[AppId, Extras]:
        """Return what is configured now: what it was then is not kept for lists."""
        return {app: self._pairs.of(call.client.tenant, app).extras for app in apps}


def _either(live: Handler, past: Handler) -> Handler:
    # Not a coroutine of its own: whoever reads what is there now pays for one look into the query.
    return lambda call: (past if AS_OF in call.request.query else live)(call)


def _part(entries: Sequence[T], window: Window) -> tuple[Sequence[T], int | None]:
    """Return the entries of a page, and the index of the next one."""
    end = window.start + window.limit
    return entries[window.start : end], end if end < len(entries) else None


def _apps(*lists: PastList) -> dict[ContextId, AppId]:
    return {one.context: one.app for past in lists for one in past.contexts}


def _item_difference(one: Difference, closing: Callable[[PastItem], bytes]) -> bytes:
    before, after = (b"null" if item is None else item.fragment + closing(item) for item in (one.before, one.after))
    context, content_id = id_text(Kind.CONTEXT, one.context).encode(), msgspec.json.encode(one.content_id)
    return b'{"context_id":"%b","content_id":%b,"before":%b,"after":%b}' % (context, content_id, before, after)


def _context_difference(context: ContextId, before: SessionContext | None, after: SessionContext | None) -> bytes:
    shown = [None if one is None else session_context_out(one) for one in (before, after)]
    return b'{"context_id":"%b","before":%b,"after":%b}' % (
        id_text(Kind.CONTEXT, context).encode(),
        *map(msgspec.json.encode, shown),
    )
