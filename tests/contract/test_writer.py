"""What a write's answer says: the log has its event, or nobody knows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NoReturn

import pytest

from streams.domain.errors import LogUnavailableError
from streams.domain.events import ItemRemoved
from streams.log.embedded import EmbeddedLog
from streams.topics import CONTEXT_EVENTS, partition_of, topic_specs
from streams.writer import LogWriter
from tests.support.engine_faults import FaultyLog, Trouble
from tests.support.tables import CLIENT, context_id

PARTITIONS = 2
CONTEXT = context_id(1)
APPEND = f"append {CONTEXT_EVENTS}-{partition_of(CONTEXT, PARTITIONS)}"
EVENT = ItemRemoved(id="0" * 32, client=CLIENT, content_id="c")
LONG_ENOUGH_S = 0.2
"""Within this time a write that does not wait for the log is acknowledged."""


def die(reason: str) -> NoReturn:
    raise AssertionError(reason)


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[FaultyLog]:
    real = EmbeddedLog(tmp_path, die)
    await real.start()
    await real.create_topics(topic_specs(PARTITIONS))
    yield FaultyLog(real)
    await real.stop()


async def test_a_write_is_acknowledged_once_the_log_has_it(log: FaultyLog) -> None:
    """Not before: what is acknowledged can be read where the answer says."""
    writer, arrives = LogWriter(log, PARTITIONS), asyncio.Event()
    log.gates[APPEND] = arrives.wait
    writing = asyncio.create_task(writer.write_context(CONTEXT, EVENT))
    done, _ = await asyncio.wait({writing}, timeout=LONG_ENOUGH_S)
    assert not done
    assert writer.writes == 0
    arrives.set()
    written = await writing
    assert await log.end_offset(CONTEXT_EVENTS, partition_of(CONTEXT, PARTITIONS)) == 1
    assert written.position.offset == 0  # type: ignore[union-attr] # of a context
    assert (writer.writes, writer.failures) == (1, 0)


@pytest.mark.parametrize("trouble", [Trouble.LOST, Trouble.LANDED])
async def test_a_write_that_may_be_there_is_unknown(log: FaultyLog, trouble: Trouble) -> None:
    """Whether it arrived or not, nobody is told that it did."""
    writer = LogWriter(log, PARTITIONS)
    log.troubles = lambda call: trouble if call == APPEND else Trouble.NONE
    with pytest.raises(LogUnavailableError):
        await writer.write_context(CONTEXT, EVENT)
    assert (writer.writes, writer.failures) == (0, 1)
