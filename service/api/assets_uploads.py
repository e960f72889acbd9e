"""Uploads of apps' media: bytes first, so that the registry never names what is not there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256

import msgspec

from service.api.assets import FILE_BY_NAME, FILES, MediaFile, asset_id
from service.api.assets_forms import read_file
from service.api.assets_pictures import check_picture
from service.api.calls import Call, expected
from service.api.kinds import API
from service.api.messages import MessagesError, invalid, not_found
from service.api.planning import Made
from service.api.ports import Registry
from service.api.shown import etag, show
from service.api.writing import Writes
from service.http.calls import Answer
from service.ports import BlobStore
from streams.domain.errors import OverloadedError

UPLOAD = f"{API}/assets/{{id}}/{{file}}"
"""`id` is the app's."""
RECEIVE_LIMIT_S = 60.0
"""From the end of a request's headers to the end of its body: 2 MiB over the uplink of a home."""
_MAX_AT_ONCE = 32
"""So many uploads are received, checked and kept at a time: each holds up to its whole file in memory."""
_MAX_CHECKED = 2
"""So many files are decoded at a time; each takes a thread, and megabytes."""


class Uploads:
    """Takes files, checks them and keeps them."""

    def __init__(self, registry: Registry, writes: Writes, blobs: BlobStore, limit_s: float = RECEIVE_LIMIT_S) -> None:
        """Take the registry, what writes to it, where bytes are kept, and how long a body may take."""
        self._registry, self._writes, self._blobs, self._limit_s = registry, writes, blobs, limit_s
        self._count = 0
        self._checks = asyncio.Semaphore(_MAX_CHECKED)

    @asynccontextmanager
    async def receive(self, call: Call) -> AsyncIterator[bytes]:
        """
        Hand out the file of a request's form; it counts as one until it is left.

        Raises:
            MessagesError: 400, there is none; 413, it is too large; 415, the body is no form.
            OverloadedError: There are too many already.
        """
        if self._count == _MAX_AT_ONCE:
            raise OverloadedError
        self._count += 1
        try:
            yield await read_file(call.request, self._limit_s)
        finally:
            self._count -= 1

    async def write(self, call: Call, content: bytes) -> Answer:
        """
        Keep a file of an app; the same bytes again change nothing.

        Raises:
            MessagesError: There is no such app or file, or the bytes are not what it must be.
            MediaUnavailableError: They could not be kept; nothing was written.
        """
        file, app = _file(call), self._app(call)
        async with self._checks:
            digest = await asyncio.to_thread(_checked, content, file)
        await self._blobs.put(digest, content)
        made = Made(asset_id(app, file), file.name, _fields(app, file, content, digest))
        stored = (await self._writes.put(call.cause, made, expected(call.request, is_list=False))).stored
        shown = show(call.resource, stored, self._registry.state)
        return Answer(200, {"ETag": etag(stored)}, msgspec.json.encode(shown))

    def _app(self, call: Call) -> str:
        object_id = call.object_id or ""
        stored = self._registry.state.find("apps", object_id)
        if stored is None or not stored.is_seen_by(call.company):
            raise MessagesError(404, [not_found("App", object_id)], may_be_news=stored is None)
        return object_id


def _file(call: Call) -> MediaFile:
    file = FILE_BY_NAME.get(call.file or "")
    if file is None:
        text = "{{name}} is no file of an app: these are {{names}}"
        names = ", ".join(one.name for one in FILES)
        raise MessagesError(400, [invalid("asset.name", text, name=(call.file or "")[:64], names=names)])
    return file


def _checked(content: bytes, file: MediaFile) -> str:
    check_picture(content, file)
    return sha256(content).hexdigest()


def _fields(app: str, file: MediaFile, content: bytes, digest: str) -> dict[str, object]:
    return {
        "app": {"type": "apps", "id": app},
        "file": file.name,
        "width": file.width,
        "height": file.height,
        "bytes": len(content),
        "sha256": digest,
    }
