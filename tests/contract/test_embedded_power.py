"""Power loss of the embedded log: whatever was synced is on the disk, and of what was not, any part."""

from __future__ import annotations

import random
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from streams.domain.errors import RefusedStartError
from streams.log.embedded import EmbeddedLog
from streams.log.embedded_directory import DATABASE
from streams.log.port import Record, Row
from streams.topics import Kept, TopicSpec
from tests.contract.test_embedded_faults import FRAME_BYTES, WAL, WAL_HEADER_BYTES, crashed, die, everything
from tests.support.disks import Recorded, cuts, put, recorded
from tests.support.log_writer import EVENTS

LIVES = 3
APPENDS = 30
"""In each life."""
CHECKPOINT_PAGES = 40
CUTS = 80
FULL = 3
"""How SQLite asks a disk to have it itself, where the system makes a difference (`SQLITE_SYNC_FULL`)."""
STEP_BYTES = 1_031
"""Four cuts in each frame, at places that are others in each."""
CHANGES = TopicSpec("changes", 1, Kept.COMPACTED, log_append_time=False)


class Acknowledged(NamedTuple):
    """What was promised once so many calls had been made."""

    calls: int
    partition: int
    offset: int
    rows: list[Row]


async def lived(directory: Path, calls: Recorded, source: random.Random) -> list[Acknowledged]:
    """Open a log, append, compact and close it, several times; checkpoints come in between and at each end."""
    promised: list[Acknowledged] = []
    for _ in range(LIVES):
        log = EmbeddedLog(directory, die)
        await log.start()
        await log.create_topics([EVENTS, CHANGES])
        await log._threads.write(log._store._writing.execute, f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        for n in range(APPENDS):
            partition = source.randrange(EVENTS.partitions)
            rows: list[Row] = [(b"k", source.randbytes(source.randrange(6_000))) for _ in range(source.randrange(1, 4))]
            appended = await log.submit(log.partition("events", partition), rows)
            promised.append(Acknowledged(len(calls.calls), partition, appended.offset, rows))
            await log.append("changes", 0, b"%d" % (n % 3), b"x" * 100)
        await log.compact("changes", 0)
        await log.stop()
    return promised


@pytest.mark.parametrize("seed", range(2))
async def test_what_was_acknowledged_outlives_the_power(tmp_path: Path, seed: int) -> None:
    """Wherever it goes: the log opens, each append is there as a whole or not at all, and each acknowledged one is."""
    source = random.Random(seed)
    with recorded() as calls:
        promised = await lived(tmp_path / "log", calls, source)
    assert sum(call.call == "sync" and call.file == WAL for call in calls.calls) >= LIVES * APPENDS
    assert {call.at & FULL for call in calls.calls if call.call == "sync"} == {FULL}
    assert sum(call.call == "write" and call.file == DATABASE for call in calls.calls) > CHECKPOINT_PAGES
    for cut in cuts(len(calls.calls), CUTS, source):
        left = put(calls.left(cut, source), tmp_path / f"left-{cut}")
        assert_whole(await everything(left), promised, cut)


def assert_whole(there: dict[int, list[Record]], promised: list[Acknowledged], cut: int) -> None:
    ends = {partition: len(records) for partition, records in there.items()}
    for append in promised:
        offset, end = append.offset, append.offset + len(append.rows)
        records = there[append.partition][offset:end]
        if records or append.calls <= cut:
            assert [(record.key, record.value) for record in records] == append.rows, (cut, append.calls, offset)
            assert [record.offset for record in records] == list(range(offset, end))
    for partition, end in ends.items():
        assert end in {0, *(a.offset + len(a.rows) for a in promised if a.partition == partition)}


async def test_every_length_of_a_write_ahead_log_gives_whole_appends(tmp_path: Path) -> None:
    """Cut at any sector, and in the middle of it: what is left are the first so many appends, each whole."""
    copy = await crashed(tmp_path, appends=8)
    whole = {path.name: path.read_bytes() for path in copy.iterdir()}
    seen = set()
    for length in range(0, len(whole[WAL]) + 1, STEP_BYTES):
        left = put({**whole, WAL: whole[WAL][:length]}, tmp_path / f"cut-{length}")
        there = (await everything(left))[0]
        assert [r.value for r in there] == [v for n in range(len(there) // 2) for v in (b"%d" % n, b"x" * 5_000)]
        seen.add(len(there))
    assert seen >= set(range(0, 2 * 8, 2))


@pytest.mark.parametrize("seed", range(12))
async def test_a_page_that_was_torn_shows_nothing_that_was_not_written(tmp_path: Path, seed: int) -> None:
    """A disk that said that it had synced, and had not: the log opens with the first so many appends, or refuses."""
    source = random.Random(seed)
    copy = await crashed(tmp_path)
    name = source.choice((WAL, DATABASE))
    content = bytearray((copy / name).read_bytes())
    first, size = (WAL_HEADER_BYTES, FRAME_BYTES) if name == WAL else (0, 4096)
    for _ in range(source.randrange(1, 3)):
        at = first + size * source.randrange((len(content) - first) // size) + 512 * source.randrange(8)
        content[at : at + 512] = source.choice((bytes(512), source.randbytes(512)))
    (copy / name).write_bytes(content)
    with suppress(RefusedStartError):
        there = (await everything(copy))[0]
        assert [r.value for r in there] == [v for n in range(len(there) // 2) for v in (b"%d" % n, b"x" * 5_000)]
