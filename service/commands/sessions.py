"""What a platform does with its sessions."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, assert_never

from service.commands.callers import Caller, tenant_text
from service.commands.contexts import Created
from service.ports import EventWriter, Pairs, SessionCommands, SessionViews, Tenants, Written
from streams.domain.errors import (
    AbsentError,
    AppNotAvailableError,
    SessionDeletedError,
    TooManyContextsError,
    UnknownIdError,
)
from streams.domain.events import ContextAttached, ContextDetached, ItemHidden, SessionCreated, SessionDeleted
from streams.domain.feed import Attached, Done, SessionGone, TooManyContexts, Verdict
from streams.domain.ids import AppId, ContextId, IdKeys, Kind, SessionId, id_text
from streams.domain.positions import After


class Attachment(NamedTuple):
    """A context that is attached, since when, and where the event that says so stands."""

    created_at_ms: int
    written: Written


class SessionUseCases:
    """
    Commands on sessions that the caller owns; what the sessions' fold makes of them is the outcome.

    All raise `LogUnavailableError` where it is not known whether the event was recorded; but for `create` they raise
    `SessionDeletedError`, and `ViewUnavailableError` and `ViewBehindError` where nothing was written.
    """

    def __init__(
        self,
        *,
        ids: IdKeys,
        tenants: Tenants,
        pairs: Pairs,
        events: EventWriter,
        commands: SessionCommands,
        views: SessionViews,
        now_s: Callable[[], int],
        entropy: Callable[[int], bytes],
    ) -> None:
        """Take what is needed to mint and verify ids, to have commands judged, and to look at lists."""
        self._ids = ids
        self._tenants = tenants
        self._pairs = pairs
        self._events = events
        self._commands = commands
        self._views = views
        self._now_s = now_s
        self._entropy = entropy

    async def create(self, caller: Caller) -> Created:
        """Make a session of the caller's platform."""
        raw = caller.mint(self._ids, Kind.SESSION, self._now_s, self._entropy)
        event = SessionCreated(**caller.cause(self._entropy), platform=tenant_text(caller.client))
        return Created(raw, await self._events.write_session(SessionId(raw), event))

    def is_context_of(self, caller: Caller, app: AppId, context: ContextId) -> bool:
        """Say whether the app is there and the context was made for it, in the caller's mode."""
        return self._tenants.is_app(app) and self._ids.verify(Kind.CONTEXT, caller.mode, app, context)

    async def attach(
        self, caller: Caller, session: SessionId, app: AppId, context: ContextId, after: After
    ) -> Attachment:
        """
        Attach a context, or refresh its attachment.

        Raises:
            UnknownIdError: There is no such context of that app.
            AppNotAvailableError: The app is not on the platform, or not any more; nothing was written.
            TooManyContextsError: The session has as many as it may.
        """
        if not self.is_context_of(caller, app, context):
            raise UnknownIdError
        if not self._pairs.of(caller.client.tenant, app).is_available:
            raise AppNotAvailableError
        event = ContextAttached(
            **caller.cause(self._entropy), context=id_text(Kind.CONTEXT, context), app=id_text(Kind.APP, app)
        )
        verdict, written = await self._commands.execute(session, event, after)
        match verdict:
            case Attached(created_at_ms=created_at_ms):
                return Attachment(created_at_ms, written)
            case TooManyContexts():
                raise TooManyContextsError
            case SessionGone():
                raise SessionDeletedError
            case Done():
                raise _unexpected(verdict)
            case _:
                assert_never(verdict)

    async def detach(self, caller: Caller, session: SessionId, context: ContextId, after: After) -> Written:
        """Detach a context, whether it is attached or not."""
        event = ContextDetached(**caller.cause(self._entropy), context=id_text(Kind.CONTEXT, context))
        return self._done(*await self._commands.execute(session, event, after))

    async def delete(self, caller: Caller, session: SessionId, after: After) -> Written:
        """Delete the session with all its associations."""
        event = SessionDeleted(**caller.cause(self._entropy))
        return self._done(*await self._commands.execute(session, event, after))

    async def hide(
        self, caller: Caller, session: SessionId, context: ContextId, content_id: str, *, hidden: bool, after: After
    ) -> Written:
        """
        Hide an item of an attached context at its source, or show it again.

        Raises:
            AbsentError: The context is not attached, or has no such item.
        """
        client = caller.client.client_id
        if not await self._views.holds(session, context, content_id, after=after, client=client):
            raise AbsentError
        event = ItemHidden(**caller.cause(self._entropy), content_id=content_id, hidden=hidden)
        return await self._events.write_context(context, event)

    @staticmethod
    def _done(verdict: Verdict, written: Written) -> Written:
        match verdict:
            case Done():
                return written
            case SessionGone():
                raise SessionDeletedError
            case Attached() | TooManyContexts():
                raise _unexpected(verdict)
            case _:
                assert_never(verdict)


def _unexpected(verdict: Verdict) -> RuntimeError:
    return RuntimeError(f"the fold answered {verdict!r}, which is no answer to this command")
