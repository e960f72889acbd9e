"""Versions of the views on the internal listener: shown to whoever asks, changed by who has the super user's token."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Annotated, Protocol

import msgspec
from aiohttp import web

from streams.domain.errors import RefusedStartError, UnavailableError
from streams.domain.times import iso_ms
from streams.domain.view_versions import VersionStatus, ViewChangeError

PATH = "/views"


class Versions(Protocol):
    """What can be asked and done; see `streams.versions.Versions`."""

    async def status(self) -> list[VersionStatus]:
        """Say how each version is."""

    async def begin(self, max_events_per_s: int = 0) -> str:
        """Have the next version built; return its name."""

    async def switch(self) -> str:
        """Have the version read that is being built; return its name."""

    async def roll_back(self) -> str:
        """Have the version read that was live before; return its name."""

    async def drop(self, name: str) -> None:
        """Remove a version that is not live."""


class ViewOut(msgspec.Struct, rename="camel"):
    """A version of the views."""

    name: str
    stage: str
    since: str | None
    """Since when it is at this stage; null for the first version of a deployment that never had another."""
    max_events_per_second: int
    events_done: int
    events_total: int
    lag: int
    """Records of the sources, and messages between the processors, that are not folded."""
    is_whole: bool
    unserved: int
    waits_for: Sequence[str]


class ViewsOut(msgspec.Struct):
    """Every version that was not dropped."""

    views: Sequence[ViewOut]


class DoneOut(msgspec.Struct):
    """What was done, to which version."""

    view: str


class _Asked(msgspec.Struct, rename="camel"):
    view: str = ""
    max_events_per_second: Annotated[int, msgspec.Meta(ge=0)] = 0


class ViewPages:
    """Answers `/views` once the node is started."""

    def __init__(self, admin_token: str) -> None:
        """Take the super user's token."""
        self._token = f"Bearer {admin_token}".encode()
        self._versions: Versions | None = None

    def started(self, versions: Versions) -> None:
        """Take what knows the versions."""
        self._versions = versions

    def add_to(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_get(PATH, self._show)
        actions: dict[str, _Action] = {"start": _start, "switch": _switch, "rollback": _roll_back, "drop": _drop}
        for name, action in actions.items():
            app.router.add_post(f"{PATH}/{name}", partial(self._do, action))

    async def _show(self, _request: web.Request) -> web.Response:
        return await self._answer(_shown, _Asked())

    async def _do(self, action: _Action, request: web.Request) -> web.Response:
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(given, self._token):
            return _refused(401, "the super user's token is needed")
        try:
            asked = msgspec.json.decode(await request.read() or b"{}", type=_Asked)
        except msgspec.MsgspecError as error:
            return _refused(400, str(error))
        return await self._answer(action, asked)

    async def _answer(self, action: _Action, asked: _Asked) -> web.Response:
        if self._versions is None:
            return _refused(503, "the node is starting")
        try:
            return _json(200, await action(self._versions, asked))
        except (ViewChangeError, RefusedStartError) as error:
            return _refused(409, str(error))
        except UnavailableError as error:
            return _refused(503, str(error))


_Action = Callable[[Versions, _Asked], Awaitable[ViewsOut | DoneOut]]


async def _shown(versions: Versions, _asked: _Asked) -> ViewsOut:
    return ViewsOut([_out(status) for status in await versions.status()])


async def _start(versions: Versions, asked: _Asked) -> DoneOut:
    return DoneOut(await versions.begin(asked.max_events_per_second))


async def _switch(versions: Versions, _asked: _Asked) -> DoneOut:
    return DoneOut(await versions.switch())


async def _roll_back(versions: Versions, _asked: _Asked) -> DoneOut:
    return DoneOut(await versions.roll_back())


async def _drop(versions: Versions, asked: _Asked) -> DoneOut:
    await versions.drop(asked.view)
    return DoneOut(asked.view)


def _out(status: VersionStatus) -> ViewOut:
    name, version, since_ms = status.known
    return ViewOut(
        name=name,
        stage=version.stage.value,
        since=iso_ms(since_ms) if since_ms else None,
        max_events_per_second=version.max_events_per_s,
        events_done=status.progress.done,
        events_total=status.progress.total,
        lag=status.progress.lag,
        is_whole=status.is_whole,
        unserved=status.unserved,
        waits_for=status.waits_for,
    )


def _refused(status: int, reason: str) -> web.Response:
    return _json(status, {"error": reason})


def _json(status: int, body: object) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(body), content_type="application/json")
