"""What the engine's examples have in common: one context, one session, and what becomes of the calls of the log."""

from __future__ import annotations

import asyncio
import json

from streams.domain import context_rows
from streams.topics import view_topics
from tests.support.engine_faults import Trouble, Troubles
from tests.support.engine_nodes import Living
from tests.support.tables import context_id, session_id

CONTEXT, SESSION = context_id(1), session_id(1)
TOPICS = view_topics()
FEED, SUBSCRIPTIONS = f"append {TOPICS.feed}-0", f"append {TOPICS.subscriptions}-0"
CONTEXTS_CHANGELOG, SESSIONS_CHANGELOG = (
    f"changelog {TOPICS.contexts_changelog}-0",
    f"changelog {TOPICS.sessions_changelog}-0",
)


def titles(one: Living) -> list[str]:
    """Return the titles of the context's items as its table has them, newest first."""
    rows = one.node.contexts.table.rows(0)
    return [json.loads(fragment + b"}")["title"] for _, fragment in context_rows.newest_items(rows, CONTEXT)]


def once(name: str, trouble: Trouble) -> Troubles:
    """Return what happens where the next call of *name* gets into *trouble*, and nothing else does."""
    left = [trouble]

    def becomes(call: str) -> Trouble:
        return left.pop() if call == name and left else Trouble.NONE

    return becomes


async def put_many(one: Living, count: int, **more: object) -> None:
    await asyncio.gather(*(one.writes.put(CONTEXT, f"{n:03}", title=f"T{n}", **more) for n in range(count)))


async def ended(running: asyncio.Task[None]) -> None:
    running.cancel()
    await asyncio.wait([running], timeout=20)
    assert running.cancelled()
