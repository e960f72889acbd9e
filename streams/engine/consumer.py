"""Faust's consumer, as the engine needs it: whole fetches, own positions, nothing acknowledged record by record."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from faust.types import TP

from streams.log.port import Record

_FETCH_S = 1.0
_SHORT_FETCH_S = 0.02
"""While a processor has as much as it may have: it must be asked again soon whether it has room."""
_NOTHING_TO_FETCH_S = 0.005


class Intake(Protocol):
    """The engine, as the consumer needs it."""

    def wants(self, topic: str) -> bool:
        """Say whether more of *topic* should be fetched now."""

    def take(self, topic: str, partition: int, records: Sequence[Record]) -> None:
        """Take what was fetched."""

    def next_offsets(self) -> Mapping[tuple[str, int], int]:
        """Return where to read on: for every owned partition, the table's own position + 1."""

    async def pause(self) -> None:
        """Take nothing more, and return when what is under way is over."""

    def resume(self) -> None:
        """Take what is fetched from now on."""


class WholeFetches:
    """
    Mixed into a Faust consumer: hands whole fetches to the engine, and has it say where to read.

    What it mends (`faust/transport/consumer.py` of 0.15.3):

    - `_drain_messages` (1193-1262) makes a message, an event, four tasks and three cancellations of every record, and
      takes `_read_offset` for "next" after a seek and for "last" afterwards, so that a record comes twice.
    - `_wait_next_records` (788-824) sleeps for a second where every partition is full, and lends its set of
      partitions to a fetch under way, which then sees those that are resumed later.
    - `seek_to_committed` seeks to the group's committed offsets, which lag behind the table or lead it.
    - `force_commit` (977) commits what was acknowledged record by record. Here the tables' positions are committed, for
      whoever looks at the group with Kafka's tools; nobody reads them back.
    - `wait_empty` (870) waits for acknowledgements. Here it waits for the turn under way.
    """

    intake: Intake
    _committed: Mapping[tuple[str, int], int] = {}

    async def _drain_messages(self: Any, fetcher: Any) -> None:
        try:
            while not (self.should_stop or fetcher.should_stop):
                await self._fetch_once()
        except self.consumer_stopped_errors:
            if not self.app.should_stop:
                raise

    async def _fetch_once(self: Any) -> None:
        if not self.flow_active:
            await self.wait(self.can_resume_flow)
            return
        active = self._get_active_partitions()
        wanted = {tp for tp in active if self.intake.wants(tp.topic)}
        if not wanted:
            await asyncio.sleep(_NOTHING_TO_FETCH_S)
            return
        limit_s = _FETCH_S if len(wanted) == len(active) else _SHORT_FETCH_S
        generation = self.app.consumer_generation_id
        fetched = await self._getmany(active_partitions=wanted, timeout=limit_s)
        # What came too late, for the flow has been stopped or the partitions revoked, will be sought again.
        if self.flow_active and generation == self.app.consumer_generation_id:
            for tp, records in fetched.items():
                self.intake.take(tp.topic, tp.partition, records)
        await asyncio.sleep(0)

    async def seek_to_committed(self: Any) -> Mapping[TP, int]:
        """Seek every source to its table's own position + 1, and let the engine take what comes from there."""
        positions: dict[TP, int] = self._own_positions()
        await self.seek_wait(positions)
        self.intake.resume()
        return positions

    def _own_positions(self: Any) -> dict[TP, int]:
        offsets = self.intake.next_offsets()
        return {tp: offsets[tp.topic, tp.partition] for tp in self.assignment() if (tp.topic, tp.partition) in offsets}

    async def force_commit(self: Any, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Commit the tables' positions, as a hint to people."""
        del topics, start_new_transaction
        positions = self._own_positions()
        if not positions or positions == self._committed:
            return False
        self._committed = positions
        return bool(await self._commit(positions))

    async def wait_empty(self: Any) -> None:
        """Have the engine finish its turn, and take nothing more."""
        await self.intake.pause()
