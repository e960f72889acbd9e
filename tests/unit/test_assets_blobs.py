"""Where bytes are kept: a directory, a bucket of a real S3 server, and what is remembered of them."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import obstore
import pytest

from service.adapters.blobs import CachedBlobs
from service.adapters.blobs_directory import THREADS, DirectoryBlobs
from service.adapters.blobs_s3 import Bucket, S3Blobs
from service.adapters.blobs_settings import blob_store
from service.ports import BlobStore, MediaUnavailableError
from service.settings import Settings
from streams.domain.errors import RefusedStartError
from tests.support.blobs import BlobsFake
from tests.support.ports import free_port
from tests.support.s3 import new_bucket, s3_server


def digest_of(content: bytes) -> str:
    return sha256(content).hexdigest()


def files_in(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file()]


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with s3_server(tmp_path_factory.mktemp("s3")) as url:
        yield url


@pytest.fixture
def bucket(s3: str) -> Bucket:
    return new_bucket(s3)


@pytest.fixture(params=["directory", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    if request.param == "directory":
        return DirectoryBlobs(tmp_path / "not" / "there" / "yet")
    return S3Blobs(request.getfixturevalue("bucket"))


async def test_what_is_kept_is_read(store: BlobStore) -> None:
    """What was kept is read again, byte for byte; what never was is told apart from it; the same again is fine."""
    contents = [b"", b"a", bytes(range(256)) * 8192]
    for content in contents:
        await store.put(digest_of(content), content)
        await store.put(digest_of(content), content)
    for content in contents:
        assert await store.get(digest_of(content)) == content
    assert await store.get(digest_of(b"never")) is None


async def test_many_at_once(store: BlobStore) -> None:
    """Nobody reads half of what is being written, also by several at once."""
    content = os.urandom(300_000)
    digest = digest_of(content)
    await asyncio.gather(*(store.put(digest, content) for _ in range(5)))
    read = await asyncio.gather(*(store.get(digest) for _ in range(5)), *(store.put(digest, content) for _ in range(5)))
    assert set(read) == {content, None}


async def test_a_directory(tmp_path: Path) -> None:
    """A directory holds whole files under their hashes and nothing else; where it cannot be used, that is said."""
    store, content = DirectoryBlobs(tmp_path / "media"), b"a" * 1000
    digest = digest_of(content)
    await store.put(digest, content)
    assert files_in(tmp_path) == [tmp_path / "media" / digest[:2] / f"{digest}.png"]
    (tmp_path / "file").write_bytes(b"")
    broken = DirectoryBlobs(tmp_path / "file")
    with pytest.raises(MediaUnavailableError):
        await broken.put(digest, content)
    with pytest.raises(MediaUnavailableError):
        await broken.get(digest)


async def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """Where a file cannot take its place, neither it nor what was written of it stays."""
    content = b"a" * 1000
    digest = digest_of(content)
    (tmp_path / digest[:2] / f"{digest}.png" / "in the way").mkdir(parents=True)
    with pytest.raises(MediaUnavailableError):
        await DirectoryBlobs(tmp_path).put(digest, content)
    assert files_in(tmp_path) == []


async def test_a_directory_that_hangs(tmp_path: Path) -> None:
    """It keeps a few threads and nobody else's, also where callers give up; once it answers, so does the store."""
    content, digest = b"a", digest_of(b"a")
    path = tmp_path / digest[:2] / f"{digest}.png"
    path.parent.mkdir()
    os.mkfifo(path)
    store = DirectoryBlobs(tmp_path)
    before = set(threading.enumerate())
    reads = [asyncio.create_task(store.get(digest)) for _ in range(3 * THREADS)]
    other = asyncio.create_task(store.put(digest_of(b"b"), b"b"))
    await asyncio.wait([*reads, other], timeout=0.2)
    for given_up in reads:
        given_up.cancel()
    await asyncio.wait(reads)
    assert len(set(threading.enumerate()) - before) == THREADS
    assert await asyncio.wait_for(asyncio.to_thread(lambda: "free"), 5) == "free"
    assert not other.done()
    # Those who wait for somebody to write are let go, a few at a time as they come.
    async with asyncio.timeout(10):
        while not other.done():
            with suppress(OSError):
                os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
            await asyncio.sleep(0.01)
    await other
    await store.put(digest, content)
    assert await store.get(digest) == content


