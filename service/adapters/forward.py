"""Calls to other nodes' internal listeners, over connections that are kept."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from functools import partial

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload
from yarl import URL

from service.http.forward import MISDIRECTED, PREFIX, READS, REFUSED, BrokenHopError, HopAnswer, UnreachableError
from service.http.forward_signature import ForwardedCall, signed
from streams.domain.errors import OverloadedError

CONNECT_LIMIT_S = 1.0
PAUSE_LIMIT_S = 10.0
"""Between two parts of an answer that is streamed."""
STREAM_LIMIT_S = 60.0
"""From the first to the last of them."""
MOST_AT_ONCE = 500
"""Calls to one node that may be under way, to the end of their answers: as many as wait while it does not answer."""
HELD_BYTES = 128 << 10
"""Answers up to this size are always read whole."""
HELD_ROOM_BYTES = 64 << 20
"""Larger ones too, while all that are being read have no more together. Beyond, they are streamed."""
_KEPT_S = 30.0
"""Unused connections are closed after this time, long before the other side closes them."""
_NO_BODY = frozenset({204, 304})


class HopPool:
    """Implements `service.http.forward.Hop` over HTTP."""

    def __init__(
        self,
        key: bytes,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        *,
        most_at_once: int = MOST_AT_ONCE,
        held_room_bytes: int = HELD_ROOM_BYTES,
        stream_limit_s: float = STREAM_LIMIT_S,
    ) -> None:
        """Take the deployment's key for forwarding, and Unix time. Within a running loop."""
        self._key, self._now_ms, self._most_at_once = key, now_ms, most_at_once
        self._held_room_bytes, self._stream_limit_s = held_room_bytes, stream_limit_s
        self._under_way: Counter[str] = Counter()
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEPT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(sock_connect=CONNECT_LIMIT_S, sock_read=PAUSE_LIMIT_S),
            auto_decompress=False,
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent", "Content-Type"),
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._http.close()

    async def send(self, url: str, call: ForwardedCall, *, limit_s: float, held_bytes: int | None = None) -> HopAnswer:
        """Sign *call*, send it, and return the answer; a size given bounds what is read whole. See `Hop`."""
        if self._under_way[url] >= self._most_at_once:
            raise OverloadedError(f"{self._most_at_once} calls to {url} are under way")
        self._under_way[url] += 1
        try:
            async with asyncio.timeout(limit_s):
                return await self._send(url, call, held_bytes)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL) as error:
            raise UnreachableError(repr(error)) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise BrokenHopError(repr(error)) from error
        finally:
            self._ended(url)

    def _ended(self, url: str) -> None:
        self._under_way[url] -= 1
        if not self._under_way[url]:
            del self._under_way[url]

    async def _send(self, url: str, call: ForwardedCall, held_bytes: int | None) -> HopAnswer:
        # A command goes as a POST, which the client never sends a second time by itself.
        answer = await self._http.request(
            "GET" if call.method in READS else "POST",
            URL(f"{url}{PREFIX}{call.path}", encoded=True),
            headers=signed(self._key, call, self._now_ms()),
            data=call.body or None,
            allow_redirects=False,
        )
        if REFUSED in answer.headers:
            answer.close()
            if answer.status == MISDIRECTED:
                return HopAnswer(MISDIRECTED, {}, None)
            raise UnreachableError(answer.headers[REFUSED])
        if "Paket-Request-Id" not in answer.headers:
            # What every answer to a client bears: this one is not of a node at all.
            answer.close()
            raise BrokenHopError(f"an answer of something else, {answer.status}")
        if answer.status in _NO_BODY:
            answer.release()
            return HopAnswer(answer.status, answer.headers, None)
        size_bytes = 0 if call.method == "HEAD" else answer.content_length or 0
        if self._is_held(size_bytes, held_bytes):
            return HopAnswer(answer.status, answer.headers, await self._read(answer, size_bytes))
        if answer.connection is not None:
            # Under way until its last byte is here, or nobody wants it any more.
            self._under_way[url] += 1
            answer.connection.add_callback(partial(self._ended, url))
        return HopAnswer(answer.status, answer.headers, _Streamed(answer, self._stream_limit_s))

    def _is_held(self, size_bytes: int, held_bytes: int | None) -> bool:
        """Say whether an answer is read whole, so that another node can be asked where this one breaks off."""
        if held_bytes is not None:
            return size_bytes <= held_bytes
        return size_bytes <= HELD_BYTES or self._held_room_bytes >= size_bytes

    async def _read(self, answer: aiohttp.ClientResponse, size_bytes: int) -> bytes:
        self._held_room_bytes -= size_bytes
        try:
            return await answer.read()
        finally:
            self._held_room_bytes += size_bytes


class _Streamed(Payload):
    """The rest of an answer, as it comes."""

    _autoclose = False

    def __init__(self, answer: aiohttp.ClientResponse, limit_s: float) -> None:
        super().__init__(answer, content_type="application/json")
        self._answer, self._limit_s = answer, limit_s

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write it to the client, within a limit: by reading slowly nobody keeps others' calls from the node."""
        try:
            async with asyncio.timeout(self._limit_s):
                async for part in self._answer.content.iter_any():
                    await writer.write(part)
        except (aiohttp.ClientError, TimeoutError) as error:
            # As if the client were gone: its connection is closed, so it knows that the answer is not whole.
            raise ConnectionResetError("the other node has broken off") from error

    async def close(self) -> None:
        """Let go of the connection, which is kept where all was read."""
        if self._answer.content.at_eof():
            self._answer.release()
        else:
            self._answer.close()

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:  # noqa: ARG002 - aiohttp's signature
        """Raise TypeError: it is not here yet."""
        raise TypeError("what is streamed cannot be decoded")
