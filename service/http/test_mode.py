"""What stands behind `/v1` for test keys: nothing is recorded, and lists are always of the same three items."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeVar

from service.http.deps import Deps
from service.http.idempotency_memory import RememberedKeys
from streams.domain.events import ContextAttached, ContextEvent, SessionEvent
from streams.domain.explain import Explanation, Reason, Rule, Seat
from streams.domain.feed import Attached, Done, Verdict
from streams.domain.ids import EPOCH_S, AppId, ContextId, IdKeys, Kind, Mode, SessionId, id_text, known_id
from streams.domain.items import Item, fragment
from streams.domain.page_items import PageItems
from streams.domain.pages import Page, SessionContext, SessionContextsPage, SubscribedSession
from streams.domain.past_lists import Moment, PastItem, PastList
from streams.domain.positions import NOTHING, After, ContextPosition, ListPosition, SessionsPosition, Written

HEADER, TEST = "Paket-Response-Type", "Test"

T = TypeVar("T")

_MADE_S = 1_708_058_466
"""2024-02-16T04:41:06Z: from when all that is generated is."""
_HOUR_MS = 3_600_000
_REVISION = "test"
_ITEMS = (
    Item(
        content_id="test-movie-1",
        action="up_next_continue",
        media_type="movie",
        title="The General",
        description="A train driver follows his locomotive, which spies have stolen.",
        poster_art_uri="https://media.example/test/the-general.png",
        poster_art_aspect_ratio="aspect_ratio_2_3",
        preview_video_uri="https://media.example/test/the-general.mp4",
        position=1_260,
        duration=4_740,
    ),
    Item(
        content_id="test-episode-1",
        action="up_next_next",
        media_type="tv_episode",
        title="The Lighthouse: Fog",
        description="A ship does not answer.",
        season=1,
        episode=2,
        poster_art_uri="https://media.example/test/the-lighthouse.png",
        poster_art_aspect_ratio="aspect_ratio_16_9",
        duration=2_580,
    ),
    Item(
        content_id="test-movie-2",
        action="up_next_watchlist",
        media_type="movie",
        title="Safety Last!",
        description="A shop assistant climbs a house.",
        poster_art_uri="https://media.example/test/safety-last.png",
        poster_art_aspect_ratio="aspect_ratio_4_3",
        duration=4_380,
        hidden=True,
    ),
)


def in_test_mode(deps: Deps) -> Deps:
    """Return *deps* with other things behind the ports: what is checked stays the same, and no node is asked."""
    unrecorded, sessions = Unrecorded(deps.now_ms), GeneratedSessions(deps.ids)
    return replace(
        deps,
        events=unrecorded,
        keyed=deps.keyed.over(RememberedKeys(deps.now_ms)),
        session_commands=unrecorded,
        context_views=GeneratedContexts(deps.tenants.tenant_of),
        session_views=sessions,
        explainer=GeneratedExplainer(sessions),
        past=None if deps.past is None else GeneratedPast(sessions, deps.tenants.tenant_of),
        elsewhere=None,
    )


class Unrecorded:
    """Implements `service.ports.EventWriter` and `SessionCommands`: all is taken, and nothing kept."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        """Take Unix time."""
        self._now_ms = now_ms

    async def write_context(self, context: ContextId, event: ContextEvent) -> Written:
        """Return a position that reads take, and wait for no longer than for none."""
        del event
        return Written(ContextPosition(context, 0), self._now_ms())

    async def write_session(self, session: SessionId, event: SessionEvent) -> Written:
        """Return a position, likewise."""
        del session, event
        return Written(SessionsPosition({}), self._now_ms())

    async def write_sessions(self, events: Sequence[tuple[SessionId, SessionEvent]]) -> SessionsPosition:
        """Return a position, likewise."""
        del events
        return SessionsPosition({})

    async def execute(self, session: SessionId, event: SessionEvent, after: After) -> tuple[Verdict, Written]:
        """Return that it was done; what is attached was as soon as both ids were there, however often it is."""
        del after
        written = Written(SessionsPosition({}), self._now_ms())
        if not isinstance(event, ContextAttached):
            return Done(), written
        since_s = max(_made_s(session), _made_s(known_id(Kind.CONTEXT, event.context)))
        return Attached(since_s * 1000, refreshed=False), written


class GeneratedContexts:
    """Implements `service.ports.ContextViews`: each context has the same items, of the app that asks."""

    def __init__(self, tenant_of: Callable[[str], bytes]) -> None:
        """Take what tells whose a client is."""
        self._tenant_of = tenant_of

    async def page(self, context: ContextId, *, start: int, limit: int, after: After, client: str) -> Page:
        """Return a page of the items."""
        del after
        app = AppId(self._tenant_of(client))
        return _page([(app, context)] * len(_ITEMS), start, limit, ContextPosition(context, 0))

    async def subscriptions(self, context: ContextId, *, after: After, client: str) -> list[SubscribedSession]:
        """Return none: no session is fed."""
        del context, after, client
        return []


class GeneratedExplainer:
    """Implements `service.ports.Explainer`: the items are there, for which no event is named, and no other ever was."""

    def __init__(self, sessions: GeneratedSessions) -> None:
        """Take the lists."""
        self._sessions = sessions

    async def explain(
        self, session: SessionId, content_id: str, context: ContextId | None, *, after: After, client: str
    ) -> Sequence[Explanation]:
        """Return one explanation, of an item's own context or of the one that is asked for."""
        page = await (
            self._sessions.page(session, start=0, limit=len(_ITEMS), after=after, client=client)
            if context is None
            else self._sessions.context_page(session, context, start=0, limit=len(_ITEMS), after=after, client=client)
        )
        entries = list(page.items)
        for at, ((app, encoded), item) in enumerate(zip(entries, _ITEMS, strict=True)):
            if item.content_id == content_id:
                newer, older = (entries[n][1] if 0 <= n < len(_ITEMS) else None for n in (at - 1, at + 1))
                seat = Seat(at, page.total, encoded, newer, older)
                found = context if context is not None else self._sessions.context_of(app)
                reason = Reason.HIDDEN if item.hidden is True else Reason.LISTED
                rules = (Rule.NEWEST_FIRST,)
                return [Explanation(session, content_id, found, app, reason, seat, (), 0, (), rules, 0, agrees=True)]
        reason = Reason.NEVER_WRITTEN
        return [Explanation(session, content_id, context, None, reason, None, (), 0, (), (), -1, agrees=True)]


