"""What is moved when a deployment is, and how far a log that it is moved from goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from streams.codec import id_in_key
from streams.domain.errors import RefusedStartError
from streams.domain.ids import Kind
from streams.domain.registry_state import Deployment
from streams.log.port import Readable
from streams.registry_once import folded_once
from streams.topics import CONTEXT_EVENTS, REGISTRY_EVENTS, SESSION_EVENTS, partition_of

KEYED = {CONTEXT_EVENTS: Kind.CONTEXT, SESSION_EVENTS: Kind.SESSION}
"""Sources of as many partitions as the deployment has → what the ids in their records' keys are of."""
MOVED = (*KEYED, REGISTRY_EVENTS)
"""In the order in which they are moved: what an event refers to is configured before it is written."""

Ends = Mapping[str, Sequence[int]]
"""Source → an offset for each of its partitions."""


async def deployment_of(log: Readable) -> Deployment:
    """
    Return what holds for the deployment whose sources *log* has.

    Raises:
        RefusedStartError: There is none.
        LogUnavailableError: The log did not answer.
    """
    deployment = (await folded_once(log)).deployment
    if deployment is None:
        raise RefusedStartError("There is nothing to move: no node was ever started on this log.")
    return deployment


def partitions_in(topic: str, partitions: int) -> int:
    """Return how many partitions a source has in a deployment of *partitions* partitions."""
    return partitions if topic in KEYED else 1


async def starts_of(log: Readable, partitions: int) -> dict[str, list[int]]:
    """Return where each partition of each source begins."""
    return {t: [await log.start_offset(t, n) for n in range(partitions_in(t, partitions))] for t in MOVED}


async def ends_of(log: Readable, partitions: int) -> dict[str, list[int]]:
    """Return where each partition of each source ends now."""
    return {t: [await log.end_offset(t, n) for n in range(partitions_in(t, partitions))] for t in MOVED}


def new_partition(topic: str, key: bytes | None, partition: int, partitions: int) -> int:
    """
    Return the partition of a record where there are *partitions*.

    What bears no id was written by somebody else, and is a dead letter wherever it stands: it stays in order with what
    it stood among.
    """
    if topic not in KEYED:
        return partition
    raw = id_in_key(KEYED[topic], key)
    return partition % partitions if raw is None else partition_of(raw, partitions)
