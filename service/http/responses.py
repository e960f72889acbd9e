"""Answers on their way out: head and body at one go, without what aiohttp's own responses can do beside."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.helpers import must_be_empty_body, rfc822_formatted_time
from aiohttp.http import SERVER_SOFTWARE, HttpVersion10, HttpVersion11


class WholeResponse(web.StreamResponse):
    """
    An answer that is there as a whole before its first byte is sent.

    `web.Response` can be compressed, chunked, hooked and given cookies; deciding that this one is not takes it longer
    than all the rest of an answer. The bytes are the same. Header values are this service's own, never a client's.
    """

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes | None) -> None:
        super().__init__(status=status, headers=headers)
        self._whole = body or b""

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter:
        """Send the answer to *request*: nothing of it is left for `write_eof`."""
        writer = request.writer
        self._keep_alive = request.keep_alive
        sent = self._bytes(request)
        self._whole = b""  # for who takes long to read it one copy is kept, not two
        await writer.write(sent)
        await writer.drain()
        await writer.write_eof()
        return writer

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing: `prepare` has sent all."""

    def _bytes(self, request: web.BaseRequest) -> bytes:
        """Return head and body as they are sent; source: RFC 9110, 8.6 and 9.3.2, RFC 9112."""
        version, body = request.version, self._whole
        lines = [f"HTTP/{version.major}.{version.minor} {self.status} {self.reason}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        is_empty = must_be_empty_body(request.method, self.status)
        if not is_empty or (body and self.status != 204):
            lines.append(f"Content-Length: {len(body)}")
        lines += [f"Date: {rfc822_formatted_time()}", f"Server: {SERVER_SOFTWARE}"]
        if self._keep_alive and version == HttpVersion10:
            lines.append("Connection: keep-alive")
        elif not self._keep_alive and version == HttpVersion11:
            lines.append("Connection: close")
        head = "\r\n".join(lines) + "\r\n\r\n"
        return head.encode() if is_empty else head.encode() + body
