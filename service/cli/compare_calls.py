"""Questions to the nodes that have two versions of the views, wherever each partition is served by now."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import NamedTuple, Self, TypeVar

import aiohttp
import msgspec

from service.cli.nodes import NodesError, nodes_known_to
from service.http.past_digests import StepsOut, TouchedOut
from streams.domain.audits import Audited
from streams.domain.digests import DigestItems, Digests
from streams.domain.errors import UpNextError
from streams.domain.nodes import TableName

T = TypeVar("T")

_TABLES = {Audited.CONTEXTS: TableName.CONTEXTS, Audited.SESSIONS: TableName.SESSIONS}
_ELSEWHERE = frozenset({404, 421, 503})
"""What who does not have a partition answers, or does not have it yet."""
_CALL_S, _LIMIT_S, _AGAIN_S = 70.0, 60.0, 0.25
"""For one answer; for somebody to have a partition that has none; between two looks at who has it."""


class CompareError(UpNextError):
    """The versions differ, or cannot be compared; the message says why."""


class Seat(NamedTuple):
    """A partition of a table of a version."""

    view: str
    of: Audited
    partition: int


class Versions:
    """Two versions of the views. To be entered, for it keeps connections."""

    def __init__(self, url: str, token: str, names: Sequence[str]) -> None:
        """Take the internal listener of any node, the super user's token, and both versions."""
        self._url, self.names = url, names
        self._seats: dict[Seat, str] = {}
        self._partitions = 0
        self._reads_log = asyncio.Lock()
        self._http = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(_CALL_S), headers={"Authorization": f"Bearer {token}"}
        )

    async def __aenter__(self) -> Self:
        """Look who has what."""
        await self._look()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self._http.close()

    @property
    def partitions(self) -> range:
        """The partitions of each table."""
        return range(self._partitions)

    async def both(
        self, of: Audited, partition: int, *, beyond: str | None = None, only: Sequence[str] | None = None
    ) -> list[Digests]:
        """Return what each version has of a partition, both read at the same time."""
        seats = [Seat(view, of, partition) for view in self.names]
        return list(await asyncio.gather(*(self.digests(seat, beyond=beyond, only=only) for seat in seats)))

    async def digests(self, seat: Seat, *, beyond: str | None = None, only: Sequence[str] | None = None) -> Digests:
        """Return what one has of a partition."""
        asked = {
            "of": seat.of.value,
            "partition": str(seat.partition),
            "beyond": beyond,
            "only": None if only is None else ",".join(only),
        }
        return await self._asked(seat, "digests", Digests, **asked)

    async def touched(self, of: Audited, partition: int, between: range) -> frozenset[str]:
        """Return the ids of which the source has events at some offsets."""
        if not between:
            return frozenset()
        numbers = {"partition": str(partition), "first": str(between.start), "end": str(between.stop)}
        seat = Seat(self.names[0], of, partition)
        # A node reads its log for two at a time, and refuses others.
        async with self._reads_log:
            return frozenset((await self._asked(seat, "touched", TouchedOut, of=of.value, **numbers)).ids)

    async def items(self, seat: Seat, context: str, session: str | None = None) -> DigestItems:
        """Return the items of a context, in its own list or in a session's, from who has that."""
        return await self._asked(seat, "items", DigestItems, context=context, session=session)

    async def steps(self, **asked: str | None) -> StepsOut:
        """Return what events did to an item (context, content_id) or an attachment (session, context)."""
        return await self._asked(Seat(self.names[0], Audited.CONTEXTS, 0), "steps", StepsOut, **asked)

    async def _look(self) -> None:
        # Who was heard of last says it last: what one that was killed has said that it serves is another's by now.
        nodes = sorted((await nodes_known_to(self._url)).nodes, key=lambda node: -node.silent_ms)
        views = {node.view for node in nodes}
        self._seats = {
            Seat(view, of, partition): node.url
            for view in self.names
            for node in nodes
            # The embedded log's one node says which version is live, and has the others beside it.
            if node.view == view or view not in views
            for of, table in _TABLES.items()
            for partition in node.served(table)
        }
        # As many as were ever seen: nobody has the last one while its owner's partitions are taken over.
        self._partitions = max(self._partitions, *(seat.partition + 1 for seat in self._seats), 0)

    async def _asked(self, seat: Seat, what: str, kind: type[T], **asked: str | None) -> T:
        """Ask who has a partition, and again who has it by then, for as long as nobody does."""
        query = {name: value for name, value in {"view": seat.view, **asked}.items() if value is not None}
        end_s = asyncio.get_running_loop().time() + _LIMIT_S
        while True:
            found = await self._tried(seat, what, query)
            if isinstance(found, bytes):
                return msgspec.json.decode(found, type=kind)
            if asyncio.get_running_loop().time() > end_s:
                raise CompareError(f"{seat.of.value} of partition {seat.partition} of {seat.view}: {found}")
            await asyncio.sleep(_AGAIN_S)
            try:
                await self._look()
            except NodesError as error:
                raise CompareError(str(error)) from error

    async def _tried(self, seat: Seat, what: str, query: dict[str, str]) -> bytes | str:
        """Return the answer, or why there is none for now."""
        url = self._seats.get(seat)
        if url is None:
            return "no node serves it"
        try:
            async with self._http.get(f"{url}/past/{what}", params=query) as answer:
                body = await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return f"{url} does not answer ({error!r})"
        if answer.status == 200:
            return body
        said = f"{url} says {answer.status}: {body.decode(errors='replace')}"
        if answer.status not in _ELSEWHERE:
            raise CompareError(said)
        return said
