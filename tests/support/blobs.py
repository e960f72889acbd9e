"""Blobs in memory, and pictures to fill them with."""

from __future__ import annotations

import asyncio
import random
from io import BytesIO

from PIL import Image

from service.ports import MediaUnavailableError


class BlobsFake:
    """A store that forgets nothing, counts what it is asked, and may be away, or slow to take things."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.is_away = False
        self.takes = asyncio.Event()
        self.takes.set()
        self.writes = self.reads = 0

    async def put(self, digest: str, content: bytes) -> None:
        self.writes += 1
        await self.takes.wait()
        self._begin()
        self.kept[digest] = content

    async def get(self, digest: str) -> bytes | None:
        self.reads += 1
        self._begin()
        return self.kept.get(digest)

    def _begin(self) -> None:
        if self.is_away:
            raise MediaUnavailableError


def png(width: int = 240, height: int = 240, colour: tuple[int, ...] = (10, 20, 30), kind: str = "PNG") -> bytes:
    """Return a picture of one colour; four numbers of a colour are one with an alpha."""
    written = BytesIO()
    Image.new("RGBA" if len(colour) == 4 else "RGB", (width, height), colour).save(written, kind)
    return written.getvalue()


def noise(width: int, height: int, seed: int) -> bytes:
    """Return a picture that does not get smaller: 3 bytes a pixel."""
    written = BytesIO()
    pixels = random.Random(seed).randbytes(width * height * 3)
    Image.frombytes("RGB", (width, height), pixels).save(written, "PNG", compress_level=0)
    return written.getvalue()
