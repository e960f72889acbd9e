"""Honest in-memory providers of the service's ports: a log that is folded as it is written."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field

from msgspec import UNSET

from service.macs import Mac
from service.networks import AllowList
from service.ports import Client, Extras, Pair, Written
from service.queries.extras import NO_EXTRAS
from streams.codec import encode_event, event_key
from streams.domain.errors import (
    ContextErasedError,
    NotAttachedError,
    SessionDeletedError,
    UpNextError,
    ViewBehindError,
)
from streams.domain.events import (
    ContextAttached,
    ContextCreated,
    ContextDetached,
    ContextErased,
    ContextEvent,
    ItemHidden,
    ItemPut,
    ItemRemoved,
    ItemsPut,
    ItemsReplaced,
    SessionCreated,
    SessionDeleted,
    SessionEvent,
)
from streams.domain.explain import Explanation, Reason, Rule, Seat
from streams.domain.feed import Attached, Done, Limits, SessionGone, TooManyContexts, Verdict
from streams.domain.ids import AppId, ContextId, Kind, SessionId, id_text, parse_id
from streams.domain.items import Item, fragment
from streams.domain.page_items import PageItems
from streams.domain.pages import Page, SessionContext, SessionContextsPage, SubscribedSession, ViewState
from streams.domain.past_lists import Moment, PastList
from streams.domain.positions import After, ContextPosition, ListPosition, SessionsPosition
from streams.domain.steps import Did, Step
from streams.history import History
from streams.log.port import Record
from streams.refold import Refold
from tests.support.tables import MemoryLog

PARTITION = 0
FIRST_TIME_MS = 1_700_000_000_000


@dataclass
class StoredItem:
    item: Item
    app: AppId
    time_ms: int
    hidden: bool

    def fragment(self, context: ContextId) -> bytes:
        return fragment(self.item, context, id_text(Kind.APP, self.app), self.time_ms, hidden=self.hidden)


@dataclass
class Member:
    app: AppId
    epoch: int
    created_at_ms: int


@dataclass
class SessionState:
    deleted: bool = False
    offset: int = -1
    members: dict[bytes, Member] = field(default_factory=dict)


class World:
    """One log of context events, one of session events, both folded at once; and every port on top of them."""

    def __init__(self) -> None:
        self.context_events: list[tuple[bytes, ContextEvent]] = []
        self.session_events: list[tuple[bytes, SessionEvent]] = []
        self.contexts: dict[bytes, dict[str, StoredItem]] = {}
        self.erased: set[bytes] = set()
        self.sequences: dict[bytes, int] = {}
        self.sessions: dict[bytes, SessionState] = {}
        self.apps: set[bytes] = set()
        self.clients: dict[str, tuple[bytes, Client]] = {}
        self.unavailable: set[bytes] = set()
        """Apps whose contexts no platform may attach."""
        self.extras: dict[tuple[bytes, bytes], Extras] = {}
        """By platform and app."""
        self.tokens: dict[str, str] = {}
        """Access tokens, and the ids of the clients that they stand for."""
        self.time_ms = FIRST_TIME_MS
        self.state = ViewState.WHOLE
        self.age_s: int | None = None
        self.log = MemoryLog({"context-events": [], "session-events": []})
        """The same events, as records."""
        self.failures: dict[str, Exception] = {}
        """Raised by the method of that name instead of what it does."""

    def fail(self, name: str, error: Exception | None) -> None:
        if error is None:
            self.failures.pop(name, None)
        else:
            self.failures[name] = error

    def _begin(self, name: str) -> None:
        if error := self.failures.get(name):
            raise error

    def _tick(self) -> int:
        self.time_ms += 1
        return self.time_ms

    def _record(self, topic: str, kind: Kind, raw: bytes, event: ContextEvent | SessionEvent) -> None:
        records, key = self.log.records[topic], event_key(kind, raw, event.id)
        records.append(Record(len(records), self.time_ms, key, encode_event(event)))

    # Tenants

    def add_client(
        self,
        kind: Kind,
        tenant: bytes,
        client_id: str,
        secret: str,
        *,
        live: bool = True,
        allowed: AllowList | None = None,
        must_sign: bool = False,
    ) -> None:
        digest = hashlib.sha256(secret.encode()).digest()
        self.clients[client_id] = digest, Client(client_id, kind, tenant, live, allowed, must_sign)
        if kind is Kind.APP:
            self.apps.add(tenant)

    def recall(self, mark: bytes) -> Client | None:  # noqa: ARG002 - the port has it; it forgets at once
        return None

    def authenticate(self, client_id: str, secret: str, mark: bytes | None = None) -> Client | None:  # noqa: ARG002
        digest, client = self.clients.get(client_id, (b"", None))
        shown = hashlib.sha256(secret.encode()).digest()
        if client is None or not hmac.compare_digest(digest, shown):
            return None
        return client._replace(mac=Mac(secret.encode()))

    def authenticate_token(self, token: str) -> Client | None:
        client_id = self.tokens.get(token)
        return None if client_id is None else self.clients[client_id][1]

    def tenant_of(self, client_id: str) -> bytes:
        return self.clients[client_id][1].tenant

    def is_app(self, app: AppId) -> bool:
        return app in self.apps

    def ensure_fresh(self) -> None:
        self._begin("ensure_fresh")

    # EventWriter

    async def write_context(self, context: ContextId, event: ContextEvent) -> Written:
        self._begin("write_context")
        self.context_events.append((context, event))
        offset, time_ms = len(self.context_events) - 1, self._tick()
        self._record("context-events", Kind.CONTEXT, context, event)
        self.sequences[context] = offset
        items = self.contexts.setdefault(context, {})
        match event:
            case ItemPut(item=item):
                self._put(items, item, event.app, time_ms)
            case ItemsPut() | ItemsReplaced():
                named = {item.content_id for item in event.items}
                for gone in items.keys() - named if isinstance(event, ItemsReplaced) else ():
                    del items[gone]
                for item in event.items:
                    self._put(items, item, event.app, time_ms)
                    time_ms = self._tick()
            case ItemRemoved(content_id=content_id):
                items.pop(content_id, None)
            case ItemHidden(content_id=content_id, hidden=hidden):
                if content_id in items:
                    items[content_id].hidden = hidden
            case ContextCreated():
                pass
            case ContextErased():
                self._erase(context)
        return Written(ContextPosition(context, offset), time_ms)

    def _erase(self, context: ContextId) -> None:
        self.erased.add(context)
        self.contexts[context].clear()
        for state in self.sessions.values():
            state.members.pop(context, None)

    @staticmethod
    def _put(items: dict[str, StoredItem], item: Item, app: str, time_ms: int) -> None:
        before = items.get(item.content_id)
        kept = before is not None and before.hidden
        raw = parse_id(Kind.APP, app)
        assert raw is not None
        hidden = kept if item.hidden is UNSET else bool(item.hidden)
        items[item.content_id] = StoredItem(item, AppId(raw), time_ms, hidden)

    async def write_session(self, session: SessionId, event: SessionEvent) -> Written:
        self._begin("write_session")
        return self._append(session, event)[1]

    async def write_sessions(self, events: Sequence[tuple[SessionId, SessionEvent]]) -> SessionsPosition:
        self._begin("write_sessions")
        for session, event in events:
            self._append(session, event)
        return SessionsPosition({PARTITION: len(self.session_events) - 1} if events else {})

    # SessionCommands

    async def execute(self, session: SessionId, event: SessionEvent, after: After) -> tuple[Verdict, Written]:
        self._begin("execute")
        self._wait(after)
        return self._append(session, event)

    def _append(self, session: SessionId, event: SessionEvent) -> tuple[Verdict, Written]:
        self.session_events.append((session, event))
        offset, time_ms = len(self.session_events) - 1, self._tick()
        self._record("session-events", Kind.SESSION, session, event)
        state = self.sessions.setdefault(session, SessionState())
        state.offset = offset
        return self._judge(state, event, offset, time_ms), Written(SessionsPosition({PARTITION: offset}), time_ms)

    @staticmethod
    def _judge(state: SessionState, event: SessionEvent, offset: int, time_ms: int) -> Verdict:
        if state.deleted:
            return SessionGone()
        match event:
            case ContextAttached():
                context, app = parse_id(Kind.CONTEXT, event.context), parse_id(Kind.APP, event.app)
                assert context is not None
                assert app is not None
                if context in state.members:
                    return Attached(state.members[context].created_at_ms, refreshed=True)
                if len(state.members) == Limits().contexts:
                    return TooManyContexts()
                state.members[context] = Member(AppId(app), offset, time_ms)
                return Attached(time_ms, refreshed=False)
            case ContextDetached():
                context = parse_id(Kind.CONTEXT, event.context)
                assert context is not None
                member = state.members.get(context)
                if member is not None and event.epoch in (None, member.epoch):
                    del state.members[context]
            case SessionDeleted():
                state.deleted = True
                state.members.clear()
            case SessionCreated():
                pass
        return Done()

    # Views

    def _wait(self, after: After) -> None:
        asked = [p.offset for p in after.contexts] + [o for p in after.bulks for o in p.offsets.values()] + [-1]
        seen = [o for p in after.sessions for o in p.offsets.values()] + [p.offset for p in after.lists] + [-1]
        if max(asked) >= len(self.context_events) or max(seen) >= len(self.session_events):
            raise ViewBehindError

    def _live(self, session: bytes, after: After) -> SessionState:
        self._wait(after)
        state = self.sessions.get(session, SessionState())
        if state.deleted:
            raise SessionDeletedError
        return state

    def _list(self, contexts: Sequence[bytes]) -> list[tuple[AppId, bytes]]:
        rows = [
            (-stored.time_ms, content_id.encode(), context, stored)
            for context in contexts
            for content_id, stored in self.contexts.get(context, {}).items()
        ]
        return [(row[3].app, row[3].fragment(ContextId(row[2]))) for row in sorted(rows, key=lambda row: row[:3])]

    def _list_position(self, session: bytes, state: SessionState) -> ListPosition:
        members = [(member.epoch, self.sequences.get(context, -1)) for context, member in state.members.items()]
        return ListPosition(session, state.offset, members)

    def _page(
        self, contexts: Sequence[bytes], start: int, limit: int, revision: str, position: ContextPosition | ListPosition
    ) -> Page:
        items = self._list(contexts)
        next_key = start + limit if start + limit < len(items) else None
        part = PageItems(items[start : start + limit])
        return Page(part, len(items), next_key, revision, position, self.state, self.age_s)

    def subscribed(self, context: bytes) -> list[SubscribedSession]:
        return [
            SubscribedSession(SessionId(session), state.members[context].epoch)
            for session, state in self.sessions.items()
            if context in state.members
        ]


class PairsFake:
    def __init__(self, world: World) -> None:
        self.world = world

    def of(self, platform: bytes, app: AppId) -> Pair:
        return Pair(app not in self.world.unavailable, self.world.extras.get((platform, app), NO_EXTRAS))


class ContextViewsFake:
    def __init__(self, world: World) -> None:
        self.world = world

    async def page(self, context: ContextId, *, start: int, limit: int, after: After, client: str) -> Page:  # noqa: ARG002
        world = self.world
        world._begin("context_page")
        world._wait(after)
        if context in world.erased:
            raise ContextErasedError
        sequence = world.sequences.get(context, -1)
        return world._page([context], start, limit, str(sequence), ContextPosition(context, sequence))

    async def subscriptions(self, context: ContextId, *, after: After, client: str) -> list[SubscribedSession]:  # noqa: ARG002
        self.world._begin("subscriptions")
        self.world._wait(after)
        if context in self.world.erased:
            raise ContextErasedError
        return self.world.subscribed(context)


class SessionViewsFake:
    def __init__(self, world: World) -> None:
        self.world = world

    async def page(self, session: SessionId, *, start: int, limit: int, after: After, client: str) -> Page:  # noqa: ARG002
        self.world._begin("session_page")
        state = self.world._live(session, after)
        return self._some(session, state, list(state.members), start, limit)

    async def context_page(
        self,
        session: SessionId,
        context: ContextId,
        *,
        start: int,
        limit: int,
        after: After,
        client: str,  # noqa: ARG002
    ) -> Page:
        self.world._begin("session_page")
        state = self.world._live(session, after)
        if context not in state.members:
            raise NotAttachedError
        return self._some(session, state, [context], start, limit)

    def _some(self, session: bytes, state: SessionState, contexts: list[bytes], start: int, limit: int) -> Page:
        position = self.world._list_position(session, state)
        return self.world._page(contexts, start, limit, f"{position.offset} {position.members}", position)

    async def contexts(
        self,
        session: SessionId,
        *,
        start: int,
        limit: int,
        after: After,
        client: str,  # noqa: ARG002
    ) -> SessionContextsPage:
        self.world._begin("contexts")
        state = self.world._live(session, after)
        rows = sorted(state.members.items(), key=lambda row: (-row[1].created_at_ms, row[0]))
        entries = [SessionContext(session, ContextId(c), m.app, m.created_at_ms) for c, m in rows]
        next_key = start + limit if start + limit < len(entries) else None
        position = self.world._list_position(session, state)
        page = entries[start : start + limit]
        return SessionContextsPage(page, len(entries), next_key, str(state.offset), position, self.world.age_s)

    async def holds(
        self,
        session: SessionId,
        context: ContextId,
        content_id: str,
        *,
        after: After,
        client: str,  # noqa: ARG002
    ) -> bool:
        self.world._begin("holds")
        state = self.world._live(session, after)
        if context not in state.members:
            raise NotAttachedError
        return content_id in self.world.contexts.get(context, {})


class ExplainerFake:
    def __init__(self, world: World) -> None:
        self.world = world

    async def explain(
        self,
        session: SessionId,
        content_id: str,
        context: ContextId | None,
        *,
        after: After,
        client: str,  # noqa: ARG002
    ) -> list[Explanation]:
        world = self.world
        world._begin("explain")
        state = world._live(session, after)
        if context is not None and context not in state.members:
            raise NotAttachedError
        holding = [one for one in state.members if content_id in world.contexts.get(one, {})]
        return [self._explanation(session, content_id, one, list(state.members)) for one in holding] or [
            Explanation(session, content_id, context, None, Reason.NEVER_WRITTEN, None, (), 0, (), (), -1, agrees=True)
        ]

    def _explanation(self, session: SessionId, content_id: str, context: bytes, members: list[bytes]) -> Explanation:
        stored = self.world.contexts[context][content_id]
        mine = stored.fragment(ContextId(context))
        fragments = [encoded for _, encoded in self.world._list(members)]
        at = fragments.index(mine)
        newer, older = (fragments[n] if 0 <= n < len(fragments) else None for n in (at - 1, at + 1))
        steps = [
            Step(
                "context-events",
                PARTITION,
                offset,
                FIRST_TIME_MS,
                "context.item_put.v1",
                event.client,
                event.request,
                Did.PUT,
            )
            for offset, (of, event) in enumerate(self.world.context_events)
            if of == context and isinstance(event, ItemPut) and event.item.content_id == content_id
        ]
        return Explanation(
            session,
            content_id,
            ContextId(context),
            stored.app,
            Reason.HIDDEN if stored.hidden else Reason.LISTED,
            Seat(at, len(fragments), mine, newer, older),
            steps,
            0,
            (),
            [Rule.NEWEST_FIRST],
            self.world.sequences[context],
            agrees=True,
        )


class PastFake:
    """What is real, over the log of the world."""

    def __init__(self, world: World) -> None:
        self._world, self._history = world, History(Refold(world.log, 1, hash_key=bytes(32)))

    async def context_lists(self, context: ContextId, moments: Sequence[Moment], *, client: str) -> list[PastList]:
        self._world._begin("past")
        return await self._history.context_lists(context, moments, client=client)

    async def session_lists(
        self, session: SessionId, moments: Sequence[Moment], *, client: str, context: ContextId | None = None
    ) -> list[PastList]:
        self._world._begin("past")
        return await self._history.session_lists(session, moments, client=client, context=context)


@dataclass(frozen=True)
class Failure:
    """A method of the world, and what it raises."""

    name: str
    error: UpNextError
