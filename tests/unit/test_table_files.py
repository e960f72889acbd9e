"""A table on disk: what was written together is there together, or the store is known to be broken."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest
from msgspec.structs import replace

from streams.domain.errors import RefusedStartError
from streams.engine.storage import Identity, Storage, StoreError
from streams.engine.store import PartitionStore
from streams.engine.table_files import TableFiles
from tests.support import table_writer
from tests.support.stores import at_rest, copied
from tests.support.table_writer import IDENTITY, TOPIC, batch, expected, found

BATCHES = 300
KILLS = 6


def storage(directory: Path, identity: Identity = IDENTITY) -> Storage:
    # A small buffer, so that there are files of every kind.
    return Storage(directory, identity, write_buffer_bytes=64 << 10)


def opened(directory: Path, identity: Identity = IDENTITY) -> PartitionStore:
    return PartitionStore(storage(directory, identity), directory / "0")


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A directory with a table of 300 batches, closed."""
    with closing(opened(tmp_path)) as store:
        for number in range(BATCHES):
            store.write(batch(number), number)
    return tmp_path


def write_until_killed(directory: Path, batches: int) -> int:
    """Have a process write at least so many *batches*, kill it, and return the last that it said it had written."""
    command = [sys.executable, table_writer.__file__, str(directory)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(batches)]
        process.send_signal(signal.SIGKILL)
        said += process.stdout.read().splitlines(keepends=True)
    return max(int(line) for line in said if line.endswith(b"\n"))


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a table as a kill left it: the last batches are not in it."""
    directory = tmp_path_factory.mktemp("crashed")
    write_until_killed(directory, BATCHES)
    return directory


def aside(directory: Path) -> list[str]:
    return sorted(path.name.split(".")[1].split("-")[0] for path in directory.iterdir() if "." in path.name)


def test_a_new_store_is_empty(tmp_path: Path) -> None:
    """Nothing was folded and nothing restored."""
    with closing(opened(tmp_path)) as store:
        assert (store.offset, store.position(TOPIC), found(store)) == (-1, -1, {})


def test_what_was_written_is_there(written: Path) -> None:
    """Rows, positions and the changelog's offset, after a restart as before."""
    for _ in range(2):
        with closing(opened(written)) as store:
            assert (store.offset, store.position(TOPIC)) == (BATCHES - 1, BATCHES - 1)
            assert found(store) == expected(BATCHES - 1)
            assert store.position("other") == -1
    assert aside(written) == []


def test_ranges(tmp_path: Path) -> None:
    """From a start on, both ways, and never beyond the prefix."""
    with closing(opened(tmp_path)) as store:
        group, other = b"k" + bytes(17), b"k" + bytes(16) + b"\x01"
        names = [b"", b"a", b"ab", b"b", "\U0001f600".encode() * 255]
        store.write({prefix + name: name for prefix in (group, other) for name in names}, 0)
        assert [value for _, value in store.range(group)] == names
        assert [value for _, value in store.range(group, reverse=True)] == names[::-1]
        assert [value for _, value in store.range(group, start=group + b"aa")] == names[2:]
        assert [value for _, value in store.range(group, start=group + b"aa", reverse=True)] == [b"a", b""]
        assert [value for _, value in store.range(group, start=group + b"ab", reverse=True)] == [b"ab", b"a", b""]
        assert [value for _, value in store.range(group + b"a")] == [b"a", b"ab"]
        assert list(store.range(b"l" + bytes(17))) == []