def test_a_directory_that_hangs_keeps_no_process(tmp_path: Path) -> None:
    """A process ends although a read of its never does."""
    digest = digest_of(b"a")
    (tmp_path / digest[:2]).mkdir()
    os.mkfifo(tmp_path / digest[:2] / f"{digest}.png")
    program = f"""
import asyncio, pathlib
from service.adapters.blobs import CachedBlobs
from service.adapters.blobs_directory import THREADS, DirectoryBlobs
from service.ports import MediaUnavailableError
async def main():
    try:
        await CachedBlobs(DirectoryBlobs(pathlib.Path({str(tmp_path)!r})), limit_s=0.1).get({digest!r})
    except MediaUnavailableError:
        print("unavailable")
asyncio.run(main())
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=20, check=True)
    assert ended.stdout.splitlines()[-1] == b"unavailable"


async def test_a_bucket(bucket: Bucket) -> None:
    """A bucket that is not there, and a server that does not answer, are told apart from a file that is not there."""
    content = b"a" * 1000
    digest = digest_of(content)
    await S3Blobs(bucket).put(digest, content)
    kept = await obstore.get_async(S3Blobs(bucket)._store, f"media/{digest}.png")
    assert (kept.attributes["Content-Type"], bytes(await kept.bytes_async())) == ("image/png", content)
    away = S3Blobs(bucket._replace(endpoint=f"http://127.0.0.1:{free_port()}"))
    with pytest.raises(MediaUnavailableError):
        await away.put(digest, content)
    with pytest.raises(MediaUnavailableError):
        await away.get(digest)
    with pytest.raises(MediaUnavailableError):
        await S3Blobs(bucket._replace(name="not-there")).put(digest, content)


async def test_what_is_remembered() -> None:
    """What was read lately is not read again, within the bytes that may be remembered; the newest stay."""
    store = BlobsFake()
    contents = [bytes([number]) * 100 for number in range(3)]
    digests = [digest_of(content) for content in contents]
    store.kept = dict(zip(digests, contents, strict=True))
    cached = CachedBlobs(store, most_bytes=200)
    for number, reads in ((0, 1), (1, 2), (0, 2), (2, 3), (0, 3), (1, 4), (0, 4), (2, 5)):
        assert await cached.get(digests[number]) == contents[number]
        assert store.reads == reads, number
    assert await cached.get(digest_of(b"never")) is None
    large = b"a" * 201
    await cached.put(digest_of(large), large)
    assert await cached.get(digest_of(large)) == large


async def test_many_readers_of_one() -> None:
    """However many ask for the same at once, it is read once; one who goes away takes it from nobody."""
    store = BlobsFake()
    store.kept = {digest_of(b"a"): b"a"}
    cached = CachedBlobs(store)
    readers = [asyncio.create_task(cached.get(digest_of(b"a"))) for _ in range(10)]
    await asyncio.sleep(0)
    readers[0].cancel()
    assert await asyncio.gather(*readers[1:]) == [b"a"] * 9
    assert store.reads == 1


async def test_a_store_that_never_answers() -> None:
    """A store has a limit, after which it is away."""

    class Silent(BlobsFake):
        async def get(self, digest: str) -> bytes | None:
            await asyncio.Event().wait()
            return await super().get(digest)

        async def put(self, digest: str, content: bytes) -> None:
            await asyncio.Event().wait()
            await super().put(digest, content)

    cached = CachedBlobs(Silent(), limit_s=0.05)
    with pytest.raises(MediaUnavailableError):
        await cached.get(digest_of(b"a"))
    with pytest.raises(MediaUnavailableError):
        await cached.put(digest_of(b"a"), b"a")


async def test_what_is_not_what_was_kept() -> None:
    """Bytes that are not those of their name are never answered, and not remembered either."""
    store = BlobsFake()
    cached, digest = CachedBlobs(store), digest_of(b"a")
    store.kept = {digest: b"b"}
    for _ in range(2):
        with pytest.raises(MediaUnavailableError):
            await cached.get(digest)
    store.kept = {digest: b"a"}
    assert await cached.get(digest) == b"a"


def test_the_settings(tmp_path: Path) -> None:
    """A directory beside the data unless one or a bucket is named; what contradicts itself does not start."""
    assert isinstance(blob_store(Settings(data=tmp_path)), DirectoryBlobs)
    named = Settings(media_s3_bucket="b", media_s3_access_key="k", media_s3_secret_key="s")
    assert isinstance(blob_store(named), S3Blobs)
    for broken in (
        Settings(media_s3_bucket="b", media_s3_access_key="k"),
        Settings(media_s3_bucket="b", media_s3_secret_key="s"),
        Settings(media_s3_endpoint="http://127.0.0.1:1"),
        Settings(media_s3_bucket="b", media_directory=tmp_path),
    ):
        with pytest.raises(RefusedStartError):
            blob_store(broken)
