"""Bad days of the embedded log: killed processes, torn files, flipped bits, full disks."""

from __future__ import annotations

import asyncio
import random
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import pytest

from streams.domain.errors import LogUnavailableError, OverloadedError, RefusedStartError
from streams.log.embedded import EmbeddedLog
from streams.log.embedded_directory import DATABASE
from streams.log.port import Record
from tests.support.log_writer import EVENTS

WAL = f"{DATABASE}-wal"
WAL_HEADER_BYTES = 32
FRAME_BYTES = 4096 + 24
ROOT = Path(__file__).parents[2]


class Died(Exception):  # noqa: N818 (no error of the program: what a test's die does instead of ending the process)
    pass


def die(reason: str) -> NoReturn:
    raise Died(reason)


def writer(directory: Path, limit_bytes: int = 0) -> subprocess.Popen[bytes]:
    arguments = [sys.executable, "-m", "tests.support.log_writer", str(directory), str(limit_bytes)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)


def acknowledged(process: subprocess.Popen[bytes], at_most: int | None = None) -> Iterator[tuple[int, int, bytes]]:
    """Yield partition, offset and begin of the value of acknowledged records, as the process writes them."""
    assert process.stdout
    for count, line in enumerate(process.stdout, 1):
        if line.endswith(b"\n"):
            partition, offset, value = line.split()
            yield int(partition), int(offset), value
        if count == at_most:
            return


async def everything(directory: Path) -> dict[int, list[Record]]:
    log = EmbeddedLog(directory, die)
    await log.start()
    try:
        await log.create_topics([EVENTS])
        return {p: await read(log, p) for p in range(EVENTS.partitions)}
    finally:
        await log.stop()


async def read(log: EmbeddedLog, partition: int = 0) -> list[Record]:
    end = await log.end_offset("events", partition)
    return [r async for chunk in log.read("events", partition, 0, end) for r in chunk.records]


def assert_holds(there: dict[int, list[Record]], promised: list[tuple[int, int, bytes]]) -> None:
    for partition, offset, value in promised:
        assert (there[partition][offset].value or b"").startswith(value)
    for records in there.values():
        assert [r.offset for r in records] == list(range(len(records)))
        assert [r.time_ms for r in records] == sorted(r.time_ms for r in records)


async def test_a_killed_process_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """Five times SIGKILL in the middle of appends: all that was acknowledged is there, offsets without a gap."""
    promised: list[tuple[int, int, bytes]] = []
    for at_most in (1, 10, 100, 1_000, 2_000):
        process = writer(tmp_path)
        promised += acknowledged(process, at_most)
        process.kill()
        promised += acknowledged(process)  # what the pipe still holds was acknowledged as well
        process.wait()
        process.communicate()
        assert_holds(await everything(tmp_path), promised)


async def test_a_full_disk_ends_the_process_with_a_sentence(tmp_path: Path) -> None:
    """Where the disk takes no more the process ends at once, and says why; what was acknowledged is there."""
    process = writer(tmp_path, limit_bytes=2 << 20)
    promised = list(acknowledged(process))
    _, error = process.communicate()
    assert process.returncode == 70
    assert f"The log in {tmp_path} cannot be used any more".encode() in error
    assert b"has room" in error
    assert len(promised) > 100
    assert_holds(await everything(tmp_path), promised)


async def crashed(directory: Path, *, appends: int = 40) -> Path:
    """Return a copy of a log's files, taken while it was open; every record was a commit of its own."""
    log = EmbeddedLog(directory / "log", die)
    await log.start()
    await log.create_topics([EVENTS])
    for n in range(appends):
        await log.append_many("events", 0, [(b"k", b"%d" % n), (b"k", b"x" * 5_000)])
    shutil.copytree(directory / "log", directory / "copy")
    await log.stop()
    return directory / "copy"