@pytest.mark.long
def test_a_batch_is_there_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    """Whenever the process is killed: the rows are those of the offset, which never goes back."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    last = -1
    for _ in range(KILLS):
        said = write_until_killed(tmp_path, rng.randrange(1, 400))
        with closing(opened(tmp_path)) as store:
            # What was not in a file yet is in the changelog.
            assert last <= store.offset <= said + 1
            assert store.position(TOPIC) == store.offset
            assert found(store) == expected(store.offset)
            last = store.offset
    assert aside(tmp_path) == []


@pytest.mark.parametrize(
    ("other", "what"),
    [
        (replace(IDENTITY, partitions=16), "8 partitions, and this node is started with 16"),
        (replace(IDENTITY, fingerprint="x"), "another master key"),
        (replace(IDENTITY, log="x"), "another log"),
    ],
)
def test_a_store_of_something_else(written: Path, other: Identity, what: str) -> None:
    """It is refused, named, and left as it is."""
    with pytest.raises(RefusedStartError, match=what):
        opened(written, other)
    with closing(opened(written)) as store:
        assert found(store) == expected(BATCHES - 1)
    assert aside(written) == []


@pytest.mark.parametrize("generation", [1, 3])
def test_a_store_of_tables_that_were_thrown_away(written: Path, generation: int) -> None:
    """It is set aside and begun anew, once; one of another log too is refused all the same."""
    identity = replace(IDENTITY, generation=generation)
    with closing(opened(written, identity)) as store:
        assert (store.offset, store.get(b"row")) == (-1, None)
        store.write({b"row": b"new"}, 0)
    assert aside(written) == ["lost"]
    with closing(opened(written, identity)) as store:
        assert (store.offset, store.get(b"row")) == (0, b"new")
    assert aside(written) == ["lost"]
    with pytest.raises(RefusedStartError, match="another log"):
        opened(written, replace(identity, log="another", generation=9))


def test_a_store_that_is_in_use(written: Path) -> None:
    """A second process is told, and takes nothing away from the first."""
    with closing(opened(written)) as store:
        with pytest.raises(RefusedStartError, match="in use"):
            opened(written)
        assert found(store) == expected(BATCHES - 1)
    assert aside(written) == []


def test_a_store_that_is_outdated(written: Path) -> None:
    """It is removed, for nothing is wrong with it, as often as that is so; and it begins with nothing."""
    shared = storage(written)
    with closing(PartitionStore(shared, written / "0")) as store:
        for n in range(10):
            store.write({b"k": b"v"}, n)
            store.outdated()
            assert store.has_failed
            store.renew()
            assert (store.offset, store.has_failed, found(store)) == (-1, False, {})
    assert aside(written) == []
    assert shared.moved_aside == 10


@pytest.mark.parametrize("others", [0, 3])
def test_no_file_names_what_was_deleted(tmp_path: Path, others: int) -> None:
    """Once it was compacted: neither tables, nor the list of files, which has their first and last keys, nor logs."""
    path, secret = tmp_path / "0", b"what-somebody-has-watched"

    def naming() -> set[str]:
        texts = (secret, secret.hex().upper().encode())
        return {
            file.name.partition("-")[0]
            for file in path.iterdir()
            for data in [file.read_bytes()]
            if any(text in data for text in texts)
        }

    with closing(opened(tmp_path)) as store:
        for n in range(4):
            rows = {b"a%17d" % other: b"row" for other in range(others)}
            store.write({b"i%17d" % 7 + secret + b"%d" % n: b"row", **rows}, n)
            store.flush()
        assert "MANIFEST" in at_rest(path, naming)
        store.write({b"i%17d" % 7 + secret + b"%d" % n: None for n in range(4)}, 4)
        assert store.compact()
        at_rest(path, naming, lambda found: not found)
    with closing(opened(tmp_path)) as store:
        assert store.offset == 4
        assert dict(store.range(b"a")) == {b"a%17d" % other: b"row" for other in range(others)}
        assert dict(store.range(b"i")) == {}
    assert naming() == set()


def test_what_was_flushed_is_on_the_disk(tmp_path: Path) -> None:
    """Whoever is killed then has all of it; what is written afterwards is only in memory."""
    with closing(opened(tmp_path)) as store:
        store.write({b"k": b"1"}, 1)
        store.flush()
        store.write({b"k": b"2"}, 2)
        copied(tmp_path / "0", tmp_path / "killed" / "0")
    with closing(opened(tmp_path / "killed")) as store:
        assert (store.offset, store.get(b"k")) == (1, b"1")


def test_a_store_that_has_failed_is_not_trusted_again(written: Path) -> None:
    """The next start sets it aside."""
    with closing(opened(written)) as store:
        assert "failed" in str(store.failed(OSError("broken")))
    with closing(opened(written)) as store:
        assert (store.offset, found(store)) == (-1, {})
    assert aside(written) == ["failed"]


def files(directory: Path, kind: str) -> list[Path]:
    paths = [path for path in (directory / "0").iterdir() if path.name.startswith(kind) or path.suffix == kind]
    return [path for path in paths if path.stat().st_size]


def flip(path: Path, rng: random.Random) -> None:
    value = bytearray(path.read_bytes())
    for _ in range(rng.choice([1, 1, 40])):
        value[rng.randrange(len(value))] ^= rng.randrange(1, 256)
    path.write_bytes(value)


def zero(path: Path, rng: random.Random) -> None:
    value = bytearray(path.read_bytes())
    at = rng.randrange(len(value))
    value[at : at + 512] = bytes(len(value[at : at + 512]))
    path.write_bytes(value)


def cut(path: Path, rng: random.Random) -> None:
    os.truncate(path, rng.randrange(path.stat().st_size))


def remove(path: Path, _rng: random.Random) -> None:
    path.unlink()


@pytest.mark.parametrize("damage", [flip, zero, cut, remove])
@pytest.mark.parametrize("kind", [".sst", "MANIFEST", "CURRENT"])
def test_a_damaged_file(
    crashed: Path, tmp_path: Path, kind: str, damage: Callable[[Path, random.Random], None]
) -> None:
    """The store is set aside, or says that it is broken and then is, or has what belongs to its offset: never less."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for round_ in range(6):
        directory = tmp_path / str(round_)
        shutil.copytree(crashed, directory)
        damage(rng.choice(files(directory, kind)), rng)
        with suppress(StoreError):
            with closing(opened(directory)) as damaged:
                assert found(damaged) == expected(damaged.offset)
                assert damaged.position(TOPIC) == damaged.offset
            continue
        # What holds the database, the error's frames, is gone: the process that met the error would be, too.
        gc.collect()
        assert (directory / "0" / "suspect").exists()
        with closing(opened(directory)) as restored:
            assert (restored.offset, found(restored)) == (-1, {})
        assert aside(directory) in (["failed"], ["corrupt"])


