"""Fills a node: companies, apps, platforms and their clients, then a household and what is in its lists."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

from service.demo.household import LINKING, MAKERS, PEOPLE, SERVICES, Maker, Service
from service.demo.remote import Credentials, Remote, Reply
from service.demo.viewing import Act, Hide, Put, Remove

_GONE = frozenset({404})
_AT_ONCE = 25
"""Few enough that the services' items come out mixed, as they would be."""


class Tenant(NamedTuple):
    """An app or a platform, and a client of it."""

    name: str
    id: str
    credentials: Credentials


class Household(NamedTuple):
    """Who writes, who reads, and for whom."""

    apps: Sequence[Tenant]
    platforms: Sequence[Tenant]
    contexts: Sequence[Sequence[str]]
    """By viewer, then by app."""
    sessions: Sequence[Sequence[str]]
    """By viewer, then by platform."""


class Filler:
    """Writes to a node, for everyone in the household."""

    def __init__(self, remote: Remote, token: str) -> None:
        """Take the node and the administrator's token."""
        self._remote = remote
        self._admin = f"Bearer {token}"

    async def make_household(self) -> Household:
        """
        Return a new household.

        Companies, apps and platforms that an earlier run made are used again. Clients are new, for a secret is shown
        once; contexts and sessions are new, so that lists begin as the story does.
        """
        apps = [await self._tenant("apps", service) for service in SERVICES]
        platforms = [await self._tenant("platforms", maker) for maker in MAKERS]
        await self._link(apps, platforms[LINKING])
        contexts = [[await self._new("contexts", app) for app in apps] for _ in PEOPLE]
        sessions = [[await self._new("sessions", platform) for platform in platforms] for _ in PEOPLE]
        household = Household(apps, platforms, contexts, sessions)
        for viewer in range(len(PEOPLE)):
            await self._attach(household, viewer)
        return household

    async def _tenant(self, kind: str, who: Service | Maker) -> Tenant:
        company = f"demo-{who.slug}"
        await self._api("PUT", f"/api/v1/companies/{company}", {"name": who.name})
        scope = f"?context={company}"
        known = (await self._api("GET", f"/api/v1/{kind}{scope}"))["results"]
        ids = [entry["id"] for entry in known if (entry["name"], entry["objectState"]) == (who.name, "ACTIVE")]
        if not ids:
            ids = [(await self._api("POST", f"/api/v1/{kind}{scope}", {"name": who.name}))["id"]]
        body = {"name": "The demo's", "tenant": {"id": ids[0]}}
        client = await self._api("POST", f"/api/v1/clients{scope}", body)
        return Tenant(who.name, ids[0], Credentials(client["clientId"], client["secretKey"]))

    async def _link(self, apps: Sequence[Tenant], platform: Tenant) -> None:
        """Have a platform ask each app what it is called there, and make a link to each item of that."""
        maker = MAKERS[LINKING]
        asked = {"name": "platform_app_id", "kind": "REQUESTED", "required": True}
        link = {
            "name": "deep_link",
            "kind": "COMPUTED",
            "valueType": "URL",
            "template": f"{maker.slug}://{{{{platform_app_id}}}}/{{{{content_id}}}}",
            "escape": "URL",
        }
        attributes = [{"id": f"{platform.id}.{one['name']}", "platform": platform.id, **one} for one in (asked, link)]
        await self._api("PUT", f"/api/v1/platformattributes?context=demo-{maker.slug}", attributes)
        for app, service in zip(apps, SERVICES, strict=True):
            told = {"app": app.id, "platform": platform.id, "values": {"platform_app_id": f"example.{service.slug}"}}
            path = f"/api/v1/platformvalues/{app.id}.{maker.slug}?context=demo-{service.slug}"
            await self._api("PUT", path, told)

    async def _api(self, method: str, path: str, body: object = None) -> Any:
        return (await self._remote.call(method, path, self._admin, body)).read()

    async def _new(self, what: str, tenant: Tenant) -> str:
        reply = await self._remote.call("POST", f"/v1/{what}", tenant.credentials.header)
        return str(reply.read()[f"{what.removesuffix('s')}_id"])

    async def _attach(self, household: Household, viewer: int) -> None:
        for platform, session in zip(household.platforms, household.sessions[viewer], strict=True):
            for app, context in zip(household.apps, household.contexts[viewer], strict=True):
                body = {"app_id": app.id, "context_id": context}
                await self._remote.call("PUT", session_path(session), platform.credentials.header, body)


