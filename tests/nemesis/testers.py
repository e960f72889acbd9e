"""Who tries the API out with test keys: all is checked as for live ones, and nothing of it may be anywhere."""

from __future__ import annotations

import random

from tests.nemesis.clients import Client, Clients, LostError, RefusedError, Reply
from tests.support.nodes import item

_REFUSALS = frozenset({"registry_behind", "overloaded"})
"""503s that there may be: no log and no table is asked."""
_ITEMS = 3


class Tester:
    """Calls with the test keys of an app and a platform, one call after another."""

    def __init__(self, shared: Clients, app: Client, platform: Client, seed: int, every_s: float) -> None:
        self._shared, self._app, self._platform = shared, app, platform
        self._random, self._every_s = random.Random(seed), every_s

    async def run(self) -> None:
        """Call until the run ends."""
        while not self._shared.stop.is_set():
            await self._try_out()
            await self._shared.pause(self._every_s)

    async def _try_out(self) -> None:
        """Make a context and a session, put an item, attach, and read what is always the same."""
        context = await self._call(self._app, "POST", "/v1/contexts")
        session = await self._call(self._platform, "POST", "/v1/sessions")
        if context is None or session is None:
            return
        context_id, session_id = context.json["context_id"], session.json["session_id"]
        path, body = f"/v1/sessions/upnext/{session_id}", {"app_id": self._app.tenant, "context_id": context_id}
        await self._call(self._app, "PUT", f"/v1/contexts/upnext/{context_id}", item("tested"))
        await self._call(self._platform, "PUT", path, body)
        read = await self._call(self._platform, "GET", path)
        if read is not None and read.json["total"] != _ITEMS:
            self._shared.wrong(f"a list for a test key has {read.body!r}")

    async def _call(self, client: Client, method: str, path: str, body: object = None) -> Reply | None:
        """Return an answer that is a 200, and note what there must not be."""
        key = f"{self._random.getrandbits(64):x}" if method in {"POST", "PUT"} and self._random.random() < 0.3 else ""
        try:
            reply = await client.call(method, path, body, key=key)
        except (RefusedError, LostError):
            return None
        if reply.status == 503 and reply.code in _REFUSALS:
            return None
        if reply.status != 200 or reply.headers.get("Paket-Response-Type") != "Test":
            self._shared.wrong(f"{method} {path} with a test key was answered {reply.status}: {reply.headers}")
            return None
        return reply