def test_partitions_of_a_table(tmp_path: Path) -> None:
    """Each is opened once, in a place of its own, and closed."""
    tables = TableFiles(storage(tmp_path), "contexts")
    first, second = tables.partition(0), tables.partition(1)
    assert tables.partition(0) is first
    first.write(batch(0), 0)
    assert (first.offset, second.offset) == (0, -1)
    tables.close_partition(1)
    tables.close_partition(1)
    tables.close()
    assert tables.open_partitions == {}
    with closing(PartitionStore(storage(tmp_path), tmp_path / "contexts" / "0")) as store:
        assert store.offset == 0


def test_partitions_that_are_not_here_are_removed(tmp_path: Path) -> None:
    """Where they come back they are restored; what is open, or still read, or was set aside for people, is left."""
    tables = TableFiles(storage(tmp_path), "contexts")
    tables.remove_unused()
    for number in range(3):
        tables.partition(number).write(batch(0), 0)
    reading = tables.partition(2).range(b"")
    next(reading)
    for number in (1, 2):
        tables.close_partition(number)
    (tables.directory / "1.failed-7").mkdir()
    assert not tables.remove_unused()
    assert sorted(path.name for path in tables.directory.iterdir()) == ["0", "1.failed-7", "2"]
    del reading
    gc.collect()
    assert tables.remove_unused()
    assert tables.partition(2).offset == -1
    assert tables.partition(0).offset == 0
    tables.close()


def test_small_rows_are_read_as_they_were_written_last(tmp_path: Path) -> None:
    """What the store remembers of a row is never older than the row."""
    source, model = random.Random(8), dict[bytes, bytes | None]()
    with closing(opened(tmp_path)) as store:
        for number in range(200):
            rows = {
                b"k%d" % source.randrange(30): source.choice((None, source.randbytes(source.choice((5, 500)))))
                for _ in range(5)
            }
            store.write(rows, number)
            model.update(rows)
            for key in source.sample(sorted(model), min(4, len(model))):
                assert store.get(key) == store.get(key) == model[key]


async def test_a_store_is_closed_while_its_files_are_rewritten(tmp_path: Path) -> None:
    """That is broken off: it has every row, is not suspect, and can be opened at once."""
    shared, source = storage(tmp_path), random.Random(7)
    store = PartitionStore(shared, tmp_path / "0")
    rows = [(source.randbytes(20), source.randbytes(1_000)) for _ in range(40_000)]
    for first in range(0, len(rows), 1_000):
        store.write(dict(rows[first : first + 1_000]), first)
    compacting = asyncio.create_task(asyncio.to_thread(store.compact))
    async with asyncio.timeout(20):
        while not store._compacting.locked():
            await asyncio.sleep(0)
    store.close()
    assert not await compacting
    again = PartitionStore(shared, tmp_path / "0")
    assert (again.offset, shared.moved_aside) == (39_000, 0)
    assert [again.get(key) for key, _ in rows] == [value for _, value in rows]
    again.close()
