"""Publishers: one for each context, with every call that apps have."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import quote

from tests.nemesis.clients import Clients
from tests.nemesis.history import Call, Mark, Outcome, titles
from tests.nemesis.household import NAMES, Context, Household
from tests.nemesis.writers import Writer, is_answered
from tests.support.nodes import item


class Publisher(Writer):
    """Writes to one context."""

    def __init__(self, shared: Clients, household: Household, context: Context, seed: int, every_s: float) -> None:
        super().__init__(f"the publisher of {context.id}", shared, household, seed)
        self._context, self._every_s = context, every_s

    async def run(self) -> None:
        """Write until the run ends."""
        alone = [(70, self._put), (14, self._remove), (12, self._hide), (2, self._break_rules), (2, self._detach_all)]
        bulks = [(4, self._put_items), (2, self._replace), (2, self._put_items_of_contexts)]
        weights, calls = zip(*alone, *bulks, strict=True)
        while not self._shared.stop.is_set():
            (call,) = self._random.choices(calls, weights)
            while not await call() and not self._shared.stop.is_set():
                pass
            await self._shared.pause(self._every_s)

    async def _send(self, mark: Mark, method: str, path: str, body: Any = None) -> bool:
        key = "" if method == "DELETE" else self.key()
        write, reply = await self.write(self._context.app, mark, method, path, body, key=key)
        if reply is not None and write.outcome is Outcome.ACKNOWLEDGED:
            self._context.position = reply.headers["Paket-Position"]
        return is_answered(reply)

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

    async def _put_items(self) -> bool:
        """Put several, now and then with one that is refused: the others are written."""
        context, items = self._context, self._items()
        mark = Mark(Call.PUT_ITEMS, context.id, titles(items))
        body = {"items": [*items, *self._broken()]}
        return await self._send(mark, "POST", f"{context.path}/items", body)

    async def _replace(self) -> bool:
        items = self._items()
        mark = Mark(Call.REPLACE, self._context.id, titles(items))
        return await self._send(mark, "PUT", f"{self._context.path}/items", {"items": items})

    async def _put_items_of_contexts(self) -> bool:
        """Put items into several contexts at once; each is a write of its own, whose outcome may be its own."""
        same_app = [each for each in self._household.contexts if each.app is self._context.app]
        chosen = self._random.sample(same_app, 3)
        items_of = [self._items() for _ in chosen]
        entries = [{"context_id": each.id, "items": items} for each, items in zip(chosen, items_of, strict=True)]
        marks = [Mark(Call.PUT_ITEMS, each.id, titles(items)) for each, items in zip(chosen, items_of, strict=True)]
        body = {"contexts": entries}
        write, reply = await self.write(self._context.app, marks[0], "POST", "/v1/contexts/bulk", body, key=self.key())
        writes = [write, *(replace(write, mark=mark) for mark in marks[1:])]
        self._shared.history.writes += writes[1:]
        if reply is not None and write.outcome is Outcome.ACKNOWLEDGED:
            for context, each, results in zip(chosen, writes, reply.json["contexts"], strict=True):
                if any(result["status"] == 503 for result in results["results"]):
                    each.outcome, each.position = Outcome.UNKNOWN, None
                else:
                    context.position = reply.headers["Paket-Position"]
        return is_answered(reply)

    def _items(self) -> list[dict[str, Any]]:
        return [self._item() for _ in range(self._random.randrange(1, 7))]

    def _broken(self) -> list[dict[str, Any]]:
        return [{**self._item(), "duration": -1}] if self._random.random() < 0.2 else []

    async def _remove(self) -> bool:
        name = self._random.choice(NAMES)
        path = f"{self._context.path}/{quote(name, safe='')}"
        return await self._send(Mark(Call.REMOVE, self._context.id, name), "DELETE", path)

    async def _break_rules(self) -> bool:
        """Send what is refused, and must be nowhere."""
        body = self._item() | {"duration": -1}
        mark = Mark(Call.PUT, self._context.id, body["title"])
        app, path = self._context.app, self._context.path
        _, reply = await self.write(app, mark, "PUT", path, body, expected=frozenset({400}))
        return is_answered(reply)

    async def _hide(self) -> bool:
        context, sessions = self._context, self._household.sessions_of(self._context)
        if not sessions:
            return True
        session = self._random.choice(sessions)
        name, hidden = self._random.choice(NAMES), self._random.random() < 0.6
        body = {"content_id": name, "action": "hide" if hidden else "unhide"}
        after = [token for token in (context.position, session.seen) if token and self._random.random() < 0.7]
        write, reply = await self.write(
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
        return is_answered(reply)

    async def _detach_all(self) -> bool:
        context = self._context
        proofs = [
            (session.id, epoch)
            for session in self._household.sessions
            for epoch in session.shown
            if session.epochs[epoch] is context
        ]
        mark = Mark(Call.DETACH_ALL, context.id, "")
        write, reply = await self.write(context.app, mark, "DELETE", f"{context.path}/sessions", proofs=tuple(proofs))
        if write.outcome is Outcome.ACKNOWLEDGED:
            for session in self._household.sessions:
                session.attached.discard(context)
                session.shown = {epoch for epoch in session.shown if session.epochs[epoch] is not context}
        return is_answered(reply)
