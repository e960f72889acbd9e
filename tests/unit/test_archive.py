"""Sources in files: every record as it was, what was interrupted, what is damaged."""

from __future__ import annotations

import asyncio
import gzip
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.domain.errors import RefusedStartError
from streams.log.embedded import EmbeddedLog
from streams.log.port import Readable, Record
from streams.moves.archive import (
    MANIFEST,
    Line,
    as_line,
    as_record,
    file_name,
    opened_archive,
    read_manifest,
)
from streams.moves.export import Exported, export
from streams.topics import CONTEXT_EVENTS, REGISTRY_EVENTS, SESSION_EVENTS
from tests.support.moves import begun, opened, records_of

PARTITIONS = 3

_bytes = st.none() | st.binary(max_size=40) | st.text(max_size=20).map(str.encode)


@given(offset=st.integers(0, 2**62), time_ms=st.integers(0, 2**50), key=_bytes, value=_bytes)
def test_a_record_is_a_line(offset: int, time_ms: int, key: bytes | None, value: bytes | None) -> None:
    """Whatever it holds, one line of JSON says it, and says nothing else."""
    record = Record(offset, time_ms, key, value)
    line = msgspec.json.encode(as_line(record))
    assert b"\n" not in line
    assert as_record(msgspec.json.decode(line, type=Line)) == record


async def _fill(log: EmbeddedLog, count: int) -> None:
    for number in range(count):
        await log.append(CONTEXT_EVENTS, number % PARTITIONS, f"{number}".encode(), b'{"n":"\xc3\xa9"}')
    await log.append(SESSION_EVENTS, 1, b"\xff\xfe", None)


async def _all(log: Readable) -> dict[tuple[str, int], list[Record]]:
    return {
        (topic, partition): await records_of(log, topic, partition)
        for topic in (CONTEXT_EVENTS, SESSION_EVENTS, REGISTRY_EVENTS)
        for partition in range(1 if topic == REGISTRY_EVENTS else PARTITIONS)
    }


async def test_what_is_written_is_read(tmp_path: Path) -> None:
    """Each partition is one gzip file that any tool reads; what came since is added, and nothing is written twice."""
    directory = tmp_path / "files"
    async with begun(tmp_path / "log", PARTITIONS) as log:
        await _fill(log, 10)
        assert await export(log, directory) == Exported(12, 12)
        assert await _all(await opened_archive(directory)) == await _all(log)
        before = (directory / file_name(CONTEXT_EVENTS, 0)).read_bytes()
        assert await export(log, directory) == Exported(0, 12)
        assert (directory / file_name(CONTEXT_EVENTS, 0)).read_bytes() == before
        await _fill(log, 4)
        told: list[int] = []
        assert await export(log, directory, told.append) == Exported(5, 17)
        assert sum(told) == 5
        assert await _all(await opened_archive(directory)) == await _all(log)
    lines = gzip.decompress((directory / file_name(CONTEXT_EVENTS, 0)).read_bytes()).splitlines()
    assert [msgspec.json.decode(line)["value"] for line in lines] == ['{"n":"é"}'] * 6


async def test_what_was_interrupted_is_written_again(tmp_path: Path) -> None:
    """What stands in a file beyond what the manifest says does not count."""
    directory = tmp_path / "files"
    async with begun(tmp_path / "log", PARTITIONS) as log:
        await _fill(log, 10)
        await export(log, directory)
        with (directory / file_name(CONTEXT_EVENTS, 1)).open("ab") as file:
            file.write(b"half a member")
        assert await _all(await opened_archive(directory)) == await _all(log)
        await _fill(log, 3)
        await export(log, directory)
        assert await _all(await opened_archive(directory)) == await _all(log)


async def test_a_read_may_begin_and_end_anywhere(tmp_path: Path) -> None:
    """Offsets are those of the log."""
    async with begun(tmp_path / "log", PARTITIONS) as log:
        await _fill(log, 30)
        await export(log, tmp_path / "files")
        archive = await opened_archive(tmp_path / "files")
        for start, end in ((0, 3), (4, 9), (9, 10), (3, 3)):
            chunks = [chunk async for chunk in archive.read(CONTEXT_EVENTS, 0, start, end)]
            assert [record.offset for chunk in chunks for record in chunk.records] == list(range(start, end))


async def test_damage_is_found(tmp_path: Path) -> None:
    """A byte that changed, a file that is cut short, and one that is gone are named, before anything is imported."""
    directory = tmp_path / "files"
    async with begun(tmp_path / "log", PARTITIONS) as log:
        await _fill(log, 10)
        await export(log, directory)
        path = directory / file_name(CONTEXT_EVENTS, 2)
        whole = path.read_bytes()
        for damaged in (whole[:20] + bytes([whole[20] ^ 1]) + whole[21:], whole[:-1]):
            path.write_bytes(damaged)
            with pytest.raises(RefusedStartError, match=r"context-events-00002.*damaged"):
                await opened_archive(directory)
            await _fill(log, 3)
            with pytest.raises(RefusedStartError, match=r"context-events-00002.*damaged"):
                await export(log, directory)
        path.unlink()
        with pytest.raises(RefusedStartError, match=r"context-events-00002.*cannot be read"):
            await opened_archive(directory)


async def test_other_directories(tmp_path: Path) -> None:
    """One with other things, another log's, one that is not finished, and none at all."""
    async with begun(tmp_path / "log", PARTITIONS) as log, begun(tmp_path / "other", PARTITIONS) as other:
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "letter.txt").write_text("dear")
        with pytest.raises(RefusedStartError, match="something else"):
            await export(log, tmp_path / "mine")
        await export(log, tmp_path / "files")
        with pytest.raises(RefusedStartError, match="another log"):
            await export(other, tmp_path / "files")
    manifest = read_manifest(tmp_path / "files")
    (tmp_path / "files" / MANIFEST).write_bytes(msgspec.json.encode(msgspec.structs.replace(manifest, files={})))
    with pytest.raises(RefusedStartError, match="not finished"):
        await opened_archive(tmp_path / "files")
    (tmp_path / "files" / MANIFEST).write_bytes(msgspec.json.encode(msgspec.structs.replace(manifest, format=2)))
    with pytest.raises(RefusedStartError, match="format 2"):
        await opened_archive(tmp_path / "files")
    with pytest.raises(RefusedStartError, match="cannot be read"):
        await opened_archive(tmp_path / "none")


async def test_a_log_that_nobody_started(tmp_path: Path) -> None:
    """There is nothing to move."""
    async with opened(tmp_path / "log", PARTITIONS) as log:
        with pytest.raises(RefusedStartError, match="nothing to move"):
            await asyncio.wait_for(export(log, tmp_path / "files"), 5)
