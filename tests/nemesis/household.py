"""What clients write to and read from: contexts of two apps, and sessions of two platforms that have them attached."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from tests.nemesis.clients import Client

NAMES = [*(f"c{n}" for n in range(10)), "a/b .c", "50% é 日本", "sessions/contexts"]
"""Content ids: an item of each may be in a context."""


@dataclass(eq=False)
class Context:
    """One context, to which one client writes, one call after another."""

    id: str
    app: Client
    position: str = ""
    """The token of the last write that was acknowledged."""

    @property
    def path(self) -> str:
        return f"/v1/contexts/upnext/{self.id}"


@dataclass(eq=False)
class Session:
    """One session, whose commands one client gives, one after another, and which others read."""

    id: str
    platform: Client
    attached: set[Context] = field(default_factory=set)
    """What it should have, as far as its client knows."""
    epochs: dict[int, Context] = field(default_factory=dict)
    """Where attachments stand in the log, as far as they were acknowledged."""
    shown: set[int] = field(default_factory=set)
    """Those of them that a list has shown with their items: their contexts know of the session."""
    commanded: str = ""
    """The token of the last command that was acknowledged."""
    seen: str = ""
    """The token of a list that was read."""

    @property
    def path(self) -> str:
        return f"/v1/sessions/upnext/{self.id}"


@dataclass
class Household:
    """All of them. A session that is deleted is followed by another in its place."""

    contexts: list[Context]
    sessions: list[Session]
    former: list[Session] = field(default_factory=list)
    testers: list[tuple[Client, Client]] = field(default_factory=list)
    """Apps and platforms that call with their test keys."""

    def sessions_of(self, context: Context) -> list[Session]:
        """Return the sessions that should have a context attached."""
        return [session for session in self.sessions if context in session.attached]

    def any_session(self, source: random.Random) -> Session:
        """Return a session, now and then one that was deleted."""
        if self.former and source.random() < 0.02:
            return source.choice(self.former)
        return source.choice(self.sessions)
