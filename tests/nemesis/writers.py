"""Who writes: publishers, one for each context, and platforms, one for each session."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from streams.domain.positions import Position, SessionsPosition
from tests.nemesis.clients import Client, Clients, LostError, RefusedError, Reply
from tests.nemesis.history import Call, Mark, Outcome, Write
from tests.nemesis.household import NAMES, Context, Household, Session
from tests.support.nodes import item

_AGAIN_S = 0.1
_NEED_NO_VIEW = (Call.CREATE_CONTEXT, Call.CREATE_SESSION, Call.PUT, Call.REMOVE)
_NOT_WRITTEN = frozenset({"view_unavailable", "view_behind", "overloaded", "registry_behind"})
"""503s that say that nothing was written. The others leave it open."""


class _Writer:
    """Sends one write at a time, and notes what became of it."""

    def __init__(self, name: str, shared: Clients, household: Household, seed: int) -> None:
        self._name, self._shared, self._household = name, shared, household
        self._random = random.Random(seed)
        self._serial = 0

    async def _write(
        self,
        client: Client,
        mark: Mark,
        method: str,
        path: str,
        body: Any = None,
        *,
        after: Sequence[str] = (),
        expected: frozenset[int] = frozenset(),
        proofs: tuple[tuple[str, int], ...] = (),
    ) -> tuple[Write, Reply | None]:
        """
        Send a write and note its outcome.

        Args:
            client: Whose it is.
            mark: What its event will say.
            method: As in HTTP.
            path: As in HTTP.
            body: What is sent as JSON.
            after: Positions that it is not to be judged before.
            expected: Statuses beside 2xx and 503 that there may be.
            proofs: See `Write`.
        """
        shared = self._shared
        reply: Reply | None = None
        began_s = shared.now_s()
        try:
            reply = await client.call(method, path, body, after=after)
        except RefusedError:
            outcome = Outcome.FAILED
        except LostError:
            outcome = Outcome.UNKNOWN
        else:
            outcome = self._outcome(mark, reply, expected)
        write = Write(mark, outcome, began_s, shared.now_s(), proofs=proofs, after=self._positions(after))
        if reply is not None:
            write.request_id, write.status = reply.request_id, reply.status
        if reply is not None and outcome is Outcome.ACKNOWLEDGED:
            write.position = shared.position(reply)
        shared.history.writes.append(write)
        had = shared.writes if mark.call in _NEED_NO_VIEW else shared.commands
        if reply is None or reply.status == 503:
            had.failed(self._name, began_s)
            await shared.pause(_AGAIN_S)
        else:
            had.had(self._name)
        return write, reply

    def _outcome(self, mark: Mark, reply: Reply, expected: frozenset[int]) -> Outcome:
        if 200 <= reply.status < 300:
            return Outcome.ACKNOWLEDGED
        if reply.status == 503:
            return Outcome.FAILED if reply.code in _NOT_WRITTEN else Outcome.UNKNOWN
        if reply.status not in expected:
            self._shared.wrong(f"{mark} was answered {reply.status}: {reply.body!r}")
        return Outcome.FAILED

    def _positions(self, tokens: Sequence[str]) -> tuple[Position, ...]:
        return tuple(self._shared.tokens.read(token) for token in tokens)


def _is_answered(reply: Reply | None) -> bool:
    """Say whether a client need not try again."""
    return reply is not None and reply.status != 503


class Publisher(_Writer):
    """Writes to one context."""

    def __init__(self, shared: Clients, household: Household, context: Context, seed: int, every_s: float) -> None:
        super().__init__(f"the publisher of {context.id}", shared, household, seed)
        self._context, self._every_s = context, every_s

    async def run(self) -> None:
        """Write until the run ends."""
        calls = [self._put, self._remove, self._hide, self._break_rules, self._detach_all]
        while not self._shared.stop.is_set():
            (call,) = self._random.choices(calls, [70, 14, 12, 2, 2])
            while not await call() and not self._shared.stop.is_set():
                pass
            await self._shared.pause(self._every_s)

    async def _send(self, mark: Mark, method: str, path: str, body: Any = None) -> bool:
        write, reply = await self._write(self._context.app, mark, method, path, body)
        if reply is not None and write.outcome is Outcome.ACKNOWLEDGED:
            self._context.position = reply.headers["Paket-Position"]
        return _is_answered(reply)

    def _item(self) -> dict[str, Any]:
        source = self._random
        self._serial += 1
        more: dict[str, Any] = {"title": f"{self._context.id[-6:]} {self._serial} {source.getrandbits(32):x}"}
        more["description"] = "d" * source.randrange(400)
        if source.random() < 0.3:
            more |= {"media_type": "tv_episode", "season": source.randrange(9), "episode": source.randrange(30)}
        if source.random() < 0.2:
            more["hidden"] = source.random() < 0.5
        return item(source.choice(NAMES), **more)

    async def _put(self) -> bool:
        body = self._item()
        return await self._send(Mark(Call.PUT, self._context.id, body["title"]), "PUT", self._context.path, body)

    async def _remove(self) -> bool:
        name = self._random.choice(NAMES)
        path = f"{self._context.path}/{quote(name, safe='')}"
        return await self._send(Mark(Call.REMOVE, self._context.id, name), "DELETE", path)

    async def _break_rules(self) -> bool:
        """Send what is refused, and must be nowhere."""
        body = {**self._item(), "duration": -1}
        mark = Mark(Call.PUT, self._context.id, body["title"])
        app, path = self._context.app, self._context.path
        _, reply = await self._write(app, mark, "PUT", path, body, expected=frozenset({400}))
        return _is_answered(reply)

    async def _hide(self) -> bool:
        context, sessions = self._context, self._household.sessions_of(self._context)
        if not sessions:
            return True
        session = self._random.choice(sessions)
        name, hidden = self._random.choice(NAMES), self._random.random() < 0.6
        body = {"content_id": name, "action": "hide" if hidden else "unhide"}
        after = [token for token in (context.position, session.seen) if token and self._random.random() < 0.7]
        write, reply = await self._write(
            session.platform,
            Mark(Call.HIDE, context.id, name, hidden),
            "PUT",
            f"{session.path}/{context.id}",
            body,
            after=after,
            expected=frozenset({404}),
        )
        write.session = session.id
        if reply is not None and write.outcome is Outcome.ACKNOWLEDGED:
            context.position = reply.headers["Paket-Position"]
        return _is_answered(reply)

    async def _detach_all(self) -> bool:
        context = self._context
        proofs = [
            (session.id, epoch)
            for session in self._household.sessions
            for epoch in session.shown
            if session.epochs[epoch] is context
        ]
        mark = Mark(Call.DETACH_ALL, context.id, "")
        write, reply = await self._write(context.app, mark, "DELETE", f"{context.path}/sessions", proofs=tuple(proofs))
        if write.outcome is Outcome.ACKNOWLEDGED:
            for session in self._household.sessions:
                session.attached.discard(context)
                session.shown = {epoch for epoch in session.shown if session.epochs[epoch] is not context}
        return _is_answered(reply)


class Platform(_Writer):
    """Gives the commands of one session."""

    def __init__(self, shared: Clients, household: Household, place: int, seed: int, every_s: float) -> None:
        super().__init__(f"the platform of session {place}", shared, household, seed)
        self._place, self._every_s = place, every_s

    @property
    def _session(self) -> Session:
        return self._household.sessions[self._place]

    async def run(self) -> None:
        """Give commands until the run ends."""
        while not self._shared.stop.is_set():
            few = len(self._session.attached) < 4
            weights = [80 if few else 25, 15, 20, 3]
            (call,) = self._random.choices([self._attach, self._refresh, self._detach, self._delete], weights)
            while not await call() and not self._shared.stop.is_set():
                pass
            await self._shared.pause(self._every_s)

    async def _command(self, mark: Mark, method: str, path: str, body: Any = None) -> tuple[Write, Reply | None]:
        session = self._session
        after = [session.commanded] if session.commanded and self._random.random() < 0.5 else []
        write, reply = await self._write(
            session.platform, mark, method, path, body, after=after, expected=frozenset({404})
        )
        if reply is not None and reply.status == 404:
            self._shared.wrong(f"{mark} was answered 404, and its session is not deleted")
        if reply is not None and write.outcome is Outcome.ACKNOWLEDGED:
            session.commanded = reply.headers["Paket-Position"]
        return write, reply

    async def attach(self, context: Context) -> bool:
        """Attach a context, or refresh its attachment; say whether an answer came."""
        session = self._session
        body = {"app_id": context.app.tenant, "context_id": context.id}
        write, reply = await self._command(Mark(Call.ATTACH, session.id, context.id), "PUT", session.path, body)
        if write.outcome is not Outcome.FAILED:
            session.attached.add(context)
        if reply is not None and write.outcome is Outcome.ACKNOWLEDGED:
            write.answer = reply.json
            assert isinstance(write.position, SessionsPosition)
            (epoch,) = write.position.offsets.values()
            session.epochs[epoch] = context
        return _is_answered(reply)

    async def _attach(self) -> bool:
        return await self.attach(self._random.choice(self._household.contexts))

    async def _refresh(self) -> bool:
        attached = sorted(self._session.attached, key=lambda context: context.id)
        return not attached or await self.attach(self._random.choice(attached))

    async def _detach(self) -> bool:
        session = self._session
        attached = sorted(session.attached, key=lambda context: context.id)
        if not attached:
            return True
        context = self._random.choice(attached)
        mark = Mark(Call.DETACH, session.id, context.id)
        write, reply = await self._command(mark, "DELETE", f"{session.path}/{context.id}")
        if write.outcome is Outcome.ACKNOWLEDGED:
            session.attached.discard(context)
        return _is_answered(reply)

    async def _delete(self) -> bool:
        """Delete the session, until that is known to be done, and make another."""
        session = self._session
        outcome = Outcome.UNKNOWN
        while outcome is not Outcome.ACKNOWLEDGED and not self._shared.stop.is_set():
            after = [session.commanded] if session.commanded else []
            write, reply = await self._write(
                session.platform,
                Mark(Call.DELETE, session.id, ""),
                "DELETE",
                session.path,
                after=after,
                expected=frozenset({404}),
            )
            outcome = write.outcome
            if reply is not None and reply.status == 404:
                break
        if outcome is Outcome.ACKNOWLEDGED and reply is not None:
            session.commanded = reply.headers["Paket-Position"]
        self._household.former.append(session)
        while not self._shared.stop.is_set():
            made = await self.make(session.platform)
            if made is not None:
                self._household.sessions[self._place] = made
                break
        return True

    async def make(self, platform: Client) -> Session | None:
        """Make a session, where the answer comes: of one that was made without an answer nobody knows the id."""
        write, reply = await self._write(platform, Mark(Call.CREATE_SESSION, "", ""), "POST", "/v1/sessions")
        if reply is None or write.outcome is not Outcome.ACKNOWLEDGED:
            return None
        made = reply.json["session_id"]
        write.mark = Mark(Call.CREATE_SESSION, made, "")
        return Session(made, platform, commanded=reply.headers["Paket-Position"])
