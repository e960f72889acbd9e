"""Who calls, whether that is too often, and what every answer to them says of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from aiohttp import web
from aiohttp.hdrs import AUTHORIZATION
from multidict import istr

from service.http.auth import authenticate
from service.http.deps import Deps
from service.http.problems import UnauthorizedError
from service.http.test_mode import HEADER, TEST
from service.http.versions.version import HEADER as VERSION
from service.http.versions.version import Version
from service.ports import Client

_NAMED = istr(VERSION)


class Caller(NamedTuple):
    """A client whose credentials are good."""

    client: Client
    wait_s: float
    """The seconds after which the request could be made; 0 where it is not one too many."""
    version: Version | None
    """The one that it is to be answered in; None where it is not known."""


class Callers:
    """Knows who calls."""

    def __init__(self, deps: Deps) -> None:
        """Take what credentials are checked with, and what counts."""
        self._tenants, self._limits, self._versions = deps.tenants, deps.limits, deps.versions

    def caller(self, request: web.BaseRequest, beside: dict[str, str]) -> Caller:
        """
        Return who calls, and put into *beside* the headers that every answer to the client bears.

        Raises:
            UnauthorizedError: There are no credentials, or none that are good.
            TooManyFailuresError: So it was too often, from the same address.
            RegistryBehindError: It cannot be known now.
        """
        self._tenants.ensure_fresh()
        try:
            client = authenticate(self._tenants, request.headers.get(AUTHORIZATION))
        except UnauthorizedError:
            self._limits.failed("credentials", request)
            raise
        if not client.live:
            beside[HEADER] = TEST
        version: Version | None = self._versions.first
        if client.version or _NAMED in request.headers:
            version = self._named(request.headers.getall(_NAMED, [client.version]))
        beside.update((version or self._versions.first).headers)
        return Caller(client, self._limits.count(client, request.method, beside), version)

    def _named(self, names: Sequence[str]) -> Version | None:
        return self._versions.find(names[0]) if len(names) == 1 else None
