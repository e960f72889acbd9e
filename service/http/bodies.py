"""Bodies as they come in: their size, their type, and how long they may take."""

from __future__ import annotations

import asyncio
from collections import Counter

from aiohttp import web

from service.http.problems import MalformedRequestError, TooLargeError, UnsupportedMediaTypeError
from streams.domain.errors import OverloadedError

MAX_BODY_BYTES = 64 * 1024
MAX_ITEM_BYTES = 16 * 1024
MAX_BULK_BYTES = 1024 * 1024
ROOM_BYTES = 64 << 20
"""What bodies of more than `MAX_BODY_BYTES` may take that are being read and answered, all together."""
READ_LIMIT_S = 8.0
"""From the end of a request's headers to the end of its body."""

_JSON = frozenset({"application/json", "application/json; charset=utf-8", "application/json;charset=utf-8"})


async def read_body(request: web.BaseRequest, *, most: int, limit_s: float = READ_LIMIT_S) -> bytes:
    """
    Return the request's body.

    Raises:
        TooLargeError: It has more than *most* bytes; the rest is not read.
        MalformedRequestError: It broke off, its framing is broken, or it was not there in time.
    """
    content = request.content
    if content.is_eof() and content.exception() is None:
        body = content.read_nowait()
        if len(body) > most:
            raise TooLargeError
        return body
    if (request.content_length or 0) > most:
        raise TooLargeError
    try:
        async with asyncio.timeout(limit_s):
            await invite_body(request)
            return await _read(request, most)
    except TimeoutError as error:
        # Once that is answered the connection is closed, and not when the rest has been waited for as well.
        request.protocol._lingering_time = 0.0  # noqa: SLF001 - upstream has no other way
        raise MalformedRequestError from error
    except (ConnectionError, web.RequestPayloadError) as error:
        raise MalformedRequestError from error


async def invite_body(request: web.BaseRequest) -> None:
    """Tell a client that asks first that its body is wanted (RFC 9110, 10.1.1)."""
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")


async def _read(request: web.BaseRequest, most: int) -> bytes:
    body = bytearray()
    while chunk := await request.content.readany():
        body += chunk
        if len(body) > most:
            raise TooLargeError
    return bytes(body)


class BodyRoom:
    """Bounds what large bodies take of memory. Small ones are as many as there are connections."""

    def __init__(self, most_bytes: int = ROOM_BYTES) -> None:
        self._most_bytes = most_bytes
        self._taken_bytes = 0
        self._by_client: Counter[str] = Counter()

    def take(self, request: web.BaseRequest, client: str, most: int) -> int:
        """
        Take room for a body of at most *most* bytes before it is read, and return how much.

        0 for a small one, and for one that says it is larger than *most*: that is refused without being read.

        Raises:
            OverloadedError: There is not enough, or the client alone would have more than half of it.
        """
        if most <= MAX_BODY_BYTES:
            return 0
        size = most if request.content_length is None else request.content_length
        if size <= MAX_BODY_BYTES or size > most:
            return 0
        if self._taken_bytes + size > self._most_bytes or self._by_client[client] + size > self._most_bytes // 2:
            raise OverloadedError("there is no room for another large body now")
        self._taken_bytes += size
        self._by_client[client] += size
        return size

    def give_back(self, client: str, size: int) -> None:
        """Give back what was taken."""
        self._taken_bytes -= size
        self._by_client[client] -= size
        if not self._by_client[client]:
            del self._by_client[client]


def check_media_type(request: web.BaseRequest) -> None:
    """Raise `UnsupportedMediaTypeError` where the body is not declared as plain JSON in UTF-8."""
    declared = request.headers.get("Content-Type", "")
    if declared not in _JSON and not _is_json(declared):
        raise UnsupportedMediaTypeError
    if request.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        raise UnsupportedMediaTypeError


def _is_json(declared: str) -> bool:
    media_type, *parameters = (part.strip().lower() for part in declared.split(";"))
    charsets = [part.removeprefix("charset=").strip('"') for part in parameters if part.startswith("charset=")]
    return media_type == "application/json" and all(charset in ("utf-8", "utf8") for charset in charsets)
