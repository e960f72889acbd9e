"""Blobs that were read lately, in memory, on top of the store that keeps them."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable
from hashlib import sha256
from typing import TypeVar

import structlog

from service.ports import BlobStore, MediaUnavailableError

T = TypeVar("T")

CACHE_BYTES = 32 << 20
"""The media of some hundred apps: a file has some tens of KiB."""
_MAX_LOADS = 16
"""So many blobs are fetched at a time; whoever asks for more waits for those."""
LIMIT_S = 10.0
"""For so long the store may take, whatever it is: a disk behind a network may never answer."""


class CachedBlobs:
    """
    `service.ports.BlobStore` over another one, which may take *limit_s*. What is read is checked against its name.

    A blob never changes, so nothing that is cached is ever old.
    """

    def __init__(self, store: BlobStore, most_bytes: int = CACHE_BYTES, limit_s: float = LIMIT_S) -> None:
        """Take the store, how much of it is kept in memory, and how long it may take."""
        self._store, self._most_bytes, self._limit_s = store, most_bytes, limit_s
        self._cached: OrderedDict[str, bytes] = OrderedDict()
        self._cached_bytes = 0
        self._loading: dict[str, asyncio.Task[bytes | None]] = {}
        self._loads = asyncio.Semaphore(_MAX_LOADS)

    async def put(self, digest: str, content: bytes) -> None:
        """Keep *content* in the store."""
        await self._within_limit(self._store.put(digest, content))

    async def get(self, digest: str) -> bytes | None:
        """
        Return a blob, None where it never was kept.

        Raises:
            MediaUnavailableError: The store does not answer, or what it has is not what was kept.
        """
        known = self._cached.get(digest)
        if known is not None:
            self._cached.move_to_end(digest)
            return known
        loading = self._loading.get(digest)
        if loading is None:
            loading = self._loading[digest] = asyncio.create_task(self._load(digest), name=f"blob {digest}")
            loading.add_done_callback(lambda _: self._loading.pop(digest))
        # Many may wait for it: who goes away takes it from nobody.
        return await asyncio.shield(loading)

    async def _load(self, digest: str) -> bytes | None:
        content = await self._within_limit(self._fetch(digest))
        if content is None:
            return None
        if sha256(content).hexdigest() != digest:
            structlog.get_logger(__name__).error("media_damaged", sha256=digest)
            raise MediaUnavailableError
        self._remember(digest, content)
        return content

    async def _fetch(self, digest: str) -> bytes | None:
        async with self._loads:
            return await self._store.get(digest)

    async def _within_limit(self, call: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(self._limit_s):
                return await call
        except TimeoutError as error:
            structlog.get_logger(__name__).exception("media_unavailable", limit_s=self._limit_s)
            raise MediaUnavailableError from error

    def _remember(self, digest: str, content: bytes) -> None:
        self._cached[digest] = content
        self._cached_bytes += len(content)
        while self._cached_bytes > self._most_bytes:
            _, forgotten = self._cached.popitem(last=False)
            self._cached_bytes -= len(forgotten)
