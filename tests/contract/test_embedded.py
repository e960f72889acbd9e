"""What only the embedded log has: its directory, its compaction, its clock, its memory."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest

from streams.domain.errors import RefusedStartError
from streams.log.embedded import EmbeddedLog
from streams.log.embedded_cleaner import DAY_MS, KEPT_MS
from streams.log.embedded_directory import DATABASE
from streams.log.embedded_files import EmbeddedFiles
from streams.topics import Kept, TopicSpec
from tests.contract.appending import records

EVENTS = TopicSpec("events", 2, Kept.FOR_EVER, log_append_time=True)
CHANGELOG = TopicSpec("changelog", 2, Kept.COMPACTED, log_append_time=False)
LETTERS = TopicSpec("letters", 1, Kept.DAYS_30, log_append_time=False)
SPECS = [EVENTS, CHANGELOG, LETTERS]


class Died(Exception):  # noqa: N818 (no error of the program: what a test's die does instead of ending the process)
    pass


def die(reason: str) -> NoReturn:
    raise Died(reason)


class Clock:
    def __init__(self) -> None:
        self.ms = 1_700_000_000_000

    def __call__(self) -> int:
        return self.ms


@asynccontextmanager
async def opened(directory: Path, **options: Any) -> AsyncIterator[EmbeddedLog]:
    log = EmbeddedLog(directory, die, **options)
    await log.start()
    try:
        await log.create_topics(SPECS)
        yield log
    finally:
        await log.stop()


async def test_committed_positions_outlive_a_restart(tmp_path: Path) -> None:
    """A group's positions are what they were; another group has none."""
    async with opened(tmp_path) as log:
        await log.set_positions("group", {("events", 1): 4, ("events", 0): 2})
        await log.set_positions("group", {("events", 1): 5})
    async with opened(tmp_path) as log:
        assert await log.positions("group") == {("events", 0): 2, ("events", 1): 5}
        assert await log.positions("other") == {}


async def test_a_directory_in_use_is_refused(tmp_path: Path) -> None:
    """A second opening of a directory is refused with a sentence, and does the first one no harm."""
    async with opened(tmp_path) as log:
        with pytest.raises(RefusedStartError, match=r"in use by another process \(\d+\)"):
            await EmbeddedLog(tmp_path, die).start()
        await log.append("events", 0, b"k", b"v")
    async with opened(tmp_path) as log:
        assert await log.end_offset("events", 0) == 1