class Writer:
    """Turns what people do into calls."""

    def __init__(self, remote: Remote, household: Household) -> None:
        """Take the node and who is who in it."""
        self._remote, self._household = remote, household

    async def write(self, act: Act, *, patience_s: float = 60.0) -> str:
        """Write what was done; return the position of the write, empty where there was nothing left to do it to."""
        app = self._household.apps[act.service]
        context = self._household.contexts[act.viewer][act.service]
        path = context_path(context)
        match act:
            case Put(item=item):
                reply = await self._call("PUT", path, app, item, patience_s)
            case Remove(content_id=content_id):
                reply = await self._call("DELETE", f"{path}/{quote(content_id, safe='')}", app, None, patience_s)
            case Hide(content_id=content_id, hidden=hidden):
                platform, session = self.screen(act.viewer)
                path = f"{session_path(session)}/{context}"
                body = {"content_id": content_id, "action": "hide" if hidden else "unhide"}
                # Somebody may have detached the context, or taken the item away, by hand.
                reply = await self._call("PUT", path, platform, body, patience_s, _GONE)
        return reply.position

    def screen(self, viewer: int) -> tuple[Tenant, str]:
        """Return the platform that the viewer sits in front of, and the viewer's session on it."""
        sessions = self._household.sessions[viewer]
        platform = viewer % len(sessions)
        return self._household.platforms[platform], sessions[platform]

    async def write_all(self, acts: Sequence[Act], done: Callable[[int], None]) -> dict[int, str]:
        """
        Write what fills the lists, about in this order; *done* hears how many were written.

        Returns:
            By viewer, the position that is behind everything written for them.
        """
        positions: dict[tuple[int, int], str] = {}
        for start in range(0, len(acts), _AT_ONCE):
            positions |= await self._write_some(acts[start : start + _AT_ONCE])
            done(min(start + _AT_ONCE, len(acts)))
        by_viewer: dict[int, list[str]] = {}
        for (viewer, _), position in positions.items():
            by_viewer.setdefault(viewer, []).append(position)
        return {viewer: ",".join(written) for viewer, written in by_viewer.items()}

    async def _write_some(self, acts: Iterable[Act]) -> dict[tuple[int, int], str]:
        """Write to all lists at once and to each in order; return the last position in each."""
        lists: dict[tuple[int, int], list[Act]] = {}
        for act in acts:
            lists.setdefault((act.viewer, act.service), []).append(act)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = {owner: group.create_task(self._write_list(todo)) for owner, todo in lists.items()}
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from failures
        return {owner: task.result() for owner, task in tasks.items()}

    async def _write_list(self, acts: Iterable[Act]) -> str:
        position = ""
        for act in acts:
            position = await self.write(act)
        return position

    async def _call(
        self, method: str, path: str, who: Tenant, body: object, patience_s: float, accept: Collection[int] = ()
    ) -> Reply:
        return await self._remote.call(method, path, who.credentials.header, body, accept=accept, patience_s=patience_s)


def context_path(context: str) -> str:
    """Return where publishers write into a context's list, and read it."""
    return f"/v1/contexts/upnext/{context}"


def session_path(session: str) -> str:
    """Return where platforms read a session's merged list, and attach contexts."""
    return f"/v1/sessions/upnext/{session}"
