"""What every list must be, folded from the acknowledged writes by a dict per context and a set per session."""

from __future__ import annotations

import asyncio
import random
from base64 import b64encode
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.support.nodes import Answer, Caller, Deployment, item

Unknown = (aiohttp.ClientError, TimeoutError, OSError)


@dataclass
class Context:
    """One context: what is certainly in it, and per content id what else may be, its outcome unknown."""

    id: str
    app: Caller
    items: dict[str, str] = field(default_factory=dict)
    maybe: dict[str, set[str | None]] = field(default_factory=dict)
    position: str = ""

    @property
    def path(self) -> str:
        return f"/v1/contexts/upnext/{self.id}"


class Household:
    """Contexts of several apps, attached to sessions, written to at random from one seed."""

    def __init__(self, seed: int, contexts: list[Context], sessions: list[str], platform: Caller) -> None:
        self.random = random.Random(seed)
        self.contexts, self.sessions, self.platform = contexts, sessions, platform
        self.attached: dict[str, set[str]] = {session: set() for session in sessions}
        self.attach_positions: dict[str, str] = {}
        self.acknowledged = self.unknown = 0
        self.items, self.description_bytes = 12, 0
        """How many items a context has, and how much text that cannot be compressed each has."""
        self._progress = asyncio.Event()

    @classmethod
    async def make(cls, deployment: Deployment, seed: int, *, contexts: int = 6, sessions: int = 3) -> Household:
        print(f"seed {seed}")
        company = await deployment.company(f"Household {seed}")
        apps = [await deployment.tenant("apps", company, f"App {n}") for n in range(2)]
        platform = await deployment.tenant("platforms", company)
        made = []
        for n in range(contexts):
            app = apps[n % 2]
            made.append(Context((await app.ok("POST", "/v1/contexts")).json["context_id"], app))
        names = [(await platform.ok("POST", "/v1/sessions")).json["session_id"] for _ in range(sessions)]
        return cls(seed, made, names, platform)

    async def attach_all(self) -> None:
        for session in self.sessions:
            for context in self.contexts:
                body = {"app_id": context.app.tenant, "context_id": context.id}
                answer = await self.platform.ok("PUT", f"/v1/sessions/upnext/{session}", body)
                self.attached[session].add(context.id)
                self.attach_positions[session] = answer.position

    async def write(self, context: Context) -> None:
        """Make one random write of one context and note its outcome. One at a time per context."""
        draw, is_whole = self.random.random(), False
        names = [f"c{self.random.randrange(self.items)}"]
        if draw < 0.1:
            names, is_whole = [f"c{n}" for n in self.random.sample(range(self.items), 5)], draw < 0.03
        titles: dict[str, str | None] = {name: f"{name} {self.random.randrange(10**9)}" for name in names}
        if draw > 0.8:
            titles[names[0]] = None
        try:
            answer = await self._send(context, titles, is_whole=is_whole)
        except Unknown:
            answer = None
        if is_whole:
            titles = dict.fromkeys([*context.items, *context.maybe]) | titles
        is_known = answer is not None and 200 <= answer.status < 300
        for name, title in titles.items():
            if not is_known:
                context.maybe.setdefault(name, {context.items.get(name)}).add(title)
                continue
            context.maybe.pop(name, None)
            if title is None:
                context.items.pop(name, None)
            else:
                context.items[name] = title
        if answer is not None and is_known:
            self.acknowledged += 1
            self._progress.set()
            context.position = answer.position
            return
        assert answer is None or answer.status == 503, (answer.status, answer.body)
        self.unknown += 1

    async def _send(self, context: Context, titles: dict[str, str | None], *, is_whole: bool) -> Answer:
        """Put one item or several, or replace the list by them (*is_whole*), or remove the one without a title."""
        app, path = context.app, context.path
        (name, title), *others = titles.items()
        if title is None:
            return await app.call("DELETE", f"{path}/{name}")
        text = b64encode(self.random.randbytes(self.description_bytes * 3 // 4)).decode() or "A film about a list."
        items = [item(name, title=title, description=text) for name, title in titles.items()]
        if not others:
            return await app.call("PUT", path, items[0])
        return await app.call("PUT" if is_whole else "POST", f"{path}/items", {"items": items})

    async def acknowledge(self, more: int, *, limit_s: float = 60) -> None:
        """Return once *more* further writes were acknowledged."""
        goal = self.acknowledged + more
        async with asyncio.timeout(limit_s):
            while self.acknowledged < goal:
                self._progress.clear()
                await self._progress.wait()

    async def write_until(self, stop: asyncio.Event, *, pause_s: float = 0.0) -> None:
        """Keep every context written to until *stop* is set, and rest between two writes of one."""

        async def writer(context: Context) -> None:
            while not stop.is_set():
                await self.write(context)
                await asyncio.sleep(pause_s)

        async with asyncio.TaskGroup() as group:
            for context in self.contexts:
                group.create_task(writer(context))

    def forget_urls(self, url: str) -> None:
        """Send what follows to another node."""
        self.platform.url = url
        for context in self.contexts:
            context.app.url = url

    async def check(self) -> None:
        """Compare every list of every context and session with what was acknowledged."""
        for context in self.contexts:
            answer = await _when_ready(context.app, context.path, context.position)
            self._compare(context, answer["items"], answer["total"])
        for session in self.sessions:
            wanted = [c for c in self.contexts if c.id in self.attached[session]]
            after = ",".join(p for p in [self.attach_positions.get(session, ""), *(c.position for c in wanted)] if p)
            answer = await _when_ready(self.platform, f"/v1/sessions/upnext/{session}", after)
            order = [entry["updated_at"] for entry in answer["items"]]
            assert order == sorted(order, reverse=True)
            for context in wanted:
                own = [e for e in answer["items"] if e["context_id"] == context.id]
                self._compare(context, own, len(own))
            assert answer["total"] == len(answer["items"])
            assert {e["context_id"] for e in answer["items"]} <= {c.id for c in wanted}

    def _compare(self, context: Context, entries: list[dict[str, Any]], total: int) -> None:
        got = {entry["content_id"]: entry["title"] for entry in entries}
        assert len(got) == len(entries) == total
        for name in got.keys() | context.items.keys():
            allowed = context.maybe.get(name, {context.items.get(name)})
            assert got.get(name) in allowed, (context.id, name, got.get(name), allowed)


async def _when_ready(caller: Caller, path: str, after: str) -> Any:
    """Read a list at *after*, trying again while the view is not there yet (bounded)."""
    loop = asyncio.get_running_loop()
    end = loop.time() + 60
    while True:
        answer = await caller.call("GET", f"{path}?limit=200", after=after)
        if answer.status == 200 or loop.time() > end:
            assert answer.status == 200, (answer.status, answer.body)
            return answer.json
        assert answer.status == 503, (answer.status, answer.body)