async def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    """A path through a file is refused with a sentence that names it."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RefusedStartError, match="file/log cannot be used"):
        await EmbeddedLog(tmp_path / "file" / "log", die).start()


async def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    """A file that is no database is refused, named, and left as it was."""
    (tmp_path / DATABASE).write_bytes(b"something else" * 1000)
    with pytest.raises(RefusedStartError, match=f"{DATABASE} is damaged"):
        await EmbeddedLog(tmp_path, die).start()
    assert (tmp_path / DATABASE).read_bytes() == b"something else" * 1000


async def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    """A database of a format that this version does not know is left alone."""
    async with opened(tmp_path):
        pass
    with sqlite3.connect(tmp_path / DATABASE) as database:
        database.execute("PRAGMA user_version = 2")
    database.close()
    with pytest.raises(RefusedStartError, match="has format 2"):
        await EmbeddedLog(tmp_path, die).start()


async def test_a_partitions_times_never_go_back(tmp_path: Path) -> None:
    """A clock that steps back gives the last time again, also after a restart."""
    clock = Clock()
    async with opened(tmp_path, clock_ms=clock) as log:
        first = await log.append("events", 0, b"k", b"v")
        clock.ms -= 60_000
        second = await log.append("events", 0, b"k", b"v")
        assert (await log.append("events", 1, b"k", b"v")).time_ms == clock.ms
    async with opened(tmp_path, clock_ms=clock) as log:
        third = await log.append("events", 0, b"k", b"v")
        assert first.time_ms == second.time_ms == third.time_ms
        clock.ms += 120_000
        assert (await log.append("events", 0, b"k", b"v")).time_ms == clock.ms


async def test_compaction_keeps_the_newest_of_each_key_where_it_is(tmp_path: Path) -> None:
    """Offsets of what stays are unchanged; the next offset is what it would have been."""
    async with opened(tmp_path, recent_bytes=0) as log:
        claim = await log.claim("changelog", 0)
        for n in range(100):
            await claim.append([(b"k%d" % (n % 7), b"v%d" % n), (b"other%d" % n, b"w")])
        expected = {r.key: r for r in await records(log, "changelog")}
        await log.compact("changelog", 0)
        kept = await records(log, "changelog")
        assert kept == sorted(expected.values())
        assert await claim.append([(b"k0", b"new")]) == 200
    async with opened(tmp_path) as log:
        assert (await records(log, "changelog"))[:-1] == kept


async def test_a_changelog_is_compacted_without_being_told(tmp_path: Path) -> None:
    """A changelog of few keys does not grow with its appends."""
    async with opened(tmp_path, recent_bytes=0, compact_after=100) as log:
        claim = await log.claim("changelog", 1)
        async with asyncio.timeout(30):
            while len(await records(log, "changelog", 1)) == await log.end_offset("changelog", 1):
                await claim.append([(b"k%d" % n, b"v") for n in range(30)])
        assert {r.key for r in await records(log, "changelog", 1)} == {b"k%d" % n for n in range(30)}


async def test_old_tombstones_go_and_what_they_removed_stays_gone(tmp_path: Path) -> None:
    """
    A tombstone is kept for a while, and then removed by the second compaction that sees it; the end offset stays.

    The log says from where on all are still there, also after it was opened again; one that was overwritten is none.
    """
    clock = Clock()
    async with opened(tmp_path, clock_ms=clock, recent_bytes=0, tombstones_kept_s=DAY_MS // 1000) as log:
        claim = await log.claim("changelog", 0)
        await claim.append([(b"a", b"1"), (b"b", b"1"), (b"b", None), (b"a", None), (b"c", None), (b"c", b"1")])
        await log.compact("changelog", 0)
        assert [(r.offset, r.value) for r in await records(log, "changelog")] == [(2, None), (3, None), (5, b"1")]
        clock.ms += DAY_MS - 1
        await log.compact("changelog", 0)
        assert not await log.has_forgotten("changelog", 0, 0, None)
        mark = log.mark("changelog", 0)
        assert len(await records(log, "changelog")) == 3
        clock.ms += 2
        await log.compact("changelog", 0)
        assert [(r.offset, r.value) for r in await records(log, "changelog")] == [(5, b"1")]
        assert await log.has_forgotten("changelog", 0, 0, mark)
        assert not await log.has_forgotten("changelog", 0, 0, log.mark("changelog", 0))
    async with opened(tmp_path, clock_ms=clock, recent_bytes=0, tombstones_kept_s=DAY_MS // 1000) as log:
        assert [await log.has_forgotten("changelog", 0, since, None) for since in (3, 4)] == [True, False]
        assert await log.end_offset("changelog", 0) == 6
        claim = await log.claim("changelog", 0)
        assert await claim.append([(b"a", b"2")]) == 6
    async with opened(tmp_path) as log:
        await log.delete_topics(["changelog"])
        await log.create_topics([CHANGELOG])
        assert not await log.has_forgotten("changelog", 0, 0, None)


async def test_what_a_version_before_has_written_can_be_read(tmp_path: Path) -> None:
    """By who only reads, and makes no tables: nothing was forgotten that is not known."""
    async with opened(tmp_path) as log:
        await log.append("events", 0, b"k", b"v")
    with sqlite3.connect(tmp_path / DATABASE) as database:
        database.execute("DROP TABLE forgotten")
    database.close()
    files = EmbeddedFiles(tmp_path)
    assert files.id == log.id
    files.close()


async def test_a_topic_is_deleted_while_it_is_compacted(tmp_path: Path) -> None:
    """Nothing of what is under way reaches the topic that is made in its place; others go on being compacted."""
    async with opened(tmp_path, compact_after=1 << 30) as log:
        for partition in (0, 1):
            await log.append_many("changelog", partition, [(b"k%d" % (n % 10), b"v" * 1_000) for n in range(2_000)])
    async with opened(tmp_path, compact_after=1_000) as log:
        # Since the directory was opened it has begun: it is within one of its steps when the topic goes.
        deleted = log.partition("changelog", 0), log.partition("changelog", 1)
        async with asyncio.timeout(10):
            while not any(lock.locked() for lock in log._cleaner._one_at_a_time.values()):
                await asyncio.sleep(0)
        assert [partition.clean_offset for partition in deleted] == [0, 0]
        await log.delete_topics(["changelog"])
        await log.create_topics([CHANGELOG])
        assert [partition.clean_offset for partition in deleted] == [0, 0]
        await log.append_many("changelog", 0, [(b"k%d" % (n % 10), b"new") for n in range(1_000)])
        async with asyncio.timeout(10):
            while log.partition("changelog", 0).clean_offset < 1_000:
                await asyncio.sleep(0.01)
        assert [partition.clean_offset for partition in deleted] == [0, 0]
        assert log._cleaner._due == {}
    async with opened(tmp_path) as log:
        assert [r.offset for r in await records(log, "changelog", 0)] == list(range(990, 1_000))
        assert await records(log, "changelog", 1) == []


async def test_a_partitions_number_is_not_given_again(tmp_path: Path) -> None:
    """Neither in a process nor after it, nor where an older version has left records that nothing names any more."""

    def numbers(log: EmbeddedLog) -> list[int]:
        return sorted(log.partition(spec.name, number).number for spec in SPECS for number in range(spec.partitions))

    async with opened(tmp_path) as log:
        assert numbers(log) == [1, 2, 3, 4, 5]
        for first in (6, 11):
            await log.delete_topics([spec.name for spec in SPECS])
            await log.create_topics(SPECS)
            assert numbers(log) == list(range(first, first + 5))
        await log.delete_topics([spec.name for spec in SPECS])
    async with opened(tmp_path) as log:
        assert numbers(log) == [16, 17, 18, 19, 20]
        await log.append("letters", 0, b"k", b"v")
    with sqlite3.connect(tmp_path / DATABASE) as database:
        database.execute("DELETE FROM log WHERE name = 'highest_number'")
        database.execute("DELETE FROM partitions WHERE topic IN ('letters', 'changelog')")
        database.execute("DELETE FROM topics WHERE name IN ('letters', 'changelog')")
    database.close()
    async with opened(tmp_path) as log:
        assert numbers(log) == [16, 17, 21, 22, 23]
        assert await records(log, "letters") == []


async def test_a_read_passes_holes(tmp_path: Path) -> None:
    """Where all records of a range are gone, a bounded read ends, and says where it stands."""
    async with opened(tmp_path, recent_bytes=0) as log:
        claim = await log.claim("changelog", 0)
        for n in range(10):
            await claim.append([(b"k", b"%d" % n)])
        await log.compact("changelog", 0)
        chunks = [chunk async for chunk in log.read("changelog", 0, 2, 8)]
        assert [r for chunk in chunks for r in chunk.records] == []
        assert chunks[-1].next_offset == 8


async def test_dead_letters_are_kept_30_days(tmp_path: Path) -> None:
    """At the next opening letters older than 30 days go, and only they; offsets go on."""
    clock = Clock()
    async with opened(tmp_path, clock_ms=clock) as log:
        await log.append("letters", 0, b"k", b"old")
        await log.append("events", 0, b"k", b"old")
        clock.ms += KEPT_MS[Kept.DAYS_30]
        await log.append("letters", 0, b"k", b"new")
        clock.ms += 1
    async with opened(tmp_path, clock_ms=clock) as log:
        async with asyncio.timeout(10):
            while await log.start_offset("letters", 0) == 0:
                await log.ping()
        assert [r.value for r in await records(log, "letters")] == [b"new"]
        assert len(await records(log, "events")) == 1


async def test_delete_before_is_exact_and_lasts(tmp_path: Path) -> None:
    """Records below the offset are gone, from memory and after a restart, also from the middle of a batch."""
    async with opened(tmp_path) as log:
        await log.append_many("events", 0, [(b"k", b"%d" % n) for n in range(1000)])
        await log.append_many("events", 0, [(b"k", b"%d" % n) for n in range(1000, 2000)])
        await log.delete_before("events", 0, 1500)
        await log.delete_before("events", 0, 700)
        assert await log.start_offset("events", 0) == 1500
        assert (await records(log, "events"))[0].offset == 1500
    async with opened(tmp_path) as log:
        assert [r.offset for r in await records(log, "events")] == list(range(1500, 2000))
        await log.delete_before("events", 0, 10_000)
        assert await records(log, "events") == []
    async with opened(tmp_path) as log:
        assert (await log.append("events", 0, b"k", b"v")).offset == 2000


@pytest.mark.parametrize("recent_bytes", [0, 2_000, 1 << 20])
async def test_memory_and_disk_give_the_same(tmp_path: Path, recent_bytes: int) -> None:
    """Whatever part of the records is still in memory, every range reads the same."""
    async with opened(tmp_path, recent_bytes=recent_bytes) as log:
        for n in range(60):
            await log.append_many("events", n % 2, [(b"k%d" % n, b"v" * n)] * (n % 5 + 1))
        everything = await records(log, "events")
        assert [r.offset for r in everything] == list(range(len(everything)))
        for start in range(0, len(everything), 3):
            for end in range(start, len(everything) + 1, 7):
                got = [r async for chunk in log.read("events", 0, start, end) for r in chunk.records]
                assert got == everything[start:end]
        assert log._recent._size_bytes <= recent_bytes


async def test_a_commit_does_not_wait_for_a_busy_loop(tmp_path: Path) -> None:
    """However busy the event loop is, the threads get their turns: 100 appends take a second, not minutes."""
    stop = asyncio.Event()

    async def burn() -> None:
        while not stop.is_set():
            until = time.perf_counter() + 0.002
            while time.perf_counter() < until:
                pass
            await asyncio.sleep(0)

    async with opened(tmp_path) as log:
        burning = asyncio.create_task(burn())
        async with asyncio.timeout(10):
            for _ in range(100):
                await log.append("events", 0, b"k", b"v")
        stop.set()
        await burning
