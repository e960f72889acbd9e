"""Calls as one node forwards them to another, made by a test: they say what is where, for they go no further."""

from __future__ import annotations

import time
from dataclasses import dataclass

import aiohttp

from service.http.forward import PREFIX
from service.http.forward_signature import ForwardedCall, signed
from service.ports import Client
from streams.domain.ids import Kind, parse_id
from streams.keys import read_master_key
from tests.support.nodes import MASTER_KEY, Answer, Caller, NodeProcess, yarl_raw

KEY = read_master_key(MASTER_KEY).derive(b"forward")


def name_of(node: NodeProcess) -> str:
    """Return the name of a node that has been started once."""
    return (node.directory / "node.name").read_text().strip()


@dataclass(frozen=True)
class Forwarded:
    """A call of a client, as a node hands it on."""

    http: aiohttp.ClientSession
    caller: Caller

    def call(self, node: NodeProcess, method: str, path: str) -> ForwardedCall:
        caller = self.caller
        kind = Kind(caller.tenant[:2])
        tenant = parse_id(kind, caller.tenant)
        assert tenant is not None
        client = Client(caller.client_id, kind, tenant, live=True)
        return ForwardedCall(name_of(node), method, path, b"", client, "req_0123456789abcdef")

    async def sent(
        self, node: NodeProcess, call: ForwardedCall, *, key: bytes = KEY, late_ms: int = 0, path: str | None = None
    ) -> Answer:
        """Send a call, altered or not, to a node's internal listener."""
        headers = signed(key, call, time.time_ns() // 1_000_000 - late_ms)
        url = yarl_raw(f"{node.internal_url}{PREFIX}{path or call.path}")
        method = "GET" if call.method == "GET" else "POST"
        skipped = ["Content-Type", "Accept-Encoding"]
        async with self.http.request(method, url, headers=headers, skip_auto_headers=skipped) as answer:
            return Answer(answer.status, answer.headers, await answer.read())

    async def read(self, node: NodeProcess, path: str) -> Answer:
        """Read a list of that node alone: 421 where it does not have it."""
        return await self.sent(node, self.call(node, "GET", path))
