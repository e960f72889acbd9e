"""Answers on their way out: head and body at one go, without what aiohttp's own responses can do beside."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import ClientConnectionResetError, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.helpers import must_be_empty_body, rfc822_formatted_time
from aiohttp.http import SERVER_SOFTWARE, HttpVersion10, HttpVersion11

_COPIED_BYTES = 4_096
"""Bodies up to this are copied behind their heads; longer ones are handed on as they are, for copying takes longer."""
_SERVER = f"Server: {SERVER_SOFTWARE}\r\n"


class WholeResponse(web.StreamResponse):
    """
    An answer that is there as a whole before its first byte is sent.

    `web.Response` can be compressed, chunked, hooked and given cookies; deciding that this one is not takes it longer
    than all the rest of an answer. The bytes are the same. Header values are this service's own, never a client's;
    they are not in `headers`, which nobody looks at any more, and which takes long to fill.
    """

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes | None) -> None:
        super().__init__(status=status)
        self._own, self._whole = headers, body or b""

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter:
        """Send the answer to *request*: nothing of it is left for `write_eof`."""
        writer, transport = request.writer, request.transport
        self._keep_alive = request.keep_alive
        head, body = self._head(request), self._whole
        if must_be_empty_body(request.method, self.status):
            body = b""
        if transport is None or transport.is_closing():
            raise ClientConnectionResetError("the client is gone")
        # In one call to the system, either way.
        if len(body) <= _COPIED_BYTES:
            transport.write(head + body)
        else:
            transport.writelines((head, body))
        self._whole = b""
        await writer.drain()
        return writer

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing: `prepare` has sent all."""

    def _head(self, request: web.BaseRequest) -> bytes:
        """Return the head as it is sent; source: RFC 9110, 8.6 and 9.3.2, RFC 9112."""
        version, size = request.version, len(self._whole)
        lines = [f"HTTP/{version.major}.{version.minor} {self._status} {self._reason}\r\n"]
        lines += [f"{name}: {value}\r\n" for name, value in self._own.items()]
        if self._status != 204 and (size or not must_be_empty_body(request.method, self._status)):
            lines.append(f"Content-Length: {size}\r\n")
        lines += f"Date: {rfc822_formatted_time()}\r\n", _SERVER
        if not self._keep_alive and version == HttpVersion11:
            lines.append("Connection: close\r\n")
        elif self._keep_alive and version == HttpVersion10:
            lines.append("Connection: keep-alive\r\n")
        lines.append("\r\n")
        return "".join(lines).encode()
