"""Files in forms (`multipart/form-data`)."""

from __future__ import annotations

import asyncio
from typing import cast

from aiohttp import BodyPartReader, MultipartReader, StreamReader, web
from aiohttp.http import HttpProcessingError

from service.api.assets import MAX_BYTES
from service.api.messages import MessagesError, error, invalid
from service.http.bodies import invite_body
from service.http.problems import MalformedRequestError

FIELDS = ("asset", "file")
"""The names that a file may have in a form."""
_FORM = "multipart/form-data"
_MAX_AROUND_BYTES = 64 * 1024
"""What a form may have beside the file."""
_MAX_FORM_BYTES = MAX_BYTES + _MAX_AROUND_BYTES
_BROKEN = (TimeoutError, ConnectionError, web.RequestPayloadError, HttpProcessingError, ValueError, AssertionError)
"""What is raised where a form is none: aiohttp asserts what it expects of boundaries."""


async def read_file(request: web.BaseRequest, limit_s: float) -> bytes:
    """
    Return the first file of a form; what follows is not read.

    Raises:
        MessagesError: 400, there is none; 413, it is too large, and the rest is not read; 415, the body is no form.
        MalformedRequestError: It broke off, its framing is broken, or it was not there in time.
    """
    if request.content_type != _FORM:
        raise MessagesError(415, [error("media.type", "A file is sent as {{type}}", type=_FORM)])
    if (request.content_length or 0) > _MAX_FORM_BYTES:
        raise _too_large()
    try:
        async with asyncio.timeout(limit_s):
            await invite_body(request)
            content = cast("StreamReader", _Bounded(request.content))  # all that the reader uses of one
            return await _first_file(MultipartReader(request.headers, content))
    except _BROKEN as failure:
        raise MalformedRequestError from failure


class _Bounded:
    """A body, as far as a form may go, also one that did not say how long it is; further on it raises 413."""

    def __init__(self, body: StreamReader) -> None:
        self._body = body
        self.at_eof, self.unread_data = body.at_eof, body.unread_data

    async def readline(self, *, max_line_length: int | None = None) -> bytes:
        self._check()
        return await self._body.readline(max_line_length=max_line_length)

    async def read(self, most: int = -1) -> bytes:
        self._check()
        return await self._body.read(most)

    def _check(self) -> None:
        if self._body.total_bytes > _MAX_FORM_BYTES:
            raise _too_large()


async def _first_file(form: MultipartReader) -> bytes:
    while (part := await form.next()) is not None:
        if not isinstance(part, BodyPartReader):
            # A form within the form, and perhaps another one within that.
            raise MalformedRequestError
        if part.name in FIELDS:
            return await _read(part)
        await part.release()
    names = " or ".join(FIELDS)
    raise MessagesError(400, [invalid("field.required", "{{field}} is required", field=names)])


async def _read(part: BodyPartReader) -> bytes:
    content = bytearray()
    while chunk := await part.read_chunk():
        content += chunk
        if len(content) > MAX_BYTES:
            raise _too_large()
    return bytes(content)


def _too_large() -> MessagesError:
    text = "A file may have at most {{most}} bytes"
    return MessagesError(413, [error("body.too.large", text, most=str(MAX_BYTES))])
