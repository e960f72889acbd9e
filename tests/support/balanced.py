"""Clients behind a load balancer: where a node does not listen the next one is asked, and nothing else is hidden."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import aiohttp

from tests.support.nodes import Answer, Caller, NodeProcess


class Call(NamedTuple):
    """What became of one call, however many nodes were asked."""

    kind: str
    about: str
    """The path: the context or session."""
    began_s: float
    ended_s: float
    status: int
    """0: no node was there to answer."""

    @property
    def worked(self) -> bool:
        """Whether it was answered as if nothing were wrong."""
        return 0 < self.status < 500


@dataclass
class Tally:
    """All calls of a test, in the order in which they ended."""

    calls: list[Call] = field(default_factory=list)
    asked_again: int = 0
    """Connections that broke before a byte of an answer, so that another node was asked."""

    def of(self, kind: str) -> list[Call]:
        """Return the calls of a kind."""
        return [call for call in self.calls if call.kind == kind]

    def failed(self, kind: str) -> list[Call]:
        """Return those that did not work."""
        return [call for call in self.of(kind) if not call.worked]

    def away_s(self, kind: str) -> float:
        """Return for how long at most calls about one thing failed: from the first to the end of one that worked."""
        return max(self._away_s(kind), default=0.0)

    def slowest_s(self, kind: str) -> float:
        """Return how long the slowest call of a kind took."""
        return max((call.ended_s - call.began_s for call in self.of(kind)), default=0.0)

    def _away_s(self, kind: str) -> Iterator[float]:
        since: dict[str, float] = {}
        for call in self.of(kind):
            if not call.worked:
                since.setdefault(call.about, call.began_s)
            elif call.about in since:
                yield call.ended_s - since.pop(call.about)
        yield from (time.monotonic() - began_s for began_s in since.values())

    def told(self, kind: str) -> str:
        """Return a line for people."""
        return (
            f"{kind}: {len(self.of(kind))} calls, {len(self.failed(kind))} failed, away for at most "
            f"{self.away_s(kind):.2f} s, the slowest took {self.slowest_s(kind):.2f} s"
        )


@dataclass
class Balanced(Caller):
    """One client of nodes behind a load balancer, which asks one of them first."""

    nodes: Sequence[NodeProcess] = ()
    first: int = 0
    kind: str = ""
    tally: Tally = field(default_factory=Tally)

    @classmethod
    def like(cls, caller: Caller, nodes: Sequence[NodeProcess], first: int, kind: str, tally: Tally) -> Balanced:
        """Return the same client as *caller*, whose calls are tallied as of this kind."""
        who = caller.headers, caller.tenant, caller.client_id, caller.secret
        return cls(caller.http, "", *who, nodes=nodes, first=first % len(nodes), kind=kind, tally=tally)

    async def call(self, method: str, path: str, *args: Any, **more: Any) -> Answer:
        """Call the nodes until one answers, and note what became of it."""
        began_s, status = time.monotonic(), 0
        try:
            answer = await self._first_answer(method, path, *args, **more)
            status = answer.status
        finally:
            self.tally.calls.append(Call(self.kind, path.partition("?")[0], began_s, time.monotonic(), status))
        return answer

    async def _first_answer(self, *args: Any, **more: Any) -> Answer:
        lost: Exception = aiohttp.ClientConnectionError("there is no node")
        for n in range(len(self.nodes)):
            self.url = self.nodes[(self.first + n) % len(self.nodes)].url
            try:
                return await super().call(*args, **more)
            except aiohttp.ClientConnectorError as error:
                lost = error
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
                # All that is called here may be repeated (RFC 9110, 9.2.2), and load balancers do.
                self.tally.asked_again += 1
                lost = error
        raise lost