class GeneratedPast:
    """Implements `service.ports.PastReader`: it was always so."""

    def __init__(self, sessions: GeneratedSessions, tenant_of: Callable[[str], bytes]) -> None:
        """Take the lists, and what tells whose a client is."""
        self._sessions, self._tenant_of = sessions, tenant_of

    async def context_lists(self, context: ContextId, moments: Sequence[Moment], *, client: str) -> list[PastList]:
        """Return the items, as often as they are asked for."""
        source = _Source(AppId(self._tenant_of(client)), context)
        return [PastList(_items([source] * len(_ITEMS)), ContextPosition(context, 0))] * len(moments)

    async def session_lists(
        self, session: SessionId, moments: Sequence[Moment], *, client: str, context: ContextId | None = None
    ) -> list[PastList]:
        """Return the items, of all contexts or all of one, as often as they are asked for."""
        page = await self._sessions.contexts(session, start=0, limit=len(_ITEMS), after=NOTHING, client=client)
        known = {one.context: one for one in page.items}
        attached = page.items if context is None else [known.get(context) or page.items[0]._replace(context=context)]
        sources = [_Source(one.app, one.context) for one in attached] * (len(_ITEMS) // len(attached))
        return [PastList(_items(sources), page.position, attached)] * len(moments)


class _Source(NamedTuple):
    app: AppId
    context: ContextId


class GeneratedSessions:
    """
    Implements `service.ports.SessionViews`: each session has the same three contexts, with an item each.

    Their ids are test ids of apps that are not there. Any other context counts as attached too, for what was attached
    is not recorded.
    """

    def __init__(self, ids: IdKeys) -> None:
        """Take what ids are made with."""
        self._sources = [_source(ids, number) for number in range(len(_ITEMS))]

    def context_of(self, app: AppId) -> ContextId:
        """Return the context of an app."""
        return next(source.context for source in self._sources if source.app == app)

    async def page(self, session: SessionId, *, start: int, limit: int, after: After, client: str) -> Page:
        """Return a page of the items of all contexts."""
        del after, client
        return _page(self._sources, start, limit, _position(session))

    async def context_page(
        self, session: SessionId, context: ContextId, *, start: int, limit: int, after: After, client: str
    ) -> Page:
        """Return a page of the items, all of this context."""
        del after, client
        apps = {source.context: source.app for source in self._sources}
        source = _Source(apps.get(context, self._sources[0].app), context)
        return _page([source] * len(_ITEMS), start, limit, _position(session))

    async def contexts(
        self, session: SessionId, *, start: int, limit: int, after: After, client: str
    ) -> SessionContextsPage:
        """Return a page of the contexts."""
        del after, client
        entries = [
            SessionContext(session, source.context, source.app, _time_ms(number))
            for number, source in enumerate(self._sources)
        ]
        part, next_key = _part(entries, start, limit)
        return SessionContextsPage(part, len(entries), next_key, _REVISION, _position(session))

    async def holds(
        self, session: SessionId, context: ContextId, content_id: str, *, after: After, client: str
    ) -> bool:
        """Say whether it is one of the items."""
        del session, context, after, client
        return any(item.content_id == content_id for item in _ITEMS)


def _source(ids: IdKeys, number: int) -> _Source:
    entropy = number.to_bytes(7, "big")
    app = ids.mint(Kind.APP, Mode.TEST, b"", now_s=_MADE_S, entropy=entropy)
    return _Source(AppId(app), ContextId(ids.mint(Kind.CONTEXT, Mode.TEST, app, now_s=_MADE_S, entropy=entropy)))


def _page(
    sources: Sequence[tuple[AppId, ContextId]], start: int, limit: int, position: ContextPosition | ListPosition
) -> Page:
    """Return a page of the items, each in the list of its context."""
    fragments = [(app, one.fragment) for (app, _), one in zip(sources, _items(sources), strict=True)]
    part, next_key = _part(fragments, start, limit)
    return Page(PageItems(part), len(fragments), next_key, _REVISION, position)


def _items(sources: Sequence[tuple[AppId, ContextId]]) -> list[PastItem]:
    """Return the items, each in the list of its context."""
    return [
        PastItem(
            context,
            item.content_id,
            _time_ms(number),
            fragment(item, context, id_text(Kind.APP, app), _time_ms(number), hidden=item.hidden is True),
        )
        for number, (item, (app, context)) in enumerate(zip(_ITEMS, sources, strict=True))
    ]


def _part(entries: Sequence[T], start: int, limit: int) -> tuple[list[T], int | None]:
    """Return the entries of a page, and the index of the next one."""
    end = start + limit
    return list(entries[start:end]), end if end < len(entries) else None


def _position(session: SessionId) -> ListPosition:
    return ListPosition(session, 0, [])


def _time_ms(number: int) -> int:
    """Return when the item or context of this number was last changed: the first is the newest."""
    return _MADE_S * 1000 - number * _HOUR_MS


def _made_s(raw_id: bytes) -> int:
    """Return the Unix time at which an id was made."""
    return EPOCH_S + int.from_bytes(raw_id[:4], "big")
