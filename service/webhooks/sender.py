"""Sends one event to one URL, once: to nobody but public hosts, and whatever answers, within limits."""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import errno
import functools
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, cast
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver
from aiohttp.client_proto import ResponseHandler
from yarl import URL

from service.networks import Address
from service.webhooks.hosts import fault_of, is_loopback, may_be_called
from service.webhooks.names import SystemNames

CONNECT_LIMIT_S = 5.0
"""For the name, the connection and TLS together."""
LIMIT_S = 10.0
"""For an attempt in all."""
_BODY_BYTES = 4 << 10
_STATUSES = range(100, 1_000)
"""What is an answer's status; aiohttp takes others too."""
_RECEIVED_BYTES = 64 << 10
"""What a connection may bring, with all its heads: answers that say that another one comes can go on for ever."""
_BODY_LIMIT_S = 1.0
"""So much of an answer's body is read, for so long, that who sends it need not hear that nobody listened."""

SocketFactory = Callable[[tuple[Any, ...]], socket.socket]


class Sent(NamedTuple):
    """What came of an attempt."""

    status: int | None
    """Of the answer; None: there was none."""
    error: str | None
    """Why there was no answer, in a word of those in docs/webhooks.md, "What an attempt comes to"."""
    duration_ms: int
    retry_after_s: float | None
    """For how long the answer asks to be left alone; None: it does not say."""


class Sender(Protocol):
    """Sends events."""

    async def send(self, url: str, body: bytes, headers: Mapping[str, str]) -> Sent:
        """Post *body* to *url* once; it never raises for what the other side does."""


class WebhookSender:
    """
    `Sender` over HTTP. Within a running loop; to be closed.

    The address is checked of each socket before it is connected, so it makes no difference what a name led to before,
    or leads to next. The name itself goes on into TLS and `Host`. A connection is used once: one that was kept might be
    closed by the other side just when it is used again, and nothing is known of what was sent on it then.
    """

    def __init__(
        self,
        *,
        allows_loopback: bool,
        resolver: AbstractResolver | None = None,
        tls: ssl.SSLContext | None = None,
        may_connect: Callable[[Address], bool] = may_be_called,
        limit_s: float = LIMIT_S,
    ) -> None:
        """
        Take what may be called.

        Args:
            allows_loopback: Whether URLs of this machine are called too, also without TLS.
            resolver: Finds addresses; None: as the system does.
            tls: Verifies certificates; None: by the authorities that the machine trusts.
            may_connect: Says which addresses of other hosts may be called.
            limit_s: For an attempt.
        """
        self._allows_loopback = allows_loopback
        self._tls = tls or ssl.create_default_context()
        self._limit_s = limit_s
        names = resolver or SystemNames()
        self._world = self._session(may_connect, names)
        self._loopback = self._session(lambda address: address.is_loopback, names)

    def _session(self, may_connect: Callable[[Address], bool], names: AbstractResolver) -> aiohttp.ClientSession:
        connector = _Connector(
            ssl=self._tls,
            resolver=names,
            socket_factory=_checking(may_connect),
            # Remembered for no longer than it takes, so that attempts at the same time ask once.
            ttl_dns_cache=0,
            force_close=True,
            # How many are sent to at a time is said elsewhere: here, those that hang would hold back all others.
            limit=0,
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=self._limit_s, connect=CONNECT_LIMIT_S),
            headers={"Content-Type": "application/json", "User-Agent": "UpNext-Webhooks/1"},
            skip_auto_headers=("Accept-Encoding",),
            auto_decompress=False,
            # Proxies of the environment would connect to whatever they like.
            trust_env=False,
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._world.close()
        await self._loopback.close()

    async def send(self, url: str, body: bytes, headers: Mapping[str, str]) -> Sent:
        """Post *body* to *url* once; it never raises for what the other side does."""
        began_s = time.monotonic()

        def sent(status: int | None, error: str | None, retry_after_s: float | None = None) -> Sent:
            return Sent(status, error, round((time.monotonic() - began_s) * 1000), retry_after_s)

        if fault_of(url, allows_loopback=self._allows_loopback) is not None:
            return sent(None, "url_refused")
        session = self._loopback if is_loopback((urlsplit(url).hostname or "").rstrip(".")) else self._world
        try:
            async with session.post(
                URL(url, encoded=True), data=body, headers=headers, allow_redirects=False
            ) as answer:
                if answer.status not in _STATUSES:
                    return sent(None, "no_answer")
                came = sent(answer.status, None, _retry_after_s(answer.headers.get("Retry-After"), time.time()))
                await _read_some(answer)
                return came
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return sent(None, _word(error))


class _Connection(ResponseHandler):
    """A connection that ends when it has brought more than an answer's head and a little of its body."""

    _received = 0

    def data_received(self, data: bytes) -> None:
        """Take what has come; source: `ResponseHandler.data_received`, which takes whatever comes."""
        super().data_received(data)
        self._received += len(data)
        if self._received > _RECEIVED_BYTES and self.transport is not None:
            self.transport.abort()


class _Connector(aiohttp.TCPConnector):
    """Makes such connections."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._factory = cast("functools.partial[ResponseHandler]", functools.partial(_Connection, loop=self._loop))


def _checking(may_connect: Callable[[Address], bool]) -> SocketFactory:
    """Return what makes a socket for an address that may be called, and refuses to for any other."""

    def make(info: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, where = info
        if not may_connect(ipaddress.ip_address(where[0])):
            # Like a firewall's refusal, so that another address of the same name is tried.
            raise PermissionError(errno.EPERM, f"{where[0]} is not called")
        return socket.socket(family, kind, protocol)

    return make


async def _read_some(answer: aiohttp.ClientResponse) -> None:
    """Read a little of the body. The status counts, whatever becomes of this."""
    with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError, ValueError):
        async with asyncio.timeout(_BODY_LIMIT_S):
            while answer.content.total_bytes < _BODY_BYTES and await answer.content.readany():
                pass


def _word(error: Exception) -> str:
    """Return the word for what went wrong."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            return "name_unknown"
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
            return "tls_failed"
        case aiohttp.ClientConnectorError():
            return "address_refused" if isinstance(error.os_error, PermissionError) else "unreachable"
        case TimeoutError():
            return "timeout"
        case aiohttp.InvalidURL():
            return "url_refused"
        case _:
            return "no_answer"


def _retry_after_s(text: str | None, now_s: float) -> float | None:
    """
    Return for how many seconds *text* asks to wait, None where it does not say.

    Source:
        RFC 9110, 10.2.3: seconds or a date.
    """
    if text is None:
        return None
    if text.isascii() and text.isdecimal():
        return float(text[:10])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - now_s)
    except (ValueError, OverflowError):
        return None