async def test_what_follows_the_last_commit_is_ignored(tmp_path: Path) -> None:
    """A write-ahead log that ends in the middle of a write, or in rubbish, gives all that was acknowledged."""
    copy = await crashed(tmp_path)
    with (copy / WAL).open("r+b") as wal:
        frames = wal.read()[WAL_HEADER_BYTES:]
        torn = frames[-FRAME_BYTES : -FRAME_BYTES // 2]
        wal.write(torn + random.Random(1).randbytes(3 * FRAME_BYTES))
    assert len((await everything(copy))[0]) == 80


@pytest.mark.parametrize("seed", range(8))
async def test_a_cut_write_ahead_log_gives_whole_appends(tmp_path: Path, seed: int) -> None:
    """Wherever its tail is lost, what is left are the first so many appends, each whole."""
    copy = await crashed(tmp_path)
    size = (copy / WAL).stat().st_size
    cut = random.Random(seed).randrange(size // 2, size)
    with (copy / WAL).open("r+b") as wal:
        wal.truncate(cut)
    there = (await everything(copy))[0]
    assert 0 < len(there) < 80
    assert len(there) % 2 == 0
    assert [r.value for r in there[::2]] == [b"%d" % n for n in range(len(there) // 2)]


def overwrite(database: Path, there: bytes, instead: bytes) -> None:
    content = database.read_bytes()
    assert content.count(there) == 1
    database.write_bytes(content.replace(there, instead))


async def test_a_flipped_bit_in_a_record_is_never_served(tmp_path: Path) -> None:
    """A record that is not as it was written ends the process at its first read."""
    log = EmbeddedLog(tmp_path, die)
    await log.start()
    await log.create_topics([EVENTS])
    for value in (b"a record that was written", b"the newest record"):
        await log.append("events", 0, b"k", value)
    await log.stop()
    overwrite(tmp_path / DATABASE, b"that was written", b"that was wrjtten")
    log = EmbeddedLog(tmp_path, die)
    await log.start()
    with pytest.raises(Died, match=r"checksum.*damaged"):
        await read(log)
    with pytest.raises(LogUnavailableError, match="damaged"):
        await log.append("events", 0, b"k", b"v")
    await log.stop()


async def test_a_flipped_bit_in_the_newest_record_is_found_at_the_start(tmp_path: Path) -> None:
    """The newest batches are read at every start, as the next offsets and times come from them."""
    log = EmbeddedLog(tmp_path, die)
    await log.start()
    await log.create_topics([EVENTS])
    await log.append("events", 0, b"k", b"the newest record")
    await log.stop()
    overwrite(tmp_path / DATABASE, b"the newest record", b"the newest recorb")
    with pytest.raises(RefusedStartError, match=f"{DATABASE} is damaged .*checksum"):
        await EmbeddedLog(tmp_path, die).start()


async def test_a_damaged_page_is_found_at_the_start_after_a_crash(tmp_path: Path) -> None:
    """After an unclean end the whole database is checked, if it is not large."""
    log = EmbeddedLog(tmp_path / "log", die)
    await log.start()
    await log.create_topics([EVENTS])
    for n in range(300):
        await log.append("events", n % 4, b"k", b"%d" % n * 400)
    await log.stop()
    log = EmbeddedLog(tmp_path / "log", die)
    await log.start()
    shutil.copytree(tmp_path / "log", tmp_path / "copy")
    await log.stop()
    damaged = tmp_path / "copy" / DATABASE
    pages = damaged.stat().st_size // 4096
    with damaged.open("r+b") as database:
        database.seek(pages // 2 * 4096)
        database.write(bytes(4096))
    with pytest.raises(RefusedStartError, match=f"{DATABASE} is damaged"):
        await EmbeddedLog(tmp_path / "copy", die).start()


async def test_a_failed_commit_fails_all_who_wait(tmp_path: Path) -> None:
    """When a commit fails, callers of it and of all that was gathered behind it get `LogUnavailableError`."""
    log = EmbeddedLog(tmp_path, die)
    await log.start()
    await log.create_topics([EVENTS])
    deaths: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: deaths.append(context.get("exception")))
    first = log.submit(log.partition("events", 0), [(b"k", b"v")])
    log._store.abandon()
    log._commit()
    second = log.submit(log.partition("events", 1), [(b"k", b"v")])
    for future in (first, second):
        with pytest.raises(LogUnavailableError):
            await future
    assert [type(death) for death in deaths] == [Died]
    await log.stop()


async def test_a_disk_that_hangs_is_unavailable_and_then_resumes(tmp_path: Path) -> None:
    """
    While a commit hangs, those who wait are told after 5 s, and those who come later at once.

    Their records may be there afterwards or not; what is appended then follows them.
    """
    log = EmbeddedLog(tmp_path, die)
    await log.start()
    await log.create_topics([EVENTS])
    hanging = threading.Event()
    stuck = asyncio.ensure_future(log._threads.write(hanging.wait))
    waiting = [asyncio.ensure_future(log.append("events", 0, b"k", b"1"))]
    await asyncio.sleep(0)  # the first is on its way to the disk, the second gathers behind it
    await asyncio.sleep(0)
    waiting.append(asyncio.ensure_future(log.append("events", 0, b"k", b"2")))
    assert all(isinstance(e, LogUnavailableError) for e in await asyncio.gather(*waiting, return_exceptions=True))
    with pytest.raises(LogUnavailableError):
        await log.append("events", 0, b"k", b"3")
    with pytest.raises(LogUnavailableError):
        await log.ping()
    hanging.set()
    await stuck
    appended = None
    async with asyncio.timeout(10):
        while appended is None:
            await log.ping()
            with suppress(LogUnavailableError):
                appended = await log.append("events", 0, b"k", b"4")
    assert appended.offset == 2
    assert [r.value for r in await read(log)] == [b"1", b"2", b"4"]
    await log.stop()


async def test_more_than_may_wait_is_refused(tmp_path: Path) -> None:
    """Memory is bounded: where the disk cannot keep up, appends are refused before they are taken."""
    log = EmbeddedLog(tmp_path, die)
    await log.start()
    await log.create_topics([EVENTS])
    futures = [log.submit(log.partition("events", 0), [(b"k", b"x" * 1_000_000)]) for _ in range(68)]
    with pytest.raises(OverloadedError):
        log.submit(log.partition("events", 0), [(b"k", b"x")])
    await asyncio.gather(*futures)
    assert await log.end_offset("events", 0) == 68
    await log.stop()
