"""Who reads: whole lists and pages, one context's part, what is attached, again with an ETag, and after positions."""

from __future__ import annotations

import random
from array import array
from collections.abc import Mapping
from typing import Any

from streams.domain.positions import ListPosition
from tests.nemesis.clients import Client, Clients, LostError, RefusedError, Reply
from tests.nemesis.history import Entries, Entry, Kind, Read
from tests.nemesis.household import Context, Household, Session
from tests.nemesis.oracle import NONE

WHOLE = 200
"""Items: more than a list has here."""
_AGAIN_S = 0.05
_MOST_PAGES = 8
_MOST_POSITIONS = 6
_MOST_KNOWN = 200


class _Known:
    """What a client has of a page: its ETag, and what it was."""

    def __init__(self, etag: str, read: Read) -> None:
        self.etag, self.read = etag, read


class Reader:
    """Reads lists, one after another."""

    def __init__(self, name: str, shared: Clients, household: Household, seed: int, every_s: float) -> None:
        self._name, self._shared, self._household = name, shared, household
        self._random = random.Random(seed)
        self._every_s = every_s
        self._known: dict[str, _Known] = {}

    async def run(self) -> None:
        """Read until the run ends."""
        reads = [self._whole, self._pages, self._in_session, self._contexts, self._head, self._of_context]
        while not self._shared.stop.is_set():
            (read,) = self._random.choices(reads, [45, 10, 10, 8, 4, 20])
            await read()
            await self._shared.pause(self._every_s)

    async def _whole(self) -> None:
        session = self._household.any_session(self._random)
        read = Read(Kind.SESSION, session.id, 0, 0)
        await self._of_session(session, read, session.path, self._after(session))

    async def whole(self, session: Session, after: list[str]) -> Read:
        """Read all of a session's list, and return what came: without an answer, a read without a position."""
        read = Read(Kind.SESSION, session.id, 0, 0)
        await self._of_session(session, read, session.path, after)
        return read

    async def of_context(self, context: Context) -> Read:
        """Likewise, all of a context's list."""
        read = Read(Kind.CONTEXT, context.id, 0, 0)
        await self._read(context.app, read, context.path, [context.position])
        return read

    async def _pages(self) -> None:
        """Read page after page, each not older than the one before."""
        session = self._household.any_session(self._random)
        limit, start, token = self._random.randrange(1, 30), 0, session.seen
        for _ in range(_MOST_PAGES):
            read = Read(Kind.SESSION, session.id, 0, 0, start=start, limit=limit)
            reply = await self._of_session(session, read, session.path, [token] if token else [])
            if reply is None or read.next_key is None:
                return
            start, token = read.next_key, reply.headers["Paket-Position"]

    async def _in_session(self) -> None:
        session = self._household.any_session(self._random)
        context = self._random.choice(self._household.contexts)
        attached = sorted(session.attached, key=lambda each: each.id)
        if attached and self._random.random() < 0.9:
            context = self._random.choice(attached)
        read = Read(Kind.IN_SESSION, session.id, 0, 0, context=context.id)
        await self._of_session(session, read, f"{session.path}/{context.id}", self._after(session))

    async def _contexts(self) -> None:
        session = self._household.any_session(self._random)
        read = Read(Kind.CONTEXTS, session.id, 0, 0, limit=self._random.choice([2, 50]))
        await self._of_session(session, read, f"{session.path}/contexts", self._after(session))

    async def _head(self) -> None:
        session = self._household.any_session(self._random)
        read = Read(Kind.SESSION, session.id, 0, 0)
        await self._of_session(session, read, session.path, self._after(session), method="HEAD")

    async def _of_context(self) -> None:
        context = self._random.choice(self._household.contexts)
        after = [context.position] if context.position and self._random.random() < 0.7 else []
        limit = self._random.choice([WHOLE, 5])
        read = Read(Kind.CONTEXT, context.id, 0, 0, limit=limit, start=0 if limit == WHOLE else 3)
        await self._read(context.app, read, context.path, after)

    def _after(self, session: Session) -> list[str]:
        """Return what a client passes: what it has seen, what was commanded, what was written to some contexts."""
        tokens = [token for token in (session.seen, session.commanded) if token and self._random.random() < 0.6]
        if self._random.random() < 0.3:
            contexts = sorted(session.attached, key=lambda context: context.id)
            chosen = self._random.sample(contexts, min(len(contexts), _MOST_POSITIONS))
            tokens += [context.position for context in chosen if context.position]
        return tokens

    async def _of_session(
        self, session: Session, read: Read, path: str, after: list[str], *, method: str = "GET"
    ) -> Reply | None:
        """Read something of a session's; note what the client has seen by it."""
        reply = await self._read(session.platform, read, path, after, method=method)
        if reply is None or not isinstance(read.position, ListPosition):
            return None
        if session.seen in ("", *after):
            session.seen = reply.headers["Paket-Position"]
        session.shown |= {epoch for epoch, at in read.position.members if at != NONE and epoch in session.epochs}
        return reply

    async def _read(
        self, client: Client, read: Read, path: str, after: list[str], *, method: str = "GET"
    ) -> Reply | None:
        """Send a read until it is answered, fill *read* in, and note it; return the answer where it is a list."""
        path = f"{path}?limit={read.limit}&next_key={read.start}"
        while not (reply := await self._attempt(client, read, path, after, method)):
            await self._shared.pause(_AGAIN_S)
            if self._shared.stop.is_set():
                return None
        return self._noted(read, path, method, reply)

    async def _attempt(self, client: Client, read: Read, path: str, after: list[str], method: str) -> Reply | None:
        shared = self._shared
        known = self._known.get(path) if method == "GET" and self._random.random() < 0.3 else None
        read.client, read.began_s = self._name, shared.now_s()
        read.after = tuple(shared.tokens.read(token) for token in after)
        what = f"{read.kind.value} {read.of}"
        try:
            reply = await client.call(method, path, after=after, known=known.etag if known else "")
        except (RefusedError, LostError):
            reply = None
        read.ended_s = shared.now_s()
        if reply is None or reply.status == 503:
            shared.reads.failed(what, read.began_s)
            return None
        shared.reads.had(what)
        return reply

    def _noted(self, read: Read, path: str, method: str, reply: Reply) -> Reply | None:
        shared = self._shared
        known = self._known.get(path)
        read.status, read.view = reply.status, reply.headers.get("Paket-View", "")
        may_be_absent = read.kind is not Kind.CONTEXT
        if reply.status not in (200, 404 if may_be_absent else 200, 304 if known else 200):
            shared.wrong(f"{read} was answered {reply.status}: {reply.body!r}")
            return None
        if reply.status == 404:
            shared.history.reads.append(read)
            return None
        position = shared.position(reply)
        assert position is not None
        read.position = position
        if reply.status == 304 and known is not None:
            read.entries, read.total, read.next_key = known.read.entries, known.read.total, known.read.next_key
        elif method == "GET":
            _fill(read, reply.json, shared.history.entries)
            self._remember(path, reply, read)
        shared.history.reads.append(read)
        return reply

    def _remember(self, path: str, reply: Reply, read: Read) -> None:
        if len(self._known) > _MOST_KNOWN:
            self._known.clear()
        self._known[path] = _Known(reply.headers["ETag"], read)


def _fill(read: Read, body: Mapping[str, Any], entries: Entries) -> None:
    read.total, read.next_key = body["total"], body.get("next_key")
    numbers: list[Entry] = []
    for entry in body["items"]:
        if read.kind in (Kind.SESSION, Kind.IN_SESSION):
            # What they hold is configured for nobody here.
            assert (entry.pop("platform_data"), entry.pop("app_media")) == ({}, {})
        numbers.append(entries.number(entry))
    read.entries = array("q", numbers)
