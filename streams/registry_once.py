"""The registry folded once, for who has no node."""

from __future__ import annotations

from streams.domain.errors import PoisonError
from streams.domain.registry import fold
from streams.domain.registry_state import RegistryState
from streams.log.port import Readable
from streams.registry_codec import decode_registry_event
from streams.topics import REGISTRY_EVENTS


async def folded_once(log: Readable) -> RegistryState:
    """
    Return what the registry's events in *log* make now.

    Raises:
        LogUnavailableError: The log did not answer.
        NewerEventError: It holds an event of a newer version of the program.
    """
    state = RegistryState()
    first, end = await log.start_offset(REGISTRY_EVENTS, 0), await log.end_offset(REGISTRY_EVENTS, 0)
    async for chunk in log.read(REGISTRY_EVENTS, 0, first, end):
        for record in chunk.records:
            try:
                event = decode_registry_event(record.key, record.value)
            except PoisonError:
                continue
            fold(state, event, record.offset, record.time_ms)
    return state
