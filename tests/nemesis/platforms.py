"""Platforms: one for each session, with every command that they have."""

from __future__ import annotations

from typing import Any

from streams.domain.positions import SessionsPosition
from tests.nemesis.clients import Client, Clients, Reply
from tests.nemesis.history import Call, Mark, Outcome, Write
from tests.nemesis.household import Context, Household, Session
from tests.nemesis.writers import Writer, is_answered


class Platform(Writer):
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
        write, reply = await self.write(
            session.platform,
            mark,
            method,
            path,
            body,
            after=after,
            expected=frozenset({404}),
            key="" if method == "DELETE" else self.key(),
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
        return is_answered(reply)

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
        return is_answered(reply)

    async def _delete(self) -> bool:
        """Delete the session, until that is known to be done, and make another."""
        session = self._session
        outcome = Outcome.UNKNOWN
        while outcome is not Outcome.ACKNOWLEDGED and not self._shared.stop.is_set():
            after = [session.commanded] if session.commanded else []
            write, reply = await self.write(
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
        mark = Mark(Call.CREATE_SESSION, "", "")
        write, reply = await self.write(platform, mark, "POST", "/v1/sessions", key=self.key())
        if reply is None or write.outcome is not Outcome.ACKNOWLEDGED:
            return None
        made = reply.json["session_id"]
        write.mark = Mark(Call.CREATE_SESSION, made, "")
        return Session(made, platform, commanded=reply.headers["Paket-Position"])
